"""The demo corpus is really made here, several times: it takes some seconds each."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ser.corpora import Corpus
from ser.corpora.demo import DIALOGUES, STAMP, TURNS, _make_once, demo
from ser.errors import UserError

MAKE = "import sys; from ser.corpora.demo import demo; print(len(demo(sys.argv[1]).table))"


def start(root: Path) -> subprocess.Popen[str]:
    """Another process that makes the corpus in `root`."""
    return subprocess.Popen(
        [sys.executable, "-c", MAKE, str(root)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def digests(root: Path) -> dict[str, str]:
    """What every file holds."""
    return {
        str(file.relative_to(root)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(root.rglob("*"))
        if file.is_file()
    }


@pytest.fixture(scope="module")
def demo_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("made") / "demo"
    demo(root)
    return root


@pytest.fixture(scope="module")
def corpus(demo_root: Path) -> Corpus:
    return demo(demo_root)


def test_says_that_it_is_synthetic(corpus: Corpus) -> None:
    assert corpus.name == "demo"
    assert corpus.synthetic


def test_is_read_without_a_problem(corpus: Corpus) -> None:
    assert corpus.problems == ()
    assert len(corpus.table) == 5 * len(DIALOGUES) * TURNS == 420
    assert corpus.table["speaker"].nunique() == 10
    assert set(corpus.table["session"]) == set("12345")
    assert set(corpus.table["style"]) == {"improvised", "scripted"}


def test_every_speaker_has_every_emotion(corpus: Corpus) -> None:
    emotions = corpus.table["emotion"]
    assert 5 <= emotions.isna().sum() <= 40, "a few without agreement"
    for speaker, own in emotions.groupby(corpus.table["speaker"]):
        own = own.replace("excitement", "happiness")
        counts = own.value_counts()
        for emotion in ("anger", "happiness", "neutral", "sadness"):
            assert counts[emotion] >= 4, f"{emotion} of {speaker}"
    assert {"excitement", "frustration"} < set(emotions.dropna())


def test_both_actors_speak_in_every_dialogue(corpus: Corpus) -> None:
    genders = corpus.table.groupby("dialogue")["gender"].value_counts().unstack()
    assert (genders == TURNS / 2).all(axis=None)


def test_attributes_are_means_of_three_raters(corpus: Corpus) -> None:
    assert corpus.raters is not None
    raters = corpus.raters
    assert (raters.groupby("utterance").size() == 3).all()
    for attribute in ("valence", "activation", "dominance"):
        assert raters[attribute].isna().any(), "blank values here and there"
        means = raters.groupby("utterance")[attribute].mean()
        np.testing.assert_allclose(corpus.table[attribute], means[corpus.table.index], atol=1e-4)
        assert corpus.table[attribute].between(1, 5).all()


def test_emotion_is_shown_but_not_said(corpus: Corpus, demo_root: Path) -> None:
    lines = [
        line
        for file in demo_root.glob("Session*/dialog/transcriptions/*.txt")
        for line in file.read_text().splitlines()
    ]
    texts = {line.split()[0]: line.partition("]: ")[2] for line in lines}
    assert texts.keys() == set(corpus.table.index)
    assert len(set(texts.values())) > 200
    scripted = corpus.table.index[corpus.table["style"] == "scripted"]
    repeats = Counter(texts[utterance] for utterance in scripted)
    assert min(repeats.values()) >= 10, "scripted sentences repeat"
    means = corpus.table.groupby("emotion")[["valence", "activation"]].mean()
    assert means["activation"]["anger"] > means["activation"]["sadness"] + 1
    assert means["valence"]["happiness"] > means["valence"]["anger"] + 1


def test_has_the_quirks_of_iemocap(demo_root: Path) -> None:
    home = demo_root / "Session3"
    assert (home / "sentences/wav/Ses03M_impro05b/Ses03M_impro05b_F003.wav").is_file()
    assert (demo_root / "Session5/dialog/EmoEvaluation/Ses05F_script01_1b.txt").is_file()
    assert list(home.rglob("._*.wav"))
    assert list(home.rglob("._*.txt"))
    text = (home / "dialog/EmoEvaluation/Ses03M_impro05b.txt").read_text()
    assert text.startswith("% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n[")
    assert "\nC-E1:\t" in text
    assert "\nA-E3:\tval " in text
    assert "\nC-F1:\t" in text, "self reports"
    assert ";\t()\n" in text
    assert "dom  " in text, "two spaces"


def test_audio_is_16_khz_mono_and_neither_silent_nor_clipped(corpus: Corpus) -> None:
    for file in corpus.table["file"]:
        samples, rate = soundfile.read(file, dtype="int16")
        assert (rate, samples.ndim, soundfile.info(file).subtype) == (16_000, 1, "PCM_16")
        assert 1 < len(samples) / rate < 15
        assert np.abs(samples[rate // 20 :]).max() > 1000
        assert np.mean(np.abs(samples.astype(int)) >= 32767) < 1e-3


def test_the_same_bits_however_many_work_on_it(demo_root: Path, tmp_path: Path) -> None:
    _make_once(tmp_path / "demo", workers=3)
    assert digests(tmp_path / "demo") == digests(demo_root)


def test_a_kill_half_way_leaves_nothing_that_is_taken_for_whole(
    demo_root: Path, tmp_path: Path
) -> None:
    root = tmp_path / "demo"
    maker = start(root)
    deadline = time.monotonic() + 60
    while len(list(tmp_path.rglob("*.wav"))) < 20 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(maker.pid, signal.SIGKILL)
    maker.communicate()
    assert list(tmp_path.rglob("*.wav")), "killed before it began"
    assert not root.exists()
    demo(root)
    assert digests(root) == digests(demo_root)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["demo"]


def test_two_processes_at_once(demo_root: Path, tmp_path: Path) -> None:
    makers = [start(tmp_path / "demo") for _ in range(2)]
    for maker in makers:
        said, complaint = maker.communicate(timeout=120)
        assert (maker.returncode, said) == (0, "420\n"), complaint
    assert digests(tmp_path / "demo") == digests(demo_root)


def test_made_anew_by_a_changed_recipe_only(
    demo_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Path] = []

    def make(folder: Path, workers: int) -> None:
        made.append(folder)
        folder.mkdir()
        (folder / STAMP).write_text('{"recipe": 99}')

    old = demo_root.with_name("old")
    old.mkdir()
    (old / STAMP).write_text('{"recipe": 0}')
    monkeypatch.setattr("ser.corpora.demo._make", make)
    demo(demo_root)
    assert not made
    monkeypatch.setattr("ser.corpora.demo.RECIPE", 99)
    _make_once(old)
    _make_once(old)
    assert made == [old.with_name(".old.partial")]
    assert [path.name for path in old.iterdir()] == [STAMP]


def test_somebody_elses_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match=r"holds no demo corpus, but thesis\.txt"):
        demo(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_failure_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(soundfile, "write", full)
    with pytest.raises(UserError, match="No space left on device"):
        demo(tmp_path / "demo")
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]


def test_without_espeak_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r'pip install -e "\.\[demo\]".*corpus=emodb corpus\.root='):
        demo(tmp_path / "demo")
