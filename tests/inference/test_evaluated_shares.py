"""Runs that learn shares of raters are scored by those of the corpora that they are tested on."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from finished import train
from small import SMALL, Composed

from ser import metrics
from ser.__main__ import main
from ser.errors import UserError
from ser.inference.evaluate import evaluate
from ser.report import compute
from ser.report.robustness import frame, robustness
from ser.results import RunFolder
from ser.results.verify import inconsistencies
from ser.sweeps.grid import find_runs

Write = Callable[[Path, int], Path]
SHARES = ("kl", "js", "ece_distribution")
RUNS = {
    "emotion": ["target=emotion", "target.labels=distribution"],
    "label": ["target=emotion", "target.labels=corpus"],
    "tasks": [
        *("target=attributes", "target.names=[activation,emotion]", "target.bins=rounded"),
        "target.labels=distribution",
    ],
}


def rate(folder: Path, third: str) -> pd.DataFrame:
    """Write ratings of three raters: of every fourth utterance one chooses a third emotion."""
    table = pd.read_csv(folder / "made.csv")
    rows = []
    for number, row in enumerate(table.itertuples()):
        other = {"calm": "loud", "loud": "calm"}[row.emotion]
        votes = [
            row.emotion,
            (row.emotion, other)[number % 2],
            (row.emotion, third)[number % 4 > 2],
        ]
        for rater, vote in enumerate(votes):
            activation = np.clip(row.activation + rater - 1, 1, 5)
            rows.append((Path(row.file).stem, f"r{rater}", vote, activation))
    ratings = pd.DataFrame(rows, columns=["utterance", "rater", "emotion", "activation"])
    ratings.to_csv(folder / "made.ratings.csv", index=False)
    return ratings


@pytest.fixture(scope="module")
def soft(
    another_corpus: Write,
    composed: Callable[..., Composed],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A folder with a corpus of three raters, and runs on it; read-only."""
    folder = another_corpus(tmp_path_factory.mktemp("soft"), 2)
    rate(folder, "calm")
    for name, options in RUNS.items():
        shared = ["model=mlp", *SMALL["mlp"], f"store.root={folder}/store"]
        train(composed, folder, folder / "runs" / name, *options, *shared)
    return folder


@pytest.fixture
def runs(soft: Path, tmp_path: Path) -> Path:
    """The runs, to do with as a test likes."""
    return Path(shutil.copytree(soft / "runs", tmp_path / "runs"))


@pytest.fixture(scope="module")
def other(another_corpus: Write, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another corpus, whose raters also choose an emotion that the runs do not know."""
    folder = another_corpus(tmp_path_factory.mktemp("other"), 3)
    rate(folder, "rage")
    return folder


def of(folder: Path, *more: str) -> list[str]:
    root = [f"corpus.root={folder}/made.csv", f"store.root={folder}/store"]
    return ["corpus=manifest", "corpus.name=other", *root, *more]


def evaluated(run: Path) -> tuple[dict[str, Any], pd.DataFrame]:
    (folder,) = RunFolder(run).evaluations()
    return folder.read_record() or {}, folder.read_predictions()


def expected_shares(folder: Path, classes: list[str]) -> pd.DataFrame:
    """Return the share of raters among some classes, counted one by one."""
    ratings = pd.read_csv(folder / "made.ratings.csv")
    counts = pd.crosstab(ratings["utterance"], ratings["emotion"])[classes]
    return counts.div(counts.sum(axis=1), axis=0)


def check_scores(scores: dict[str, Any], table: pd.DataFrame, classes: list[str]) -> None:
    t, p = (table[[f"{kind}_{name}" for name in classes]].to_numpy(float) for kind in "tp")
    for name, value in metrics.distribution_scores(t, p).items():
        assert scores[name] == pytest.approx(value, abs=1e-6)
    assert np.sum(scores["confusion"]) == (table["truth"] != "").sum()


def test_another_corpus_is_scored_by_its_shares(
    runs: Path, other: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(runs / "emotion", of(other)) == 0
    record, table = evaluated(runs / "emotion")
    shares = expected_shares(other, ["calm", "loud"])
    # Of three raters, one chose another emotion: two remain, and they may disagree.
    tied = shares.index[shares["calm"] == 0.5]
    assert len(tied)
    by_utterance = table.set_index("utterance")
    for name in ("calm", "loud"):
        assert by_utterance[f"t_{name}"].to_dict() == pytest.approx(shares[name].to_dict())
    assert set(by_utterance.index[by_utterance["truth"] == ""]) == set(tied)
    check_scores(record["test"], table, ["calm", "loud"])
    assert record["raters"]["utterances"] == len(shares)
    assert not list(inconsistencies(RunFolder(runs / "emotion")))
    printed = " ".join(capsys.readouterr().out.split())
    assert f"shares of raters: KL {record['test']['kl']:.3f}, JS" in printed
    assert "utterances without a majority of raters have no part in UA" in printed
    assert main(["report", str(runs / "emotion"), "--out", str(tmp_path / "report")]) == 0
    rows = pd.read_csv(tmp_path / "report/shares.csv").set_index("corpus")
    assert rows.loc["manifest to other", "kl"] == pytest.approx(record["test"]["kl"], abs=1e-5)


def test_utterances_that_raters_heard_as_something_else_are_left_out(
    runs: Path, other: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(other, tmp_path / "other"))
    ratings = pd.read_csv(folder / "made.ratings.csv")
    names = ratings["utterance"].unique()[:2]
    ratings.loc[ratings["utterance"].isin(names) & (ratings["rater"] != "r0"), "emotion"] = "rage"
    ratings.to_csv(folder / "made.ratings.csv", index=False)
    evaluate(runs / "emotion", of(folder))
    record, table = evaluated(runs / "emotion")
    assert len(table) == 22
    assert not set(names) & set(table["utterance"])
    assert any("2 utterances of other left out: most raters" in each for each in record["remarks"])
    ratings.loc[ratings["rater"] != "r0", "emotion"] = "rage"
    ratings.to_csv(folder / "made.ratings.csv", index=False)
    with pytest.raises(
        UserError, match="no utterance of other has a majority of raters for one of calm, loud"
    ):
        evaluate(runs / "emotion", of(folder))
    ratings["emotion"] = "rage"
    ratings.to_csv(folder / "made.ratings.csv", index=False)
    with pytest.raises(UserError, match="no rater of corpus other chose calm, loud"):
        evaluate(runs / "emotion", of(folder))


def test_labels_of_the_corpus_can_be_asked_for(runs: Path, other: Path) -> None:
    evaluate(runs / "emotion", of(other, "target.labels=corpus"))
    record, table = evaluated(runs / "emotion")
    assert not set(SHARES) & set(record["test"])
    truth = pd.read_csv(other / "made.csv")["emotion"]
    assert list(table["truth"]) == list(truth)
    # A run that learned labels is scored by labels, unless shares are asked for.
    evaluate(runs / "label", of(other))
    assert not set(SHARES) & set(evaluated(runs / "label")[0]["test"])
    evaluate(runs / "label", of(other, "target.labels=distribution"))
    check_scores(
        evaluated(runs / "label")[0]["test"], evaluated(runs / "label")[1], ["calm", "loud"]
    )


def test_without_ratings_labels_are_scored(runs: Path, other: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(other, tmp_path / "other"))
    (folder / "made.ratings.csv").unlink()
    evaluate(runs / "emotion", of(folder))
    record, _ = evaluated(runs / "emotion")
    assert not set(SHARES) & set(record["test"])
    assert any("other has no single ratings of emotion" in each for each in record["remarks"])
    with pytest.raises(UserError, match="needs single ratings, and corpus other has none"):
        evaluate(runs / "emotion", of(folder, "target.labels=distribution"))


def test_each_task_has_its_shares(
    runs: Path, other: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate(runs / "tasks", of(other))
    record, table = evaluated(runs / "tasks")
    for task, classes in (
        ("activation", ["low", "neutral", "high"]),
        ("emotion", ["calm", "loud"]),
    ):
        check_scores(record["test"]["tasks"][task], table[table["task"] == task], classes)
    printed = capsys.readouterr().out
    assert "shares of raters, emotion: KL" in printed
    assert "shares of raters, activation: KL" in printed
    assert not list(inconsistencies(RunFolder(runs / "tasks")))
    folder = Path(shutil.copytree(other, tmp_path / "other"))
    pd.read_csv(other / "made.ratings.csv").drop(columns="activation").to_csv(
        folder / "made.ratings.csv", index=False
    )
    evaluate(runs / "tasks", of(folder))
    scores = evaluated(runs / "tasks")[0]["test"]["tasks"]
    assert set(scores["emotion"]) >= set(SHARES)
    assert not set(SHARES) & set(scores["activation"])


@pytest.mark.parametrize("name", ["emotion", "tasks"])
def test_corrupted_speech_is_scored_by_shares(
    runs: Path, soft: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = runs / name
    evaluate(run, [f"store.root={soft}/store"], "gain:-6dB")
    own = RunFolder(run).read_predictions().query("part == 'test'")
    (file,) = run.rglob("evaluation.json")
    table = pd.read_csv(file.parent / "predictions.csv", keep_default_na=False)
    columns = [column for column in own if column.startswith("t_")]
    np.testing.assert_allclose(
        *(each[columns].replace("", np.nan).astype(float) for each in (table, own)), atol=1e-8
    )
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    clean = [line[-3:] for line in lines if line[:1] == ["clean"]]
    scores = (RunFolder(run).read_record() or {})["test"]
    each = scores.get("tasks", {"": scores}).values()
    assert clean == [[f"{of_task[key]:.3f}" for key in SHARES] for of_task in each]
    rows = frame(robustness(compute(find_runs(run)))).set_index(["target", "condition"])
    corrupted = json.loads(file.read_text())["test"]
    for condition, recorded in (("clean", scores), ("gain:-6dB", corrupted)):
        for task, of_task in recorded.get("tasks", {name: recorded}).items():
            expected = [of_task.get(key, np.nan) for key in SHARES]
            shown = rows.loc[(task, condition), [*SHARES]].astype(float).tolist()
            assert shown == pytest.approx(expected, abs=1e-6, nan_ok=True)
    assert not list(inconsistencies(RunFolder(run)))
