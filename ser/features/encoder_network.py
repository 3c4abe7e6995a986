"""Forward passes of pretrained speech encoders, by transformers.

No code of a model is executed: its type must be one that transformers contains, and its weights are
read as tensors.
"""

import math
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ser.errors import UserError, last_line
from ser.features.checks import too_short
from ser.features.encoder_files import PREPROCESSOR, EncoderFiles

# Types of encoders that take samples, those with a fixed window of a log-mel spectrogram, and those
# with one of any length.
WAVES = (
    *("wav2vec2", "hubert", "wavlm", "unispeech", "unispeech-sat", "data2vec-audio"),
    *("sew", "sew-d", "wav2vec2-conformer"),
)
SPECTROGRAMS = ("whisper",)
FILTERBANKS = ("wav2vec2-bert",)
UNUSED = "masked_spec_embed"  # weights that only training needs, which may be missing


def cut(samples: int, longest: int, overlap: int, hop: int) -> list[tuple[int, int]]:
    """Divide an utterance into windows that overlap, are evenly spaced, and begin at frames.

    Args:
        samples: Length of the utterance.
        longest: Length of a window, in samples.
        overlap: Least overlap of two windows, in samples; at most half of `longest`.
        hop: Samples from one frame to the next.

    Returns:
        First sample of each window, and the sample after its last one.
    """
    if samples <= longest:
        return [(0, samples)]
    count = math.ceil((samples - overlap) / (longest - overlap))
    spare = math.ceil((samples - longest) / hop)  # frames over which the starts are spread
    starts = [spare * number // (count - 1) * hop for number in range(count)]
    return [(start, min(start + longest, samples)) for start in starts]


def joined(windows: Iterable[tuple[int, Tensor]], fade: int) -> Iterator[Tensor]:
    """Join the hidden states of windows, so that each frame has context on both sides.

    In the middle of an overlap one window fades into the next, because the same frame has other
    hidden states at another position in a window, above all in Whisper.

    Args:
        windows: Number of the first frame, and hidden states (layers, T, width), of each window.
        fade: Frames of a fade; at most half of the least overlap.

    Yields:
        Hidden states (layers, T, width) of one stretch of frames after the other.
    """
    begin, kept = 0, None  # frames that are not passed on yet
    for first, states in windows:
        if kept is not None:
            middle = (first + begin + kept.shape[1]) // 2
            before, after = middle - fade // 2, middle - fade // 2 + fade
            share = torch.arange(fade, dtype=states.dtype, device=states.device)[:, None] + 0.5
            leaving, coming = kept[:, before - begin : after - begin], states[:, before - first :]
            mixed = leaving.lerp(coming[:, :fade], share / fade)
            yield torch.cat([kept[:, : before - begin], mixed], dim=1)
            first, states = after, states[:, after - first :]
        begin, kept = first, states
    assert kept is not None
    yield kept


def hidden_states(
    files: EncoderFiles,
    signal: np.ndarray,
    layer: int | None,
    windows: tuple[float, float],
    device: str,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Compute the hidden states of one utterance.

    Args:
        files: Files of the encoder.
        signal: (N,) float32 at the sampling rate of the encoder.
        layer: Hidden state whose frames are returned; None: none.
        windows: Seconds of one forward pass, and of the least overlap of two.
        device: "auto", "cpu", "cuda" or "mps".

    Returns:
        Mean and standard deviation over the frames, of one layer after the other, (D,) float32; and
        the frames of `layer`, (T, width) float32.

    Raises:
        UserError: The encoder cannot be loaded, or the signal is too short.
    """
    with _loading:
        network = _network(files, device)
    count, mean, squares, frames = 0, torch.zeros(()), torch.zeros(()), []
    with torch.inference_mode(), _one_thread():
        for states in _pieces(network, signal, *windows):
            if layer is not None:
                frames.append(states[layer].cpu().numpy())
            # Statistics of the windows are merged, so that a long recording needs no memory.
            length = states.shape[1]
            states = states.double()
            own = states.mean(dim=1)
            deviations = (states - own[:, None]).square().sum(dim=1).cpu()
            own = own.cpu()
            shift, total = own - mean, count + length
            squares = squares + deviations
            squares = squares + shift.square() * (count * length / total)
            mean, count = mean + shift * (length / total), total
    statistics = torch.stack([mean, (squares / count).sqrt()], dim=1).float()
    return statistics.flatten().numpy(), np.concatenate(frames) if frames else None


def _pieces(
    network: "Network", signal: np.ndarray, longest: float, overlap: float
) -> Iterator[Tensor]:
    """Yield the hidden states of an utterance, (layers, T, width), stretch by stretch."""
    size = round(longest * network.rate)
    size = min(size, network.size or size)
    shared = min(round(overlap * network.rate), size // 2)
    windows = cut(len(signal), size, shared, network.hop)
    states = ((start // network.hop, each) for start, each in network(signal, windows))
    return joined(states, shared // (2 * network.hop))


class Waves:
    """An encoder of samples: wav2vec 2.0 and its relatives.

    Args:
        model: The encoder, in evaluation mode.
        prepare: Feature extractor of transformers, which may normalise the samples.
    """

    def __init__(self, model: Any, prepare: Any) -> None:
        self.model, self.prepare = model, prepare
        self.rate, self.hop = prepare.sampling_rate, math.prod(model.config.conv_stride)
        self.size = None  # no longest window

    def __call__(
        self, signal: np.ndarray, windows: Sequence[tuple[int, int]]
    ) -> Iterator[tuple[int, Tensor]]:
        """Yield the start and the hidden states of each window, (layers, T, width)."""
        if int(self.model._get_feat_extract_output_lengths(len(signal))) < 1:
            raise too_short(len(signal), self.rate, "one frame of the encoder")
        # The whole utterance is normalised, so that windows do not differ.
        values = self.prepare(signal, sampling_rate=self.rate, return_tensors="pt").input_values
        for start, end in windows:
            yield start, _states(self.model, values[:, start:end])


class Spectrograms:
    """An encoder of the Whisper family: a fixed window, padded on the right; real frames are taken.

    Args:
        model: The encoder, in evaluation mode.
        prepare: Feature extractor of transformers, which computes the log-mel spectrogram.
    """

    def __init__(self, model: Any, prepare: Any) -> None:
        self.model, self.prepare = model, prepare
        prepare.dither = 0.0  # random numbers
        self.rate = prepare.sampling_rate
        self.hop = prepare.hop_length * model.conv1.stride[0] * model.conv2.stride[0]
        self.size = model.config.max_source_positions * self.hop

    def __call__(
        self, signal: np.ndarray, windows: Sequence[tuple[int, int]]
    ) -> Iterator[tuple[int, Tensor]]:
        """Yield the start and the hidden states of each window, (layers, T, width)."""
        for start, end in windows:
            values = self.prepare(
                signal[start:end],
                sampling_rate=self.rate,
                max_length=self.size,
                return_tensors="pt",
            ).input_features
            yield start, _states(self.model, values)[:, : math.ceil((end - start) / self.hop)]


class Filterbanks:
    """An encoder of a log-mel spectrogram of any length: wav2vec 2.0 BERT.

    Args:
        model: The encoder, in evaluation mode.
        prepare: Feature extractor of transformers, which computes the log-mel spectrogram,
            normalises its bins and puts neighbouring frames together.
    """

    step = 160  # samples from one frame of the spectrogram to the next, a constant of transformers

    def __init__(self, model: Any, prepare: Any) -> None:
        self.model, self.prepare = model, prepare
        self.rate, self.hop = prepare.sampling_rate, prepare.stride * self.step
        self.shortest = len(prepare.window) + (prepare.stride - 1) * self.step
        self.size = None  # no longest window

    def __call__(
        self, signal: np.ndarray, windows: Sequence[tuple[int, int]]
    ) -> Iterator[tuple[int, Tensor]]:
        """Yield the start and the hidden states of each window, (layers, T, width)."""
        if len(signal) < self.shortest:
            raise too_short(len(signal), self.rate, "one frame of the encoder")
        # The whole utterance is normalised, so that windows do not differ. A last frame that would
        # be padded is left out.
        values = self.prepare(
            signal, sampling_rate=self.rate, pad_to_multiple_of=None, return_tensors="pt"
        ).input_features
        for start, end in windows:
            yield start, _states(self.model, values[:, start // self.hop : end // self.hop])


Network = Waves | Spectrograms | Filterbanks
NETWORKS: dict[str, type[Network]] = {
    **dict.fromkeys(WAVES, Waves),
    **dict.fromkeys(SPECTROGRAMS, Spectrograms),
    **dict.fromkeys(FILTERBANKS, Filterbanks),
}


def _states(model: Any, values: Tensor) -> Tensor:
    """Return all hidden states of a batch of one, (layers, T, width)."""
    values = values.to(model.device)
    return torch.cat(model(values, output_hidden_states=True).hidden_states)


_loading = threading.Lock()  # threads wait for the first one to load an encoder


@lru_cache(maxsize=2)
def _network(files: EncoderFiles, device: str) -> Network:
    """Load an encoder."""
    import transformers

    kind = files.config.get("model_type")
    if kind not in NETWORKS:
        raise files.error(f"has an encoder of type {kind}; supported are {', '.join(NETWORKS)}")
    _ = files.preprocessor  # raises if it is missing
    transformers.utils.logging.disable_progress_bar()
    safe = files.weights[0].suffix == ".safetensors"
    common = {"local_files_only": True, "trust_remote_code": False}
    try:
        prepare = transformers.AutoFeatureExtractor.from_pretrained(files.folder, **common)
        model, report = transformers.AutoModel.from_pretrained(
            files.folder,
            dtype=torch.float32,
            use_safetensors=safe,
            weights_only=True,
            output_loading_info=True,
            **common,
        )
    except Exception as error:  # whatever transformers, safetensors or torch make of a wrong file
        raise files.error(f"cannot be loaded ({last_line(error)})") from error
    if missing := [name for name in sorted(report["missing_keys"]) if UNUSED not in name]:
        raise files.error(f"lacks the weights {missing[0]}, and {len(missing) - 1} more")
    if prepare.sampling_rate != files.preprocessor.get("sampling_rate", 16000):
        raise files.error(f"has no sampling_rate in {PREPROCESSOR}")
    encoder: nn.Module = model.get_encoder() if kind in SPECTROGRAMS else model
    encoder = encoder.eval().requires_grad_(False).to(_device(device))
    return NETWORKS[kind](encoder, prepare)


def _device(name: str) -> torch.device:
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("features.device=cuda: there is no GPU that torch can use")
    if name == "mps" and not torch.backends.mps.is_available():
        raise UserError("features.device=mps: there is no such device")
    if name in ("auto", "cuda") and torch.cuda.is_available():
        # TF32 would round to ten bits.
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
        return torch.device("cuda")
    return torch.device("cpu" if name == "auto" else name)


_threads = threading.Lock()
_extracting = [0, 1]  # extractions that are under way; threads of torch before the first of them


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let torch use one thread per extraction, as many of which run side by side.

    The bits of sums depend on the number of threads as well. It is restored after the last one.
    """
    with _threads:
        if _extracting[0] == 0:
            _extracting[1] = torch.get_num_threads()
        _extracting[0] += 1
        torch.set_num_threads(1)
    try:
        yield
    finally:
        with _threads:
            _extracting[0] -= 1
            if _extracting[0] == 0:
                torch.set_num_threads(_extracting[1])
