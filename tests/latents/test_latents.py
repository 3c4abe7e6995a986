"""What latents hold: probes of codes with known answers, and the whole command on made speech."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from hydra import compose, initialize_config_dir
from matplotlib.image import imread
from omegaconf import OmegaConf

from ser import results
from ser.__main__ import main
from ser.config import CONF
from ser.config.run_key import register_resolvers
from ser.inference.restore import restore
from ser.latents import described, encoded, verdict
from ser.latents.probes import Score, probed, trials
from ser.models.aae import AAE
from ser.plots.map import maps
from ser.runs.run import run

NASTY = '<b>&"x'
EMOTIONS = ("calm", "loud", "shrill")
GROUPS = ("corpus", "target", "features", "model", "fold")


# ---- probes


def made_table(rng: np.random.Generator) -> pd.DataFrame:
    """Six speakers, three emotions, five sentences, four times each; the last two held out."""
    names = ("speaker", "truth", "text", "take")
    index = pd.MultiIndex.from_product([range(6), EMOTIONS, range(5), range(4)], names=names)
    table = index.to_frame(index=False)
    table["part"] = table["speaker"].map(lambda s: {4: "val", 5: "test"}.get(s, "train"))
    table["gender"] = np.where(table["speaker"] % 2 == 0, "female", "male")
    table.index = pd.Index([f"u{i:03d}" for i in range(len(table))])
    return table


def one_hot(column: pd.Series, rng: np.random.Generator) -> np.ndarray:
    """Codes that tell a column, and noise."""
    hot = pd.get_dummies(column).to_numpy(float)
    return np.hstack([hot, np.zeros((len(hot), 2))]) + 0.1 * rng.normal(size=(len(hot), 1))


@pytest.fixture(scope="module")
def found() -> dict[tuple[str, str, str], Score]:
    rng = np.random.default_rng(0)
    table = made_table(rng)
    shuffled = pd.Series(rng.permutation(table["truth"]))
    codes = {name: one_hot(table[c], rng) for name, c in (("y", "truth"), ("z", "speaker"))}
    codes["noise"] = one_hot(shuffled, rng)
    scores = probed(codes, table, "emotion", independent=True)
    return {(score.latent, score.label, score.side): score for score in scores}


@pytest.mark.parametrize("side", ["held out", "train"])
def test_probes_find_what_is_there_and_nothing_else(found: dict, side: str) -> None:
    assert found["y", "emotion", side].ua == 1
    assert found["z", "speaker", side].ua == 1
    both = "y + z + noise"
    assert found[both, "emotion", side].ua == found[both, "speaker", side].ua == 1
    for absent in (("z", "emotion"), ("noise", "emotion"), ("noise", "speaker"), ("y", "speaker")):
        score = found[*absent, side]
        assert not score.above_chance, absent
        # Speaker codes of unmet speakers are constant: one class is named, chance exactly.
        assert score.ua == pytest.approx(score.chance, abs=0.12), absent


def test_chance_and_counts(found: dict) -> None:
    assert found["y", "emotion", "held out"].chance == pytest.approx(1 / 3)
    assert found["y", "speaker", "train"].chance == 1 / 4
    assert found["y", "speaker", "held out"].chance == 1 / 2
    assert found["y", "emotion", "held out"].utterances == 120
    assert found["y", "emotion", "train"].utterances == 240


def test_nobody_scored_was_learned_from() -> None:
    table = made_table(np.random.default_rng(0))
    for trial in trials(table, "emotion", independent=True):
        for learn, held in trial.splits:
            assert not set(learn) & set(held)
            column = "text" if trial.label == "speaker" else "speaker"
            assert not set(table[column].iloc[learn]) & set(table[column].iloc[held])
        if trial.side == "train":
            rows = np.concatenate([np.concatenate(split) for split in trial.splits])
            assert set(table["part"].iloc[rows]) == {"train"}


def test_what_a_corpus_lacks_is_said() -> None:
    table = made_table(np.random.default_rng(0))
    table = table[table["speaker"] != 4].drop(columns=["gender", "text"])
    said = {(t.label, t.side): t for t in trials(table, "emotion", independent=True)}
    assert said["gender", "train"].how == "this corpus has no gender"
    assert said["gender", "held out"].splits == []
    assert said["speaker", "held out"].how == "fewer than two kinds of speaker to tell apart"
    assert said["speaker", "train"].how == "folds of utterances of the same speakers"


def test_one_gender_held_out_is_said() -> None:
    table = made_table(np.random.default_rng(0))
    table = table[table["speaker"] != 4]
    said = {(t.label, t.side): t for t in trials(table, "emotion", independent=True)}
    assert said["gender", "held out"].how == "fewer than two kinds of gender to tell apart"
    assert len(said["gender", "train"].splits) == 4


@pytest.mark.parametrize(
    ("z_emotion", "z_speaker", "judged"),
    [(0.3, 0.9, "holds in"), (0.8, 0.9, "holds in part"), (0.8, 0.2, "holds in part")],
)
def test_verdict(z_emotion: float, z_speaker: float, judged: str) -> None:
    def made(latent: str, label: str, side: str, ua: float) -> Score:
        return Score(latent, label, side, "", ua, ua - 0.05, ua + 0.05, 0.3, 100)

    scores = [
        made("y", "emotion", "held out", 0.9),
        made("z", "emotion", "held out", z_emotion),
        made("y", "speaker", "train", 0.3),
        made("z", "speaker", "train", z_speaker),
    ]
    told = verdict(scores, "y", "emotion")
    assert judged in told
    assert ("tells it too" in told) == (z_emotion > 0.35)


@pytest.mark.parametrize("shape", [(4, 1), (5, 3), (40, 100)])
def test_maps_of_any_shape_are_the_same_twice(shape: tuple[int, int]) -> None:
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    for once, again in zip(maps(x), maps(x), strict=True):
        assert once.points.shape == (shape[0], 2)
        assert np.isfinite(once.points).all()
        assert np.array_equal(once.points, again.points)


# ---- the command


def made_corpus(folder: Path) -> Path:
    """A manifest of 72 hums in noise: six speakers in three sessions, one with a nasty name."""
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
            who = NASTY.replace('"', '""') if speaker == 0 else f"s{speaker}"
            gender = ("female", "male")[speaker % 2]
            lines.append(f'{name}.wav,"{who}",{gender},{speaker // 2},{text},{emotion}')
    (folder / "tones.csv").write_text("\n".join(lines))
    return folder / "tones.csv"


def trained(folder: Path, manifest: Path, *overrides: str) -> Path:
    """A finished run as `train.py` leaves it."""
    register_resolvers()
    chosen = {"corpus": "manifest", "features": "functionals", "model": "aae"}
    chosen |= dict(o.split("=") for o in overrides if o.startswith("model="))
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose(
            "train",
            [
                *(f"{group}={name}" for group, name in chosen.items()),
                f"corpus.root={manifest}",
                f"store.root={manifest.parent / 'store'}",
                "store.workers=1",
                "trainer.max_epochs=3",
                *overrides,
            ],
        )
    names = {group: chosen.get(group, "") for group in GROUPS} | {"target": "emotion"}
    OmegaConf.save(cfg, _made(folder / ".hydra") / "config.yaml")
    run(cfg, folder, names)
    return folder


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


SMALL = (
    "data.standardise=speaker",  # which earns a remark
    "model.latents.z.size=4",
    "model.discriminator.hidden=[16]",
    "networks.utterance.encoder.hidden=[16]",
    "networks.utterance.decoder.hidden=[16]",
)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def told(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run whose latents were told."""
    folder = trained(tmp_path_factory.mktemp("run"), manifest, *SMALL)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert main(["latents", str(folder)]) == 0
    assert all(path.read_bytes() == content for path, content in before.items())
    return folder


class Elements(HTMLParser):
    """The tags of a page with their attributes, and the text of its scripts."""

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


def page(folder: Path) -> tuple[str, Elements, dict, list]:
    text = (folder / "latents" / "map.html").read_text()
    elements = Elements(text)
    (data,), clips = (json.loads(elements.scripts[name]) for name in ("data", "clips"))
    return text, elements, data, clips


def test_scores_are_written_with_whose_they_are(told: Path) -> None:
    found = json.loads((told / "latents" / "probe.json").read_text())
    assert found["run_key"] == results.read_json(told / "result.json")["run_key"]
    assert {score["latent"] for score in found["scores"]} == {"y", "z", "y + z"}
    assert all(0 <= score["ua"] <= 1 for score in found["scores"])


def test_remarks_stand_beside_it(told: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["latents", str(told), "--audio", "none"]) == 0
    (remark,) = results.read_json(told / "result.json")["remarks"]
    assert remark.startswith("transductive")
    assert remark in capsys.readouterr().out
    assert f'<p class="remark">{remark}</p>' in page(told)[0]
    assert json.loads((told / "latents" / "probe.json").read_text())["remarks"] == [remark]
    assert main(["latents", str(told)]) == 0


def test_codes_of_windows_are_averaged_as_probabilities_are(manifest: Path, tmp_path: Path) -> None:
    frames = [f"networks.frame.{n}.hidden=[8]" for n in ("encoder", "decoder")]
    frames += [f"networks.frame.{n}.channels=[4, 4, 4, 4]" for n in ("encoder", "decoder")]
    short = ["features=logmel40", "data.max_frames=32", "trainer.max_epochs=1"]
    prepared, model = restore(trained(tmp_path, manifest, *SMALL[:3], *frames, *short))
    assert isinstance(model, AAE)
    codes, table = encoded(model, prepared.data), described(prepared, model)
    assert codes["z"].shape == (72, 4)
    held = results.RunFolder(tmp_path).read_predictions().set_index("utterance")
    y = pd.DataFrame(codes["y"], index=table.index).loc[held.index]
    np.testing.assert_allclose(y, held.filter(like="p_"), atol=1e-5)


def test_the_picture_is_one(told: Path) -> None:
    image = imread(told / "latents" / "map.png")
    assert image.shape[0] > 800
    assert image.shape[1] > 1200
    assert image[..., :3].std() > 0.05


def test_the_page_needs_nothing_else_and_holds_every_utterance(told: Path) -> None:
    text, elements, data, clips = page(told)
    assert not re.search(r"https?:", text)
    outside = [a for _, a in elements.tags if "href" in a or "src" in a]
    assert outside == []
    points = [a for tag, a in elements.tags if tag == "g" and "point" in (a.get("class") or "")]
    assert sorted(int(a["data-i"] or "") for a in points) == list(range(72))
    assert len(set(data["rows"]["utterance"])) == len(clips) == 72
    assert {len(each["places"]) for each in data["maps"]} == {72}
    assert {len(each["of"]) for each in data["colourings"]} == {72}
    assert all(clip.startswith("data:audio/mpeg;base64,") for clip in clips)


def test_the_page_tells_what_the_run_predicted(told: Path) -> None:
    rows = pd.DataFrame(page(told)[2]["rows"]).set_index("utterance")
    predictions = results.RunFolder(told).read_predictions().set_index("utterance")
    for column in ("part", "truth", "prediction"):
        assert (rows.loc[predictions.index, column] == predictions[column]).all(), column


def test_names_are_escaped(told: Path) -> None:
    text, elements, data, _ = page(told)
    assert NASTY in data["rows"]["speaker"]
    assert "<b>&" not in text
    assert text.count("</script>") == len([tag for tag, _ in elements.tags if tag == "script"])


def test_told_twice_it_is_the_same(told: Path) -> None:
    names = ("probe.json", "map.png", "map.html")
    before = [(told / "latents" / name).read_bytes() for name in names]
    assert main(["latents", str(told)]) == 0
    assert [(told / "latents" / name).read_bytes() for name in names] == before


@pytest.mark.parametrize("audio", ["link", "none"])
def test_audio_by_path_or_not_at_all(told: Path, manifest: Path, audio: str) -> None:
    assert main(["latents", str(told), "--audio", audio]) == 0
    _, _, data, clips = page(told)
    if audio == "none":
        assert clips == []
    else:
        number = data["rows"]["utterance"].index("s3_7")
        assert (told / "latents" / clips[number]).resolve() == manifest.parent / "s3_7.wav"


def test_a_folder_without_run_says_what_is_needed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["latents", str(tmp_path)]) == 1
    assert "no finished run (no result.json); python train.py model=aae" in capsys.readouterr().err


@pytest.mark.parametrize("model", ["mlp", "logistic"])
def test_a_run_without_latents_says_what_is_needed(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".hydra").mkdir()
    (tmp_path / "result.json").write_text("{}")
    conf = CONF / "model" / f"{model}.yaml"
    target = re.search(r"^  _target_: (.*)$", conf.read_text(), re.MULTILINE)[1]
    (tmp_path / ".hydra" / "config.yaml").write_text(f"model: {{_target_: {target}}}")
    assert main(["latents", str(tmp_path)]) == 1
    assert "has no latents; python train.py model=aae" in capsys.readouterr().err
