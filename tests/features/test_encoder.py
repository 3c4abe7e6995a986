"""Features of pretrained encoders, compared with transformers itself."""

import io
import json
import math
import os
import pickle
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from encoders import BLOCKS, SECONDS, WIDTH
from processes import exit_codes, fork
from rich.console import Console

from ser.corpora import audio
from ser.errors import UserError
from ser.features import encoder_files, encoder_network
from ser.features.encoder import Encoder
from ser.features.encoder_network import cut, joined
from ser.features.extraction import compute
from ser.features.store import Store

RATE = 16000
KINDS = ("wav2vec2", "hubert", "wavlm", "whisper", "wav2vec2-bert")


def encoder(folder: Path | str, level="utterance", layer="all", **options) -> Encoder:
    arguments = {"revision": None, "longest": 30.0, "overlap": 2.0, "device": "cpu", **options}
    return Encoder(str(folder), level=level, layer=layer, **arguments)


def noise(samples: int) -> np.ndarray:
    return np.random.default_rng(samples).normal(0, 0.1, samples).astype(np.float32)


def by_transformers(folder: Path, signal: np.ndarray) -> np.ndarray:
    """All hidden states of one utterance, (layers, T, width), without those of padding."""
    from transformers import AutoFeatureExtractor, AutoModel

    prepare = AutoFeatureExtractor.from_pretrained(folder)
    values = prepare(signal, sampling_rate=RATE, return_tensors="pt")
    model = AutoModel.from_pretrained(folder).eval()
    is_whisper = model.config.model_type == "whisper"
    network = model.get_encoder() if is_whisper else model
    with torch.inference_mode():
        states = torch.cat(network(**values, output_hidden_states=True).hidden_states)
    frames = math.ceil(len(signal) / 320) if is_whisper else states.shape[1]
    if "attention_mask" in values:
        frames = int(values["attention_mask"].sum())
    return states[:, :frames].numpy()


def table_of(folder: Path, lengths: list[int]) -> pd.DataFrame:
    files = [folder / f"u{number}.wav" for number in range(len(lengths))]
    for file, length in zip(files, lengths, strict=True):
        soundfile.write(file, noise(length), RATE)
    columns = {"file": list(map(str, files)), "start": np.nan, "end": np.nan}
    return pd.DataFrame(columns, index=[file.stem for file in files])


def quiet(root: Path, workers: int = 1) -> Store:
    return Store(root, workers, Console(quiet=True))


@pytest.mark.parametrize("kind", KINDS)
def test_features_are_the_hidden_states_of_transformers(kind: str, tiny_encoders: Path) -> None:
    signal = noise(10_001)
    states = by_transformers(tiny_encoders / kind, signal)
    assert len(states) == BLOCKS + 1
    both = [np.concatenate([s.mean(0), s.std(0)]) for s in states.astype(np.float64)]

    every = encoder(tiny_encoders / kind)
    np.testing.assert_allclose(every(signal, RATE), np.concatenate(both), rtol=1e-5, atol=1e-6)
    assert every.dim == len(every.columns) == 2 * WIDTH * (BLOCKS + 1)
    assert every.columns[WIDTH] == "std_layer0_0"
    for layer, numbers in ((0, [0]), ([2, 1], [1, 2]), ("middle", [1])):
        some = replace(every, layer=layer)
        assert some.layers == tuple(numbers)
        expected = np.concatenate([both[number] for number in numbers])
        np.testing.assert_allclose(some(signal, RATE), expected, rtol=1e-5, atol=1e-6)
        assert {column.split("_")[1] for column in some.columns} == {f"layer{n}" for n in numbers}

    frames = encoder(tiny_encoders / kind, "frame", 1)
    assert frames.columns[:2] == ("layer1_0", "layer1_1")
    values = frames(signal, RATE)
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, states[1].astype(np.float16))


def test_real_encoder_gives_real_frames_only(encoder_root: Path, emodb_root: Path) -> None:
    signal, rate = audio.read(min((emodb_root / "wav").glob("*.wav")))
    states = by_transformers(encoder_root, signal)
    assert states.shape[1] == math.ceil(len(signal) / 320) < 400
    values = encoder(encoder_root, layer=2)(signal, rate)
    np.testing.assert_allclose(values[:384], states[2].mean(axis=0), atol=1e-5)


def test_signals_are_resampled_and_too_short_ones_refused(tiny_encoders: Path) -> None:
    wavlm, whisper = (encoder(tiny_encoders / kind, "frame", 1) for kind in ("wavlm", "whisper"))
    assert len(whisper(noise(8000), 8000)) == 50
    assert len(whisper(noise(1), RATE)) == 1
    assert len(wavlm(noise(400), RATE)) == 1
    with pytest.raises(UserError, match=r"too short for one frame of the encoder: 0\.025 s"):
        wavlm(noise(399), RATE)
    filterbanks = encoder(tiny_encoders / "wav2vec2-bert", "frame", 1)
    assert [len(filterbanks(noise(samples), RATE)) for samples in (560, 879, 880)] == [1, 1, 2]
    with pytest.raises(UserError, match=r"too short for one frame of the encoder: 0\.035 s"):
        filterbanks(noise(559), RATE)


# ---- windows


@pytest.mark.parametrize("samples", [16_001, 24_000, 31_999, 100_000, 333_333])
@pytest.mark.parametrize("overlap", [320, 3_200, 8_000])
def test_windows_give_each_frame_once(samples: int, overlap: int) -> None:
    hop, longest = 320, 16_000
    states = []
    for start, end in cut(samples, longest, overlap, hop):
        assert start % hop == 0
        assert end - start <= longest
        numbers = torch.arange(start // hop, math.ceil(end / hop), dtype=torch.float64)
        states.append((start // hop, numbers[None, :, None]))
    frames = torch.cat(list(joined(states, overlap // (2 * hop))), dim=1).flatten()
    expected = torch.arange(math.ceil(samples / hop), dtype=torch.float64)
    torch.testing.assert_close(frames, expected)


def test_windows_fade_into_each_other() -> None:
    # Two windows of 10 frames that overlap by 6, in the middle of which 2 frames are mixed.
    states = [(0, torch.zeros(1, 10, 1)), (4, torch.ones(1, 10, 1))]
    frames = torch.cat(list(joined(states, 2)), dim=1).flatten().tolist()
    assert frames == [0.0] * 6 + [0.25, 0.75] + [1.0] * 6


def test_windows_are_joined_without_a_seam(encoder_root: Path, emodb_root: Path) -> None:
    # 10.5 s of speech: two windows of 8 s, which is the most that this encoder sees.
    files = sorted((emodb_root / "wav").glob("03a*.wav"))[:6]
    signal = np.concatenate([audio.read(file)[0] for file in files])[: int(10.5 * RATE)]
    frames = encoder(encoder_root, "frame", 2)(signal, RATE).astype(np.float32)
    assert len(frames) == 525
    steps = np.linalg.norm(np.diff(frames, axis=0), axis=1)
    seams = steps[250:275]
    assert seams.max() < np.quantile(steps, 0.99)
    assert 0.8 < seams.mean() / steps.mean() < 1.2


def test_statistics_of_windows_are_those_of_all_their_frames(tiny_encoders: Path) -> None:
    options = {"longest": 1.0, "overlap": 0.25}
    for kind in ("wav2vec2", "whisper", "wav2vec2-bert"):
        signal = noise(int(3.3 * RATE * SECONDS))
        frames = encoder(tiny_encoders / kind, "frame", 1, **options)(signal, RATE)
        values = encoder(tiny_encoders / kind, layer=1, **options)(signal, RATE)
        expected = np.concatenate([frames.mean(0, dtype=float), frames.std(0, dtype=float)])
        np.testing.assert_allclose(values, expected, atol=2e-3)  # frames are float16


# ---- the store


def test_another_layer_needs_no_second_forward_pass(
    tiny_encoders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, store = table_of(tmp_path, [9000, 12000, 20000]), quiet(tmp_path / "store", workers=2)
    frames = encoder(tiny_encoders / "wavlm", "frame", 2)
    (report,) = store.fill(table, [frames])  # keeps the statistics of all layers, too
    assert report.extracted == 3
    expected = encoder(tiny_encoders / "wavlm", layer=1)(noise(12000), RATE)

    def fail(*_: object) -> None:
        raise AssertionError("a forward pass")

    monkeypatch.setattr(encoder_network, "hidden_states", fail)
    for layer in (1, [0, 2], "all", "middle"):
        source = encoder(tiny_encoders / "wavlm", layer=layer)
        (report,) = store.fill(table, [source])
        assert (report.extracted, report.present) == (0, 3)
        for in_memory in (True, False):
            features = store.load(table, source, in_memory)
            assert features.values.shape == (3, source.dim)
            assert features.layers == source.layers
            if layer == 1:
                # Written as 16 bits.
                np.testing.assert_allclose(features.values[1], expected, atol=1e-3)


def test_frames_are_kept_and_mapped_as_float16(tiny_encoders: Path, tmp_path: Path) -> None:
    table, store = table_of(tmp_path, [9000, 12000]), quiet(tmp_path / "store")
    source = encoder(tiny_encoders / "whisper", "frame", 1)
    features = store.load(table, source, in_memory=False)
    assert features.mapped
    assert features.values.dtype == np.float16
    assert list(features.offsets) == [0, 29, 67]
    in_memory = store.load(table, source, in_memory=True)
    assert in_memory.values.dtype == np.float32
    np.testing.assert_array_equal(in_memory.values, features.values)
    (entry,) = (tmp_path / "store" / source.signature).rglob(store._items(table)[0].key)
    assert entry.stat().st_size == 32 + 29 * WIDTH * 2
    content = bytearray(entry.read_bytes())
    content[50] ^= 1
    entry.write_bytes(content)
    (report,) = store.fill(table, [source])
    assert (report.extracted, report.present) == (1, 1)


def killed_at(number: int, began: Path, root: Path, table: pd.DataFrame, source: Encoder) -> None:
    """Extract with two threads, and be killed in a forward pass, of which each is recorded."""
    original = encoder_network.hidden_states

    def recorded(*arguments):
        with began.open("ab", buffering=0) as stream:
            stream.write(b".")
        if began.stat().st_size >= number:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments)

    encoder_network.hidden_states = recorded  # of this process only
    quiet(root, workers=2).fill(table, [source])


def test_a_killed_extraction_loses_at_most_the_files_in_flight(
    tiny_encoders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, root = table_of(tmp_path, list(range(3000, 3020))), tmp_path / "store"
    source = encoder(tiny_encoders / "wavlm", layer=1)
    began = tmp_path / "began"
    process = fork(killed_at, 12, began, root, table, source)
    assert exit_codes(process) == [-signal.SIGKILL]
    kept = began.stat().st_size - 2  # two were in flight
    (report,) = quiet(root).fill(table, [source])
    assert report.present >= kept >= 10
    assert (report.extracted, report.failures) == (20 - report.present, ())
    monkeypatch.setattr(encoder_network, "hidden_states", None)  # no further forward pass
    (report,) = quiet(root).fill(table, [source])
    assert (report.extracted, report.present) == (0, 20)
    values = quiet(root).load(table, source, in_memory=True).values
    monkeypatch.undo()
    whole = quiet(tmp_path / "whole").load(table, source, in_memory=True).values
    np.testing.assert_array_equal(values, whole)


def test_runs_of_several_layers_share_a_forward_pass(
    tiny_encoders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    original = encoder_network.hidden_states
    monkeypatch.setattr(
        encoder_network, "hidden_states", lambda *a: calls.append(1) or original(*a)
    )
    sources = [encoder(tiny_encoders / "hubert", layer=layer) for layer in (0, 1, "all")]
    sources.append(encoder(tiny_encoders / "hubert", "frame", 1))
    results = compute(sources, noise(9000), RATE)
    assert len(calls) == 1
    assert [results[source.signature].shape[-1] for source in sources] == [32, 32, 96, 16]


def test_signature_depends_on_weights_and_options_but_not_on_the_path(
    tiny_encoders: Path, tmp_path: Path
) -> None:
    copied = shutil.copytree(tiny_encoders / "wavlm", tmp_path / "copied")
    source = encoder(tiny_encoders / "wavlm", layer=1)
    assert encoder(copied, layer=1).signature == source.signature
    assert encoder(copied, layer="middle").signature == source.signature
    others = [replace(source, layer=2), replace(source, level="frame"), replace(source, overlap=1)]
    weights = bytearray((copied / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (copied / "model.safetensors").write_bytes(weights)
    others.append(encoder(copied, layer=1))
    assert len({each.signature for each in [source, *others]}) == 5
    assert all(len(each.signature) < 200 for each in others)


def test_threads_of_torch_are_restored(tiny_encoders: Path) -> None:
    torch.set_num_threads(2)
    try:
        encoder(tiny_encoders / "wavlm")(noise(1000), RATE)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


# ---- what cannot be used


def changed(folder: Path, target: Path, **config: object) -> Path:
    shutil.copytree(folder, target)
    content = json.loads((target / "config.json").read_text())
    (target / "config.json").write_text(json.dumps(content | config))
    return target


def error_of(folder: Path | str, **options: object) -> str:
    with pytest.raises(UserError) as error:
        encoder(folder, **options)(noise(1000), RATE)
    text = str(error.value)
    assert "\n" not in text
    return text


def test_wrong_folders_are_named(tiny_encoders: Path, tmp_path: Path) -> None:
    wavlm = tiny_encoders / "wavlm"
    assert "json: not an encoder of transformers" in error_of(tmp_path)
    assert "type bert; supported are wav2vec2" in error_of(
        changed(wavlm, tmp_path / "bert", model_type="bert")
    )
    deeper = changed(wavlm, tmp_path / "deeper", num_hidden_layers=3)
    assert "lacks the weights encoder.layers.2." in error_of(deeper)
    wider = changed(wavlm, tmp_path / "wider", hidden_size=32)
    assert "cannot be loaded" in error_of(wider)
    (deeper / "model.safetensors").unlink()
    assert "has no weights" in error_of(deeper)
    assert "no such folder" in error_of("../nowhere/wavlm")
    assert "hidden states 0 to 2" in error_of(wavlm, layer=3)
    assert "frames are those of one layer" in error_of(wavlm, level="frame", layer=[1, 2])
    assert "features.model is not set" in error_of("")


def test_moved_encoders_are_found_by_their_name(
    tiny_encoders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SER_ENCODERS", str(tiny_encoders))
    moved = encoder("/nowhere/wavlm")
    assert moved.signature == encoder(tiny_encoders / "wavlm").signature


class Payload:
    def __reduce__(self):
        return (Path.touch, (Path("executed"),))


def test_files_of_an_encoder_execute_nothing(
    tiny_encoders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    evil = shutil.copytree(tiny_encoders / "wavlm", tmp_path / "evil")
    (evil / "model.safetensors").unlink()
    (evil / "pytorch_model.bin").write_bytes(pickle.dumps({"a": Payload()}))
    assert "cannot be loaded" in error_of(evil)
    stream = io.BytesIO()
    torch.save({"a": Payload()}, stream)
    (evil / "pytorch_model.bin").write_bytes(stream.getvalue())
    assert "cannot be loaded" in error_of(evil)
    code = changed(
        tiny_encoders / "wavlm",
        tmp_path / "code",
        auto_map={"AutoModel": "code.Model", "AutoConfig": "code.Config"},
    )
    (code / "code.py").write_text("open('executed', 'w')\nclass Model: pass\nclass Config: pass\n")
    encoder(code)(noise(1000), RATE)  # a type that transformers has, whatever the folder says
    assert not Path("executed").exists()


def test_a_file_of_torch_is_read_as_tensors(tiny_encoders: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    older = shutil.copytree(tiny_encoders / "wavlm", tmp_path / "older")
    torch.save(load_file(older / "model.safetensors"), older / "pytorch_model.bin")
    (older / "model.safetensors").unlink()
    expected = encoder(tiny_encoders / "wavlm")(noise(1000), RATE)
    np.testing.assert_array_equal(encoder(older)(noise(1000), RATE), expected)


def test_a_missing_library_is_named(tiny_encoders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder_files, "find_spec", lambda name: None)
    assert error_of(tiny_encoders / "wavlm").endswith('pip install -e ".[encoders]"')


def test_without_the_hub_the_command_that_fetches_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    text = error_of("owner/name", revision="abc")
    assert "HF_HUB_OFFLINE is set" in text
    assert text.endswith("hf download owner/name --revision abc")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    text = error_of("owner/name", revision="abc")
    assert "cannot be fetched from the Hugging Face hub" in text
    assert "hf download owner/name --revision abc --local-dir FOLDER" in text


def test_a_fetched_revision_needs_no_network(
    tiny_encoders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    commit = "4c66d4806a428f2e922ccfa1a962776e232d487b"
    cached = tmp_path / "models--owner--name" / "snapshots" / commit
    shutil.copytree(tiny_encoders / "wavlm", cached)
    (cached / "README.md").write_text("---\nlicense: mit\n---\n# Model\n")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    source = encoder("owner/name", revision=commit)
    assert source.signature == encoder(tiny_encoders / "wavlm").signature
    assert (source.files.commit, source.files.licence) == (commit, "mit")
