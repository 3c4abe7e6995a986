"""Temperature scaling: what it changes and recovers, and that it does not use test labels."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.special import softmax
from small import SHORT

from ser import metrics, results
from ser.config import build, run_key
from ser.config.checks import check
from ser.data.prepare import CALIBRATED, prepare
from ser.errors import UserError
from ser.runs.run import run, train
from ser.training import calibration


def drawn(temperature: float, count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities as a network gives them, and truths by these under a temperature."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 4, (count, 5))
    likely = softmax(logits / temperature, axis=1)
    truth = (likely.cumsum(axis=1) < rng.random((count, 1))).sum(axis=1)
    return softmax(logits, axis=1).astype(np.float32), truth


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_known_temperature_is_recovered(temperature: float) -> None:
    actual = calibration.fit(*drawn(temperature, 20_000))
    assert actual == pytest.approx(temperature, rel=0.03)


def test_temperature_maximises_the_likelihood_and_changes_no_prediction() -> None:
    probabilities, truth = drawn(3.0, 60)
    parts = {"val": probabilities, "test": drawn(3.0, 200, seed=1)[0]}
    scaled, facts = calibration.calibrated("temperature", parts, truth)
    at = {
        t: calibration.negative_log_likelihood(probabilities, truth, t * facts["temperature"])
        for t in (0.8, 0.99, 1.0, 1.01, 1.25)
    }
    assert min(at, key=at.__getitem__) == 1.0
    assert at[1.0] < calibration.negative_log_likelihood(probabilities, truth, 1.0)
    for part, each in parts.items():
        assert (scaled[part].argmax(axis=1) == each.argmax(axis=1)).all()
        np.testing.assert_allclose(scaled[part].sum(axis=1), 1)
        assert scaled[part].max() < each.max()  # the network was too sure


def test_method_none_changes_nothing() -> None:
    probabilities, truth = drawn(3.0, 10)
    scaled, facts = calibration.calibrated("none", {"val": probabilities}, truth)
    assert scaled["val"] is probabilities
    assert facts == {}


def test_temperature_at_a_bound_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """All right, and one probability so small that float32 holds no such thing."""
    sure = np.array([[1.0, 0.0], [0.3, 0.7]], np.float32)
    scaled, facts = calibration.calibrated("temperature", {"val": sure}, np.array([0, 1]))
    assert facts["temperature"] == pytest.approx(calibration.LEAST, rel=0.01)
    assert np.isfinite(scaled["val"]).all()
    assert "validation does not fix it" in caplog.text


def test_overconfident_probabilities_are_calibrated() -> None:
    probabilities, truth = drawn(3.0, 4000)
    fitted = calibration.fit(*drawn(3.0, 4000, seed=1))

    def ece(p: np.ndarray) -> float:
        is_right = p.argmax(axis=1) == truth
        return metrics.expected_calibration_error(metrics.reliability(p.max(axis=1), is_right))

    assert ece(probabilities) > 0.2
    assert ece(calibration.rescaled(probabilities, fitted)) < 0.03


def test_run_is_calibrated_without_the_test_labels(
    finished: Path, emodb: list[str], composed: Callable, tmp_path: Path
) -> None:
    calibrated, names = composed(*emodb, *SHORT, "calibrate=temperature")
    run(calibrated, tmp_path / "calibrated", names)
    before, after = (
        results.RunFolder(folder).read_predictions()
        for folder in (finished, tmp_path / "calibrated")
    )
    assert before["prediction"].equals(after["prediction"])
    result = results.read_json(tmp_path / "calibrated" / results.RESULT)
    assert result is not None
    columns = before.filter(like="p_").columns
    expected = calibration.rescaled(before[columns].to_numpy(np.float32), result["temperature"])
    np.testing.assert_allclose(after[columns], expected, rtol=1e-6)
    assert CALIBRATED in result["remarks"]
    assert "temperature" not in (results.read_json(finished / results.RESULT) or {})
    rows = after[after["part"] == "test"]
    counted = metrics.reliability(
        rows[columns].max(axis=1).to_numpy(), (rows["truth"] == rows["prediction"]).to_numpy()
    )
    assert result["test"]["ece"] == pytest.approx(metrics.expected_calibration_error(counted))

    prepared = prepare(calibrated)
    data, test = prepared.data, prepared.data.fold.test
    labels = data.target.labels.copy()
    labels[test] = np.roll(labels[test].to_numpy(), 1)
    target, speakers = replace(data.target, labels=labels), prepared.corpus.table["speaker"]
    build_data = build(calibrated.data)
    changed_data = build_data(data.features, target, data.fold, speakers, calibrated.seed)
    changed = train(
        calibrated,
        replace(prepared, data=changed_data),
        results.RunFolder(tmp_path / "changed"),
        names["model"],
        [],
    )
    assert changed.details["temperature"] == result["temperature"]


def test_calibration_is_part_of_the_run_key(composed: Callable) -> None:
    without, calibrated = composed()[0], composed("calibrate=temperature")[0]
    assert run_key.result_options(calibrated) == run_key.result_options(without) | {
        "calibrate": "temperature"
    }


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["calibrate=temperature", "model=svm"], "calibrate=temperature is for networks"),
        (["calibrate=temprature"], "did you mean temperature"),
    ],
)
def test_impossible_calibration_raises_an_error(
    overrides: list[str], message: str, composed: Callable
) -> None:
    with pytest.raises(UserError, match=message):
        check(composed(*overrides)[0])
