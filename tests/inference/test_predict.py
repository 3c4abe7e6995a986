"""Recordings of every kind, and what is no recording: a prediction or a reason, for each."""

import json
import os
import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from omegaconf import OmegaConf
from small import SMALL, Composed, make_old

from ser import results
from ser.__main__ import main
from ser.inference.predict import predict
from ser.inference.recordings import excerpts, recordings
from ser.runs.run import run

RATE = 16000
NOISE = np.random.default_rng(0).normal(0, 0.1, RATE).astype(np.float32)
SPEECH = NOISE * np.abs(np.sin(np.arange(RATE, dtype=np.float32) / 700))


@pytest.fixture(scope="module")
def runs(composed: Callable[..., Composed], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two finished runs of two classes, on functionals and on frames."""
    folder = tmp_path_factory.mktemp("runs")
    rng = np.random.default_rng(1)
    rows = []
    for number in range(24):
        loud, speaker = number % 2, number // 2 % 6
        signal = rng.normal(0, (0.02, 0.2)[loud], RATE // 2)
        soundfile.write(folder / f"{number:02d}.wav", signal.clip(-1, 1), RATE)
        rows.append([f"{number:02d}.wav", speaker, speaker // 2, ("calm", "loud")[loud]])
    table = pd.DataFrame(rows, columns=["file", "speaker", "session", "emotion"])
    table.to_csv(folder / "made.csv", index=False)
    shared = [
        "corpus=manifest",
        f"corpus.root={folder}/made.csv",
        f"store.root={folder}/store",
        "fold=session",
        "trainer.max_epochs=2",
    ]
    for name, options in {
        "functionals": ["features=egemaps", "model=mlp", *SMALL["mlp"]],
        "frames": ["features=logmel40", "model=cnn", *SMALL["cnn"]],
    }.items():
        cfg, names = composed(*shared, *options)
        (folder / "made" / name / ".hydra").mkdir(parents=True)
        OmegaConf.save(cfg, folder / "made" / name / ".hydra" / "config.yaml")
        run(cfg, folder / "made" / name, names)
    return folder / "made"


# ---- a hundred files


def usable(folder: Path) -> None:
    """Recordings that libsndfile knows, of every kind, and under every sort of name."""
    folder.mkdir()
    for kind in ("WAV", "FLAC", "OGG", "MP3", "AIFF", "AU", "CAF", "W64", "RF64", "NIST"):
        for subtype in soundfile.available_subtypes(kind):
            if subtype.startswith("DWVW"):  # which libsndfile writes and cannot read
                continue
            rate = 8000 if subtype.startswith(("GSM", "G72", "NMS", "VOX")) else RATE
            file = folder / f"{subtype}.{kind.lower()}"
            try:
                soundfile.write(file, SPEECH, rate, subtype, format=kind)
            except soundfile.LibsndfileError:  # told as available, and not to be written
                file.unlink(missing_ok=True)
    for rate in (4000, 11025, 44100, 48000, 96000, 192000):
        soundfile.write(folder / f"{rate} Hz.wav", np.resize(SPEECH, rate), rate)
    for channels in (2, 6, 16):
        sound = np.tile(SPEECH[:, None], channels)
        soundfile.write(folder / f"{channels} channels.wav", sound, RATE)
    names = [
        *("with spaces.WAV", "声.wav", "öß.flac", "😀.wav", "-dash.wav", ".hidden.wav"),
        *("[red]markup.wav", "two\nlines.wav", '"quoted", comma.wav', f"{'long' * 60}.wav"),
        os.fsdecode(b"latin-1 \xe4.wav"),
    ]
    soundfile.write(folder / "plain.wav", SPEECH, RATE)
    soundfile.write(folder / "plain.flac", SPEECH, RATE)
    for name in names:
        shutil.copy(folder / f"plain{Path(name).suffix.lower()}", folder / name)
    (folder / "link.wav").symlink_to("plain.wav")
    (folder / "deeper" / "still").mkdir(parents=True)
    shutil.copy(folder / "plain.wav", folder / "deeper" / "still")


def odd(folder: Path, whole: Path) -> dict[str, str]:
    """What cannot be used, and what is to be said of it, by name."""
    folder.mkdir()
    reasons = {}

    def add(name: str, content: bytes, reason: str) -> None:
        (folder / name).write_bytes(content)
        reasons[name] = reason

    def sound(name: str, samples: np.ndarray, reason: str, rate: int = RATE) -> None:
        subtype = "FLOAT" if samples.dtype == np.float32 else "PCM_16"
        soundfile.write(folder / name, samples, rate, subtype)
        reasons[name] = reason

    wav, flac = ((whole / f"plain.{k}").read_bytes() for k in ("wav", "flac"))
    for size in (1, 4, 11, 12, 20, 36, 43, 44, 45, 100, 1000, len(wav) // 2, len(wav) - 1):
        add(f"cut at {size}.wav", wav[:size], "")
    for size in (1, 4, 42, 100, len(flac) // 2):
        add(f"cut at {size}.flac", flac[:size], "")
    lossy = (whole / "MPEG_LAYER_III.mp3").read_bytes()
    add("cut.mp3", lossy[: len(lossy) // 2], "truncated")
    add("nothing.wav", b"", "0 bytes")
    add("text.wav", b"not audio at all\n" * 50, "unreadable as audio")
    add("picture.wav", b"\x89PNG\r\n\x1a\n" + bytes(500), "unreadable as audio")
    add("archive.flac", b"PK\x03\x04" + bytes(500), "unreadable as audio")
    add("pointer.wav", b"version https://git-lfs.github.com/spec/v1\n", "Git LFS")
    add("talk.m4a", b"\x00\x00\x00\x20ftypM4A " + bytes(500), "unreadable as audio")
    for kind in ("wav", "mp3", "ogg", "flac", "aiff"):
        noise = np.random.default_rng(2).bytes(4000)
        add(f"noise.{kind}", noise, "unreadable as audio")
    add("no channels.wav", wav[:22] + bytes(2) + wav[24:], "unreadable as audio")
    add("no rate.wav", wav[:24] + bytes(4) + wav[28:], "unreadable as audio")
    sound("no samples.wav", np.zeros(0, np.int16), "empty: the file has no samples")
    for value, reason in ((np.nan, "not finite"), (np.inf, "not finite"), (1e6, "samples reach")):
        spoilt = SPEECH.copy()
        spoilt[5000] = value
        sound(f"{value}.wav", spoilt, reason)
    for samples in (1, 2, 160, 300):
        sound(f"{samples} samples.wav", np.ones(samples, np.int16), "too short")
    sound("fast.wav", np.ones(300, np.int16), "", 2**31 - 1)
    sound("years.wav", np.zeros(90000, np.int16), "declares 25 hours", 1)
    sound("long.wav", np.zeros(400, np.int16), "400 s long", 1)
    (folder / "folder.wav").mkdir()
    (folder / "broken link.wav").symlink_to("nowhere.wav")
    (folder / "loop.wav").symlink_to("loop.wav")
    os.mkfifo(folder / "pipe.wav")
    reasons |= {
        "folder.wav": "is a folder",
        "broken link.wav": "missing: no such file",
        "loop.wav": "unreadable",
        "pipe.wav": "is not a file",
    }
    silence = np.zeros(8000 * 60, np.int16)
    with soundfile.SoundFile(folder / "two hours.flac", "w", 8000, 1) as file:
        for _ in range(120):
            file.write(silence)
    reasons["two hours.flac"] = "7200 s long; an utterance has at most 300 s: --window"
    return reasons


@pytest.mark.slow
def test_a_hundred_files_each_get_a_prediction_or_a_reason(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    usable(tmp_path / "usable")
    reasons = odd(tmp_path / "odd", tmp_path / "usable")
    soundfile.write(tmp_path / "closed.wav", SPEECH, RATE)
    (tmp_path / "closed.wav").chmod(0)  # which stops nobody who is root
    (tmp_path / "empty").mkdir()
    given = [tmp_path / name for name in ("usable", "odd", "closed.wav", "empty", "absent.wav")]
    out = tmp_path / "told.json"
    assert main(["predict", str(runs), *map(str, given), "--out", str(out)]) == 0
    rows = json.loads(out.read_text())
    assert list(rows[0]) == [
        *("file", "start", "end", "prediction", "p_calm", "p_loud", "calibrated"),
        *("speech", "speech_share", "unlike_training", "distance", "reason"),
    ]
    assert len(rows) >= 100
    for row in rows:
        assert (row["prediction"] is None) == (row["p_loud"] is None) == bool(row["reason"]), row
        assert (row["speech"] is None) == (row["distance"] is None) == bool(row["reason"]), row
    by_file = {row["file"]: row for row in rows}
    assert len(by_file) == len(rows)
    good = [row for name, row in by_file.items() if f"{tmp_path}/usable/" in name]
    assert len(good) > 60
    assert [row["file"] for row in good if row["reason"]] == []
    for name, reason in reasons.items():
        assert reason in (by_file[f"{tmp_path}/odd/{name}"]["reason"] or "none"), name
    assert "missing" in by_file[f"{tmp_path}/absent.wav"]["reason"]
    assert "is a folder" in by_file[f"{tmp_path}/empty"]["reason"]
    told = capsys.readouterr().err
    assert f"of {len(rows)} predicted by the mean of 2 runs" in told
    # As a table, with names that would be markup, or are no text at all.
    assert main(["predict", str(runs), *map(str, given)]) == 0
    told = capsys.readouterr().out
    assert "[red]markup.wav" in told.replace("\n", "")
    assert "pipe.wav: is not a file" in told


# ---- windows


def test_windows_cover_a_recording_and_the_last_ends_with_it(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(RATE * 10 + 400), RATE)
    found = [(s.start, s.end) for s in excerpts([tmp_path / "a.wav"], 4.0, 3.0)]
    assert found == [(0, 4), (3, 7), (6, 10), (pytest.approx(6.025), 10.025)]
    soundfile.write(tmp_path / "b.wav", np.zeros(RATE), RATE)
    assert [(s.start, s.end) for s in excerpts([tmp_path / "b.wav"], 4.0, None)] == [(0, 1)]
    soundfile.write(tmp_path / "c.wav", np.zeros(RATE * 8), RATE)
    assert [(s.start, s.end) for s in excerpts([tmp_path / "c.wav"], 4.0, None)] == [
        (0, 4), (4, 8)
    ]  # fmt: skip


def test_a_window_gets_what_its_stretch_alone_would(runs: Path, tmp_path: Path) -> None:
    sound = np.concatenate([SPEECH, 0.1 * SPEECH, np.zeros(100, np.float32)])
    soundfile.write(tmp_path / "long.wav", sound, RATE)
    soundfile.write(tmp_path / "second.wav", sound[RATE // 2 : RATE * 3 // 2], RATE)
    out = tmp_path / "told.csv"
    asked = ["predict", str(runs), str(tmp_path / "long.wav"), "--out", str(out)]
    assert main([*asked, "--window", "1", "--hop", "0.5"]) == 0
    windows = pd.read_csv(out)
    assert windows["start"].tolist() == [0, 0.5, 1, 1.00625]
    assert main(["predict", str(runs), str(tmp_path / "second.wav"), "--out", str(out)]) == 0
    alone = pd.read_csv(out)
    np.testing.assert_allclose(windows["p_loud"][1], alone["p_loud"][0], rtol=1e-5)
    assert windows["p_loud"].nunique() > 1


def test_windows_of_a_long_recording_take_little_memory(runs: Path, tmp_path: Path) -> None:
    """Ten minutes at 96 kHz are as many samples as two hours of telephony: 230 MB as floats."""
    with soundfile.SoundFile(tmp_path / "long.flac", "w", 96000, 1) as file:
        for _ in range(10):
            file.write(np.zeros(96000 * 60, np.int16))
    out = tmp_path / "told.jsonl"
    tracemalloc.start()
    try:
        asked = {"window": 20.0, "hop": None, "one_speaker": False, "workers": 2, "out": out}
        assert predict(runs / "frames", [tmp_path / "long.flac"], **asked) == 0  # type: ignore[arg-type]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100e6
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["end"] for row in rows] == [20.0 * number for number in range(1, 31)]


# ---- flags


def test_what_is_no_speech_or_unlike_training_is_flagged(
    runs: Path, few: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The runs were trained on noise, so it is near to them, and real speech is not."""
    spoken = pd.read_csv(few[1].partition("=")[2])["file"].iloc[0]
    rng, time = np.random.default_rng(7), np.arange(RATE) / RATE
    for name, sound in {
        "silence": np.zeros(RATE),
        "noise": rng.normal(0, 0.2, RATE // 2).clip(-1, 1),
        "tone": 0.5 * np.sin(2 * np.pi * 440 * time),
    }.items():
        soundfile.write(tmp_path / f"{name}.wav", sound, RATE)
    shutil.copy(spoken, tmp_path / "speech.wav")
    names = ["silence", "noise", "tone", "speech"]
    files = [str(tmp_path / f"{name}.wav") for name in names]
    out = tmp_path / "flags.csv"
    assert main(["predict", str(runs), *files, "--out", str(out)]) == 0
    told = " ".join(capsys.readouterr().err.split())
    assert "3 of 4 recordings contain no speech; their predictions mean nothing" in told
    assert "3 of 4 recordings are unlike the training data (distance above 1): standardise" in told
    assert "(data.standardise=speaker), or train on data nearer" in told
    assert "probabilities are uncalibrated" in told
    table = pd.read_csv(out, index_col="file").set_axis(names)
    assert list(table["speech"]) == [False, False, False, True]
    assert list(table["unlike_training"]) == [True, False, True, True]
    assert list(table["unlike_training"]) == list(table["distance"] > 1)
    assert table["speech_share"]["speech"] > 0.5 > table["speech_share"].drop("speech").max()
    assert not table["calibrated"].any()
    assert "true" in out.read_text()  # as in JSON
    assert main(["predict", str(runs), files[0], files[3], "--window", "0.5"]) == 0
    told = capsys.readouterr()
    assert "windows contain no speech" in told.err
    assert "no speech" in told.out
    assert "unlike" in told.out


def test_a_run_without_the_range_of_its_training_predicts_the_same(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    soundfile.write(tmp_path / "a.wav", SPEECH, RATE)
    shutil.copytree(runs, tmp_path / "runs")
    tables = []
    for removed in ([], ["frames"], ["functionals"]):
        for name in removed:
            make_old(tmp_path / "runs" / name)
        out = tmp_path / "told.csv"
        assert (
            main(["predict", str(tmp_path / "runs"), str(tmp_path / "a.wav"), "--out", str(out)])
            == 0
        )
        assert ("distances from it are unknown" in capsys.readouterr().err) == bool(removed)
        tables.append(pd.read_csv(out))
    for table in tables:
        pd.testing.assert_frame_equal(table.filter(like="p_"), tables[0].filter(like="p_"))
    assert [table["distance"].isna().item() for table in tables] == [False, False, True]
    assert tables[2]["unlike_training"].isna().all()
    assert not tables[2]["speech"].isna().any()


# ---- runs, folders, options


def test_several_runs_are_averaged(runs: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", SPEECH, RATE)
    told = []
    for run_folder in (runs / "functionals", runs / "frames", runs):
        out = tmp_path / "told.csv"
        assert main(["predict", str(run_folder), str(tmp_path), "--out", str(out)]) == 0
        told.append(pd.read_csv(out)["p_loud"][0])
    assert told[0] != told[1]
    assert told[2] == pytest.approx((told[0] + told[1]) / 2, rel=1e-8)


def test_folders_are_searched_to_the_bottom_and_sorted(tmp_path: Path) -> None:
    names = ["b/a.WAV", "a.flac", "b/c/x.mp3", "b.wav"]
    for name in (*names, "notes.txt", "b/list.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = recordings([tmp_path, tmp_path / "notes.txt"])
    assert found == [*sorted(tmp_path / name for name in names), tmp_path / "notes.txt"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--hop", "1"], "--hop 1: at least 0.1 seconds, at most the length of --window"),
        (["--window", "0"], "--window 0: at least 0.1 seconds"),
        (["--window", "301"], "--window 301: 300 seconds at most"),
        (["--window", "nan"], "--window nan"),
        (["--window", "4", "--hop", "5"], "--hop 5: at least 0.1 seconds"),
        (["--workers", "0"], "--workers 0: at least 1"),
        (["--out", "told.xlsx"], "must end in .csv, .json or .jsonl"),
    ],
)
def test_options_that_cannot_be_are_told(
    options: list[str], told: str, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(runs), "absent.wav", *options]) == 1
    assert told in capsys.readouterr().err


def test_where_nothing_can_be_predicted_the_status_says_so(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "told.csv"
    assert main(["predict", str(runs), "absent.wav", "--out", str(out)]) == 1
    assert pd.read_csv(out)["reason"].tolist() == ["missing: no such file"]
    assert "0 of 1 predicted" in capsys.readouterr().err


def test_runs_of_other_classes_are_not_averaged(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(runs, tmp_path / "runs")
    file = tmp_path / "runs" / "frames" / "result.json"
    result = results.read_json(file)
    assert result is not None
    results.write_sealed(file, {**result, "classes": ["quiet", "loud"]})
    assert main(["predict", str(tmp_path / "runs"), "absent.wav"]) == 1
    told = capsys.readouterr().err
    assert "predicts emotion: quiet, loud" in told
    assert "give a folder of runs that predict the same classes" in told
