"""Speech from espeak-ng, the same bits on every run.

espeak-ng keeps state between calls: its noise depends on what was said before. So each utterance is
said by a freshly forked process that has never spoken, its seed set. Forking is safe only where
nothing else runs, hence the helpers: `python -m ser.corpora.synthesis` is a process of one thread
that knows neither torch nor the caller's `__main__`; it forks, and the children run C code alone.
"""

import ctypes
import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from typing import IO

import numpy as np
import soxr
from numpy.typing import NDArray

from ser.errors import UserError

RATE = 16_000  # Hz, of what is returned

# From espeak-ng's speak_lib.h (espeak_PARAMETER, espeak_AUDIO_OUTPUT, flags of espeak_Synth).
ESPEAK_RATE, ESPEAK_PITCH, ESPEAK_RANGE, ESPEAK_WORDGAP = 1, 3, 4, 7
SYNCHRONOUS, DONT_EXIT, UTF8_SSML = 2, 0x8000, 0x1 | 0x10


@dataclass(frozen=True)
class Speech:
    """What is said, and how.

    Attributes:
        clauses: said with a pause of `pause` ms between them.
        voice: of espeak-ng, such as `en-us+f2`.
        seed: of every random number in this utterance.
        rate: words a minute, 80 to 450.
        pitch: 0 to 100; 5 are a semitone, 50 is the voice's own.
        range: 0 (monotone) to 100.
        gap: silence between words, in 10 ms.
        pause: ms.
        tract: above 1 raises formants and pitch, as a shorter vocal tract does.
        tilt: -0.9 (dull) to 0.9 (bright).
        level: root mean square of the speech, dB re full scale.
        breath: noise that follows the voice, dB re the speech.
        background: noise of the room, dB re full scale.
        margins: seconds of the room before and after.
    """

    clauses: tuple[str, ...]
    voice: str
    seed: int
    rate: int
    pitch: int
    range: int
    gap: int
    pause: int
    tract: float
    tilt: float
    level: float
    breath: float
    background: float
    margins: tuple[float, float]


def synthesise(
    speeches: Sequence[Speech], workers: int
) -> Generator[NDArray[np.int16], None, None]:
    """Say `speeches` in turn: one array of samples at `RATE` each, whatever `workers` is.

    Raises:
        RuntimeError: a helper ended early; what it had to say stands on stderr.
    """
    shares = [speeches[first::workers] for first in range(workers)]
    with ExitStack() as stack:
        helpers = [stack.enter_context(_helper()) for _ in shares]
        stack.callback(_end, helpers)  # runs before the helpers are waited for
        for helper, share in zip(helpers, shares, strict=True):
            assert helper.stdin is not None
            with suppress(BrokenPipeError), helper.stdin as requests:  # `_receive` will tell
                requests.write(json.dumps([asdict(speech) for speech in share]).encode())
        for number in range(len(speeches)):
            yield _receive(helpers[number % workers])


def demand_espeak() -> None:
    """Raise UserError where espeak-ng is not installed, or the system cannot fork."""
    remedy = (
        "The demo corpus is speech made by espeak-ng, which {}; {}"
        "or take human speech: corpus=emodb corpus.root=..."
    )
    if not hasattr(os, "fork"):
        raise UserError(remedy.format("needs a system that can fork", "use Linux, macOS or WSL, "))
    if importlib.util.find_spec("espeakng_loader") is None:
        raise UserError(remedy.format("is not installed", 'run pip install -e ".[demo]" '))


def _helper() -> subprocess.Popen[bytes]:
    single = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return subprocess.Popen(
        [sys.executable, "-m", "ser.corpora.synthesis"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, **single, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def _end(helpers: list[subprocess.Popen[bytes]]) -> None:
    """End those that are still at work, when the caller gives up half-way."""
    for helper in helpers:
        helper.kill()


def _receive(helper: subprocess.Popen[bytes]) -> NDArray[np.int16]:
    assert helper.stdout is not None
    size = int.from_bytes(helper.stdout.read(4), "little")
    samples = helper.stdout.read(size)
    if not size or len(samples) < size:
        raise RuntimeError(f"a helper of the demo corpus ended early, status {helper.wait()}")
    return np.frombuffer(samples, "<i2")


def _serve(requests: IO[bytes], replies: IO[bytes]) -> None:
    """The helper: JSON in, and for each speech a byte count (4 bytes) and its samples out."""
    espeak = _Espeak()
    for request in json.loads(requests.read()):
        speech = Speech(**request)
        samples = _record(speech, espeak.say(speech), espeak.rate).astype("<i2").tobytes()
        replies.write(len(samples).to_bytes(4, "little") + samples)
        replies.flush()


class _Espeak:
    """The library; loaded here, and spoken to in forked children only."""

    def __init__(self) -> None:
        import espeakng_loader

        self.library = ctypes.CDLL(espeakng_loader.get_library_path())
        data = str(espeakng_loader.get_data_path()).encode()
        self.rate: int = self.library.espeak_Initialize(SYNCHRONOUS, 0, data, DONT_EXIT)
        if self.rate <= 0:
            raise RuntimeError(f"espeak-ng does not start with its data in {data.decode()}")

    def say(self, speech: Speech) -> NDArray[np.int16]:
        """The samples at `self.rate`, made by a child of its own."""
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.close(reader)
                with os.fdopen(writer, "wb") as pipe:
                    pipe.write(self._say(speech))
                status = 0
            finally:
                os._exit(status)
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            samples = pipe.read()
        if os.waitpid(child, 0)[1] or not samples:
            raise RuntimeError(f"espeak-ng could not say {speech}")
        return np.frombuffer(samples, np.int16)

    def _say(self, speech: Speech) -> bytes:
        chunks: list[bytes] = []

        @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)
        def receive(samples: int | None, count: int, events: int | None) -> int:
            if samples and count:
                chunks.append(ctypes.string_at(samples, 2 * count))
            return 0

        espeak = self.library
        espeak.espeak_SetSynthCallback(receive)
        failed = espeak.espeak_SetVoiceByName(speech.voice.encode())
        for parameter, value in (
            (ESPEAK_RATE, speech.rate),
            (ESPEAK_PITCH, speech.pitch),
            (ESPEAK_RANGE, speech.range),
            (ESPEAK_WORDGAP, speech.gap),
        ):
            failed |= espeak.espeak_SetParameter(parameter, value, 0)
        espeak.espeak_ng_SetRandSeed(ctypes.c_long(speech.seed % 2**31))
        text = f' <break time="{speech.pause}ms"/> '.join(speech.clauses).encode() + b"\0"
        failed |= espeak.espeak_Synth(text, len(text), 0, 1, 0, UTF8_SSML, None, None)
        return b"" if failed else b"".join(chunks)


def _record(speech: Speech, spoken: NDArray[np.int16], rate: int) -> NDArray[np.int16]:
    """What a microphone in the room takes down.

    Sums, products and a resampler only, on one thread: nothing whose bits depend on how many.
    """
    random = np.random.default_rng(speech.seed)
    voice = soxr.resample(spoken.astype(np.float64), rate * speech.tract, RATE)
    voice[1:] -= speech.tilt * voice[:-1].copy()
    envelope = np.convolve(np.abs(voice), np.full(80, 1 / 80), mode="same")  # over 5 ms
    voice += envelope * random.standard_normal(len(voice)) * _factor(speech.breath)
    sounding = voice[np.abs(voice) > 0.02 * np.abs(voice).max()]
    voice *= 32768 * _factor(speech.level) / np.sqrt(np.mean(sounding**2))
    before, after = (round(seconds * RATE) for seconds in speech.margins)
    signal = np.pad(voice, (before, after))
    hiss = random.standard_normal(len(signal) + 1)
    signal += 32768 * _factor(speech.background) * (hiss[1:] + hiss[:-1]) / np.sqrt(2)
    return np.clip(np.rint(signal), -32768, 32767).astype(np.int16)


def _factor(decibels: float) -> float:
    return float(10 ** (decibels / 20))


if __name__ == "__main__":
    for ended in (signal.SIGINT, signal.SIGPIPE):  # with the caller, and without a traceback
        signal.signal(ended, signal.SIG_DFL)
    _serve(sys.stdin.buffer, sys.stdout.buffer)
