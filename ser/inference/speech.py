"""How much of a recording is speech, by the voice activity detector of the package silero-vad."""

from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np
import torch

from ser.errors import UserError
from ser.features.checks import prepare_signal
from ser.networks.voice_activity import RATE, VoiceActivity

WEIGHTS = "silero_vad/data/silero_vad.jit"
SPEECH = 0.5  # probability from which a frame counts as speech, as in the package
# A recording contains speech if this much of it is. The utterances of EMO-DB and EmoTale have at
# least 0.95 s and 34%; strong reverberation, or noise as loud as the voice, leaves some with less.
LEAST_SECONDS, LEAST_SHARE = 0.25, 0.1


@dataclass(frozen=True)
class Speech:
    """How much speech a recording contains.

    Args:
        seconds: Length of the recording.
        share: Share of its frames that are speech.
    """

    seconds: float
    share: float

    @property
    def is_enough(self) -> bool:
        """Whether it is enough; in a recording of less than 0.5 s, half of it."""
        least = min(LEAST_SECONDS, self.seconds / 2)
        return self.share >= LEAST_SHARE and self.share * self.seconds >= least


def measure_speech(signal: np.ndarray, rate: int) -> Speech:
    """Measure the speech in a signal.

    Args:
        signal: (N,) float32, mono.
        rate: Hz.
    """
    resampled = torch.from_numpy(prepare_signal(signal, rate, RATE))
    if not len(resampled):  # one sample at a high rate
        return Speech(len(signal) / rate, 0.0)
    with torch.inference_mode():
        probabilities = _detector()(resampled)
    return Speech(len(signal) / rate, float((probabilities >= SPEECH).float().mean()))


@cache
def _detector() -> VoiceActivity:
    # Located, not imported: the package would set the number of torch's threads.
    try:
        file = Path(str(distribution("silero-vad").locate_file(WEIGHTS)))
    except PackageNotFoundError:
        raise UserError(
            "silero-vad, which finds speech, is not installed: pip install -e ."
        ) from None
    return VoiceActivity.load(torch.jit.load(file).state_dict())
