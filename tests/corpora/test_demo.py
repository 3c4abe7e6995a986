"""The demo corpus, synthesised once, and parts of it again."""

import hashlib
import signal
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
from processes import exit_codes, fork

from ser.corpora import Corpus
from ser.corpora.demo import STAMP, create, demo
from ser.corpora.demo_dialogues import DIALOGUES, TURNS, dialogue_names
from ser.errors import UserError


def digests(root: Path) -> dict[str, str]:
    """Digests of all files."""
    return {
        str(file.relative_to(root)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(root.rglob("*"))
        if file.is_file()
    }


@pytest.fixture(scope="module")
def corpus(demo_root: Path) -> Corpus:
    return demo(demo_root)


def test_corpus_is_marked_as_synthetic(corpus: Corpus) -> None:
    assert corpus.name == "demo"
    assert corpus.synthetic


def test_corpus_is_read_without_a_problem(corpus: Corpus) -> None:
    assert corpus.problems == ()
    assert len(corpus.table) == 5 * len(DIALOGUES) * TURNS == 420
    assert corpus.table["speaker"].nunique() == 10
    assert set(corpus.table["session"]) == set("12345")
    assert set(corpus.table["style"]) == {"improvised", "scripted"}


def test_every_speaker_has_every_emotion(corpus: Corpus) -> None:
    emotions = corpus.table["emotion"]
    assert 5 <= emotions.isna().sum() <= 40, "some without agreement"
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
        assert raters[attribute].isna().any(), "some values are blank"
        means = raters.groupby("utterance")[attribute].mean()
        np.testing.assert_allclose(corpus.table[attribute], means[corpus.table.index], atol=1e-4)
        assert corpus.table[attribute].between(1, 5).all()


def test_emotions_differ_in_attributes_and_not_in_words(corpus: Corpus, demo_root: Path) -> None:
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


def test_layout_has_the_irregularities_of_iemocap(demo_root: Path) -> None:
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


def test_two_processes_create_one_corpus(demo_root: Path) -> None:
    folders = [path.name for path in demo_root.parent.iterdir() if path.name.startswith(".demo.")]
    assert folders == [".demo.lock"]


@pytest.fixture
def few_dialogues(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Restrict what is synthesised to a fifth of the dialogues."""
    names = dialogue_names()[::5]
    monkeypatch.setattr("ser.corpora.demo.dialogue_names", lambda: names)
    return names


@pytest.mark.slow
def test_after_a_kill_the_corpus_is_created_again_with_the_same_bits(
    demo_root: Path, few_dialogues: list[str], tmp_path: Path
) -> None:
    """With another number of workers, too."""
    root = tmp_path / "demo"
    process = fork(create, root, 1)
    deadline = time.monotonic() + 60
    while len(list(tmp_path.rglob("*.wav"))) < 20 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    assert exit_codes(process) == [-signal.SIGKILL]
    assert list(tmp_path.rglob("*.wav")), "killed before the first file was written"
    assert not root.exists()
    create(root, 3)
    expected = {
        file: digest
        for file, digest in digests(demo_root).items()
        if file == STAMP or any(name in file for name in few_dialogues)
    }
    assert digests(root) == expected
    assert len(expected) == 1 + len(few_dialogues) * (TURNS + 4)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["demo"]


def test_corpus_is_created_again_only_if_the_recipe_changes(
    demo_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Path] = []

    def write(folder: Path, workers: int) -> None:
        written.append(folder)
        folder.mkdir()
        (folder / STAMP).write_text('{"recipe": 99}')

    old = tmp_path / "old"
    old.mkdir()
    (old / STAMP).write_text('{"recipe": 0}')
    monkeypatch.setattr("ser.corpora.demo.write", write)
    demo(demo_root)
    assert not written
    monkeypatch.setattr("ser.corpora.demo.RECIPE", 99)
    create(old)
    create(old)
    assert written == [old.with_name(".old.partial")]
    assert [path.name for path in old.iterdir()] == [STAMP]


def test_a_folder_with_other_files_is_not_changed(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match=r"is not a demo corpus; it contains thesis\.txt"):
        demo(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_no_folder_remains_after_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(soundfile, "write", full)
    with pytest.raises(UserError, match="No space left on device"):
        demo(tmp_path / "demo")
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]


def test_without_espeak_the_error_names_the_remedies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r'pip install -e "\.\[demo\]".*corpus=emodb corpus\.root='):
        demo(tmp_path / "demo")
