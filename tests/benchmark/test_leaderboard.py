"""Leaderboards of published results: scores, tests, what is missing, and the files."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ser import metrics
from ser.__main__ import main
from ser.benchmark.leaderboard import FILES, leaderboard, references
from ser.benchmark.published import read_published
from ser.benchmark.standing_tables import standing
from ser.benchmark.standings import Board, References, boards
from ser.errors import UserError
from ser.sweeps.grid import compose_grid

CLASSES = ("anger", "neutral", "sadness")
SPEAKERS, EACH, FOLDS = 10, 12, 5
NAMES = References("svm", "svr", (("aae", "mlp"),))
Systems = dict[str, tuple[float, Sequence[int]]]  # share of errors or noise, and seeds, by name
EMOTION: Systems = {"svm": (0.4, [0]), "aae": (0.1, [0, 1, 2]), "mlp": (0.38, [0, 1, 2])}


def write_protocol(
    parent: Path, systems: Systems, *, fold: str = "speaker_kfold", classes: Sequence[str] = CLASSES
) -> Path:
    """Write splits, and systems that err by chance, as another tool would submit them."""
    rng = np.random.default_rng(0)
    numbers = np.arange(SPEAKERS * EACH)
    ids = [f"{'ab'[n % 2]}/u{n:03d}" for n in numbers]
    speakers = [f"s{n % SPEAKERS}" for n in numbers]
    truth = (
        [classes[n // SPEAKERS % len(classes)] for n in numbers]
        if classes
        else rng.normal(3, 1, len(numbers))
    )
    table = pd.DataFrame({"utterance": ids, "speaker": speakers, "truth": truth})
    group = numbers % FOLDS
    for index in range(FOLDS):
        parts = np.where(group == index, "test", np.where(group == (index + 1) % FOLDS, "val", ""))
        table[f"fold_{index}"] = np.where(parts == "", "train", parts)
    target = "emotion" if classes else "valence"
    folder = parent / f"made_{target}_{fold}"
    folder.mkdir(parents=True)
    table.to_csv(folder / "splits.csv", index=False)
    facts = {
        **{"name": folder.name, "corpus": "made", "target": target, "fold": fold},
        **{"classes": list(classes), "folds": FOLDS, "fingerprints": [""] * FOLDS},
        **{"speaker_independent": True, "utterances": len(table)},
        "config": {"fold": {"language": "da", "test_language": "en"}},
    }
    (folder / "splits.json").write_text(json.dumps(facts))
    for system, (error, seeds) in systems.items():
        for seed in seeds:
            for index in range(FOLDS):
                run = folder / system / f"fold-{index}" / f"seed-{seed}"
                run.mkdir(parents=True)
                test = table[table[f"fold_{index}"] == "test"][["utterance", "truth"]]
                test["prediction"] = _predicted(rng, test["truth"], error, classes)
                test.drop(columns="truth").to_csv(run / "predictions.csv", index=False)
                (run / "cost.json").write_text(json.dumps({"seconds": 30.0}))
        described = {"system": system, "training": "train", "overrides": [f"model={system}"]}
        (folder / system / "submission.json").write_text(json.dumps(described))
    return folder


def _predicted(
    rng: np.random.Generator, truth: pd.Series, error: float, classes: Sequence[str]
) -> np.ndarray:
    if not classes:
        return truth.to_numpy() + rng.normal(0, error, len(truth))
    wrong = rng.random(len(truth)) < error
    return np.where(wrong, rng.choice(classes, len(truth)), truth)


def board_of(folder: Path) -> Board:
    (board,) = boards(read_published(folder), NAMES)
    return board


def test_scores_and_ranks_are_those_of_the_predictions(tmp_path: Path) -> None:
    folder = write_protocol(tmp_path, EMOTION)
    board = board_of(tmp_path)
    truth = pd.read_csv(folder / "splits.csv", index_col="utterance")["truth"]
    for entry in board.entries:
        expected = []
        for seed in EMOTION[entry.system][1]:
            files = sorted(folder.glob(f"{entry.system}/fold-*/seed-{seed}/predictions.csv"))
            rows = pd.concat(map(pd.read_csv, files))
            hits = rows["prediction"].to_numpy() == truth[rows["utterance"]].to_numpy()
            classes = truth[rows["utterance"]].to_numpy()
            expected.append(np.mean([hits[classes == name].mean() for name in CLASSES]))
        np.testing.assert_allclose(entry.seeds, expected)
        assert entry.interval is not None
        assert entry.interval[0] < entry.score < entry.interval[1]
    assert [entry.system for entry in board.entries] == ["aae", "mlp", "svm"]
    assert board.best is board.entries[0]
    assert board.task.chance == pytest.approx(1 / 3)


def test_systems_are_tested_against_the_reference_and_in_pairs(tmp_path: Path) -> None:
    write_protocol(tmp_path, EMOTION)
    board = board_of(tmp_path)
    best, middle, base = board.entries
    assert board.reference == base.system
    assert base.test is None
    assert best.test is not None
    assert best.test.difference == pytest.approx(best.score - base.score)
    assert (best.verdict, middle.verdict) == ("higher", "")
    assert best.p_holm == pytest.approx(min(1, 2 * best.test.p))  # the smaller of two
    ((system, other, test, p),) = board.pairs
    assert (system, other) == ("aae", "mlp")
    assert test.difference == pytest.approx(best.score - middle.score)
    assert p == test.p


def test_what_is_missing_is_shown_as_missing(tmp_path: Path) -> None:
    write_protocol(tmp_path / "first", EMOTION)
    folder = write_protocol(tmp_path / "second", {"svm": (0.3, [0, 1]), "aae": (0.3, [0])})
    for name in ("svm/fold-2/seed-1", "aae/fold-0/seed-0"):
        (folder / name / "predictions.csv").unlink()
        (folder / name / "cost.json").unlink()
        (folder / name).rmdir()
    _, board = boards(read_published(tmp_path), NAMES)
    assert {entry.system: entry.missing for entry in board.entries} == {
        "svm": "folds missing of seed 1",
        "aae": "folds missing of seed 0",
        "mlp": "missing",
    }
    assert [len(entry.seeds) for entry in board.entries] == [1, 0, 0]
    paths = leaderboard(tmp_path, None, ["svm"])
    table = pd.read_csv(paths[-1], keep_default_na=False)
    second = table[table["task"] == table["task"].iloc[-1]]
    assert "missing" in set(second["missing"])
    assert "missing" in paths[0].read_text()


def test_values_have_tables_of_their_own(tmp_path: Path) -> None:
    write_protocol(tmp_path, EMOTION)
    write_protocol(tmp_path, {"svr": (1.0, [0]), "mlp": (0.2, [0, 1])}, classes=())
    emotion, valence = boards(read_published(tmp_path), NAMES)
    assert {entry.system for entry in emotion.entries} == set(EMOTION)
    assert [entry.system for entry in valence.entries] == ["mlp", "svr"]
    assert valence.reference == "svr"
    assert valence.entries[0].verdict == "higher"
    entry = valence.entries[1]
    total = entry.sums[0].sum(axis=0)
    assert entry.score == pytest.approx(float(metrics.ccc(total)))


def test_the_encoder_is_named(tmp_path: Path) -> None:
    folder = write_protocol(tmp_path, EMOTION)
    (folder / "svm" / "config.yaml").write_text("features: {model: wavlm-base-plus}\n")
    (folder / "mlp" / "config.yaml").write_text("features: {}\n")
    notes = standing(board_of(tmp_path)).notes
    assert "Pretrained encoder: wavlm-base-plus." in notes


def test_folds_of_corpora_are_tasks_of_their_own_and_languages_are_named(tmp_path: Path) -> None:
    write_protocol(tmp_path / "corpora", {"svm": (0.3, [0])}, fold="corpus")
    write_protocol(tmp_path / "languages", {"svm": (0.3, [0])}, fold="language")
    *corpora, languages = boards(read_published(tmp_path), NAMES)
    assert [board.task.folds for board in corpora] == [(0,), (1,), (2,), (3,), (4,)]
    assert corpora[0].task.title == "a, b to a, b: emotion"
    assert languages.task.title == "made, da to en: emotion"


def test_one_rater_is_shown_where_the_tested_utterances_have_ratings(tmp_path: Path) -> None:
    """Of two corpora, one of which has none."""
    folder = write_protocol(tmp_path, {"svm": (0.3, [0])}, fold="corpus")
    for fold, ratings in enumerate((0, 30)):
        record = {"raters": {"ceiling": {"ua": 0.7}, "test": {"ratings": ratings}}}
        file = folder / "svm" / f"fold-{fold}" / "seed-0" / "result.json"
        file.write_text(json.dumps(record))
    first, second, *_ = boards(read_published(tmp_path), NAMES)
    assert (first.ceiling, second.ceiling) == (None, 0.7)


def test_the_page_shows_scores_tests_audit_and_commands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_protocol(tmp_path / "results", {**EMOTION, "<b>": (0.5, [0])})
    audit = tmp_path / "results" / "audit"
    audit.mkdir()
    row = {"nuisance": "text", "ua": 0.5, "low": 0.4, "high": 0.6, "chance": 1 / 3}
    pd.DataFrame([{**row, "severity": "warning"}, {**row, "nuisance": "level"}]).to_csv(
        audit / "baselines.csv", index=False
    )
    finding = {"severity": "warning", "text": "Naming the text alone gives UA 50.0%."}
    pd.DataFrame([finding]).to_csv(audit / "findings.csv", index=False)
    out = tmp_path / "out"
    words = ["leaderboard", str(tmp_path / "results"), "--out", str(out), "--reference", "svm"]
    assert main(words) == 0
    assert capsys.readouterr().out.split() == [str(out / name) for name in FILES]
    page, text = ((out / name).read_text() for name in FILES[:2])
    for content in (page, text):
        assert "made: emotion" in content
        assert "python train.py model=aae fold.index=all seed=0,1,2" in content
        assert "Naming the text alone gives UA 50.0%" in content
        assert "chance" in content
    assert "&lt;b&gt;" in page
    assert "<b>" not in page
    before = page
    assert main(words) == 0
    assert (out / FILES[0]).read_text() == before
    (audit / "baselines.csv").write_text("nonsense\n1\n")
    assert main(words) == 1
    assert "not the results of an audit" in capsys.readouterr().err


def test_references_are_those_of_the_grids() -> None:
    known = references()
    one = ["experiment=benchmark/svm", "features=functionals", "fold.index=0"]
    assert known.classes == compose_grid(["grid=benchmark", *one]).baseline
    assert [first.partition(" ")[0] for first, _ in known.pairs] == ["aae"] * 3
    assert references(["mlp"]) == References("mlp", "mlp", known.pairs)
    assert references(["mlp", "aae"]).values == "aae"


def test_a_folder_without_results_or_with_one_twice_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no published results"):
        leaderboard(tmp_path, None, [])
    folder = write_protocol(tmp_path, {"svm": (0.3, [0])})
    (folder / "svm").rename(folder / "again")
    write_protocol(tmp_path / "x", {"svm": (0.3, [0])})
    (tmp_path / "x" / folder.name / "svm").rename(folder / "svm")
    with pytest.raises(UserError, match="are both called svm"):
        board_of(folder)
