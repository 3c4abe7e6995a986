"""One code per utterance, of the codes of its frames."""

import csv
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made import CLASSES, fitting

from ser.data.batches import Batch, Task
from ser.data.segments import Segments, context, cut
from ser.errors import UserError
from ser.models.denoising import Deep
from ser.models.recurrent import RecurrentAutoencoder
from ser.networks.recurrent import LSTMEncoder
from ser.representations import Fitting, Representation
from ser.representations.learned import Learned
from ser.representations.sequences import OfSequences, SequenceNetwork
from ser.representations.stack import Stack
from ser.training.stopping import FixedEpochs

LENGTHS = np.array([5, 9, 3, 14, 7, 7])
OFFSETS = np.concatenate([[0], LENGTHS.cumsum()])
Y = np.repeat(np.arange(6) % CLASSES, LENGTHS)
ADAM = partial(torch.optim.Adam, lr=1e-2)
LSTM = partial(
    LSTMEncoder, layers=1, width=2, bidirectional=True, forget_bias=1.0, hidden=[], dropout=0.0
)


def frames(chosen: list[int] | None = None, around: int = 1) -> Segments:
    values = np.random.default_rng(0).normal(size=(OFFSETS[-1], 4)).astype(np.float32)
    utterances = np.arange(6) if chosen is None else np.array(chosen)
    return context(values, OFFSETS, utterances, False, past=around, future=around)


def lower(fit: Fitting) -> Representation:
    module = partial(Deep, hidden=[8], corruption=0.2, optimiser=ADAM)
    return Learned(
        fit,
        module=module,
        size=3,
        clip=10,
        batch_size=8,
        stopping=partial(FixedEpochs, max_epochs=2),
    )


def upper(fit: Fitting, *, pooling: str = "mean", size: int = 4) -> OfSequences:
    lstm = partial(LSTM, pooling=pooling)
    module = partial(RecurrentAutoencoder, encoder=lstm, reduction="sum", optimiser=ADAM)
    return OfSequences(
        fit,
        module=module,
        size=size,
        clip=10,
        batch_size=4,
        stopping=partial(FixedEpochs, max_epochs=3),
    )


def stack(root: Path, **options: Any) -> Stack:
    parts = {"lower": {"of": "frames"}, "upper": {"of": "utterances"}}
    fit = fitting(root)
    object.__setattr__(fit, "recipe", {"representation": parts, "trainer": {}})
    return Stack(fit, lower=lower, upper=partial(upper, **options))


@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_code_of_an_utterance_does_not_depend_on_other_utterances(
    pooling: str, tmp_path: Path
) -> None:
    fitted = stack(tmp_path, pooling=pooling).fit(frames(), Y, 4)
    assert fitted.pools
    codes = fitted.transform(frames())
    assert codes.shape == (6, 4)
    for number in range(6):
        alone = fitted.transform(frames([number]))
        np.testing.assert_allclose(alone[0], codes[number], rtol=1e-4, atol=1e-5)


def test_pooling_is_the_mean_or_the_last_state() -> None:
    lengths = torch.tensor([3, 5])
    states = torch.arange(2 * 5 * 4, dtype=torch.float32).reshape(2, 5, 4)

    def pooled(pooling: Any) -> torch.Tensor:
        return LSTM(3, pooling=pooling).pooled(states, lengths)

    expected = torch.stack([states[0, :3].mean(0), states[1].mean(0)])
    torch.testing.assert_close(pooled("mean"), expected)
    last = torch.stack([torch.cat([states[u, n - 1, :2], states[u, 0, 2:]]) for u, n in
                        ((0, 3), (1, 5))])  # fmt: skip
    torch.testing.assert_close(pooled("last"), last)


def test_each_representation_is_stored_on_its_own(tmp_path: Path) -> None:
    stack(tmp_path, pooling="mean").fit(frames(), Y, 4)
    first = set(tmp_path.iterdir())
    assert len(first) == 2
    alone = fitting(tmp_path)
    object.__setattr__(alone, "recipe", {"representation": {"of": "frames"}, "trainer": {}})
    lower(alone).fit(frames(), Y, 3)
    assert set(tmp_path.iterdir()) == first  # the lower one is shared


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_loss_is_the_squared_error_of_all_frames_without_padding(reduction: Any) -> None:
    torch.manual_seed(0)
    lstm = partial(LSTM, pooling="mean")
    task = Task(3, 2, None, {})
    model = RecurrentAutoencoder(task, 4, encoder=lstm, reduction=reduction, optimiser=ADAM)
    x, lengths = torch.randn(2, 6, 3), torch.tensor([6, 4])
    x[1, 4:] = 0
    y = torch.zeros(2, dtype=torch.long)
    padded = torch.nn.functional.pad(x, (0, 0, 0, 5))
    losses = [model.reconstruction_loss(Batch(each, y, lengths), None) for each in (x, padded)]
    torch.testing.assert_close(*losses)
    errors = [
        (model.reconstruct(Batch(x[u : u + 1, :n], y[:1], torch.tensor([n]))) - x[u, :n]).square()
        for u, n in ((0, 6), (1, 4))
    ]
    total = sum(error.sum() for error in errors)
    torch.testing.assert_close(losses[0], total if reduction == "sum" else total / 10)


def test_impossible_options_raise_errors(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="segments of 3 frames"):
        upper(fitting(tmp_path)).fit(frames(), Y, 4)
    values = frames().values
    every_second = cut(values, OFFSETS, np.arange(6), False, frames=1, hop=2)
    with pytest.raises(UserError, match=r"needs all of them, segments\.hop=1"):
        upper(fitting(tmp_path)).fit(every_second, every_second.of_each(np.arange(6)), 4)
    with pytest.raises(UserError, match="size=5: the LSTM's state has 4 values"):
        stack(tmp_path, size=5).fit(frames(), Y, 5)


def test_sequences_of_frames_can_be_fitted_directly(tmp_path: Path) -> None:
    fitted = upper(fitting(tmp_path)).fit(frames(around=0), Y, 4)
    whole, some = fitted.transform(frames(around=0)), fitted.transform(frames([4, 1], around=0))
    np.testing.assert_allclose(some, whole[[4, 1]], rtol=1e-4, atol=1e-5)


def test_recorded_loss_is_the_sum_over_the_frames_of_an_utterance(tmp_path: Path) -> None:
    recipe = upper(fitting(tmp_path))
    recipe.module = partial(recipe.module, optimiser=partial(torch.optim.SGD, lr=0.0))
    fitted = recipe.fit(frames(around=0), Y, 4)
    assert isinstance(fitted, SequenceNetwork)
    with torch.inference_mode(), (fitted.folder / "metrics.csv").open() as file:
        batches = fitted.batches(frames(around=0), Y)
        total = sum(float(fitted.module.reconstruction_loss(batch, None)) for batch in batches)
        losses = [float(row["train/reconstruction_loss"]) for row in csv.DictReader(file)]
    assert losses == pytest.approx([total / 6] * 3)
