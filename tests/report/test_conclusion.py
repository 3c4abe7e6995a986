"""The conclusion of a report: never stronger than the tests, and it says what limits them."""

from dataclasses import replace
from pathlib import Path

import pytest
from made_runs import plan_grid, planned, write, write_grid, write_values

from ser.report import compute
from ser.report.conclusion import conclusion, sentences
from ser.report.data import ReportData
from ser.report.names import described, listed
from ser.sweeps.grid import Grid


def with_p(data: ReportData, p: float) -> ReportData:
    """Return the data with another corrected p of each test."""
    return replace(data, tests=tuple(replace(test, p_holm=p) for test in data.tests))


def test_difference_is_called_shown_only_if_the_test_shows_it(data: ReportData) -> None:
    shown = conclusion(with_p(data, 0.049))
    assert shown.results[0].startswith("aae scores highest: UA ")
    assert shown.results[1].startswith("It is shown above mlp (+")
    assert "p = 0.049); test over 3 sessions." in shown.results[1]
    assert "95% interval +" in shown.results[1]
    hidden = conclusion(with_p(data, 0.05))
    assert hidden.results[1].startswith("It is not shown to differ from mlp (+")
    assert "shown above" not in " ".join(hidden.results)
    assert shown.compared == (
        "2 systems are compared on activation of iemocap: 180 utterances of 6 speakers; no model "
        "is tested on a speaker it was trained on."
    )
    assert shown.cautions == ()


def test_numbers_are_those_of_the_main_test(data: ReportData) -> None:
    (test,) = data.main_tests
    assert test.result is not None
    low, high = 100 * test.result.low, 100 * test.result.high
    text = f"(+{100 * test.result.difference:.1f} points, 95% interval {low:+.1f} to {high:+.1f}, "
    assert text in sentences(data)[2]


def test_best_system_may_be_the_reference(finished_grid: Grid) -> None:
    data = compute(replace(finished_grid, baseline="aae"))
    _, best, verdict, *_ = sentences(data)
    assert best.startswith("aae scores highest")
    # The difference is that of the best system, though the test is of the other one.
    assert verdict.startswith("It is shown above mlp (+")


def test_second_system_is_said_to_be_untested(tmp_path: Path) -> None:
    grid = write_grid(tmp_path, ["mlp", "aae", "cnn"], seeds=1, folds=4)
    text = " ".join(sentences(compute(grid)))
    assert "next: cnn" in text
    assert "not tested against it" in text
    assert "Each system has one seed" in text
    assert "p corrected for 2 pairs, intervals not" in text


def test_one_system_is_compared_with_nothing(tmp_path: Path) -> None:
    grid = write_grid(tmp_path, ["mlp"], seeds=2, folds=2, baseline=None)
    first, *others = sentences(compute(grid))
    assert first.startswith("One system, mlp, is scored on activation of iemocap")
    assert others[0].startswith("mlp scores: UA ")
    assert "above chance" in others[0]
    assert "no other system" in others[1]


def test_without_baseline_nothing_is_tested(finished_grid: Grid) -> None:
    text = sentences(compute(replace(finished_grid, baseline=None)))
    assert "report.baseline=NAME" in text[-1]
    assert not any("shown above m" in each for each in text)


def test_one_speaker_allows_no_test(tmp_path: Path) -> None:
    text = " ".join(sentences(compute(write_grid(tmp_path, seeds=2, folds=1))))
    assert "could not be tested against mlp: needs two speakers" in text
    assert "Only one speaker is tested" in text
    assert "Scores are based on 1 of 6 folds only." in text


def test_limits_are_stated(tmp_path: Path) -> None:
    grid = plan_grid(tmp_path, seeds=2, folds=3)
    remark = "synthetic speech: scores say nothing about people"
    for run in grid.runs[:-1]:
        write(run, remarks=[remark], speaker_independent=False)
    first, *_ = sentences(compute(grid))
    assert "no model is tested" not in first
    cautions = conclusion(compute(grid)).cautions
    assert cautions[0].startswith("The speech is synthetic")
    assert "nothing is shown for new ones (all systems)" in cautions[1]
    assert "11 of 12 runs are finished" in cautions[2]
    assert "fewer complete seeds than planned: aae (1)" in cautions[2]


def test_without_complete_seed_there_is_no_score(tmp_path: Path) -> None:
    data = compute(Grid("made_up", (write(planned(tmp_path)), planned(tmp_path, fold=1)), "mlp"))
    assert "no score yet" in " ".join(sentences(data))


def test_targets_have_a_sentence_each_and_many_are_counted(tmp_path: Path) -> None:
    targets = ["activation", "valence", "dominance", "emotion", "style"]
    grid = write_grid(tmp_path, targets=targets, seeds=1, folds=4)
    few = replace(grid, runs=tuple(r for r in grid.runs if r.choices["target"] in targets[:2]))
    text = " ".join(sentences(compute(few)))
    assert "On activation, aae scores highest" in text
    assert "On valence, aae scores highest" in text
    many = conclusion(compute(grid)).results
    assert many[0] == "Of 5 targets and corpora, UA is highest for aae on 5."
    assert many[1].startswith("0 of 5 tested differences are shown; test over 2 sessions")


def test_values_are_compared_by_ccc(tmp_path: Path) -> None:
    grid = plan_grid(tmp_path, seeds=2, folds=6)
    for run in grid.runs:
        write_values(run)
    text = " ".join(sentences(compute(grid)))
    assert "aae scores highest: CCC 0." in text
    assert "CCC, 95% interval" in text


@pytest.mark.parametrize(
    ("choices", "expected"),
    [
        ({"model": "svm", "features": "is10", "representation": "pca"}, "pca + svm on is10"),
        ({"model": "mlp", "features": "lld", "representation": "identity"}, "mlp on lld"),
    ],
)
def test_systems_are_described(data: ReportData, choices: dict[str, str], expected: str) -> None:
    cell = data.cells[0]
    run = cell.runs[0, 0]
    cell = replace(cell, runs={(0, 0): replace(run, planned=replace(run.planned, choices=choices))})
    assert described(cell) == expected
    assert listed([]) == ""
