"""Features of corrupted audio: for copies of training utterances, and for tests of robustness."""

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np

from ser.errors import UserError
from ser.features import Extractor, Level
from ser.features.corruptions import Corruption, OneOf


class Corrupted:
    """An extractor that gets corrupted signals.

    What is random depends on the content of the signal and on the number of the copy, not on the
    order in which utterances are extracted.

    Args:
        extractor: Extractor of the features.
        corruption: Changes each signal.
        copy: Number of the copy; copies differ in what is random.
    """

    def __init__(self, extractor: Extractor, corruption: Corruption, copy: int) -> None:
        self._extractor, self._corruption, self._copy = extractor, corruption, copy

    @property
    def level(self) -> Level:
        return self._extractor.level

    @property
    def dim(self) -> int:
        return self._extractor.dim

    @property
    def columns(self) -> tuple[str, ...]:
        return self._extractor.columns

    @property
    def signature(self) -> str:
        return self._signed(self._extractor.signature)

    def __call__(self, signal: np.ndarray, rate: int) -> np.ndarray:
        """Compute the features of one corrupted utterance; see `Extractor`."""
        return self._extractor(self._corrupted(signal, rate), rate)

    @property
    def all_outputs(self) -> Callable[..., dict[str, np.ndarray | UserError]]:
        """Everything that one pass of the extractor gives, where it gives more."""
        outputs: Any = self._extractor.all_outputs  # type: ignore[attr-defined]

        def corrupted(signal: np.ndarray, rate: int) -> dict[str, np.ndarray | UserError]:
            results = outputs(self._corrupted(signal, rate), rate)
            return {self._signed(signature): values for signature, values in results.items()}

        return corrupted

    @property
    def stored(self) -> "Corrupted":
        """What the store keeps, where the extractor's features are a part of it."""
        whole = getattr(self._extractor, "stored", self._extractor)
        if whole is self._extractor:
            return self
        return Corrupted(whole, self._corruption, self._copy)

    def __getattr__(self, name: str) -> Any:
        """Return what else the store asks an extractor for, such as the type of its numbers."""
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._extractor, name)

    def _corrupted(self, signal: np.ndarray, rate: int) -> np.ndarray:
        content = hashlib.blake2b(f"{rate} {self._copy} ".encode(), digest_size=16)
        content.update(np.ascontiguousarray(signal, dtype="<f4").data)
        random = np.random.default_rng(int.from_bytes(content.digest(), "little"))
        return self._corruption(signal, rate, random)

    def _signed(self, signature: str) -> str:
        return f"{self._corruption.signature}-{self._copy},{signature}"


class Augmentation:
    """Corrupted copies of the training utterances.

    Args:
        copies: Number of copies of each utterance.
        kinds: Corruptions, of which each copy has one at random.

    Raises:
        UserError: There are no copies or no kinds.
    """

    def __init__(self, copies: int, **kinds: Corruption) -> None:
        if copies < 1 or not kinds:
            raise UserError("augment: needs one copy and one kind of corruption or more")
        self.copies, self.kinds = copies, kinds
        corruptions = list(kinds.values())
        self._corruption = corruptions[0] if len(kinds) == 1 else OneOf(corruptions)

    @property
    def signature(self) -> str:
        """Identifies the copies, with the content of recorded noise and impulse responses."""
        return f"{self._corruption.signature}-{self.copies}"

    def extractors(self, extractor: Extractor) -> list[Corrupted]:
        """Return an extractor for each copy."""
        numbers = range(1, self.copies + 1)
        return [Corrupted(extractor, self._corruption, number) for number in numbers]
