"""Denoising autoencoders: layer-wise training, tied weights, new noise for every batch."""

import itertools
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from made import CLASSES, classes_in, fitting
from torch import Tensor

from ser.data.batches import Batch, Task
from ser.errors import UserError
from ser.models.denoising import Deep, Stacked
from ser.representations.learned import Learned, Network
from ser.training.phased import PhasedModel
from ser.training.stopping import FixedEpochs

SGD = partial(torch.optim.SGD, lr=1e-2, weight_decay=1e-2)
WIDTHS = [12, 8, 5]  # of an input of 12, a layer of 8 and a code of 5


def module(kind: type[Deep], **options: Any) -> Deep:
    torch.manual_seed(0)
    defaults = {"hidden": [8], "corruption": 0.2, "optimiser": SGD, **options}
    return kind(Task(12, CLASSES, None, {}), 5, **defaults)


def stacked(*, tied: bool = True, epochs_each: int = 3) -> Stacked:
    model = module(Stacked, tied=tied, epochs_each=epochs_each)
    assert isinstance(model, Stacked)
    return model


def recipe(root: Path, kind: type[Deep], *, epochs: int, **options: Any) -> Learned:
    defaults = {"hidden": [8], "corruption": 0.2, "optimiser": SGD, **options}
    return Learned(
        fitting(root, checkpoint_seconds=0),
        module=partial(kind, **defaults),
        size=5,
        clip=10,
        batch_size=16,
        stopping=partial(FixedEpochs, max_epochs=epochs),
    )


def weights(model: torch.nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.named_parameters()}


@pytest.mark.parametrize("tied", [True, False])
def test_only_the_layer_in_training_is_updated(tied: bool, tmp_path: Path) -> None:
    """Nor does weight decay move it."""
    x, y = classes_in(12, 64)
    by_epoch: list[dict[str, Tensor]] = []
    start, end = PhasedModel.on_train_start, PhasedModel.end_epoch

    def started(self: PhasedModel) -> None:
        start(self)
        by_epoch.append(weights(self))

    def ended(self: PhasedModel) -> None:
        end(self)
        by_epoch.append(weights(self))

    with (
        mock.patch.object(Stacked.__mro__[2], "on_train_start", started),
        mock.patch.object(PhasedModel, "end_epoch", ended),
    ):
        recipe(tmp_path, Stacked, epochs=6, tied=tied, epochs_each=3).fit(x, y, 5)
    assert len(by_epoch) == 7
    for epoch, (before, after) in enumerate(itertools.pairwise(by_epoch)):
        moved = {name for name in before if not torch.equal(before[name], after[name])}
        layer = epoch // 3
        assert moved
        assert all(f".{layer}." in name for name in moved)
        own = {name for name in before if f".{layer}." in name}
        assert moved == own


def test_tied_weights_are_one_parameter() -> None:
    tied, untied = stacked(), stacked(tied=False)
    for number, layer in enumerate(tied.encoder.layers):
        way_back = tied.decoders[number].layer.weight  # type: ignore[union-attr]
        assert way_back is layer.weight
        assert way_back.data_ptr() == layer.weight.data_ptr()
    count = {name: sum(p.numel() for p in m.parameters()) for name, m in
             (("tied", tied), ("untied", untied))}  # fmt: skip
    assert count["untied"] - count["tied"] == 12 * 8 + 8 * 5
    (phase,) = tied.phases
    assert len(phase.parameters()) == len({id(p) for p in tied.parameters()}) == 6
    # As a decoder it is the transpose, after a step, too.
    x = torch.randn(4, 8)
    with torch.no_grad():
        tied.encoder.layers[0].weight.mul_(3)  # type: ignore[operator, union-attr]
        bias = tied.decoders[0].bias
        expected = x @ tied.encoder.layers[0].weight + bias  # type: ignore[operator]
        torch.testing.assert_close(tied.decoders[0](x), expected)


def test_tied_weights_are_one_parameter_after_loading(tmp_path: Path) -> None:
    x, y = classes_in(12, 48)
    fitted = recipe(tmp_path, Stacked, epochs=4, tied=True, epochs_each=2).fit(x, y, 5)
    module = fitted.module
    for layer, decoder in zip(module.encoder.layers, module.decoders, strict=True):
        assert decoder.layer.weight is layer.weight


def noise_of(root: Path, epochs: int, seed: int = 0) -> list[Tensor]:
    """The masks of every batch, in order."""
    drawn = []
    draw = Deep.draw

    def noted(self: Deep, batch: Batch) -> Tensor:
        drawn.append(draw(self, batch))
        return drawn[-1]

    x, y = classes_in(12, 32)
    deep = recipe(root, Deep, epochs=epochs)
    deep.fitting = fitting(root, checkpoint_seconds=0)
    deep.fitting.__dict__["seed"] = seed
    with mock.patch.object(Deep, "draw", noted):
        deep.fit(x, y, 5)
    return drawn


def test_noise_differs_between_epochs_and_depends_on_the_seed(tmp_path: Path) -> None:
    first = noise_of(tmp_path / "a", 3)
    assert len(first) == 6
    for one, other in itertools.pairwise(first):
        assert not torch.equal(one, other)
    again, other_seed = noise_of(tmp_path / "b", 3), noise_of(tmp_path / "c", 3, seed=1)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(first, other_seed, strict=True))


def test_input_is_corrupted_and_target_is_clean() -> None:
    model = module(Deep, corruption=0.3)
    batch = Batch(torch.randn(2000, 12) + 5, torch.zeros(2000, dtype=torch.long))
    mask = model.draw(batch)
    assert set(mask.unique().tolist()) == {0.0, 1.0}
    assert float(mask.mean()) == pytest.approx(0.7, abs=0.01)
    with torch.no_grad():
        reconstruction = model.decode(model.encoder(batch.x * mask), batch.y)
        expected = (batch.x - reconstruction).square().sum(dim=1).mean()
        torch.testing.assert_close(model.reconstruction_loss(batch, mask), expected)
        # Codes are of clean values.
        torch.testing.assert_close(model.codes(batch), model.encoder(batch.x))


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Deep, Stacked])
def test_longer_training_improves_the_reconstruction(kind: type[Deep], tmp_path: Path) -> None:
    x, y = classes_in(12, 128)
    options: dict[str, Any] = {} if kind is Deep else {"tied": True, "epochs_each": 20}

    def error(fitted: Network) -> float:
        scaled = torch.from_numpy(fitted.standardiser(x))
        with torch.inference_mode():
            reconstruction = fitted.module.decode(
                fitted.module.encoder(scaled), torch.from_numpy(y)
            )
        return float((scaled - reconstruction).square().mean())

    short = recipe(tmp_path / "short", kind, epochs=21 if options else 1, **options).fit(x, y, 5)
    long = recipe(tmp_path / "long", kind, epochs=60, **options).fit(x, y, 5)
    assert error(long) < 0.8 * error(short)
    assert error(long) < 0.6  # of a variance of 1


@pytest.mark.parametrize("after", [2, 9, 14])
def test_killed_training_resumes_with_the_same_layer(after: int, tmp_path: Path) -> None:
    class Killed(BaseException):
        pass

    x, y = classes_in(12, 48)
    options = {"epochs": 6, "tied": True, "epochs_each": 3}
    whole = recipe(tmp_path / "whole", Stacked, **options).fit(x, y, 5)
    step, seen = PhasedModel.training_step, []

    def killing(self: PhasedModel, batch: Batch, number: int) -> None:
        if len(seen) == after:
            raise Killed
        seen.append(number)
        step(self, batch, number)

    with mock.patch.object(PhasedModel, "training_step", killing), pytest.raises(Killed):
        recipe(tmp_path / "killed", Stacked, **options).fit(x, y, 5)
    again = recipe(tmp_path / "killed", Stacked, **options).fit(x, y, 5)
    assert np.array_equal(whole.transform(x), again.transform(x))


def test_too_few_epochs_for_all_layers_raise_an_error(tmp_path: Path) -> None:
    x, y = classes_in(12, 32)
    with pytest.raises(UserError, match=r"max_epochs=3: 2 layers.*epochs_each=3 need 4 or more"):
        recipe(tmp_path, Stacked, epochs=3, tied=True, epochs_each=3).fit(x, y, 5)


def test_impossible_corruption_and_sampling_raise_errors() -> None:
    with pytest.raises(UserError, match=r"corruption=1\.5"):
        module(Deep, corruption=1.5)
    with pytest.raises(UserError, match="no prior"):
        module(Deep).draw_codes(torch.zeros(2))
