"""Corrupted copies of training utterances: of these alone, with their labels and speakers."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from omegaconf import DictConfig, open_dict
from small import SMALL, Composed

from ser import results
from ser.config.checks import check
from ser.config.run_key import result_options
from ser.data.batches import UNLABELLED
from ser.data.datamodule import View
from ser.data.fingerprint import RunKeys
from ser.data.prepare import prepare
from ser.errors import UserError
from ser.runs.run import run

RATE = 16000
NOISE = ["augment=noise", "augment.copies=2"]
LEARNERS = {
    "mlp": ["model=mlp", *SMALL["mlp"]],
    "svm": ["model=svm", "model.grid.C=[1.0, 0.1]"],
    "segments": [
        *("features=logmel40", "representation=vae", "representation.size=4", "model=lstm"),
        *(f"representation.module.{name}.hidden=[8]" for name in ("encoder", "decoder")),
        *("representation.stopping.max_epochs=1", "model.encoder.layers=1"),
        *("model.encoder.width=4", "model.encoder.hidden=[4]"),
    ],
}


def write_corpus(folder: Path, test_seed: int = 0) -> None:
    """Write 24 recordings of six speakers and two classes; those of the test split by a seed."""
    rng = np.random.default_rng(1)
    rows = []
    for number in range(24):
        loud, speaker = number % 2, number // 2 % 6
        signal = rng.normal(0, (0.02, 0.2)[loud], RATE // 4)
        if speaker < 2 and test_seed:
            signal = np.random.default_rng(test_seed + number).normal(0, 0.1, RATE // 4)
        soundfile.write(folder / f"{number:02d}.wav", signal.clip(-1, 1), RATE)
        rows.append([f"{number:02d}.wav", speaker, speaker // 2, ("calm", "loud")[loud]])
    table = pd.DataFrame(rows, columns=["file", "speaker", "session", "emotion"])
    table.to_csv(folder / "made.csv", index=False)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    write_corpus(folder)
    return folder


Config = Callable[..., DictConfig]


@pytest.fixture
def config(home: Path, composed: Callable[..., Composed]) -> Config:
    def compose(*overrides: str, corpus: Path = home) -> DictConfig:
        folders = [f"corpus.root={corpus}/made.csv", f"store.root={home}/store"]
        folders += [f"fitted={corpus}/fitted", "corpus=manifest", "fold=session"]
        cfg, _ = composed(*folders, "features=egemaps", "trainer.max_epochs=2", *overrides)
        check(cfg)
        return cfg

    return compose


def test_copies_are_of_training_utterances_with_their_labels(config: Config) -> None:
    plain, prepared = prepare(config()), prepare(config(*NOISE))
    data, fold = prepared.data, prepared.data.fold
    assert len(fold.train) == 8
    assert set(fold.copies) == set(fold.train)
    assert len(fold.copies) == 16
    for name, ids in plain.data.fold.parts.items():
        assert list(fold.parts[name]) == list(ids)
        np.testing.assert_array_equal(data.values_of(ids), plain.data.values_of(ids))
    copies = data.values_of(fold.copies.index)
    sources = data.values_of(pd.Index(fold.copies))
    assert (copies != sources).any(axis=1).all()
    assert len(np.unique(copies, axis=0)) == 16
    np.testing.assert_array_equal(
        data.classes_of(fold.copies.index), data.classes_of(pd.Index(fold.copies))
    )
    assert [len(data.train_dataloader().y), len(data.val_dataloader().y)] == [24, 8]
    for split in ("val", "test"):
        assert len(data.table(split)[2]) == len(data.split_dataloader(split).y) == 8
    assert "augmented: corrupted copies of each training utterance: 2 (noise)" in prepared.remarks
    assert data.class_counts().equals(plain.data.class_counts())
    # Fitted on copies, too.
    assert not np.allclose(data.standardiser.mean, plain.data.standardiser.mean)


def test_copies_of_utterances_without_label_have_none(config: Config) -> None:
    prepared = prepare(config(*NOISE, "target.labelled_fraction=0.5"))
    data, copies = prepared.data, prepared.data.fold.copies
    assert len(data.labelled) == 4
    labelled = copies.index[copies.isin(data.labelled)]
    assert (data.classes_of(labelled) != UNLABELLED).all()
    assert (data.classes_of(copies.index.difference(labelled)) == UNLABELLED).all()
    assert len(data.train_dataloader().y) == len(data.table("train")[2]) == 12
    assert len(prepared.with_view(View(unlabelled=True)).train_dataloader().y) == 24


def test_speakers_are_standardised_by_their_own_recordings(config: Config) -> None:
    plain = prepare(config("data.standardise=speaker")).data
    data = prepare(config(*NOISE, "data.standardise=speaker")).data
    everyone, copies = data.fold.everyone, data.fold.copies
    np.testing.assert_array_equal(data.values_of(everyone), plain.values_of(everyone))
    speaker = data.speakers.loc[copies.iloc[0]]
    own = copies.index[copies.map(data.speakers) == speaker]
    np.testing.assert_allclose(data.values_of(own).mean(axis=0), 0, atol=1e-4)


def test_the_run_key_has_the_augmentation_only_where_there_is_one(
    config: Config, home: Path, tmp_path: Path
) -> None:
    old = config()
    with open_dict(old):
        del old["augment"]  # as a run of an earlier version has it
    assert prepare(old).run_key == prepare(config()).run_key == RunKeys()(config())
    assert "augment" not in result_options(config())
    keys = [RunKeys()(config(*o)) for o in ([], NOISE, [*NOISE[:1]], ["augment=mixed"])]
    assert len(set(keys)) == 4
    assert prepare(config(*NOISE)).run_key == keys[1]
    (tmp_path / "cafe").mkdir()
    soundfile.write(tmp_path / "cafe" / "a.wav", np.full(RATE, 0.1), RATE)

    def with_noise(folder: str) -> str:
        return RunKeys()(config(*NOISE, f"augment.noise.root={tmp_path}/{folder}"))

    before = with_noise("cafe")
    (tmp_path / "cafe").rename(tmp_path / "bar")
    assert with_noise("bar") == before
    soundfile.write(tmp_path / "bar" / "b.wav", np.full(RATE, 0.2), RATE)
    assert with_noise("bar") != before


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ([*NOISE, "in_memory=false"], "in_memory=true"),
        ([*NOISE, "features=files", "features.root=x"], "no audio to corrupt"),
        ([*NOISE, "augment.noise.snr=[3]"], "augment.noise.snr=.*at least 2"),
        ([*NOISE, "augment.copies=0"], "augment.copies=0"),
        ([*NOISE, "augment.noise.colour=blue"], "augment.noise.colour=blue"),
        (["augment=mixed", "augment.speed.factor=fast"], "augment.speed.factor=fast"),
    ],
)
def test_wrong_options_are_errors(config: Config, options: list[str], reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        config(*options)


def fitted(folder: Path) -> dict[str, str]:
    """Digests of everything that a run has fitted, and of its predictions for validation."""
    files = [*folder.glob("checkpoints/*"), *folder.glob("representation/*.npz")]
    contents = {file.name: file.read_bytes() for file in files if file.name != "last.ckpt"}
    predictions = results.RunFolder(folder).read_predictions().query("part == 'val'")
    contents["val"] = predictions.to_csv().encode()
    return {name: hashlib.blake2b(each).hexdigest() for name, each in contents.items()}


@pytest.mark.parametrize(
    "learner", ["mlp", "svm", pytest.param("segments", marks=pytest.mark.slow)]
)
def test_nothing_that_is_fitted_depends_on_the_audio_of_the_test_split(
    learner: str, config: Config, home: Path, composed: Callable[..., Composed], tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    write_corpus(other, test_seed=7)
    options = [*NOISE[:1], *LEARNERS[learner]]
    digests, tests = [], []
    for number, corpus in enumerate((home, other)):
        cfg = config(*options, f"fitted={tmp_path}/fitted-{number}", corpus=corpus)
        folder = tmp_path / f"run-{number}"
        run(cfg, folder, composed(*options)[1], brief=True)
        digests.append(fitted(folder))
        predictions = results.RunFolder(folder).read_predictions()
        assert set(predictions["part"]) == {"val", "test"}
        assert not predictions["utterance"].str.contains("copy").any()
        tests.append(predictions.query("part == 'test'").filter(like="p_").to_numpy())
        utterances = results.RunFolder(folder).read_utterances()["utterance"]
        assert not utterances.str.contains("copy").any()
        record = json.loads((folder / results.RESULT).read_text())
        assert record["augmented"] == {"choice": "noise", "copies": 8, "utterances": 8}
        assert record["class_counts"]["train"] == {"calm": 4, "loud": 4}
        assert record["fitted_on"]["utterances"] in (8, 16)  # with validation, not with copies
    assert digests[0] == digests[1]
    assert not np.array_equal(tests[0], tests[1])


def test_inner_folds_score_no_copies(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    from ser.models import tuning

    scored: list[int] = []
    original = tuning.unweighted_accuracy

    def scorer(truth: np.ndarray, predictions: np.ndarray) -> float:
        scored.append(len(truth))
        return original(truth, predictions)

    monkeypatch.setattr(tuning, "unweighted_accuracy", scorer)
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline

    rng = np.random.default_rng(0)
    y, groups = np.tile([0, 1], 12), np.repeat(np.arange(4), 6)
    unscored = np.tile([False, False, True], 8)
    x = rng.normal(size=(24, 2)) + y[:, None]
    pipeline, grid = Pipeline([("model", LogisticRegression())]), [{"model__C": [1.0]}]
    tuning.search(pipeline, grid, x, y, groups, jobs=1, unscored=unscored)
    assert scored == [4] * 4
