"""A map of codes as one page that needs nothing beside it: points name and play their utterance.

Audio is carried in the page as MP3, which every browser plays, or linked to where the corpus lies.
"""

import base64
import io
import json
import logging
import os
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any, Literal
from urllib.parse import quote

import numpy as np
import pandas as pd
import soundfile
import soxr

from ser import audio as sound
from ser.errors import UserError
from ser.latents.map import MARKERS, Atlas, Map, colour
from ser.latents.probes import Score
from ser.latents.template import PROBES, TEMPLATE
from ser.results import write_text

log = logging.getLogger(__name__)

Audio = Literal["embed", "link", "none"]
RATE = 16000
MP3 = {"format": "MP3", "subtype": "MPEG_LAYER_III", "bitrate_mode": "CONSTANT"}
COMPRESSION = 0.8  # 40 kbit/s at 16 kHz
BYTES_A_SECOND = 5300 * 4 / 3  # in base64
LARGEST = 15e6  # bytes of audio in a page, unless more is asked for
WIDE, HIGH, EDGE = 1000, 720, 24  # of the drawing, in its own units
KEYS = "map of the utterances: arrow keys go to the next point"
TOLD = ("speaker", "gender", "truth", "prediction", "part")  # of an utterance, where known
SHAPES = {
    "train": '<circle r="5.5"/>',
    "val": '<rect x="-6.5" y="-6.5" width="13" height="13"/>',
    "test": '<path d="M0-8.5L8 6H-8Z"/>',
}


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


def page(
    title: str,
    remarks: Sequence[str],
    atlases: Sequence[Atlas],
    about: str,
    probes: str = "",
    clips: Sequence[str] = (),
    has_audio: bool = False,
) -> str:
    """The page as text.

    Args:
        title: of the page.
        remarks: what must stand beside the maps.
        atlases: one or more, of the same utterances or of others; one is seen at a time.
        about: a sentence at the end.
        probes: HTML below the maps.
        clips: a URL for each utterance of the only atlas.
        has_audio: whether `clips` are played.
    """
    return Template(TEMPLATE).substitute(
        title=escape(title),
        remarks="".join(f'<p class="remark">{escape(remark)}</p>' for remark in remarks),
        maps=_options(atlases),
        box=f"0 0 {WIDE} {HIGH}",
        points="".join(_points(each.table["part"]) for each in atlases),
        parts="".join(_parts(each.table["part"]) for each in atlases),
        probes=probes,
        about=escape(about),
        hidden="" if has_audio else "hidden",
        silent="hidden" if has_audio else "",
        keys=KEYS + (", Enter plays it" if has_audio else ""),
        data=_json([_data(each) for each in atlases]),
        clips=_json(clips),
    )


def _data(atlas: Atlas) -> dict[str, Any]:
    table = atlas.table
    rows: dict[str, Any] = {"utterance": table.index}
    rows |= {name: table[name] for name in TOLD if name in table}
    return {
        "rows": {name: ["" if pd.isna(v) else str(v) for v in rows[name]] for name in rows},
        "maps": [
            {"caption": each.caption, "places": _placed(each)(each.points), "prior": _prior(each)}
            for each in atlas.maps
        ],
        "colourings": [
            {
                "name": each.name,
                "names": list(each.categories),
                "colours": [colour(number) for number in range(len(each.categories))],
                "of": each.numbers.tolist(),
            }
            for each in atlas.colourings
        ],
    }


def _scaled(each: Map) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Least x and y, units of the drawing for one of the map's, and margins, (2,) each."""
    low, high = each.bounds
    spread = np.maximum(high - low, 1e-12)
    size = np.array([WIDE - 2 * EDGE, HIGH - 2 * EDGE])
    units = size / spread
    units = np.minimum(*units).repeat(2) if each.is_plane else units
    return low, units, EDGE + (size - units * spread) / 2


def _placed(each: Map) -> Callable[[np.ndarray], list[list[float]]]:
    """From (N, 2) to the drawing's units; y upwards becomes y downwards."""
    low, units, margins = _scaled(each)

    def placed(points: np.ndarray) -> list[list[float]]:
        x, y = (margins + (points - low) * units).T
        return np.round(np.stack([x, HIGH - y], axis=1), 1).tolist()

    return placed


def _prior(each: Map) -> dict[str, Any] | None:
    """Centres and radii in the drawing's units."""
    if each.prior is None:
        return None
    unit = _scaled(each)[1][0]
    radii = [round(float(unit * radius), 1) for radius in each.prior.radii]
    return {"centres": _placed(each)(each.prior.centres), "radii": radii}


def _points(parts: pd.Series) -> str:
    """One shape an utterance; held-out ones last, so above the others. The script places them."""
    order = sorted(range(len(parts)), key=lambda i: list(MARKERS).index(parts.iloc[i]))
    shapes = "".join(
        f'<g class="point {parts.iloc[i]}" data-i="{i}" tabindex="-1" role="img">'
        f"{SHAPES[parts.iloc[i]]}</g>"
        for i in order
    )
    return f'<g class="layer" hidden>{shapes}</g>'


def _parts(parts: pd.Series) -> str:
    counts = "".join(
        f'<span class="part"><svg viewBox="-10 -10 20 20" aria-hidden="true">{SHAPES[part]}</svg>'
        f"{part} ({(parts == part).sum()})</span>"
        for part in MARKERS
        if (parts == part).any()
    )
    return f'<span class="counts" hidden>{counts}</span>'


def _options(atlases: Sequence[Atlas]) -> str:
    """A choice for each map of each atlas; its value is the numbers of both."""
    return "".join(
        f'<option value="{number} {which}">{escape(each.name)}</option>'
        for number, atlas in enumerate(atlases)
        for which, each in enumerate(atlas.maps)
    )


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


def _json(content: Any) -> str:
    """JSON that cannot end the script element that holds it."""
    text = json.dumps(content, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


# ---- audio


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
