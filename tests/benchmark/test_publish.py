"""What is published of runs: small, without paths, the same bytes each time, and readable."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ser import metrics
from ser.__main__ import main
from ser.benchmark.publish import slug
from ser.benchmark.published import read_published
from ser.results import RunFolder, write_sealed

PROTOCOLS = ["manifest_activation_speaker_kfold", "manifest_emotion_speaker_kfold"]


def test_published_results_are_read_back(published: Path, runs: Path) -> None:
    values, classes = read_published(published / "open")
    assert [values.splits.name, classes.splits.name] == PROTOCOLS
    assert (values.system, classes.system) == ("ridge", "svm")
    assert classes.splits.classes == ("calm", "loud", "mid")
    assert [(run.fold, run.seed) for run in classes.runs] == [(0, 0), (1, 0), (2, 0)]
    own = RunFolder(runs / "runs" / "svm" / "1")
    run, table = classes.runs[1], own.read_predictions()
    pd.testing.assert_frame_equal(run.predictions(), table, atol=1e-4, check_dtype=False)
    assert run.record == own.read_record()
    assert run.cost["commit"] == own.read_cost()["commit"]
    confusion = np.sum(list(run.by_speaker().values()), axis=0)
    assert metrics.unweighted_accuracy(confusion) == run.record["test"]["ua"]
    speakers = set(run.by_speaker())
    assert speakers == classes.splits.speakers(1, "test") == set(run.record["speakers"]["test"])


def test_without_truth_scores_follow_from_sums_by_speaker(published: Path) -> None:
    values, classes = read_published(published / "withheld")
    assert set(classes.splits.table) == {"speaker", "fold_0", "fold_1", "fold_2"}
    assert "truth" not in classes.runs[0].predictions()
    for run in (*values.runs, *classes.runs):
        total = np.sum(list(run.by_speaker().values()), axis=0)
        test = run.record["test"]
        if run.splits.classes:
            assert total.tolist() == test["confusion"]
        else:
            assert metrics.value_scores(total)["ccc"] == pytest.approx(test["ccc"], abs=1e-6)


def test_nothing_published_names_a_path_or_withheld_data(published: Path, runs: Path) -> None:
    for file in published.rglob("*.*"):
        assert str(runs) not in file.read_text(errors="replace"), file
    for file in (published / "withheld").rglob("splits.csv"):
        assert file.read_text().startswith("utterance,speaker,fold_0,fold_1,fold_2\n")
    sizes = [file.stat().st_size for file in published.rglob("seed-0/*")]
    assert sum(sizes) < 9000 * 12


def test_publishing_again_gives_the_same_bytes(published: Path, runs: Path, tmp_path: Path) -> None:
    shutil.copytree(published / "open", tmp_path / "open")
    system = tmp_path / "open" / PROTOCOLS[1] / "svm"
    (system / "fold-0" / "seed-7").mkdir()  # of an earlier publication
    assert main(["publish", str(runs / "runs" / "svm"), "--out", str(tmp_path / "open")]) == 0
    files = {file.relative_to(tmp_path / "open") for file in (tmp_path / "open").rglob("*")}
    assert files == {f.relative_to(published / "open") for f in (published / "open").rglob("*")}
    for file in (each for each in files if (published / "open" / each).is_file()):
        assert (tmp_path / "open" / file).read_bytes() == (published / "open" / file).read_bytes()


def test_what_must_not_be_published_is_refused(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(runs / "runs" / "svm", tmp_path / "svm")
    words = ["publish", str(tmp_path / "svm"), "--out", str(tmp_path / "out")]
    second = RunFolder(tmp_path / "svm" / "1")
    cost = second.read_cost()
    write_sealed(second.cost_file, {**cost, "commit": "another"})
    assert main(words) == 1
    error = capsys.readouterr().err
    assert "of several commits (" in error
    assert "another" in error
    assert main([*words, "--mixed-commits"]) == 0
    (submission,) = read_published(tmp_path / "out")
    assert "another" in submission.facts["commits"]
    write_sealed(second.cost_file, cost)
    shutil.copytree(second.path, tmp_path / "svm" / "again")
    assert main(words) == 1
    assert "the same fold and seed" in capsys.readouterr().err
    for name in ("again", "1"):
        shutil.rmtree(tmp_path / "svm" / name)
    assert main(words) == 1
    assert "seed 0 lacks fold 1" in capsys.readouterr().err
    (tmp_path / "svm" / "2" / "predictions.csv").write_text("changed")
    assert main(words) == 1
    assert "predictions.csv has changed" in capsys.readouterr().err
    # What was published before is still there, and nothing unfinished beside it.
    names = [path.name for path in (tmp_path / "out" / PROTOCOLS[1]).iterdir()]
    assert sorted(names) == ["splits.csv", "splits.json", "svm"]


def test_splits_of_several_targets_are_written(runs: Path, tmp_path: Path) -> None:
    words = ["corpus=manifest", f"corpus.root={runs}/made.csv", f"store.root={runs}/store"]
    words += ["fold=speaker_kfold", "fold.count=3", "target=emotion,activation"]
    assert main(["splits", *words, "--out", str(tmp_path), "--no-digests"]) == 0
    names = ["manifest_activation_speaker_kfold", "manifest_emotion_speaker_kfold"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    table = pd.read_csv(tmp_path / names[1] / "splits.csv")
    assert list(table) == ["utterance", "speaker", "truth", "fold_0", "fold_1", "fold_2"]
    tested = table[["fold_0", "fold_1", "fold_2"]] == "test"
    assert (tested.sum(axis=1) == 1).all()  # each utterance tests once
    facts = json.loads((tmp_path / names[1] / "splits.json").read_text())
    assert facts["utterances"] == 36
    assert facts["config"]["corpus"]["root"] is None
    assert main(["verify", str(tmp_path)]) == 0


def test_names_of_systems_are_names_of_folders() -> None:
    assert (
        slug("svm features=encoder model.size=[32,32]") == "svm_features-encoder_model.size-32_32"
    )
