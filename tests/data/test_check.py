import dataclasses
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from omegaconf import OmegaConf
from rich.console import Console

from ser.corpora import Corpus, Problem
from ser.corpora.emodb import emodb
from ser.data.check import check
from ser.errors import UserError

RATE = 16000
CONF = Path(__file__).parents[2] / "conf" / "corpus"
Report = Callable[..., tuple[bool, str]]


@pytest.fixture
def report() -> Report:
    """Run the check; return its result and what it printed."""

    def run(corpus: Corpus, published: Any = None) -> tuple[bool, str]:
        stream = io.StringIO()
        good = check(corpus, published, console=Console(file=stream, width=100))
        return good, stream.getvalue()

    return run


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    """Six utterances of two speakers, one second of different noise each."""
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (6, RATE))
    files = [tmp_path / f"u{n}.wav" for n in range(6)]
    for file, signal in zip(files, noise, strict=True):
        soundfile.write(file, signal, RATE, subtype="PCM_16")
    table = pd.DataFrame(
        {
            "file": map(str, files),
            "start": np.nan,
            "end": np.nan,
            "speaker": ["ann", "bob"] * 3,
            "style": ["read"] * 4 + ["free"] * 2,
            "emotion": ["anger", "anger", "fear", "fear", "joy", None],
            "valence": [1.0, 2.0, 3.0, 3.5, 4.0, 5.0],
        },
        index=pd.Index([f"u{n}" for n in range(6)], name="utterance"),
    )
    return Corpus("six", table)


def file_of(corpus: Corpus, utterance: str) -> Path:
    return Path(str(corpus.table.at[utterance, "file"]))


def test_a_complete_corpus_has_no_fault(corpus: Corpus, report: Report) -> None:
    good, text = report(corpus)
    assert good
    assert "no fault" in text
    assert "warning" not in text
    assert "0.1 min" in text
    assert "16000 Hz: 6" in text
    assert "SYNTHETIC" not in text
    assert "published" not in text
    assert "SYNTHETIC" in report(dataclasses.replace(corpus, synthetic=True))[1]


PUBLISHED: dict[str, Any] = {
    "utterances": 6,
    "emotion": {"anger": 2, "fear": 2},
    "speaker": {"ann": 3, "bob": 3},
    "style": {"read": 4, "free": 2},
    "subsets": {
        "two": {
            "classes": ["anger", "fear"],
            "merge": {"joy": "fear"},
            "utterances": 5,
            "style": {"read": 4, "free": 1},
        }
    },
    "bins": {"extremes": {"valence": [2, 2, 2]}, "strict": {"valence": [2, 1, 3]}},
}


def test_equal_published_counts_are_no_fault(corpus: Corpus, report: Report) -> None:
    good, text = report(corpus, OmegaConf.create(PUBLISHED))
    assert good, text
    assert "valence, bins strict" in text


@pytest.mark.parametrize(
    ("key", "number", "line"),
    [
        ("utterances", 7, "utterances, all: 6 in the corpus, 7 published"),
        ("emotion.anger", 3, "emotion, anger: 2 in the corpus, 3 published"),
        ("emotion.calm", 1, "emotion, calm: 0 in the corpus, 1 published"),
        ("session.one", 6, "session, one: 0 in the corpus, 6 published"),  # a column that is absent
        ("subsets.two.utterances", 4, "two, all: 5 in the corpus, 4 published"),
        ("subsets.two.style.free", 2, "two, style free: 1 in the corpus, 2 published"),
        (
            "bins.strict.valence",
            [2, 2, 2],
            "valence, bins strict, neutral: 1 in the corpus, 2 published",
        ),
        ("bins.strict.dominance", [1, 1, 1], "has no dominance"),
    ],
)
def test_each_different_count_is_listed_as_a_fault(
    corpus: Corpus, report: Report, key: str, number: Any, line: str
) -> None:
    published = OmegaConf.create(PUBLISHED)
    OmegaConf.update(published, key, number)
    good, text = report(corpus, published)
    assert not good
    assert line in text


@pytest.mark.parametrize(
    ("published", "message"),
    [
        ({"emotions": {}}, "did you mean emotion?"),
        ({"subsets": {"two": {"classes": [], "mergers": {}}}}, "did you mean merge?"),
        ({"zzz": 1}, "valid are utterances"),
    ],
)
def test_an_unknown_key_is_an_error(
    corpus: Corpus, report: Report, published: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message.replace("?", r"\?")):
        report(corpus, published)


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def shorten(file: Path) -> None:
    soundfile.write(file, np.full(1000, 0.1), RATE)


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        (truncate, "truncated: 100 bytes fewer"),
        (shorten, "0.062 s (u3)"),
        (lambda file: file.write_bytes(b""), "empty"),
        (lambda file: file.write_bytes(b"nonsense"), "unreadable"),
        (lambda file: file.unlink(), "missing"),
    ],
)
def test_damaged_audio_is_a_fault_by_file(
    corpus: Corpus, report: Report, damage: Callable[[Path], None], line: str
) -> None:
    damage(file_of(corpus, "u3"))
    good, text = report(corpus)
    assert not good
    assert "1 fault\n" in text
    (message,) = [row for row in text.splitlines() if str(file_of(corpus, "u3")) in row]
    assert line in message


def test_silent_and_clipped_audio_and_several_rates_are_warnings(
    corpus: Corpus, report: Report
) -> None:
    soundfile.write(file_of(corpus, "u1"), np.zeros(RATE), RATE)
    soundfile.write(file_of(corpus, "u2"), np.ones(RATE), RATE)
    soundfile.write(file_of(corpus, "u4"), np.full(RATE, 0.1), 2 * RATE)
    good, text = report(corpus)
    assert good
    silent, clipped, rates = (text.index(f"warning: {w}") for w in ("silent", "clip", "several"))
    assert silent < text.index(f"{file_of(corpus, 'u1')} (u1)") < clipped
    assert clipped < text.index(f"{file_of(corpus, 'u2')} (u2)") < rates
    assert "32000 Hz: 1" in text[rates:]


def test_values_raters_and_notes_are_shown(corpus: Corpus, report: Report) -> None:
    raters = pd.DataFrame({"utterance": ["u0", "u0", "u1"], "rater": ["x", "y", "x"]})
    table = corpus.table.assign(age=[20.0, 30.0] * 3, corpus=["one", "two"] * 3, language="da")
    text = report(dataclasses.replace(corpus, table=table, raters=raters, notes=("odd [x]",)))[1]
    lines = [line.replace("│", " ").split() for line in text.splitlines()]
    assert ["odd", "[x]"] in lines
    # From, quartiles, to, mean, standard deviation, missing.
    assert ["age", "20", "20", "25", "30", "30", "25", "5.48", "0"] in lines
    assert "valence 1 " in (valence := next(" ".join(line) for line in lines if "valence" in line))
    assert valence.split()[-3:] == ["3.08", valence.split()[-2], "0"]
    raters = ["ratings", "per", "utterance,", "of", "2", "raters"]
    assert [*raters, "0", "0", "0", "0.75", "2", "0.5", "0.837", "0"] in lines
    assert ["two", "3"] in lines
    assert ["da", "6"] in lines


def test_a_corpus_without_labels_is_a_warning(corpus: Corpus, report: Report) -> None:
    table = corpus.table.drop(columns=["emotion", "valence"])
    good, text = report(dataclasses.replace(corpus, table=table))
    assert good
    assert "there is no emotion, activation, valence, dominance" in text


def test_identical_files_are_a_fault_if_speakers_differ(corpus: Corpus, report: Report) -> None:
    one, same, other = (file_of(corpus, u) for u in ("u0", "u2", "u3"))
    same.write_bytes(one.read_bytes())
    good, text = report(corpus)
    assert good
    assert "warning: byte-identical files of one speaker (1)" in text
    assert f"{one} = {same}" in text
    other.write_bytes(one.read_bytes())
    good, text = report(corpus)
    assert not good
    assert "fault: byte-identical files of different speakers (1)" in text
    assert f"{one} = {same} = {other}" in text


def test_files_that_cannot_be_read_are_not_identical(corpus: Corpus, report: Report) -> None:
    for utterance in ("u0", "u1"):
        file_of(corpus, utterance).unlink()
    good, text = report(corpus)
    assert not good
    assert "fault: audio that cannot be used (2)" in text
    assert "identical" not in text


def test_utterances_of_one_file_are_not_identical_files(corpus: Corpus, report: Report) -> None:
    table = corpus.table.assign(
        file=str(file_of(corpus, "u0")), start=np.arange(6) / 6, end=np.arange(1, 7) / 6
    )
    good, text = report(dataclasses.replace(corpus, table=table))
    assert good
    assert "identical" not in text
    assert "(0.0 min)" in text  # one second in all, not six


def test_problems_are_listed_as_faults_by_kind(corpus: Corpus, report: Report) -> None:
    problems = (
        Problem(Path("a[red].txt"), 7, "odd line"),
        Problem(Path("b.txt"), 2, "u9: label without audio", "no audio"),
        Problem(Path("c.wav"), None, "audio without a label", "no label"),
    )
    good, text = report(dataclasses.replace(corpus, problems=problems))
    assert not good
    assert "3 faults" in text
    assert "a[red].txt:7: odd line" in text
    assert "fault: labels without audio (1)" in text
    assert "fault: audio without labels (1)" in text


def test_emodb_has_its_published_counts(emodb_root: Path, report: Report) -> None:
    published = OmegaConf.load(CONF / "emodb.yaml")["published"]
    good, text = report(emodb(emodb_root), published)
    assert good, text
    assert "24.8 min" in text
    assert "16000 Hz: 535" in text


def test_published_counts_are_consistent() -> None:
    """Parts add up to totals, so that typing errors in a yaml are detected."""
    for name in ("emodb", "ravdess", "cremad"):
        published = OmegaConf.load(CONF / f"{name}.yaml")["published"]
        assert sum(published["emotion"].values()) == published["utterances"]
    published = OmegaConf.load(CONF / "iemocap.yaml")["published"]
    assert sum(published["session"].values()) == sum(published["style"].values()) == 10039
    four, merged = published["subsets"].values()
    emotion = published["emotion"]
    assert sum(emotion[name] for name in four["classes"]) == four["utterances"] == 4490
    assert four["utterances"] + emotion["excitement"] == merged["utterances"]
    assert sum(merged["session"].values()) == merged["utterances"]
    for attributes in published["bins"].values():
        for counts in attributes.values():
            assert sum(counts) == published["utterances"]
