"""The examples of the page on Python are executed, on EMO-DB, and print what the page shows."""

import re
import shutil
from itertools import pairwise
from pathlib import Path

import pytest
from blocks import DOCS, blocks
from small import SHORT

import ser

PAGE = DOCS / "guide" / "python.md"


def test_examples_print_what_the_page_shows(
    emodb: list[str],
    emodb_root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    train = ser.train
    monkeypatch.setattr(ser, "train", lambda *options: train(*options, *SHORT))
    monkeypatch.setenv("SER_STORE", emodb[2].partition("=")[2])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recordings").mkdir()
    (tmp_path / "path" / "to").mkdir(parents=True)
    (tmp_path / "path" / "to" / "emodb").symlink_to(emodb_root)
    for name in ("recording.wav", "recordings/one.wav"):
        shutil.copy(emodb_root / "wav" / "03a01Fa.wav", tmp_path / name)
    names: dict[str, object] = {}
    for block, following in pairwise([*blocks(PAGE), None]):
        if block.language == "python":
            exec(compile(block.text, f"{PAGE.name}:{block.line}", "exec"), names)
            printed = capsys.readouterr().out
            if following is not None and following.language == "text":
                assert form(printed) == form(following.text), f"line {following.line}"


def form(text: str) -> list[str]:
    """Return the lines of an output with # in place of fractions."""
    return [re.sub(r"\d\.\d+(e-\d+)?", "#", line).strip() for line in text.strip().splitlines()]
