from pathlib import Path

import pytest

from ser import console

FOUND = {"ua": 0.5, "wa": 0.6, "f1": 0.4, "chance_ua": 0.5, "majority_wa": 0.5}
RESULT = {
    "system": {"model": "svm", "features": "is10", "representation": "pca", "fold": "session"},
    "fold_index": 3,
    "seed": 1,
    "classes": ["a", "b"],
    "remarks": [],
    "val": FOUND,
    "test": {**FOUND, "confusion": [[1, 1], [1, 1]], "recall": {"a": 0.5, "b": 0.5}},
}


@pytest.mark.parametrize(
    ("experiment", "told"),
    [
        (None, "svm on pca of is10, session 3, seed 1: test UA 50.0%, 7 s\n"),
        ("emodb/utterance_aae", "utterance_aae, session 3, seed 1: test UA 50.0%, 7 s\n"),
    ],
)
def test_one_of_many_runs_is_told_in_a_line_by_its_experiment(
    experiment: str | None, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with console.quiet(True):
        console.report(Path("run"), RESULT, 7.4, experiment)
    assert capsys.readouterr().out == told


def test_one_fold_names_the_command_of_all(capsys: pytest.CaptureFixture[str]) -> None:
    speakers = {"train": ["a", "b"], "val": ["c"], "test": ["d"]}
    console.one_of_many({"fold_count": 4, "speakers": speakers}, "python train.py -m [x]")
    printed = capsys.readouterr().out
    assert "this is one of 4 and tests 1 of 4 speakers" in printed
    assert printed.endswith("\n  python train.py -m [x]\n")
    console.one_of_many({"fold_count": 1, "speakers": speakers}, "")
    assert not capsys.readouterr().out
