"""Probes of codes with known content, and the command on synthetic sounds."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from matplotlib.image import imread
from omegaconf import OmegaConf
from small import Composed

from ser import results
from ser.__main__ import main
from ser.config import CONF
from ser.inference.restore import restore
from ser.latents.encode import describe, encode
from ser.latents.probes import Score, probe, trials
from ser.latents.verdict import verdict
from ser.models.aae import AAE
from ser.plots.maps import embed
from ser.runs.run import run

NASTY = '<b>&"x'
EMOTIONS = ("calm", "loud", "shrill")


# ---- probes


def make_table() -> pd.DataFrame:
    """Six speakers, three emotions, five sentences, four takes; two speakers are held out."""
    names = ("speaker", "label", "text", "take")
    index = pd.MultiIndex.from_product([range(6), EMOTIONS, range(5), range(4)], names=names)
    table = index.to_frame(index=False)
    table["part"] = table["speaker"].map(lambda s: {4: "val", 5: "test"}.get(s, "train"))
    table["gender"] = np.where(table["speaker"] % 2 == 0, "female", "male")
    table.index = pd.Index([f"u{i:03d}" for i in range(len(table))])
    return table


def one_hot(column: pd.Series, rng: np.random.Generator) -> np.ndarray:
    """Return codes that encode a column, and noise."""
    hot = pd.get_dummies(column).to_numpy(float)
    return np.hstack([hot, np.zeros((len(hot), 2))]) + 0.1 * rng.normal(size=(len(hot), 1))


@pytest.fixture(scope="module")
def scores() -> dict[tuple[str, str, str], Score]:
    rng = np.random.default_rng(0)
    table = make_table()
    shuffled = pd.Series(rng.permutation(table["label"]))
    codes = {name: one_hot(table[c], rng) for name, c in (("y", "label"), ("z", "speaker"))}
    codes["noise"] = one_hot(shuffled, rng)
    every = probe(codes, table, {"emotion": "label"}, independent=True)
    return {(score.latent, score.label, score.side): score for score in every}


@pytest.mark.parametrize("side", ["held out", "train"])
def test_probes_predict_only_what_codes_encode(scores: dict, side: str) -> None:
    assert scores["y", "emotion", side].ua == 1
    assert scores["z", "speaker", side].ua == 1
    both = "y + z + noise"
    assert scores[both, "emotion", side].ua == scores[both, "speaker", side].ua == 1
    for absent in (("z", "emotion"), ("noise", "emotion"), ("noise", "speaker"), ("y", "speaker")):
        score = scores[*absent, side]
        assert not score.above_chance, absent
        # Codes of unseen speakers are constant, so one class is predicted: exactly chance.
        assert score.ua == pytest.approx(score.chance, abs=0.12), absent


def test_chance_and_counts(scores: dict) -> None:
    assert scores["y", "emotion", "held out"].chance == pytest.approx(1 / 3)
    assert scores["y", "speaker", "train"].chance == 1 / 4
    assert scores["y", "speaker", "held out"].chance == 1 / 2
    assert scores["y", "emotion", "held out"].utterances == 120
    assert scores["y", "emotion", "train"].utterances == 240


def test_probes_are_scored_on_unseen_speakers_or_texts() -> None:
    table = make_table()
    for trial in trials(table, {"emotion": "label"}, independent=True):
        for learn, held in trial.splits:
            assert not set(learn) & set(held)
            column = "text" if trial.label == "speaker" else "speaker"
            assert not set(table[column].iloc[learn]) & set(table[column].iloc[held])
        if trial.side == "train":
            rows = np.concatenate([np.concatenate(split) for split in trial.splits])
            assert set(table["part"].iloc[rows]) == {"train"}


def test_missing_columns_are_stated() -> None:
    table = make_table()
    table = table[table["speaker"] != 4].drop(columns=["gender", "text"])
    by_key = {(t.label, t.side): t for t in trials(table, {"emotion": "label"}, independent=True)}
    assert by_key["gender", "train"].how == "this corpus has no gender"
    assert by_key["gender", "held out"].splits == []
    assert by_key["speaker", "held out"].how == "fewer than two classes of speaker to score on"
    assert by_key["speaker", "train"].how == "cross-validation over utterances of the same speakers"


def test_single_gender_held_out_is_stated() -> None:
    table = make_table()
    table = table[table["speaker"] != 4]
    by_key = {(t.label, t.side): t for t in trials(table, {"emotion": "label"}, independent=True)}
    assert by_key["gender", "held out"].how == "fewer than two classes of gender to score on"
    assert len(by_key["gender", "train"].splits) == 4


@pytest.mark.parametrize(
    ("z_emotion", "z_speaker", "judged"),
    [(0.3, 0.9, "holds in"), (0.8, 0.9, "holds in part"), (0.8, 0.2, "holds in part")],
)
def test_verdict(z_emotion: float, z_speaker: float, judged: str) -> None:
    def make(latent: str, label: str, side: str, ua: float) -> Score:
        return Score(latent, label, side, "", ua, ua - 0.05, ua + 0.05, 0.3, 100)

    scores = [
        make("y", "emotion", "held out", 0.9),
        make("z", "emotion", "held out", z_emotion),
        make("y", "speaker", "train", 0.3),
        make("z", "speaker", "train", z_speaker),
    ]
    conclusion = verdict(scores, "y", "emotion")
    assert judged in conclusion
    assert ("z predicts it" in conclusion) == (z_emotion > 0.35)


@pytest.mark.parametrize("shape", [(4, 1), (5, 3), (40, 100)])
def test_embedding_of_any_shape_is_deterministic(shape: tuple[int, int]) -> None:
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    for once, again in zip(embed(x), embed(x), strict=True):
        assert once.points.shape == (shape[0], 2)
        assert np.isfinite(once.points).all()
        assert np.array_equal(once.points, again.points)


# ---- the command


def write_corpus(folder: Path) -> None:
    """Write 72 hums in noise: six speakers in three sessions, one with special characters."""
    rng = np.random.default_rng(0)
    lines = ["file,speaker,gender,session,text,emotion"]
    for speaker in range(6):
        for number, (emotion, text) in enumerate((e, t) for e in EMOTIONS for t in "abcd"):
            pitch = 110 + 20 * speaker + 40 * EMOTIONS.index(emotion)
            signal = 0.1 * rng.normal(size=12000)
            seconds = np.arange(4000 + rng.integers(2000)) / 16000
            voice = sum(np.sin(2 * np.pi * h * pitch * seconds) / h for h in range(1, 12))
            signal[2000 : 2000 + len(voice)] = 0.2 * voice
            name = f"s{speaker}_{number}"
            soundfile.write(folder / f"{name}.wav", signal, 16000)
            speaker_name = NASTY.replace('"', '""') if speaker == 0 else f"s{speaker}"
            gender = ("female", "male")[speaker % 2]
            lines.append(f'{name}.wav,"{speaker_name}",{gender},{speaker // 2},{text},{emotion}')
    (folder / "tones.csv").write_text("\n".join(lines))


def train(composed: Callable[..., Composed], folder: Path, manifest: Path, *overrides: str) -> Path:
    """Train a run as `train.py` does."""
    cfg, choices = composed(
        "corpus=manifest",
        f"corpus.root={manifest}",
        f"store.root={folder / 'store'}",
        "store.workers=1",
        "fold=session_swap",
        "model=aae",
        "trainer.max_epochs=3",
        *overrides,
    )
    (folder / ".hydra").mkdir()
    OmegaConf.save(cfg, folder / ".hydra" / "config.yaml")
    run(cfg, folder, choices)
    return folder


SMALL = (
    "data.standardise=speaker",  # adds a remark
    "model.latents.z.size=4",
    "model.discriminator.hidden=[16]",
    "networks.utterance.encoder.hidden=[16]",
    "networks.utterance.decoder.hidden=[16]",
)


@pytest.fixture(scope="session")
def manifest(once: Callable[..., Path]) -> Path:
    return once("tones", write_corpus) / "tones.csv"


@pytest.fixture(scope="session")
def trained(composed: Callable[..., Composed], manifest: Path, once: Callable[..., Path]) -> Path:
    """The folder of a finished run; do not modify."""
    options = ("features=egemaps", *SMALL)
    return once("latents", lambda folder: train(composed, folder, manifest, *options))


@pytest.fixture(scope="module")
def analyse(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Runs the command on a copy of the run and returns its folder."""

    def analyse_copy(*options: str) -> Path:
        folder = tmp_path_factory.mktemp("run")
        shutil.copytree(trained, folder, dirs_exist_ok=True)
        assert main(["latents", str(folder), *options]) == 0
        return folder

    return analyse_copy


@pytest.fixture(scope="module")
def analysed(analyse: Callable[..., Path]) -> Path:
    """The folder of a run with its analysis; do not modify."""
    return analyse()


@pytest.fixture(scope="module")
def page(analysed: Path) -> "Page":
    return read_page(analysed)


class Elements(HTMLParser):
    """Tags of a page with their attributes, and the text of its scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: dict[str | None, str] = {}
        self._within = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._within = tag == "script"
        if self._within:
            self.scripts[dict(attrs).get("id")] = ""

    def handle_endtag(self, tag: str) -> None:
        self._within = False

    def handle_data(self, data: str) -> None:
        if self._within:
            last = list(self.scripts)[-1]
            self.scripts[last] += data


@dataclass(frozen=True)
class Page:
    """The page of a run.

    Attributes:
        text: HTML.
        elements: Its elements.
        data: Data of its script.
        clips: Audio of each utterance.
    """

    text: str
    elements: Elements
    data: dict
    clips: list[str]


def read_page(folder: Path) -> Page:
    text = (folder / "latents" / "map.html").read_text()
    elements = Elements(text)
    (data,), clips = (json.loads(elements.scripts[name]) for name in ("data", "clips"))
    return Page(text, elements, data, clips)


def test_no_file_of_the_run_changes(trained: Path, analysed: Path) -> None:
    for path in trained.rglob("*"):
        if path.is_file():
            assert (analysed / path.relative_to(trained)).read_bytes() == path.read_bytes(), path


def test_scores_name_their_run(analysed: Path) -> None:
    content = json.loads((analysed / "latents" / "probe.json").read_text())
    assert content["run_key"] == results.read_json(analysed / "result.json")["run_key"]
    assert {score["latent"] for score in content["scores"]} == {"y", "z", "y + z"}
    assert all(0 <= score["ua"] <= 1 for score in content["scores"])


def test_without_audio_the_page_has_no_clips_and_remarks_are_shown_everywhere(
    analyse: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = analyse("--audio", "none")
    page = read_page(folder)
    assert page.clips == []
    (remark,) = results.read_json(folder / "result.json")["remarks"]
    assert remark.startswith("transductive")
    assert remark in capsys.readouterr().out
    assert f'<p class="remark">{remark}</p>' in page.text
    assert json.loads((folder / "latents" / "probe.json").read_text())["remarks"] == [remark]


def test_codes_of_windows_are_averaged_like_probabilities(
    composed: Callable[..., Composed], manifest: Path, tmp_path: Path
) -> None:
    frames = [f"networks.frame.{n}.hidden=[8]" for n in ("encoder", "decoder")]
    frames += [f"networks.frame.{n}.channels=[4, 4, 4, 4]" for n in ("encoder", "decoder")]
    short = ["features=logmel40", "data.max_frames=32", "trainer.max_epochs=1"]
    prepared, model = restore(train(composed, tmp_path, manifest, *SMALL[:3], *frames, *short))
    assert isinstance(model, AAE)
    codes, table = encode(model, prepared.data), describe(prepared, model)
    assert codes["z"].shape == (72, 4)
    predictions = results.RunFolder(tmp_path).read_predictions().set_index("utterance")
    y = pd.DataFrame(codes["y"], index=table.index).loc[predictions.index]
    np.testing.assert_allclose(y, predictions.filter(like="p_"), atol=1e-5)


def test_picture_is_not_empty(analysed: Path) -> None:
    image = imread(analysed / "latents" / "map.png")
    assert image.shape[0] > 800
    assert image.shape[1] > 1200
    assert image[..., :3].std() > 0.05


def test_page_is_self_contained_and_has_all_utterances(page: Page) -> None:
    assert not re.search(r"https?:", page.text)
    assert [a for _, a in page.elements.tags if "href" in a or "src" in a] == []
    tags = page.elements.tags
    points = [a for tag, a in tags if tag == "g" and "point" in (a.get("class") or "")]
    assert sorted(int(a["data-i"] or "") for a in points) == list(range(72))
    assert len(set(page.data["rows"]["utterance"])) == len(page.clips) == 72
    assert {len(each["places"]) for each in page.data["maps"]} == {72}
    assert {len(each["numbers"]) for each in page.data["colourings"]} == {72}
    assert all(clip.startswith("data:audio/mpeg;base64,") for clip in page.clips)


def test_page_has_the_predictions_of_the_run(page: Page, analysed: Path) -> None:
    rows = pd.DataFrame(page.data["rows"]).set_index("utterance")
    predictions = results.RunFolder(analysed).read_predictions().set_index("utterance")
    for column in ("part", "truth", "prediction"):
        assert (rows.loc[predictions.index, column] == predictions[column]).all(), column


def test_names_are_escaped(page: Page) -> None:
    assert NASTY in page.data["rows"]["speaker"]
    assert "<b>&" not in page.text
    scripts = [tag for tag, _ in page.elements.tags if tag == "script"]
    assert page.text.count("</script>") == len(scripts)


def test_page_shows_probe_scores(page: Page, analysed: Path) -> None:
    content = json.loads((analysed / "latents" / "probe.json").read_text())
    for score in content["scores"]:
        assert f"{100 * score['ua']:.1f}" in page.text
    assert content["verdict"] in page.text


def test_analysis_is_deterministic(analysed: Path, analyse: Callable[..., Path]) -> None:
    again = analyse()
    for name in ("probe.json", "map.png", "map.html"):
        one, two = (each / "latents" / name for each in (analysed, again))
        assert one.read_bytes() == two.read_bytes(), name


def test_audio_can_be_linked(manifest: Path, analyse: Callable[..., Path]) -> None:
    folder = analyse("--audio", "link")
    page = read_page(folder)
    number = page.data["rows"]["utterance"].index("s3_7")
    assert (folder / "latents" / page.clips[number]).resolve() == manifest.parent / "s3_7.wav"


def test_folder_without_run_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["latents", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert "no finished run (no result.json)" in error
    assert "python train.py model=aae" in error


@pytest.mark.parametrize("model", ["mlp", "logistic"])
def test_run_without_latents_is_an_error(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".hydra").mkdir()
    results.RunFolder(tmp_path).finish({})
    conf = CONF / "model" / f"{model}.yaml"
    target = re.search(r"^  _target_: (.*)$", conf.read_text(), re.MULTILINE)[1]
    (tmp_path / ".hydra" / "config.yaml").write_text(f"model: {{_target_: {target}}}")
    assert main(["latents", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert "has no latents" in error
    assert "python train.py model=aae" in error
