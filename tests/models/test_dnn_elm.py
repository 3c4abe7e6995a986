from functools import partial

import pytest
import torch

from ser.data.batches import UNLABELLED, Batch, Task
from ser.errors import UserError
from ser.models.dnn_elm import DNNELM
from ser.networks.segment import SegmentMLP

ENCODER = partial(SegmentMLP, hidden=[8], dropout=0.0, batch_norm=False)


def model(**options: float) -> DNNELM:
    torch.manual_seed(0)
    adam = partial(torch.optim.Adam, lr=1e-2)
    chosen = {"units": 20, "threshold": 0.2, "ridge": 1e-3, **options}
    return DNNELM(Task(5, 3, None, {}), encoder=ENCODER, optimiser=adam, **chosen)  # type: ignore[arg-type]


def batch(seed: int = 0, count: int = 30) -> Batch:
    """Utterances of 2 to 6 segments; their class is in how much their segments differ."""
    random = torch.Generator().manual_seed(seed)
    y = torch.arange(count) % 3
    windows = torch.repeat_interleave(
        torch.arange(count), torch.randint(2, 7, (count,), generator=random)
    )
    x = torch.randn(len(windows), 5, generator=random) * (1 + 3 * y[windows])[:, None]
    return Batch(x, y, None, windows)


def test_statistics_are_those_of_an_utterance_s_own_segments() -> None:
    dnn, data = model(), batch()
    assert data.windows is not None
    with torch.no_grad():
        found = dnn.statistics(data)
        each = dnn(data).softmax(dim=1)
    assert found.shape == (30, 12)
    for u in range(30):
        mine = each[data.windows == u]
        expected = [mine.max(0)[0], mine.min(0)[0], mine.mean(0), (mine > 0.2).float().mean(0)]
        torch.testing.assert_close(found[u], torch.cat(expected))


def test_it_tells_what_the_mean_of_segments_does_not() -> None:
    dnn, train, others = model(), batch(0, 300), batch(1, 300)
    with torch.no_grad():
        means = dnn.probabilities(others).argmax(1)
        dnn.conclude([train])
        found = dnn.probabilities(others)
    assert torch.allclose(found.sum(1), torch.ones(300))
    assert (means == others.y).float().mean() < 0.45
    assert (found.argmax(1) == others.y).float().mean() > 0.6


def test_utterances_without_label_teach_it_nothing() -> None:
    train = batch()
    hidden = train._replace(y=torch.where(torch.arange(30) < 15, train.y, UNLABELLED))
    keep = train.windows < 15  # type: ignore[operator]
    fewer = Batch(train.x[keep], train.y[:15], None, train.windows[keep])  # type: ignore[index]
    outputs = []
    for data in (hidden, fewer):
        dnn = model()
        with torch.no_grad():
            dnn.conclude([data])
        outputs.append(dnn.output)
    torch.testing.assert_close(*outputs)


def test_what_it_concluded_is_among_its_weights() -> None:
    dnn, other, data = model(), model(), batch()
    with torch.no_grad():
        dnn.conclude([data])
        other.load_state_dict(dnn.state_dict())
        assert torch.equal(other.probabilities(data), dnn.probabilities(data))
    assert not any(p.requires_grad for p in dnn.random.parameters())


def test_a_threshold_that_is_no_probability_is_told() -> None:
    with pytest.raises(UserError, match=r"model\.threshold=1\.5"):
        model(threshold=1.5)
