"""Runs tested on corrupted audio, of their own test split and of another corpus."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from omegaconf import OmegaConf

from ser import results
from ser.__main__ import main
from ser.errors import UserError
from ser.features.corruptions import Gain, Noise, Reverb
from ser.inference.corrupt_option import conditions
from ser.inference.evaluate import evaluate
from ser.inference.predict import predict
from ser.results.verify import inconsistencies

RATE = 16000


@pytest.fixture
def runs(tiny: Path, tmp_path: Path) -> Path:
    """Two runs on one fold, to do with as a test likes."""
    for name in ("mlp", "svm"):
        shutil.copytree(tiny / "runs" / name, tmp_path / "runs" / name)
    return tmp_path / "runs"


def record(folder: Path) -> dict:
    content = results.read_json(folder / results.EVALUATION)
    assert content is not None
    return content


def table(folder: Path) -> pd.DataFrame:
    return results.RunFolder(folder).read_predictions().set_index("utterance")


def test_the_own_test_split_is_corrupted_and_nothing_else(
    runs: Path, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "store"
    assert main(["evaluate", f"{runs}/mlp", "--corrupt", "gain:-20dB", f"store.root={store}"]) == 0
    own = results.RunFolder(runs / "mlp").read_record() or {}
    lines = capsys.readouterr().out.splitlines()
    (clean,) = (line.split() for line in lines if line.strip().startswith("clean"))
    assert clean[1] == f"{100 * own['test']['ua']:.1f}"
    folder = runs / "mlp" / "evaluated" / "made" / "gain--20dB"
    assert record(folder)["corruption"] == "gain:-20dB"
    assert (record(folder)["corpus"], record(folder)["own_test"]) == ("made", True)
    corrupted, tested = table(folder), table(runs / "mlp").query("part == 'test'")
    assert list(corrupted.index) == list(tested.index)
    assert list(corrupted["truth"]) == list(tested["truth"])
    # As predicted from files at that level.
    files = pd.read_csv(tiny / "made.csv")["file"]
    paths = []
    for name in (file for file in files if Path(file).stem in tested.index):
        signal, _ = soundfile.read(tiny / name, dtype="float32")
        paths.append(tmp_path / name)
        soundfile.write(paths[-1], signal * np.float32(0.1), RATE, "FLOAT")
    options = {"window": None, "hop": None, "workers": 1, "out": tmp_path / "quiet.csv"}
    predict(runs / "mlp", paths, one_speaker=False, **options)  # type: ignore[arg-type]
    quiet = pd.read_csv(tmp_path / "quiet.csv")
    np.testing.assert_allclose(corrupted.filter(like="p_"), quiet.filter(like="p_"), rtol=1e-4)
    # Features of these utterances alone were extracted, clean and corrupted.
    signatures = [each.name for each in store.iterdir() if "," in each.name and "func" in each.name]
    entries = [len(list((store / name).glob("??/*"))) for name in sorted(signatures)]
    assert entries == [len(tested)] * 2


def test_a_report_has_a_table_of_it(runs: Path, tmp_path: Path) -> None:
    assert evaluate(runs, [], "noise:0dB,phone") == 0
    evaluate(runs / "mlp", [], "reverb:0.6s")
    file = runs / "mlp" / "evaluated" / "made" / "phone" / results.EVALUATION
    before = file.stat().st_mtime_ns
    evaluate(runs / "mlp", [], "phone")
    assert file.stat().st_mtime_ns == before  # the same evaluation exists
    assert not list(inconsistencies(results.RunFolder(runs / "mlp")))
    out = tmp_path / "report"
    OmegaConf.clear_resolvers()
    assert main(["report", str(runs), "--out", str(out)]) == 0
    scores = pd.read_csv(out / "robustness.csv").set_index(["system", "condition"])
    assert len(scores) == 4 + 3
    for name in ("mlp", "svm"):
        (system,) = {each for each, _ in scores.index if name in each}
        own = results.RunFolder(runs / name).read_record() or {}
        assert scores.loc[(system, "clean"), "ua"] == pytest.approx(own["test"]["ua"], abs=1e-6)
        noisy = record(runs / name / "evaluated" / "made" / "noise-0dB")
        assert scores.loc[(system, "noise:0dB"), "ua"] == pytest.approx(
            noisy["test"]["ua"], abs=1e-6
        )
    text = (out / "report.md").read_text()
    assert "| corpus and target | system | clean | noise:0dB | phone | reverb:0.6s |" in text
    assert 'id="robustness"' in (out / "index.html").read_text()
    predictions = file.parent / results.PREDICTIONS
    predictions.write_text(predictions.read_text() + "\n")
    assert any("evaluated/made/phone" in each for each in inconsistencies(
        results.RunFolder(runs / "mlp")
    ))  # fmt: skip


def test_another_corpus_can_be_corrupted_too(runs: Path, tiny: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    rows = []
    for number in range(6):
        name = ("calm", "loud")[number % 2]
        signal = rng.normal(0, (0.02, 0.2)[number % 2], RATE // 2).clip(-1, 1)
        soundfile.write(tmp_path / f"o{number}.wav", signal, RATE)
        rows.append([f"o{number}.wav", number // 2, name])
    frame = pd.DataFrame(rows, columns=["file", "speaker", "emotion"])
    frame.to_csv(tmp_path / "other.csv", index=False)
    other = ["corpus=manifest", f"corpus.root={tmp_path}/other.csv", f"store.root={tmp_path}/store"]
    evaluate(runs / "mlp", other, "gain:-20dB")
    folder = runs / "mlp" / "evaluated" / "other"
    assert "corruption" not in record(folder)
    assert record(folder / "gain--20dB")["own_test"] is False
    # The loud ones have the level of the calm ones.
    assert set(table(folder / "gain--20dB")["prediction"]) == {"calm"}


def test_a_corpus_that_has_changed_is_no_test_of_the_run(
    runs: Path, tiny: Path, tmp_path: Path
) -> None:
    home = Path(shutil.copytree(tiny, tmp_path / "home", ignore=shutil.ignore_patterns("[!0-9m]*")))
    options = [f"corpus.root={home}/made.csv", f"store.root={tmp_path}/store"]
    tested = table(runs / "mlp").query("part == 'test'").index[0]
    signal, _ = soundfile.read(home / f"{tested}.wav")
    soundfile.write(home / f"{tested}.wav", signal[::-1] * 0.3, RATE)
    with pytest.raises(UserError, match="does not give the predictions of the run"):
        evaluate(runs / "mlp", options, "phone")
    text = (home / "made.csv").read_text()
    (home / "made.csv").write_text(text.replace("loud", "calm", 8))
    with pytest.raises(UserError, match="other labels or utterances"):
        evaluate(runs / "mlp", options, "phone")
    with pytest.raises(UserError, match="its corpus is not at /nowhere"):
        evaluate(runs / "mlp", ["corpus.root=/nowhere"], "phone")
    with pytest.raises(UserError, match="seed: without corpus=..., a run is tested on its own"):
        evaluate(runs / "mlp", ["seed=3"], "phone")
    with pytest.raises(UserError, match="give a corpus to test on .* or --corrupt"):
        evaluate(runs / "mlp", [])


def test_names_of_corruptions(tmp_path: Path) -> None:
    (tmp_path / "cafe").mkdir()
    soundfile.write(tmp_path / "cafe" / "a.wav", np.full(RATE, 0.1), RATE)
    text = f"noise:10dB, noise:pink:-5db,noise:{tmp_path}/cafe:0,reverb,reverb:0.5s,gain:-6dB,phone"
    parsed = conditions(text)
    names = [
        "noise:10dB",
        "noise:pink:-5dB",
        "noise:cafe:0dB",
        "reverb",
        "reverb:0.5s",
        "gain:-6dB",
    ]
    assert [each.name for each in parsed] == [*names, "phone"]
    assert parsed[1].corruption == Noise([-5.0, -5.0], "pink", None)
    assert parsed[2].corruption == Noise([0.0, 0.0], "white", f"{tmp_path}/cafe")
    assert parsed[4].corruption == Reverb([0.5, 0.5], [0, 10], None)
    assert parsed[5].corruption == Gain([-6.0, -6.0])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("nois:10dB", "--corrupt nois:10dB: unknown; expected noise:10dB"),
        ("none", "unknown"),
        ("noise", "noise: needs a number at its end"),
        ("noise:loud", "needs a number at its end"),
        ("gain:3dB:4dB", "--corrupt gain:3dB:4dB: expected noise"),
        ("phone:8", "--corrupt phone:8: expected"),
        ("speed:0", "factor=.*must be 0.1 or more"),
        ("noise:/nowhere:3dB", "no such folder"),
        ("phone,noise:1dB,phone", "phone is there twice"),
        ("", "unknown; expected"),
    ],
)
def test_wrong_names_are_errors(text: str, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        conditions(text)
