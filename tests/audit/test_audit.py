"""`python -m ser audit` on small corpora of synthetic sounds, and on a part of EMO-DB."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from scipy.signal import lfilter

from ser.__main__ import main
from ser.audit import baselines

RATE = 16000
EMOTIONS = ("anger", "joy", "sadness")
Row = Mapping[str, object]
Audit = Callable[..., tuple[int, str, Path]]


def sound(seed: int, seconds: float = 1.2) -> np.ndarray:
    """Noise with resonances and syllables that differ by seed, (N,) float32."""
    rng = np.random.default_rng(seed)
    parts = []
    for _ in range(round(seconds / 0.15)):
        radius, angle = 0.97, 2 * np.pi * rng.uniform(300, 3000) / RATE
        noise = rng.normal(size=round(0.15 * RATE)) * np.hanning(round(0.15 * RATE))
        parts.append(lfilter([1.0], [1.0, -2 * radius * np.cos(angle), radius**2], noise))
    signal = np.concatenate(parts)
    return (0.5 * signal / np.abs(signal).max()).astype(np.float32)


def rows(folder: Path, speakers: int, each: int) -> list[dict[str, object]]:
    """Write a corpus whose emotions depend on nothing: speakers say sentences in each emotion."""
    table = []
    for speaker in range(speakers):
        for number in range(each):
            file = folder / f"s{speaker}_{number}.wav"
            soundfile.write(file, sound(100 * speaker + number), RATE, subtype="PCM_16")
            emotion = EMOTIONS[(number + speaker) % 3]
            named = {"file": file.name, "speaker": f"s{speaker}", "emotion": emotion}
            table.append({**named, "text": f"t{number % 4}"})
    return table


@pytest.fixture(scope="module")
def balanced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the audio of six speakers, six utterances each, and `all.csv`."""
    folder = tmp_path_factory.mktemp("balanced")
    pd.DataFrame(rows(folder, 6, 6)).to_csv(folder / "all.csv", index=False)
    return folder


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """One cross-validation instead of three."""
    monkeypatch.setattr(baselines, "REPEATS", 1)


@pytest.fixture
def audit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Audit:
    """Run the command on rows of a manifest; return exit status, output and folder."""

    def run(table: pd.DataFrame, folder: Path, *overrides: str) -> tuple[int, str, Path]:
        manifest, out = folder / f"{tmp_path.name}.csv", tmp_path / "out"
        table.to_csv(manifest, index=False)
        corpus = ["corpus=manifest", f"corpus.root={manifest}", f"store.root={tmp_path}/store"]
        status = main(["audit", *corpus, *(overrides or FOLD), "--out", str(out)])
        output = capsys.readouterr()
        return status, " ".join((output.out + output.err).split()), out

    return run


FOLD = ("fold=speakers", "fold.train=4", "fold.val=1", "fold.test=1")


def findings(out: Path, severity: str) -> list[str]:
    table = pd.read_csv(out / "findings.csv")
    return list(table.loc[table["severity"] == severity, "text"])


def test_a_corpus_without_shortcut_passes(balanced: Path, audit: Audit) -> None:
    status, output, out = audit(pd.read_csv(balanced / "all.csv"), balanced)
    assert status == 0
    assert "Passed. No fault. The emotion cannot be predicted from the speaker" in output
    assert findings(out, "fault") == []
    scores = pd.read_csv(out / "baselines.csv").set_index("nuisance")
    assert scores.at["speaker", "ua"] < 0.5
    assert scores.at["speaker", "chance"] == pytest.approx(1 / 3, abs=1e-5)
    assert (scores["low"] <= scores["ua"]).all()
    assert (scores["ua"] <= scores["high"]).all()
    assert "fold=speakers: 100% of the tested utterances have a text" in output
    page = (out / "index.html").read_text()
    assert "Passed." in page
    assert "How it was made" in page
    assert (out / "audit.md").read_text().startswith("# Audit: emotion of ")
    assert len(pd.read_csv(out / "utterances.csv")) == 36
    assert pd.read_csv(out / "copies.csv").empty


def test_speakers_with_one_emotion_each_are_a_fault(balanced: Path, audit: Audit) -> None:
    table = pd.read_csv(balanced / "all.csv")
    table["emotion"] = [EMOTIONS[int(name[1:]) % 3] for name in table["speaker"]]
    status, output, out = audit(table, balanced)
    assert status == 1
    assert "Not passed. 1 fault. Naming the speaker already gives UA 100.0%" in output
    assert len(findings(out, "fault")) == 1


def test_sentences_and_sessions_that_determine_the_label_are_faults(
    balanced: Path, audit: Audit
) -> None:
    table = pd.read_csv(balanced / "all.csv")
    table["text"] = table["emotion"] + "?"
    table["session"] = table["emotion"].str[0]
    table["style"] = table["emotion"].str[0]
    table = table.replace({"emotion": {"anger": "<b>anger|1"}})
    status, _, out = audit(table, balanced)
    assert status == 1
    texts = findings(out, "fault")
    assert len(texts) == 2
    assert "the text" in str(texts)
    assert "the recording session" in str(texts)
    assert "Naming the style of speech alone gives UA 100.0%" in str(findings(out, "warning"))
    # Names are escaped.
    assert "<b>anger" not in (out / "index.html").read_text()
    assert "\\<b\\>anger\\|1" in (out / "audit.md").read_text()


def test_silence_that_depends_on_the_label_is_a_warning(tmp_path: Path, audit: Audit) -> None:
    table = rows(tmp_path, 6, 6)
    for number, row in enumerate(table):
        silence = np.zeros(round(0.1 * RATE * EMOTIONS.index(str(row["emotion"]))), np.float32)
        signal = np.concatenate([silence, sound(number)])
        soundfile.write(tmp_path / str(row["file"]), signal, RATE, subtype="PCM_16")
    status, output, out = audit(pd.DataFrame(table), tmp_path)
    assert status == 0
    assert any(text.startswith("Silence at the ends alone") for text in findings(out, "warning"))
    assert "But a model can use" in output


def test_one_audio_in_two_splits_is_a_fault(balanced: Path, audit: Audit) -> None:
    table = pd.read_csv(balanced / "all.csv")
    table["split"] = np.where(table["speaker"].isin(["s0", "s1"]), "test1", "train")
    status, _, out = audit(table, balanced)
    assert (status, findings(out, "fault")) == (0, [])
    # The same samples in another container, and of another name.
    copy = table.iloc[[0]].assign(file="again.flac", split="train", speaker="s9")
    soundfile.write(balanced / "again.flac", *soundfile.read(balanced / table["file"][0]))
    status, output, out = audit(pd.concat([table, copy]), balanced)
    assert status == 1
    assert "The published splits train and test1 share audio: 1 utterance of test1, s0_0" in output
    assert "with the same audio and different speakers: again = s0_0" in output
    overlaps = pd.read_csv(out / "overlaps.csv").set_index("source")
    assert overlaps.at["published", "utterances_with_shared_audio"] == 1


def test_splits_that_share_speakers_are_a_fault_and_texts_a_remark(
    balanced: Path, audit: Audit
) -> None:
    table = pd.read_csv(balanced / "all.csv")
    table["split"] = ["development" if number % 6 == 0 else "train" for number in range(36)]
    status, output, out = audit(table, balanced)
    assert status == 1
    assert "share 6 of the 6 speakers of development: s0, s1, s2 and 3 more" in output
    assert any("share 1 text, those of 100%" in text for text in findings(out, "remark"))


def test_one_audio_under_two_labels_is_a_fault(balanced: Path, audit: Audit) -> None:
    table = pd.read_csv(balanced / "all.csv")
    copy = table.iloc[[0]].assign(file="quiet.wav", emotion="joy")
    signal, rate = soundfile.read(balanced / table["file"][0])
    soundfile.write(balanced / "quiet.wav", 0.5 * signal, rate, subtype="PCM_16")
    status, output, out = audit(pd.concat([table, copy]), balanced)
    assert status == 1
    assert "1 pair of utterances with the same audio and different labels" in output
    assert pd.read_csv(out / "copies.csv")["gain"].abs().item() == pytest.approx(6.02, abs=0.1)


def test_speaker_dependent_folds_are_a_warning(balanced: Path, audit: Audit) -> None:
    table = pd.read_csv(balanced / "all.csv")
    status, _output, out = audit(table, balanced, "fold=random", "fold.count=4")
    assert status == 0
    assert any("fold=random is speaker dependent" in text for text in findings(out, "warning"))
    assert len(pd.read_csv(out / "overlaps.csv")) == 4


def test_other_targets_are_audited(few: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main(["audit", *few, "target=activation", "--out", str(out)]) == 0
    columns = pd.read_csv(out / "baselines.csv").columns
    assert {"recall_low", "recall_neutral", "recall_high"} <= set(columns)


def test_values_are_audited_by_level(few: list[str], tmp_path: Path) -> None:
    frames = []
    for bins in ("null", "rounded"):
        out = tmp_path / bins
        options = ["target=activation", f"target.bins={bins}"]
        assert main(["audit", *few, *options, "--out", str(out)]) == 0
        frames.append(pd.read_csv(out / "baselines.csv"))
        by_level = (
            "activation are audited by level: low, neutral, high" in (out / "audit.md").read_text()
        )
        assert by_level == (bins == "null")
    pd.testing.assert_frame_equal(*frames)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["seed=0,1"], "give each option one value"),
        (["fold.index=none"], "fold.index"),
        (["target.classes=[anger,joy]"], "has class joy"),
        (
            ["target=attributes", "target.names=[activation,emotion]"],
            "an audit is of one target: target=activation|emotion",
        ),
    ],
)
def test_wrong_options_raise_a_clear_error(
    overrides: list[str], message: str, few: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["audit", *few, *overrides]) == 1
    assert message in capsys.readouterr().err


def test_unreadable_audio_is_an_error_unless_it_is_left_out(balanced: Path, audit: Audit) -> None:
    table = pd.read_csv(balanced / "all.csv")
    (balanced / "broken.wav").write_bytes((balanced / table["file"][0]).read_bytes()[:500])
    broken = pd.concat([table, table.iloc[[0]].assign(file="broken.wav")])
    status, output, _ = audit(broken, balanced)
    assert status == 1
    assert "1 of 37 utterances cannot be read" in output
    status, output, out = audit(broken, balanced, "skip_faulty=true", *FOLD)
    assert status == 0
    assert "truncated" in str(findings(out, "remark"))
