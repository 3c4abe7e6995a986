"""A self-contained page with maps of codes, audio of each utterance and scores of probes.

Audio is embedded as MP3, which all browsers play, or linked to the files of the corpus.
"""

import base64
import io
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import pandas as pd
import soundfile
import soxr
from markupsafe import Markup

from ser.corpora import audio as sound
from ser.errors import UserError
from ser.latents.probes import Score
from ser.plots.explorer import page
from ser.plots.jinja import render
from ser.plots.maps import Atlas
from ser.results import write_text

log = logging.getLogger(__name__)

Audio = Literal["embed", "link", "none"]
RATE = 16000
MP3 = {"format": "MP3", "subtype": "MPEG_LAYER_III", "bitrate_mode": "CONSTANT"}
COMPRESSION = 0.8  # 40 kbit/s at 16 kHz
BYTES_PER_SECOND = 5300 * 4 / 3  # in base64
LARGEST = 15e6  # bytes of audio in a page, unless more is requested


def write_page(
    path: Path, atlas: Atlas, scores: Sequence[Score], conclusion: str, audio: Audio | None
) -> None:
    """Write the page atomically.

    Args:
        path: Path of the page.
        atlas: Maps of one system.
        scores: Scores of the probes.
        conclusion: Conclusion from the scores.
        audio: "embed": within the page; "link": by relative paths; "none"; None: embed up to
            `LARGEST`, link beyond.

    Raises:
        UserError: Audio cannot be read, or there is no MP3 encoder for "embed".
    """
    mode, clips, about = _audio(path.parent, atlas.table, audio)
    probes = _probes(scores, conclusion)
    has_audio = mode != "none"
    write_text(path, page(atlas.title, atlas.remarks, [atlas], about, probes, clips, has_audio))


def _probes(scores: Sequence[Score], conclusion: str) -> Markup:
    """Return the HTML section on probes: a row per latent, a column per label and side."""
    columns = {(score.label, score.side): score for score in reversed(scores)}
    latents = dict.fromkeys(score.latent for score in scores)
    return render(
        "ser.latents",
        "probes.html",
        conclusion=conclusion,
        columns=list(columns.values())[::-1],
        rows=[(name, [score for score in scores if score.latent == name]) for name in latents],
    )


def _audio(
    home: Path, table: pd.DataFrame, requested: Audio | None
) -> tuple[Audio, list[str], str]:
    """Return the mode of audio, a URL per utterance, and a note for the page."""
    has_encoder = "MP3" in soundfile.available_formats()
    if requested == "embed" and not has_encoder:
        raise UserError("this libsndfile cannot write MP3: use --audio link or none")
    seconds = 0.0 if requested else sum(_seconds(row) for row in table.itertuples())
    is_small = seconds * BYTES_PER_SECOND <= LARGEST
    audio: Audio = requested or ("embed" if has_encoder and is_small else "link")
    if audio == "none":
        return audio, [], "This page was created without audio."
    if audio == "link":
        links = [_link(home, row) for row in table.itertuples()]
        about = "Audio is linked: it plays as long as the corpus stays at its place relative to "
        about += "this page."
        return audio, links, about if requested else f"{about} It is too large to be embedded."
    log.info("encoding the audio of %d utterances", len(table))
    clips = [_clip(row) for row in table.itertuples()]
    size = sum(map(len, clips)) / 1e6
    return audio, clips, f"Audio is embedded as MP3 with 40 kbit/s ({size:.1f} MB)."


def _seconds(row: Any) -> float:
    if pd.notna(row.start) and pd.notna(row.end):
        return row.end - row.start
    return soundfile.info(row.file).duration


def _clip(row: Any) -> str:
    """Return an utterance as a data URL with a mono MP3."""
    signal, rate = sound.read(Path(row.file), row.start, row.end)
    buffer = io.BytesIO()
    signal = signal if rate == RATE else soxr.resample(signal, rate, RATE)
    soundfile.write(buffer, signal, RATE, compression_level=COMPRESSION, **MP3)
    return "data:audio/mpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _link(home: Path, row: Any) -> str:
    """Return the URL of an utterance relative to the page, so that both can be moved together."""
    url = quote(Path(os.path.relpath(row.file, home.resolve())).as_posix())
    if pd.isna(row.start) and pd.isna(row.end):
        return url
    begin = 0 if pd.isna(row.start) else row.start
    return f"{url}#t={begin:g}" + ("" if pd.isna(row.end) else f",{row.end:g}")
