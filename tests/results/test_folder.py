"""Folders of runs: what makes one finished, what is removed, and which are refused."""

import json
import os
import time
from pathlib import Path

import pytest

from ser.errors import UserError
from ser.results import RunFolder, write_json


def finished(path: Path, **content: object) -> RunFolder:
    folder = RunFolder(path)
    folder.begin("key")
    folder.finish({"val": {"ua": 0.5}, **content})
    return folder


def test_finished_run_is_read_back(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert not folder.is_finished
    with pytest.raises(UserError, match="no finished run"):
        folder.require_result()
    folder.begin("key")
    folder.last_checkpoint.parent.mkdir()
    folder.last_checkpoint.touch()
    folder.finish({"val": {"ua": 0.5}})
    assert folder.require_result()["val"] == {"ua": 0.5}
    assert sorted(os.listdir(tmp_path)) == ["checkpoints", "result.json"]
    assert not folder.last_checkpoint.exists()


def test_run_of_an_earlier_version_is_refused_by_name(tmp_path: Path) -> None:
    old = {"versions": {"ser": "0.1.0"}, "config_hash": "0" * 16}
    (tmp_path / "result.json").write_text(json.dumps(old))
    with pytest.raises(UserError, match=r"made by ser 0\.1\.0, whose runs this version cannot"):
        RunFolder(tmp_path).require_result()


def test_unfinished_run_is_continued_by_its_own_key_alone(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert folder.begin("key") == 0
    started = time.time() - 100
    os.utime(folder.unfinished_file, (started, started))
    folder.checkpoints.mkdir()
    folder.last_checkpoint.touch()
    assert folder.begin("key") == pytest.approx(100, abs=5)  # until the last checkpoint
    assert folder.last_checkpoint.exists()
    assert folder.begin("another") == 0
    assert not folder.last_checkpoint.exists()


def test_finished_run_that_is_replaced_leaves_nothing(tmp_path: Path) -> None:
    folder = finished(tmp_path)
    evaluation = folder.evaluation("ravdess")
    evaluation.write_record({})
    write_json(folder.cost_file, {})
    folder.begin("key")
    assert os.listdir(tmp_path) == ["unfinished.json"]


def test_runs_below_a_folder_are_found(tmp_path: Path) -> None:
    runs = [finished(tmp_path / name) for name in ("b/seed-0", "a/seed-1")]
    RunFolder(tmp_path / "a/seed-2").begin("key")
    assert RunFolder.all_finished(tmp_path) == [runs[1], runs[0]]
    assert RunFolder.all_finished(runs[0].path) == [runs[0]]
    with pytest.raises(UserError, match="no finished run"):
        RunFolder.all_finished(tmp_path / "a/seed-2")


def test_evaluations_of_a_run_are_listed_when_finished(tmp_path: Path) -> None:
    folder = finished(tmp_path)
    folder.evaluation("ravdess").write_record({"corpus": "ravdess"})
    folder.evaluation("cremad").path.mkdir(parents=True)
    assert folder.evaluations() == [folder.evaluation("ravdess")]


def test_failure_has_its_reason_and_a_traceback_unless_the_user_can_correct_it(
    tmp_path: Path,
) -> None:
    folder = RunFolder(tmp_path)
    folder.fail(UserError("no such root"))
    assert json.loads(folder.failure_file.read_text()) == {"error": "no such root"}
    folder.fail(ValueError("broken"))
    content = json.loads(folder.failure_file.read_text())
    assert content["error"] == "ValueError: broken"
    assert "Traceback" in content["traceback"] or "ValueError" in content["traceback"]


def test_folders_and_unfinished_files_of_somebody_else_are_kept(tmp_path: Path) -> None:
    download, mine = tmp_path / "film.mp4.part", tmp_path / "checkpoints" / "mine.pt"
    mine.parent.mkdir()
    download.touch()
    mine.touch()
    with pytest.raises(UserError, match="has checkpoints, which a run would replace"):
        RunFolder(tmp_path).require_own()
    mine.unlink()
    mine.parent.rmdir()
    remains = tmp_path / "result.json.part"
    remains.touch()
    RunFolder(tmp_path).require_own()
    RunFolder(tmp_path).begin("key")
    assert download.exists()
    assert not remains.exists()
