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
        *("checkpoints/training_audio.txt", "checkpoints/training_range.npz"),
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
    "flipped": lambda file, other: flip(file, 0.5),
    "flipped at the end": lambda file, other: flip(file, 0.93),
    "garbage": lambda file, other: file.write_bytes(bytes(range(256)) * 9),
    "{}": lambda file, other: file.write_text("{}"),
    "missing": lambda file, other: file.unlink(),
    "swapped": lambda file, other: shutil.copy(other, file),
}


# What a command reads; `report` does not read what prediction alone needs.
OF_PREDICT = ("checkpoints/", "representation/", "result.json", ".hydra/config.yaml")
OF_REPORT = (".csv", "result.json", "cost.json", "fitted.json", ".yaml")


def predictions(run: Path, tiny: Path) -> list[str]:
    """Return what `predict` writes; empty if it refuses the run."""
    out = run.with_name("predicted.csv")
    status = main(["predict", *map(str, (run, tiny / "00.wav", "--out", out))])
    return [out.read_text() if status == 0 else ""]


def report(run: Path, tiny: Path) -> list[str]:
    """Return tables that `report` writes, which would draw figures, too; empty if it refuses."""
    try:
        data = compute(find_runs(run))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return [""]
    return [frames.csv(table(data)) for table in (frames.scores, frames.runs)]


@pytest.fixture(scope="module")
def expected(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple, list[str]]:
    """What the commands give for intact runs."""
    copies = tmp_path_factory.mktemp("intact") / "run"
    tables = {}
    for system in FILES:
        shutil.copytree(tiny / "runs" / system, copies)
        tables |= {(system, read): read(copies, tiny) for read in (predictions, report)}
        shutil.rmtree(copies)
    return tables


@pytest.mark.parametrize(("system", "name"), [(s, n) for s in FILES for n in FILES[s]])
def test_damage_is_named_and_changes_no_number(
    system: str,
    name: str,
    tiny: Path,
    expected: dict[tuple, list[str]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    intact, run = tiny / "runs" / system, tmp_path / "run"
    readers = [predictions] if name.startswith(OF_PREDICT) else []
    readers += [report] if name.endswith(OF_REPORT) else []
    for damage, change in DAMAGES.items():
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(intact, run)
        change(run / name, tiny / "others" / system / name)
        if (run / name).exists() and (run / name).read_bytes() == (intact / name).read_bytes():
            continue  # the run with another seed has an equal file
        for read in readers:
            capsys.readouterr()
            tables = read(run, tiny)
            error = capsys.readouterr().err
            assert "Traceback" not in error, (damage, error)
            assert tables in ([""], expected[system, read]), damage
            assert Path(name).name in error or tables != [""], (damage, error)
        assert main(["verify", str(run)]) == 1, damage
        said = capsys.readouterr()
        assert Path(name).name in said.out + said.err, damage


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
