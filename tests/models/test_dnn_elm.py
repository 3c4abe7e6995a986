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


def test_statistics_of_an_utterance_use_its_own_segments() -> None:
    dnn, data = model(), batch()
    assert data.windows is not None
    with torch.no_grad():
        statistics = dnn.statistics(data)
        each = dnn(data).softmax(dim=1)
    assert statistics.shape == (30, 12)
    for u in range(30):
        mine = each[data.windows == u]
        expected = [mine.max(0)[0], mine.min(0)[0], mine.mean(0), (mine > 0.2).float().mean(0)]
        torch.testing.assert_close(statistics[u], torch.cat(expected))


def test_it_classifies_what_means_over_segments_cannot() -> None:
    dnn, train, others = model(), batch(0, 300), batch(1, 300)
    with torch.no_grad():
        means = dnn.predictions(others).argmax(1)
        dnn.fit_closed_form([train])
        probabilities = dnn.predictions(others)
    assert torch.allclose(probabilities.sum(1), torch.ones(300))
    assert (means == others.y).float().mean() < 0.45
    assert (probabilities.argmax(1) == others.y).float().mean() > 0.6


def test_unlabelled_utterances_do_not_change_the_fit() -> None:
    train = batch()
    hidden = train._replace(y=torch.where(torch.arange(30) < 15, train.y, UNLABELLED))
    keep = train.windows < 15  # type: ignore[operator]
    fewer = Batch(train.x[keep], train.y[:15], None, train.windows[keep])  # type: ignore[index]
    outputs = []
    for data in (hidden, fewer):
        dnn = model()
        with torch.no_grad():
            dnn.fit_closed_form([data])
        outputs.append(dnn.output)
    torch.testing.assert_close(*outputs)


def test_closed_form_fit_is_part_of_the_state_dict() -> None:
    dnn, other, data = model(), model(), batch()
    with torch.no_grad():
        dnn.fit_closed_form([data])
        other.load_state_dict(dnn.state_dict())
        assert torch.equal(other.predictions(data), dnn.predictions(data))
    assert not any(p.requires_grad for p in dnn.random.parameters())


def test_impossible_threshold_raises_an_error() -> None:
    with pytest.raises(UserError, match=r"model\.threshold=1\.5"):
        model(threshold=1.5)
