"""The voice activity network of Silero VAD 6 for 16 kHz, over all frames of a signal at once.

The package's own models take one frame a call, which costs as much as openSMILE's features. This
is the same network with the same weights, several times as fast.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

RATE = 16000
FRAME = 512  # samples, 32 ms
_CONTEXT = 64  # samples of the frame before
_BINS = 129  # of a Fourier transform over 256 samples
_BLOCK = 1024  # frames that are encoded together, which bounds memory


class VoiceActivity(nn.Module):
    """Probability of speech in each frame: convolutions over a spectrum, then an LSTM."""

    def __init__(self) -> None:
        super().__init__()
        self.fourier = nn.Conv1d(1, 2 * _BINS, 256, stride=128, bias=False)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(inputs, outputs, 3, stride=stride, padding=1)
            for inputs, outputs, stride in (
                (_BINS, 128, 1),
                (128, 64, 2),
                (64, 64, 2),
                (64, 128, 1),
            )
        )
        self.lstm = nn.LSTM(128, 128)
        self.output = nn.Linear(128, 1)

    @classmethod
    def load(cls, weights: Mapping[str, Tensor]) -> "VoiceActivity":
        """Return the network in evaluation mode, with the weights of `silero_vad.jit`."""
        with torch.device("meta"):  # draws no random numbers
            network = cls()
        renamed = {
            "fourier.weight": weights["_model.stft.forward_basis_buffer"],
            "output.weight": weights["_model.decoder.decoder.2.weight"].squeeze(-1),
            "output.bias": weights["_model.decoder.decoder.2.bias"],
        }
        for part in ("weight", "bias"):
            for number in range(len(network.convolutions)):
                name = f"_model.encoder.{number}.reparam_conv.{part}"
                renamed[f"convolutions.{number}.{part}"] = weights[name]
            for gates in ("ih", "hh"):
                renamed[f"lstm.{part}_{gates}_l0"] = weights[f"_model.decoder.rnn.{part}_{gates}"]
        network.load_state_dict(renamed, assign=True)
        return network.eval()

    def forward(self, signal: Tensor) -> Tensor:
        """Return the probability of speech in each frame, (ceil(N / `FRAME`),).

        Args:
            signal: (N,) at `RATE`.
        """
        beyond = -len(signal) % FRAME
        padded = functional.pad(signal, (_CONTEXT, beyond))
        frames = padded.unfold(0, _CONTEXT + FRAME, FRAME)
        codes = torch.cat([self._encode(block) for block in frames.split(_BLOCK)])
        hidden, _ = self.lstm(codes)
        return self.output(hidden.relu()).sigmoid().squeeze(-1)

    def _encode(self, frames: Tensor) -> Tensor:
        """(T, `_CONTEXT` + `FRAME`) samples -> (T, 128)."""
        spectrum = self.fourier(functional.pad(frames[:, None], (0, 64), mode="reflect"))
        x = torch.hypot(spectrum[:, :_BINS], spectrum[:, _BINS:])
        for convolution in self.convolutions:
            x = convolution(x).relu()
        return x.squeeze(-1)
