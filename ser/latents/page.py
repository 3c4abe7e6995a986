"""A map of codes as one page that needs nothing beside it: points name and play their utterance.

Audio is carried in the page as MP3, which every browser plays, or linked to where the corpus lies.
"""

import base64
import io
import logging
import os
from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any, Literal
from urllib.parse import quote

import pandas as pd
import soundfile
import soxr

from ser.corpora import audio as sound
from ser.errors import UserError
from ser.latents.probes import Score
from ser.plots.explorer import page
from ser.plots.map import Atlas
from ser.plots.template import PROBES
from ser.results import write_text

log = logging.getLogger(__name__)

Audio = Literal["embed", "link", "none"]
RATE = 16000
MP3 = {"format": "MP3", "subtype": "MPEG_LAYER_III", "bitrate_mode": "CONSTANT"}
COMPRESSION = 0.8  # 40 kbit/s at 16 kHz
BYTES_A_SECOND = 5300 * 4 / 3  # in base64
LARGEST = 15e6  # bytes of audio in a page, unless more is asked for


def write_page(
    path: Path, atlas: Atlas, found: Sequence[Score], told: str, audio: Audio | None
) -> None:
    """Writes the page whole or not at all.

    Args:
        path: of the page.
        atlas: what it shows.
        found: scores of the probes.
        told: the verdict on them.
        audio: "embed": in the page; "link": by paths relative to it; "none"; None: embed up to
            `LARGEST`, link beyond.

    Raises:
        UserError: audio that cannot be read, or no MP3 encoder where "embed" is asked for.
    """
    audio, clips, about = _audio(path.parent, atlas.table, audio)
    probes = Template(PROBES).substitute(
        verdict=escape(told),
        scores=_scores(found),
        how="".join(
            f"<li>{escape(s.label)}, {escape(s.side)}: {escape(s.how)}</li>" for s in _first(found)
        ),
    )
    has_audio = audio != "none"
    write_text(path, page(atlas.title, atlas.remarks, [atlas], about, probes, clips, has_audio))


def _first(found: Sequence[Score]) -> list[Score]:
    """One score for each label and side."""
    return list({(score.label, score.side): score for score in reversed(found)}.values())[::-1]


def _scores(found: Sequence[Score]) -> str:
    first = _first(found)
    header = "".join(f"<th>{escape(s.label)}<br><i>{s.side}</i></th>" for s in first)
    rows = ""
    for latent in dict.fromkeys(score.latent for score in found):
        cells = "".join(_cell(score) for score in found if score.latent == latent)
        rows += f"<tr><th>{escape(latent)}</th>{cells}</tr>"
    chances = ("-" if s.chance is None else f"{100 * s.chance:.1f}" for s in first)
    rows += "<tr><th>chance</th>" + "".join(f"<td>{chance}</td>" for chance in chances) + "</tr>"
    return f"<thead><tr><th>UA %</th>{header}</tr></thead><tbody>{rows}</tbody>"


def _cell(score: Score) -> str:
    if score.ua is None:
        return "<td>-</td>"
    shown = f"{100 * score.ua:.1f}"
    shown = f"<b>{shown}</b>" if score.above_chance else shown
    return f"<td>{shown}<br><small>{score.interval}</small></td>"


def _audio(home: Path, table: pd.DataFrame, asked: Audio | None) -> tuple[Audio, list[str], str]:
    """What is done with audio, a URL (or the end of one) an utterance, and what the page says."""
    can = "MP3" in soundfile.available_formats()
    if asked == "embed" and not can:
        raise UserError("this libsndfile writes no MP3: --audio link or none")
    seconds = 0.0 if asked else sum(_seconds(row) for row in table.itertuples())
    small = seconds * BYTES_A_SECOND <= LARGEST
    audio: Audio = asked or ("embed" if can and small else "link")
    if audio == "none":
        return audio, [], "This page was made without audio."
    if audio == "link":
        links = [_link(home, row) for row in table.itertuples()]
        about = "Audio is linked: it plays while the corpus lies where it lay, seen from this page."
        return audio, links, about if asked else f"{about} It is too much to be carried in here."
    log.info("encoding the audio of %d utterances", len(table))
    clips = [_clip(row) for row in table.itertuples()]
    size = sum(map(len, clips)) / 1e6
    return audio, clips, f"Audio is in this page, as MP3 of 40 kbit/s ({size:.1f} MB)."


def _seconds(row: Any) -> float:
    if pd.notna(row.start) and pd.notna(row.end):
        return row.end - row.start
    return soundfile.info(row.file).duration


def _clip(row: Any) -> str:
    """An utterance as a base64 MP3, mono."""
    signal, rate = sound.read(Path(row.file), row.start, row.end)
    held = io.BytesIO()
    signal = signal if rate == RATE else soxr.resample(signal, rate, RATE)
    soundfile.write(held, signal, RATE, compression_level=COMPRESSION, **MP3)
    return "data:audio/mpeg;base64," + base64.b64encode(held.getvalue()).decode()


def _link(home: Path, row: Any) -> str:
    """Relative to the page, so that both may be moved together."""
    url = quote(Path(os.path.relpath(row.file, home.resolve())).as_posix())
    if pd.isna(row.start) and pd.isna(row.end):
        return url
    begin = 0 if pd.isna(row.start) else row.start
    return f"{url}#t={begin:g}" + ("" if pd.isna(row.end) else f",{row.end:g}")
