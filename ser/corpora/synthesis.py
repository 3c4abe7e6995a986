"""Speech synthesis by espeak-ng, with the same bits in every run.

espeak-ng keeps state between calls: its noise depends on earlier utterances. So each utterance is
synthesised by a newly forked process, with its own seed. Forking is safe only in a process of one
thread. Therefore a worker is a separate process, `python -m ser.corpora.synthesis`, which imports
neither torch nor the caller's `__main__`. It forks children, which run only C code.
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

RATE = 16_000  # Hz

# From espeak-ng's speak_lib.h (espeak_PARAMETER, espeak_AUDIO_OUTPUT, flags of espeak_Synth).
ESPEAK_RATE, ESPEAK_PITCH, ESPEAK_RANGE, ESPEAK_WORDGAP = 1, 3, 4, 7
SYNCHRONOUS, DONT_EXIT, UTF8_SSML = 2, 0x8000, 0x1 | 0x10


@dataclass(frozen=True)
class Speech:
    """One utterance to synthesise.

    Attributes:
        clauses: Texts, with a pause of `pause` ms between them.
        voice: Voice of espeak-ng, such as `en-us+f2`.
        seed: Seed of all random numbers of this utterance.
        rate: Words per minute, 80 to 450.
        pitch: 0 to 100; 5 are a semitone, 50 does not change the voice.
        range: Pitch range, 0 (monotone) to 100.
        gap: Silence between words, in 10 ms.
        pause: Silence between clauses, ms.
        tract: Factor of formants and pitch; above 1 as for a shorter vocal tract.
        tilt: Spectral tilt, -0.9 (dull) to 0.9 (bright).
        level: Root mean square of the speech, dB re full scale.
        breath: Noise with the envelope of the voice, dB re the speech.
        background: Stationary noise, dB re full scale.
        margins: Seconds of noise before and after the speech.
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
    """Yield the samples of each utterance at `RATE`, in order; they do not depend on `workers`.

    Raises:
        RuntimeError: A worker failed; its error is on stderr.
    """
    shares = [speeches[first::workers] for first in range(workers)]
    with ExitStack() as stack:
        processes = [stack.enter_context(_start_worker()) for _ in shares]
        stack.callback(_kill, processes)  # runs before the context managers wait for them
        for process, share in zip(processes, shares, strict=True):
            assert process.stdin is not None
            # A worker that has failed closes the pipe; `_receive` raises the error.
            with suppress(BrokenPipeError), process.stdin as requests:
                requests.write(json.dumps([asdict(speech) for speech in share]).encode())
        for number in range(len(speeches)):
            yield _receive(processes[number % workers])


def require_espeak() -> None:
    """Raise UserError if espeak-ng is not installed or the system cannot fork."""
    remedy = (
        "The demo corpus is synthesised by espeak-ng, which {}; {}"
        "or use human speech: corpus=emodb corpus.root=..."
    )
    if not hasattr(os, "fork"):
        raise UserError(remedy.format("needs a system that can fork", "use Linux, macOS or WSL, "))
    if importlib.util.find_spec("espeakng_loader") is None:
        raise UserError(remedy.format("is not installed", 'run pip install -e ".[demo]" '))


def _start_worker() -> subprocess.Popen[bytes]:
    single = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return subprocess.Popen(
        [sys.executable, "-m", "ser.corpora.synthesis"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, **single, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def _kill(processes: list[subprocess.Popen[bytes]]) -> None:
    """Kill the workers that still run if the caller stops early."""
    for process in processes:
        process.kill()


def _receive(process: subprocess.Popen[bytes]) -> NDArray[np.int16]:
    assert process.stdout is not None
    size = int.from_bytes(process.stdout.read(4), "little")
    samples = process.stdout.read(size)
    if not size or len(samples) < size:
        raise RuntimeError(
            f"a worker that synthesises the demo corpus failed with status {process.wait()}"
        )
    return np.frombuffer(samples, "<i2")


def _work(requests: IO[bytes], replies: IO[bytes]) -> None:
    """Run a worker: read JSON; write a byte count (4 bytes) and the samples of each utterance."""
    espeak = _Espeak()
    for request in json.loads(requests.read()):
        speech = Speech(**request)
        samples = _record(speech, espeak.synthesise(speech), espeak.rate).astype("<i2").tobytes()
        replies.write(len(samples).to_bytes(4, "little") + samples)
        replies.flush()


class _Espeak:
    """The library. This process loads it; only forked children synthesise."""

    def __init__(self) -> None:
        import espeakng_loader

        self.library = ctypes.CDLL(espeakng_loader.get_library_path())
        data = str(espeakng_loader.get_data_path()).encode()
        self.rate: int = self.library.espeak_Initialize(SYNCHRONOUS, 0, data, DONT_EXIT)
        if self.rate <= 0:
            raise RuntimeError(f"espeak-ng does not start with its data in {data.decode()}")

    def synthesise(self, speech: Speech) -> NDArray[np.int16]:
        """Return the samples at `self.rate`, from a new child process."""
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.close(reader)
                with os.fdopen(writer, "wb") as pipe:
                    pipe.write(self._synthesise(speech))
                status = 0
            finally:
                os._exit(status)
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            samples = pipe.read()
        if os.waitpid(child, 0)[1] or not samples:
            raise RuntimeError(f"espeak-ng could not synthesise {speech}")
        return np.frombuffer(samples, np.int16)

    def _synthesise(self, speech: Speech) -> bytes:
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
    """Apply the vocal tract, tilt, breath and level, and add noise.

    These are sums, products and a resampler on one thread, so that the bits do not depend on the
    number of threads.
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
    for number in (signal.SIGINT, signal.SIGPIPE):  # end with the caller, without a traceback
        signal.signal(number, signal.SIG_DFL)
    _work(sys.stdin.buffer, sys.stdout.buffer)
