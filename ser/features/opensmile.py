"""openSMILE feature sets, functionals and low-level descriptors from one pass.

The `opensmile` package needs a pass for each of the two. The low-level interface with one sink for
each gives the same bits in the time of one pass.

openSMILE: Eyben, Wöllmer, Schuller (2010), https://audeering.github.io/opensmile-python; its
licence allows research and personal use.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from opensmile import __version__
from opensmile.core import lib

from ser.errors import UserError
from ser.features import Level, opensmile_engine
from ser.features.checks import (
    RESAMPLING,
    prepare_signal,
    require_dim,
    require_finite,
    too_short,
)

PAIR = ("func", "lld")  # one pass gives both at the cost of one
LISTED = 12  # outputs that an error lists
LEVELS: dict[str, Level] = {"func": "utterance", "lld": "frame", "lld_de": "frame"}


@dataclass
class OpenSmile:
    """One output of one openSMILE set.

    The signal is resampled to `rate`, clipped to [-1, 1] and rounded to 16 bits first, because in
    openSMILE a sample of +1.0 would overflow to the most negative one.

    Attributes:
        set: A name in `opensmile.FeatureSet`, or the path of a config file (`.conf`) that
            includes its source and sink as the bundled ones do.
        output: `func`, `lld` or `lld_de` in the bundled sets; in other config files any output
            that they write.
        level: "utterance" for functionals, (D,); "frame" for descriptors, (T, D).
        dim: D; compared with openSMILE's number of columns at first use.
        rate: Hz, to which signals are resampled.
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
                "(func) have level utterance, descriptors (lld, lld_de) level frame"
            )

    @cached_property
    def signature(self) -> str:
        return self._signature(self.output)

    @property  # not cached in the object, which is pickled for every task of another process
    def columns(self) -> tuple[str, ...]:
        """D names, as in openSMILE.

        Raises:
            UserError: Their number is not `dim`, or the set or the output does not exist.
        """
        path = opensmile_engine.config_path(self.set)
        available = opensmile_engine.outputs(path)
        if self.output not in available:
            known = sorted(available, key=lambda name: (len(name), name))  # the usual ones first
            more = f" and {len(known) - LISTED} more" if len(known) > LISTED else ""
            raise UserError(
                f"openSMILE's {self.set} has no {self.output}; its outputs are "
                f"{', '.join(known[:LISTED]) or 'none'}{more}"
            )
        try:
            (names,) = opensmile_engine.columns(path, self.rate, (self.output,))
        except lib.OpenSmileException as error:
            raise UserError(f"openSMILE cannot read {path}: {error}") from error
        return require_dim(f"openSMILE's {self.set} {self.output}", self.dim, names)

    def __call__(self, signal: np.ndarray, rate: int) -> np.ndarray:
        """Compute the features of one utterance.

        Args:
            signal: (N,) float32 in [-1, 1].
            rate: Hz.

        Returns:
            (D,) or (T, D) float32.

        Raises:
            UserError: The signal is too short, or samples or features are not finite.
        """
        result = self.all_outputs(signal, rate)[self.signature]
        if isinstance(result, UserError):
            raise result
        return result

    def all_outputs(self, signal: np.ndarray, rate: int) -> dict[str, np.ndarray | UserError]:
        """Compute everything that one pass gives: functionals and descriptors.

        Returns:
            By signature: the features, or the error where there are none.

        Raises:
            UserError: The signal cannot be used, or the config is wrong.
        """
        _ = self.columns  # raises for a wrong config before any work
        path = opensmile_engine.config_path(self.set)
        with_pair = self.output in PAIR and opensmile_engine.outputs(path).issuperset(PAIR)
        outputs = PAIR if with_pair else (self.output,)
        signal = prepare_signal(signal, rate, self.rate)
        pcm = np.clip(np.rint(signal * 32768.0), -32768, 32767).astype(np.int16)
        try:
            rows_of_each = opensmile_engine.run(path, self.rate, outputs, pcm.tobytes())
        except lib.OpenSmileException as error:
            raise UserError(f"openSMILE failed: {error}") from error
        columns_of_each = opensmile_engine.columns(path, self.rate, outputs)
        results: dict[str, np.ndarray | UserError] = {}
        for output, rows, columns in zip(outputs, rows_of_each, columns_of_each, strict=True):
            level = LEVELS.get(output, self.level)
            try:
                results[self._signature(output)] = self._array(rows, columns, level, len(pcm))
            except UserError as error:
                results[self._signature(output)] = error
        return results

    def _array(
        self, rows: list[bytes], columns: tuple[str, ...], level: Level, samples: int
    ) -> np.ndarray:
        if not rows:
            # The package returns a row of NaN here instead of raising an exception.
            raise too_short(samples, self.rate, f"openSMILE's {self.set}")
        values = np.frombuffer(b"".join(rows), np.float32).reshape(len(rows), len(columns))
        require_finite(values, columns)
        if level == "frame":
            return values
        if len(rows) != 1:
            raise UserError(
                f"openSMILE's {self.set} gives {len(rows)} rows per utterance: its level is frame"
            )
        return values[0]

    def _signature(self, output: str) -> str:
        set_signature = opensmile_engine.set_signature(self.set)
        return f"opensmile-{__version__},{RESAMPLING},{set_signature},{output},{self.rate}"
