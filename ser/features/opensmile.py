"""openSMILE's sets: functionals and low-level descriptors of one set out of one pass.

The `opensmile` package runs a whole pass for each level. Here its low-level interface is driven
with a sink for each, which gives the same bits in the time of one.

openSMILE: Eyben, Wöllmer, Schuller (2010), https://audeering.github.io/opensmile-python; its
licence allows research and personal use.
"""

import ctypes
import difflib
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np
from opensmile import FeatureSet, __version__
from opensmile.core import lib
from opensmile.core.config import config

from ser.errors import UserError
from ser.features import Level
from ser.features.checks import RESAMPLING, agreed, finite, prepared, too_short

CONFIGS = Path(lib.__file__).parent / config.CONFIG_ROOT
PAIR = ("func", "lld")  # what a pass gives together, at no cost that can be measured
LEVELS: dict[str, Level] = {"func": "utterance", "lld": "frame", "lld_de": "frame"}


@dataclass
class OpenSmile:
    """One output of one openSMILE set.

    The signal is resampled to `rate`, clipped to [-1, 1] and rounded to 16 bits before openSMILE
    sees it: a sample of +1.0 would wrap around to the most negative one.

    Attributes:
        set: a name in `opensmile.FeatureSet`, or the path of a config file (`.conf`) that
            includes its source and sink as the bundled ones do.
        output: `func`, `lld` or `lld_de` in the bundled sets; in a config file of one's own, any
            level that it writes.
        level: "utterance" for functionals, (D,); "frame" for descriptors, (T, D).
        dim: D; compared with what openSMILE gives on first use.
        rate: Hz, at which openSMILE gets the signal.
    """

    set: str
    output: str
    level: Level
    dim: int
    rate: int

    def __post_init__(self) -> None:
        right = LEVELS.get(self.output, self.level)
        if self.level != right or right not in ("utterance", "frame"):
            raise UserError(
                f"openSMILE's {self.set} {self.output}: level: {self.level} is wrong; functionals "
                "(func) are of level utterance, descriptors (lld, lld_de) of level frame"
            )

    @cached_property
    def signature(self) -> str:
        return self._signature(self.output)

    @property  # not kept in the object, which is sent to other processes with each task
    def columns(self) -> tuple[str, ...]:
        """D names, as openSMILE's. Raises UserError if they are not `dim`, or no such set."""
        path = _config_path(self.set)
        if self.output not in _written(path):
            raise UserError(
                f"openSMILE's {self.set} has no {self.output}; "
                f"it writes {', '.join(sorted(_written(path))) or 'nothing'}"
            )
        try:
            (names,) = _columns(path, self.rate, (self.output,))
        except lib.OpenSmileException as error:
            raise UserError(f"openSMILE cannot read {path}: {error}") from error
        return agreed(f"openSMILE's {self.set} {self.output}", self.dim, names)

    def __call__(self, signal: np.ndarray, rate: int) -> np.ndarray:
        """Features of one utterance.

        Args:
            signal: (N,) float32 in [-1, 1].
            rate: Hz.

        Returns:
            (D,) or (T, D) float32.

        Raises:
            UserError: too short, or not finite, going in or coming out.
        """
        result = self.together(signal, rate)[self.signature]
        if isinstance(result, UserError):
            raise result
        return result

    def together(self, signal: np.ndarray, rate: int) -> dict[str, np.ndarray | UserError]:
        """By signature: all that the pass gives, functionals and descriptors, or why it is not.

        Raises:
            UserError: the signal cannot be used at all, or config is wrong.
        """
        _ = self.columns  # a wrong config is told before any work
        path = _config_path(self.set)
        outputs = (
            PAIR if self.output in PAIR and _written(path).issuperset(PAIR) else (self.output,)
        )
        signal = prepared(signal, rate, self.rate)
        pcm = np.clip(np.rint(signal * 32768.0), -32768, 32767).astype(np.int16)
        try:
            found = _run(path, self.rate, outputs, pcm.tobytes())
        except lib.OpenSmileException as error:
            raise UserError(f"openSMILE failed: {error}") from error
        names = _columns(path, self.rate, outputs)
        results: dict[str, np.ndarray | UserError] = {}
        for output, rows, columns in zip(outputs, found, names, strict=True):
            level = LEVELS.get(output, self.level)
            try:
                results[self._signature(output)] = self._result(rows, columns, level, len(pcm))
            except UserError as reason:
                results[self._signature(output)] = reason
        return results

    def _result(
        self, rows: list[bytes], columns: tuple[str, ...], level: Level, samples: int
    ) -> np.ndarray:
        if not rows:
            # The package gives a row of NaN here, and no exception.
            raise too_short(samples, self.rate, f"openSMILE's {self.set}")
        values = np.frombuffer(b"".join(rows), np.float32).reshape(len(rows), len(columns))
        finite(values, columns)
        if level == "frame":
            return values
        if len(rows) != 1:
            raise UserError(f"{self.set} gives {len(rows)} rows an utterance: it is of level frame")
        return values[0]

    def _signature(self, output: str) -> str:
        return (
            f"opensmile-{__version__},{RESAMPLING},{_set_signature(self.set)},{output},{self.rate}"
        )


class _Pass(lib.OpenSMILE):
    """One run of a config file over one signal."""

    def __init__(self, path: Path, rate: int, outputs: Sequence[str]) -> None:
        super().__init__()
        shared = CONFIGS / "shared"
        options: dict[str, object] = {
            "source": CONFIGS / config.EXTERNAL_INPUT_CONFIG,
            "sampleRate": rate,
            "nBits": 16,
            "bufferModeRbConf": shared / "BufferModeRb.conf.inc",
            "frameModeFunctionalsConf": shared / "FrameModeFunctionals.conf.inc",
        }
        if len(outputs) == 1:
            options["sink"] = CONFIGS / config.EXTERNAL_OUTPUT_SINGLE_CONFIG
            options["sinkLevel"] = outputs[0]
            self.sinks = [config.EXTERNAL_OUTPUT_COMPONENT]
        else:
            options["sink"] = CONFIGS / config.EXTERNAL_OUTPUT_MULTI_CONFIG
            options["sinkLevelFunc"], options["sinkLevelLLD"] = outputs
            self.sinks = ["extsinkfunc", "extsinklld"]
        self.initialize(str(path), options)

    def __enter__(self) -> "_Pass":
        return self

    def __exit__(self, *_: object) -> None:
        self.free()

    def collect(self, sink: str) -> list[bytes]:
        """A list that will hold one float32 row for each frame when the pass has run.

        The package's own callback makes a numpy view of each frame, holding the interpreter's
        lock; copying the bytes alone costs a tenth, which two threads side by side feel.
        """
        rows: list[bytes] = []

        def callback(data: object, size: int, _: object) -> int:
            rows.append(ctypes.string_at(data, 4 * size))  # type: ignore[arg-type]
            return 1

        pointer = lib.ExternalSinkCallback(callback)
        self._callbacks.append(pointer)  # kept alive as long as openSMILE may call it
        self._check_smile_result(
            lib.smileapi.smile_extsink_set_data_callback(
                self._smileobj, sink.encode(), pointer, None
            )
        )
        return rows


def _run(path: Path, rate: int, outputs: Sequence[str], pcm: bytes) -> list[list[bytes]]:
    """For each output the rows, as bytes, that one pass over 16-bit samples gives."""
    with _Pass(path, rate, outputs) as smile:
        found = [smile.collect(sink) for sink in smile.sinks]
        smile.external_audio_source_write_data(config.EXTERNAL_SOURCE_COMPONENT, pcm)
        smile.external_audio_source_set_eoi(config.EXTERNAL_SOURCE_COMPONENT)
        smile.run()
    return found


@cache
def _columns(path: Path, rate: int, outputs: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """For each output its column names."""
    with _Pass(path, rate, outputs) as smile:
        return tuple(
            tuple(
                smile.external_sink_get_element_name(sink, index)
                for index in range(smile.external_sink_get_num_elements(sink))
            )
            for sink in smile.sinks
        )


@cache
def _config_path(name: str) -> Path:
    if name in FeatureSet.__members__:
        return CONFIGS / (FeatureSet[name].value + config.CONFIG_EXT)
    if not name.endswith(config.CONFIG_EXT):
        near = difflib.get_close_matches(name, FeatureSet.__members__, n=1, cutoff=0)
        raise UserError(
            f"openSMILE has no set {name!r}; did you mean {near[0]}? "
            f"There are {', '.join(FeatureSet.__members__)}, or the path of a .conf file."
        )
    path = Path(name).expanduser().resolve()
    if not path.is_file():
        raise UserError(f"openSMILE's config file {path} does not exist")
    if not str(path).isascii():
        raise UserError(f"openSMILE reads paths of plain ASCII letters only: {path}")
    return path


@cache
def _set_signature(name: str) -> str:
    """A bundled set's name; a config file's, with a hash of what it and its includes say."""
    path = _config_path(name)
    if name in FeatureSet.__members__:
        return name
    content = hashlib.blake2b("".join(_texts(path)).encode(), digest_size=8)
    return f"{path.stem}-{content.hexdigest()}"


@cache
def _written(path: Path) -> frozenset[str]:
    """The levels that a config file writes; openSMILE crashes when asked for another one."""
    return frozenset(re.findall(r"writer\.dmLevel\s*=\s*(\w+)", "".join(_texts(path))))


def _texts(path: Path) -> list[str]:
    """A config file's text and that of its includes, but for those named by an option."""
    texts, pending, seen = [], [path], {path}
    while pending:
        file = pending.pop()
        texts.append(file.read_text(encoding="utf-8", errors="replace"))
        for name in re.findall(r"\\\{([^\\{}]+)\}", texts[-1]):
            included = (file.parent / name).resolve()
            if included.is_file() and included not in seen:
                seen.add(included)
                pending.append(included)
    return texts
