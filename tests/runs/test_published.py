"""Runs on published partitions, and on folds in which nobody tests."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from small import SHORT, Composed

from ser import results
from ser.report.counts import read_tasks, scoring_of
from ser.runs.run import run

Compose = Callable[..., Composed]
SPLITS = ["Train"] * 5 + ["dev"] * 2 + ["test1"] + ["test2"] * 2


@pytest.fixture
def partitioned(few: list[str], tmp_path: Path) -> list[str]:
    """Overrides for a manifest with a partition of its ten speakers."""
    table = pd.read_csv(few[1].partition("=")[2], dtype={"speaker": str})
    table["split"] = table["speaker"].map(dict(zip(table["speaker"].unique(), SPLITS, strict=True)))
    table.to_csv(tmp_path / "published.csv", index=False)
    return [few[0], f"corpus.root={tmp_path}/published.csv", *few[2:], *SHORT]


def test_several_test_sets_are_scored_together_and_each_by_itself(
    partitioned: list[str],
    composed: Compose,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    cfg, names = composed(*partitioned, "fold=partition")
    run(cfg, tmp_path / "run", names)
    folder = results.RunFolder(tmp_path / "run")
    result = folder.read_record()
    assert result is not None
    assert result["speaker_independent"]
    sets = result["test_sets"]
    assert list(sets) == ["test1", "test2"]
    together = [sum(map(sum, each["confusion"])) for each in (*sets.values(), result["test"])]
    assert together[0] + together[1] == together[2]
    printed = capsys.readouterr().out
    assert f" test2 {100 * sets['test2']['ua']:.1f}" in " ".join(printed.split())
    counts, _ = read_tasks(folder, {None: scoring_of(result["classes"])}, None)
    slices = counts[None]["test"].slices
    assert slices is not None
    assert {name: each.tolist() for name, each in slices["split"].items()} == {
        name: each["confusion"] for name, each in sets.items()
    }


def test_a_fold_in_which_nobody_tests_says_so(
    few: list[str], composed: Compose, tmp_path: Path
) -> None:
    numbers = ["fold=speakers", "fold.train=7", "fold.val=3"]
    cfg, names = composed(*few, *SHORT, *numbers)
    run(cfg, tmp_path / "run", names)
    result = results.RunFolder(tmp_path / "run").read_record()
    assert result is not None
    assert result["test"] is None
    assert any(remark.startswith("nobody tests in this fold") for remark in result["remarks"])
