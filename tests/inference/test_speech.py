"""Speech in recordings: real speech has it, and silence, noise and tones have none."""

from pathlib import Path

import numpy as np
import pytest
import torch

from ser.corpora import audio
from ser.corpora.demo import demo
from ser.corpora.emodb import emodb as read_emodb
from ser.inference import speech
from ser.inference.speech import Speech, measure_speech

RATE = 16000


def test_it_is_the_network_of_the_package(emodb_root: Path) -> None:
    import silero_vad

    packaged = silero_vad.load_silero_vad()
    for file in read_emodb(emodb_root).table["file"].iloc[::100]:
        signal = torch.from_numpy(audio.read(Path(file))[0])
        with torch.inference_mode():
            packaged.reset_states()
            expected = packaged.audio_forward(signal[None], RATE)[0]
            torch.testing.assert_close(speech._detector()(signal), expected, atol=1e-4, rtol=0)


def test_real_speech_is_speech_at_every_rate_and_level(emodb_root: Path) -> None:
    for file in read_emodb(emodb_root).table["file"].iloc[::30]:
        signal, rate = audio.read(Path(file))
        whole = measure_speech(signal, rate)
        assert whole.is_enough
        assert whole.share > 0.4
        assert measure_speech(0.1 * signal, rate).is_enough
        assert measure_speech(signal[::2], rate // 2).is_enough  # telephony


def test_synthetic_speech_is_speech(demo_root: Path) -> None:
    files = demo(demo_root).table["file"].iloc[::40]
    assert all(measure_speech(*audio.read(Path(file))).is_enough for file in files)


@pytest.mark.parametrize("rate", [8000, 48000])
def test_other_sounds_are_not(rate: int) -> None:
    rng, time = np.random.default_rng(0), np.arange(2 * rate) / rate
    for sound in (
        np.zeros(2 * rate),
        np.zeros(1),
        *(rng.normal(0, level, 2 * rate) for level in (1e-4, 0.01, 0.1)),
        *(0.5 * np.sin(2 * np.pi * pitch * time) for pitch in (50, 440, 3000)),
        np.sign(np.sin(2 * np.pi * 150 * time)) / 3,
    ):
        assert measure_speech(np.clip(sound, -1, 1).astype(np.float32), rate).share == 0.0


def test_how_much_is_enough() -> None:
    assert Speech(3.0, 0.1).is_enough
    assert not Speech(3.0, 0.09).is_enough
    assert not Speech(1.0, 0.2).is_enough  # 0.2 s
    assert Speech(0.3, 0.5).is_enough  # half of a short window
    assert not Speech(0.3, 0.4).is_enough
