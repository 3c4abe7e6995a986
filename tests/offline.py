"""What an offline run of Weights & Biases holds, read back from the file that it leaves."""

import json
import struct
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wandb.proto.wandb_internal_pb2 import Record

from ser.runs.loggers import RunInfo


@dataclass(frozen=True)
class Offline:
    """What an offline run holds.

    Attributes:
        about: the run's record: id, group, job type, tags.
        rows: of the history, values by key; those of charts as they are.
        summary: the last value of each key.
        axes: the metric that each metric, or a pattern of them, is drawn over.
        exit_code: with which it ended.
        files: folder of tables, images and pages.
    """

    about: Any
    rows: list[dict[str, Any]]
    summary: dict[str, Any]
    axes: dict[str, str]
    exit_code: int
    files: Path


def _named(items: Iterable[Any]) -> dict[str, Any]:
    return {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in items}


def read(folder: Path) -> Offline:
    """The one offline run that a folder holds, which has ended."""
    (file,) = folder.glob("wandb/offline-run-*/*.wandb")
    deadline = time.monotonic() + 60
    records: list[Record] = []

    def of(kind: str) -> list[Any]:
        return [getattr(r, kind) for r in records if r.WhichOneof("record_type") == kind]

    while not of("exit"):  # a process of its own writes it
        assert time.monotonic() < deadline
        records = [Record.FromString(data) for data in _records(file.read_bytes())]
    summary = {}
    for record in of("summary"):
        summary |= _named(record.update)
    return Offline(
        of("run")[0],
        [_named(row.item) for row in of("history")],
        summary,
        {metric.name or metric.glob_name: metric.step_metric for metric in of("metric")},
        of("exit")[0].exit_code,
        file.parent / "files",
    )


def _records(log: bytes) -> list[bytes]:
    """The records of a `.wandb` file: LevelDB's log format after seven bytes of header."""
    block, found, pending, place = 32768, [], b"", 7
    while place + 7 <= len(log):
        if block - place % block < 7:  # no header fits: the rest of the block is padding
            place += block - place % block
            continue
        _, length, kind = struct.unpack_from("<IHB", log, place)
        place += 7
        if place + length > len(log):  # not wholly written yet
            break
        pending += log[place : place + length]
        place += length
        if kind in (1, 4):  # whole, or the last part
            found.append(pending)
            pending = b""
    return found


def run_info(folder: Path, **names: str) -> RunInfo:
    chosen = {
        "corpus": "emodb", "target": "emotion", "features": "lld", "model": "aae",
        "fold": "session_swap", "experiment": None, "grid": None, **names,
    }  # fmt: skip
    settings = {"model": {"size": 3}}
    return RunInfo(folder, chosen, settings, "0123456789abcdef", ["remark"], 2, 3, None)
