"""Damaged files of a run: one line that names the file, and never another number."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ser.__main__ import main
from ser.errors import UserError
from ser.report import compute, frames
from ser.results import RunFolder, read_json
from ser.sweeps.grid import find_runs

FILES = {
    "mlp": [
        *("result.json", "predictions.csv", "utterances.csv", "metrics.csv", "cost.json"),
        *(".hydra/config.yaml", ".hydra/hydra.yaml", ".hydra/overrides.yaml"),
        *(f"checkpoints/{name}" for name in ("best.ckpt", "standardiser.npz", "recogniser.json")),
        "checkpoints/training_audio.txt",
    ],
    "svm": [
        *("checkpoints/best.skops", "representation/transform.skops"),
        *("representation/standardiser.npz", "representation/fitted.json"),
        "representation/codes.csv",
    ],
    "coder": [
        *("representation/checkpoints/best.ckpt", "representation/standardiser.npz"),
        "representation/metrics.csv",
    ],
}
Damage = Callable[[Path, Path], object]


def flip(file: Path, place: float) -> None:
    content = bytearray(file.read_bytes())
    content[int(place * len(content))] ^= 1
    file.write_bytes(content)


# Each of them changes a file; the second argument is the same file of a run with another seed.
DAMAGES: dict[str, Damage] = {
    "empty": lambda file, other: file.write_bytes(b""),
    "truncated": lambda file, other: file.write_bytes(file.read_bytes()[:-9]),
    "flipped at the start": lambda file, other: flip(file, 0.02),
    "flipped in the middle": lambda file, other: flip(file, 0.5),
    "flipped at the end": lambda file, other: flip(file, 0.93),
    "garbage": lambda file, other: file.write_bytes(bytes(range(256)) * 9),
    "{}": lambda file, other: file.write_text("{}"),
    "missing": lambda file, other: file.unlink(),
    "swapped": lambda file, other: shutil.copy(other, file),
}


@pytest.fixture(scope="module")
def predicted(tiny: Path) -> dict[str, list[str]]:
    """What `predict` and `report` write about intact runs."""
    folder = tiny / "runs"
    return {name: numbers(folder / name, folder / name, tiny)[1] for name in FILES}


def numbers(run: Path, out: Path, tiny: Path) -> tuple[list[int], list[str]]:
    """Return the exit status of `predict` and `report`, and the tables that they write."""
    out = out.parent / f"{out.name}-numbers"
    command = ["predict", run, tiny / "00.wav", tiny / "01.wav", "--out", out / "predictions.csv"]
    status = main([*map(str, command)])
    tables = [(out / "predictions.csv").read_text() if status == 0 else ""]
    try:  # as the command, which would draw figures, too
        data = compute(find_runs(run))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return [status, 1], [*tables, "", "", ""]
    frame = (frames.scores(data), frames.runs(data), frames.cost(data))
    return [status, 0], [*tables, *map(frames.csv, frame)]


@pytest.mark.parametrize(("system", "name"), [(s, n) for s in FILES for n in FILES[s]])
def test_damage_is_named_and_changes_no_number(
    system: str,
    name: str,
    tiny: Path,
    predicted: dict[str, list[str]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    intact = RunFolder(tiny / "runs" / system)
    other = tiny / "others" / system / name
    for damage, change in DAMAGES.items():
        run = tmp_path / "run"
        shutil.copytree(intact.path, run)
        change(run / name, other)
        if (run / name).exists() and (run / name).read_bytes() == (intact.path / name).read_bytes():
            shutil.rmtree(run)
            continue  # runs with another seed have an equal file
        capsys.readouterr()
        statuses, tables = numbers(run, run, tiny)
        error = capsys.readouterr().err
        assert "Traceback" not in error, (damage, error)
        for then, now in zip(predicted[system], tables, strict=True):
            if not (name == "cost.json" and now == tables[-1]):
                assert now in ("", then.replace(str(intact.path), str(run))), damage
        named = Path(name).name
        # What no command has read can only be found by `verify`.
        lost = name == "cost.json"  # time, date and commit
        assert named in error or (statuses == [0, 0] and (all(tables) or lost)), (damage, error)
        assert main(["verify", str(run)]) == 1, damage
        said = capsys.readouterr()
        assert named in said.out + said.err, damage
        shutil.rmtree(run)
        shutil.rmtree(tmp_path / "run-numbers")


def test_a_damaged_run_does_not_block_the_others(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = ["result.json", "predictions.csv", ".hydra/config.yaml", ".hydra/hydra.yaml"]
    systems = ["mlp", "aae", "svm", "coder", "coder"]
    for number, (system, name) in enumerate(zip(systems, [None, *damaged], strict=True)):
        run = tmp_path / "runs" / str(number)
        shutil.copytree(tiny / "runs" / system, run)
        if name is not None:
            (run / name).write_text("garbage")
    assert main(["report", str(tmp_path / "runs"), "--out", str(tmp_path / "report")]) == 0
    error = capsys.readouterr().err
    for number, name in enumerate(damaged, start=1):
        assert any(f"runs/{number}" in line and name in line for line in error.splitlines()), name
    assert (tmp_path / "report" / "scores.csv").read_text().count("mlp")
    main(["status", str(tmp_path / "runs")])
    assert capsys.readouterr().err.count("left out") == 2
    (tmp_path / "runs" / "2" / "checkpoints" / "best.skops").write_text("garbage")
    assert main(["predict", str(tmp_path / "runs"), str(tiny / "00.wav")]) == 0
    error = capsys.readouterr().err
    for number in (1, 2, 3):
        assert f"left out: {tmp_path}/runs/{number}" in error
    assert "the mean of 2 runs" in error


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda text: text.replace(",calm,", ",loud,", 1), "TEST|VAL|class|UA"),
        (lambda text: "\n".join(text.splitlines()[:-1]) + "\n", "lacks utterances"),
        (lambda text: text + text.splitlines()[-1] + "\n", "twice"),
        (lambda text: text.replace(",calm,", ",joy,", 1), "lacks: joy"),
    ],
)
def test_verify_compares_tables_without_digests(
    change: Callable[[str], str],
    reason: str,
    tiny: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = RunFolder(tmp_path / "run")
    shutil.copytree(tiny / "runs" / "mlp", run.path)
    without_digests(run)
    assert main(["verify", str(run.path)]) == 0
    assert "no digests" in capsys.readouterr().out
    run.predictions_file.write_text(change(run.predictions_file.read_text()))
    assert main(["verify", str(run.path)]) == 1
    out = capsys.readouterr().out
    assert any(each in out for each in reason.split("|")), out
    assert "0 consistent, 1 not" in out
    # A report gives no other score than the run's own.
    assert main(["report", str(run.path), "--out", str(tmp_path / "report")]) == 1
    assert "predictions.csv" in capsys.readouterr().err


def without_digests(run: RunFolder) -> None:
    """Make a run look like one of an earlier version."""
    result = read_json(run.record_file) or {}
    for name in ("digest", "digests", "options", "training_audio"):
        del result[name]
    run.record_file.write_text(json.dumps(result))


def test_verify_finds_speakers_in_two_splits(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = RunFolder(tmp_path / "run")
    shutil.copytree(tiny / "runs" / "mlp", run.path)
    without_digests(run)
    text = run.utterances_file.read_text()
    table = run.read_utterances()
    speaker = table.loc[table["part"] == "test", "speaker"].iloc[0]
    table.loc[table["part"] == "train", "speaker"] = speaker
    run.write_utterances(table)
    assert text != run.utterances_file.read_text()
    assert main(["verify", str(run.path)]) == 1
    out = capsys.readouterr().out
    assert "speaker independent" in out
    assert "are not those of result.json" in out


def test_an_emptied_list_of_training_audio_is_refused(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = RunFolder(tmp_path / "run")
    shutil.copytree(tiny / "runs" / "mlp", run.path)
    without_digests(run)
    (run.checkpoints / "training_audio.txt").write_text("")
    command = ["evaluate", run.path, "corpus=manifest", f"corpus.root={tiny}/made.csv"]
    assert main([*map(str, command)]) == 1
    assert "training_audio.txt" in capsys.readouterr().err


def test_equal_runs_have_equal_files(tiny: Path) -> None:
    for system in ("mlp", "svm"):
        one, two = (RunFolder(tiny / name / system) for name in ("runs", "again"))
        assert one.record_file.read_bytes() == two.record_file.read_bytes()
        digests = (one.read_record() or {})["digests"]
        for name in digests:
            assert (one.path / name).read_bytes() == (two.path / name).read_bytes(), name
        kinds = {Path(name).suffix for name in digests}
        assert kinds >= {".csv", ".json", ".npz", ".skops" if system == "svm" else ".ckpt"}
