"""Small corpora in their published layouts, with their irregularities; audio of a few samples."""

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

HEADER = "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n"


def tiny_wav() -> bytes:
    """80 samples at 16 kHz."""
    stream = io.BytesIO()
    soundfile.write(stream, np.full(80, 0.1), 16000, format="WAV", subtype="PCM_16")
    return stream.getvalue()


def block(utterance: str, emotion: str, values: str, ratings: str = "") -> str:
    """A label line and the lines of its raters, as in IEMOCAP."""
    return f"[6.2901 - 8.2357]\t{utterance}\t{emotion}\t[{values}]\n{ratings}\n"


def add_dialogue(root: Path, session: int, name: str, blocks: dict[str, str]) -> Path:
    """Write a dialogue's label file and the audio of every turn; return the label file."""
    home = root / f"Session{session}"
    wav = home / "sentences" / "wav" / name
    wav.mkdir(parents=True)
    for turn in blocks:
        (wav / f"{name}_{turn}.wav").write_bytes(tiny_wav())
    labels = home / "dialog" / "EmoEvaluation" / f"{name}.txt"
    labels.parent.mkdir(parents=True, exist_ok=True)
    labels.write_text(HEADER + "".join(blocks.values()))
    return labels


@pytest.fixture
def iemocap_root(tmp_path: Path) -> Path:
    """Five sessions, two dialogues each, both actors speaking in both."""
    root = tmp_path / "data" / "IEMOCAP_full_release"
    for session in range(1, 6):
        for actor, rest in (("F", "impro05b"), ("M", "script01_1b")):
            name = f"Ses0{session}{actor}_{rest}"
            blocks = {
                "F000": block(
                    f"{name}_F000",
                    "exc",
                    "4.5000, 3.6667, 2.5000",
                    # a blank value, a double space, two emotions, a comment, self-reports
                    "C-E2:\tExcited;\t()\nC-E3:\tHappiness; Excited;\t(giggles)\n"
                    "C-F1:\tAnger;\t()\nA-E2:\tval 4; act 4; dom  3;\t()\n"
                    "A-E3:\tval 5; act ; dom  2;\t(tired)\nA-F1:\tval 1; act 1; dom  1;\t()\n",
                ),
                "M013": block(
                    f"{name}_M013",
                    "xxx",
                    "2.5, 3, 3.0000",
                    "C-E4:\tNeutral state;\t()\nC-E2:\t;\t()\nA-E4:\tval 2; act 3; dom 3;\t()\n"
                    "C-M1:\tNeutral;\t()\n",
                ),
            }
            labels = add_dialogue(root, session, name, blocks)
            (labels.parent / f"._{labels.name}").write_bytes(b"\x00\x05\x16\x07 no labels")
            wav = root / f"Session{session}" / "sentences" / "wav" / name
            (wav / f"._{name}_F000.wav").write_bytes(b"\x00\x05\x16\x07 no audio")
        (root / f"Session{session}" / "sentences" / "wav" / "._x").write_bytes(b"\x00")
    return root


@pytest.fixture
def ravdess_root(tmp_path: Path) -> Path:
    """All 24 actors: neutral once, and seven emotions in two intensities, one sentence."""
    root = tmp_path / "RAVDESS"
    for actor in range(1, 25):
        home = root / f"Actor_{actor:02d}"
        home.mkdir(parents=True)
        for emotion in range(1, 9):
            for intensity in (1, 2) if emotion > 1 else (1,):
                name = f"03-01-{emotion:02d}-{intensity:02d}-02-01-{actor:02d}.wav"
                (home / name).write_bytes(tiny_wav())
    return root


@pytest.fixture
def cremad_root(tmp_path: Path) -> Path:
    """Every actor once in every emotion; one irregular name as published."""
    root = tmp_path / "CREMA-D"
    (root / "AudioWAV").mkdir(parents=True)
    for actor in range(1001, 1092):
        for emotion in ("ANG", "DIS", "FEA", "HAP", "NEU", "SAD"):
            level = "X" if (actor, emotion) == (1040, "SAD") else "XX"
            name = f"{actor}_ITH_{emotion}_{level}.wav"
            (root / "AudioWAV" / name).write_bytes(tiny_wav())
    rows = [f"{a},30,{'Male' if a % 2 else 'Female'},Asian,Not Hispanic" for a in range(1001, 1092)]
    demographics = "\n".join(["ActorID,Age,Sex,Race,Ethnicity", *rows]) + "\n"
    (root / "VideoDemographics.csv").write_text(demographics)
    return root
