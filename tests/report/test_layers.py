"""The figure of an encoder's layers."""

from types import SimpleNamespace
from typing import Any

from ser.report.figures.layers import layers


def cell(*runs: dict[str, float]) -> Any:
    names = {"system": "svm", "corpus": "emodb", "target": "emotion"}
    by_place = {(0, fold): SimpleNamespace(layers=each) for fold, each in enumerate(runs)}
    return SimpleNamespace(places=list(by_place), runs=by_place, **names)


def test_each_run_is_a_dot_per_layer() -> None:
    figure = layers(cell({"0": 0.2, "1": 0.8}, {"0": 0.4, "1": 0.6}))
    assert figure is not None
    assert figure.body.count("<circle") == 4
    assert "layer 1: 80.0" in figure.body
    assert figure.label == "layers of the encoder, svm, emodb, emotion"


def test_runs_without_layers_or_with_different_ones_are_not_drawn() -> None:
    assert layers(cell()) is None
    assert layers(cell({}, {})) is None
    assert layers(cell({"0": 0.5, "1": 0.5}, {"1": 0.5, "2": 0.5})) is None
