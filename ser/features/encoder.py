"""Hidden states of pretrained speech encoders: wav2vec 2.0, HuBERT, WavLM, Whisper and the like.

Each utterance is one forward pass, because padding it with others changes the hidden states of
most encoders. The statistics of all layers come from one pass and are kept together, so that
another layer of the same encoder needs no second one.

torch and transformers are imported at the first extraction, because reading stored features does
not need them.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import version
from typing import Literal

import numpy as np

from ser.errors import UserError
from ser.features import Level
from ser.features.checks import RESAMPLING, prepare_signal, require_finite
from ser.features.encoder_files import EncoderFiles, encoder_files, require_library

LIBRARIES = ("torch", "transformers")
STATISTICS = ("mean", "std")
CHOSEN = "chosen"  # features.layer: the run chooses one of all layers (`ser.runs.layer`)


@dataclass
class Encoder:
    """Hidden states of an encoder that transformers loads.

    `layer` counts as `hidden_states` of transformers does: 0 is the input of the first block, k the
    output of block k.

    Attributes:
        model: Folder of an encoder, or its name on the Hugging Face hub.
        revision: Commit, tag or branch on the hub; None: the branch main. Not used for a folder.
        level: "utterance": mean and standard deviation over the frames of the utterance, of each
            chosen layer; "frame": the frames of one layer, rounded to float16.
        layer: A layer, a list of layers, "all", "middle": half of the blocks, or "chosen": one of
            all, which a run chooses by inner folds before anything else is fitted.
        longest: Seconds of one forward pass. Longer utterances are divided into overlapping
            windows. Encoders of the Whisper family have a fixed window, which may be shorter.
        overlap: Least overlap of two windows, seconds. The frames nearer to the middle of a window
            are taken.
        device: "auto": a CUDA GPU where there is one, else the CPU.
    """

    model: str | None
    revision: str | None
    level: Level
    layer: int | list[int] | Literal["all", "middle", "chosen"]
    longest: float
    overlap: float
    device: Literal["auto", "cpu", "cuda", "mps"]

    def __post_init__(self) -> None:
        if not self.model or not isinstance(self.model, str):
            raise UserError(
                "features.model is not set: give features.model=... (the folder of an encoder that "
                "transformers loads, or its name on the Hugging Face hub), or one of "
                "features=wav2vec2|hubert|wavlm|whisper"
            )
        if self.level not in ("utterance", "frame"):
            raise UserError(f"features.level={self.level}: must be utterance or frame")
        if self.level == "frame" and (self._has_all or isinstance(self.layer, list)):
            raise UserError(
                f"features.layer={self.layer}: frames are those of one layer: features.layer=1"
            )
        if not 2 * self.overlap <= self.longest:
            raise UserError(
                f"features.overlap={self.overlap}: at most half of features.longest={self.longest}"
            )
        require_library()

    @cached_property
    def files(self) -> EncoderFiles:
        """Files of the encoder, which are fetched from the hub if they are missing."""
        assert self.model is not None
        return encoder_files(self.model, self.revision)

    @cached_property
    def layers(self) -> tuple[int, ...]:
        """The chosen layers, in ascending order.

        Raises:
            UserError: The encoder does not have one of them.
        """
        last = self.files.number("num_hidden_layers", "encoder_layers")
        if self.layer == "middle":
            return (last // 2,)
        if self._has_all:
            return tuple(range(last + 1))
        chosen = self.layer if isinstance(self.layer, list) else [self.layer]
        if wrong := [each for each in chosen if not 0 <= int(each) <= last]:
            raise UserError(
                f"features.layer={wrong[0]}: {self.model} has the hidden states 0 to {last}"
            )
        return tuple(sorted({int(each) for each in chosen}))

    @cached_property
    def width(self) -> int:
        """Number of values of a frame."""
        return self.files.number("hidden_size", "d_model")

    @property
    def dim(self) -> int:
        """D: the width at frame level, else that of both statistics of all chosen layers."""
        return self.width * (1 if self.level == "frame" else len(STATISTICS) * len(self.layers))

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """D names, e.g. mean_layer2_17; the columns of a layer are neighbours."""
        names = [""] if self.level == "frame" else [f"{each}_" for each in STATISTICS]
        return tuple(
            f"{name}layer{layer}_{number}"
            for layer in self.layers
            for name in names
            for number in range(self.width)
        )

    @cached_property
    def signature(self) -> str:
        chosen = "all" if self._has_all else "-".join(map(str, self.layers))
        kept = "float16" if self.level == "frame" else "-".join(STATISTICS)
        libraries = (f"{name}-{version(name)}" for name in LIBRARIES)
        facts = (f"weights-{self.files.digest}", f"layer-{chosen}", kept, "float32")
        windows = f"{self.longest}-{self.overlap}"
        return ",".join(("encoder", *facts, windows, *libraries, RESAMPLING))

    @cached_property
    def stored(self) -> "Encoder":
        """What the store keeps: the frames of a layer, or the statistics of all layers."""
        return self if self.level == "frame" or self._has_all else self._statistics

    @property
    def stored_columns(self) -> np.ndarray:
        """Columns of `stored` that are those of this extractor, (D,) int64."""
        block = self.dim // len(self.layers)
        starts = np.array(self.layers) * block if self.stored is not self else np.zeros(1, int)
        return np.concatenate([start + np.arange(block) for start in starts])

    @property
    def number_type(self) -> str:
        """Type of the numbers in the store."""
        return "<f2" if self.level == "frame" else "<f4"

    def __call__(self, signal: np.ndarray, rate: int) -> np.ndarray:
        """Compute the features of one utterance.

        Args:
            signal: (N,) float32 in [-1, 1].
            rate: Hz.

        Returns:
            (D,) or (T, D) float32; frames are rounded to float16, as in the store.

        Raises:
            UserError: The signal is too short for one frame, or some samples or features are not
                finite.
        """
        values = self.stored.all_outputs(signal, rate)[self.stored.signature]
        if isinstance(values, UserError):
            raise values
        return (values if self.stored is self else values[self.stored_columns]).astype(np.float32)

    def all_outputs(self, signal: np.ndarray, rate: int) -> dict[str, np.ndarray | UserError]:
        """Compute everything that one forward pass gives and the store keeps.

        Returns:
            By signature: the statistics of all layers, and the frames if this extractor has them.
        """
        from ser.features.encoder_network import hidden_states

        signal = prepare_signal(signal, rate, self.files.preprocessor.get("sampling_rate", 16000))
        layer = self.layers[0] if self.level == "frame" else None
        windows = (self.longest, self.overlap)
        statistics, frames = hidden_states(self.files, signal, layer, windows, self.device)
        results = {self._statistics.signature: _finite(statistics, self._statistics.columns)}
        if frames is not None:
            with np.errstate(over="ignore"):  # reported as not finite
                results[self.signature] = _finite(frames.astype(np.float16), self.columns)
        return results

    @property
    def _has_all(self) -> bool:
        """Whether the features are those of all layers, of which a run may choose one."""
        return self.layer in ("all", CHOSEN)

    @cached_property
    def _statistics(self) -> "Encoder":
        return replace(self, level="utterance", layer="all")


def _finite(values: np.ndarray, columns: tuple[str, ...]) -> np.ndarray | UserError:
    try:
        return require_finite(values, columns)
    except UserError as error:
        return error
