"""Batches as captured steps read them. `benchmarks/gpu.py` compares the results of graphs."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from small import OF_MODEL, fit, made_data, made_model, training

from ser.data.batches import Batch
from ser.training import captured
from ser.training.captured import FRAMES, CapturedSteps, empty, fill, is_capturable, padded_shape
from ser.training.trainer import Training


def batch(items: int, frames: int | None) -> Batch:
    generator = torch.Generator().manual_seed(0)
    shape = (items, 5) if frames is None else (items, frames, 5)
    lengths = None if frames is None else torch.arange(frames - items, frames) + 1
    return Batch(torch.randn(shape, generator=generator), torch.arange(items), lengths)


def test_frames_are_padded_with_zeros_to_few_lengths() -> None:
    assert padded_shape(batch(4, None)) == (4, 5)
    shapes = {padded_shape(batch(4, frames)) for frames in range(FRAMES + 1, 2 * FRAMES + 1)}
    assert shapes == {(4, 2 * FRAMES, 5)}


@pytest.mark.parametrize(("first", "second"), [(None, None), (120, 70), (70, 128)])
def test_a_batch_takes_the_place_of_another(first: int | None, second: int | None) -> None:
    before, after = batch(4, first), batch(4, second)
    placed = empty(before, padded_shape(before))
    fill(placed, before)
    addresses = [each.data_ptr() for each in placed[:2]]
    fill(placed, after)
    assert [each.data_ptr() for each in placed[:2]] == addresses  # a graph reads them
    frames = slice(second)
    assert torch.equal(placed.x if second is None else placed.x[:, frames], after.x)
    assert torch.equal(placed.y, after.y)
    if after.lengths is not None:
        assert not placed.x[:, second:].any()
        assert torch.equal(placed.lengths, after.lengths)


def test_steps_on_a_cpu_are_not_captured() -> None:
    own = batch(4, None)
    assert not is_capturable(own)
    taken: list[Batch] = []
    CapturedSteps()(own, taken.append)
    (only,) = taken
    assert only is own


class Repeated:
    """In place of a graph: computes the step anew, from the batch that is in place."""

    def __init__(self, step: Callable[[], None]) -> None:
        self.replay = step


@pytest.mark.parametrize("name", ["mlp", "aae", "aae frames"])
def test_training_learns_the_same_with_captured_steps(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes: set[tuple[int, ...]] = set()

    def capture(self: CapturedSteps, shape: tuple[int, ...], step: Callable[[], None]) -> None:
        shapes.add(shape)
        self._graphs[shape] = Repeated(step)  # type: ignore[assignment]
        step()

    data = made_data(OF_MODEL.get(name, "frame"))
    plain = fit(data, tmp_path / "plain", name=name)
    monkeypatch.setattr(Training, "_takes_graphs", lambda self, model: True)
    monkeypatch.setattr(captured, "is_capturable", lambda batch: True)
    monkeypatch.setattr(CapturedSteps, "_capture", capture)
    with_graphs = fit(data, tmp_path / "graphs", name=name)
    assert {shape[0] for shape in shapes} == {16, 8}  # 40 utterances in batches of 16
    tolerance = 1e-4 if "frames" in name else 0  # frames are padded further
    np.testing.assert_allclose(with_graphs, plain, tolerance, tolerance)
    records = [pd.read_csv(tmp_path / way / "metrics.csv") for way in ("plain", "graphs")]
    pd.testing.assert_frame_equal(*records, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    ("precision", "expected"), [("32-true", True), ("tf32", True), ("bf16-mixed", False)]
)
def test_steps_are_captured_unless_the_precision_is_mixed(precision: str, expected: bool) -> None:
    data = made_data("utterance")
    data.setup("fit")
    on_gpu = training(accelerator="gpu", precision=precision, graphs=True)
    assert on_gpu._takes_graphs(made_model("mlp", data)) == expected
