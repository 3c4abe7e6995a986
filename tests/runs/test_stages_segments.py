"""Stages of runs on segments of made-up frames: an autoencoder, and an LSTM on its codes."""

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import pytest
import torch
from offline import read, run_info
from omegaconf import DictConfig
from small import Composed
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ser import results
from ser.config import build
from ser.corpora import Corpus
from ser.data.batches import UNLABELLED, Batch
from ser.data.datamodule import DataModule, View
from ser.data.folds import Fold
from ser.data.prepare import Prepared, remarks_of
from ser.data.segments import Segments
from ser.data.targets import Target
from ser.features import Features
from ser.models.classifier import Classifier
from ser.representations import Items, Representation
from ser.representations.learned import Learned, Network
from ser.results import RunFolder
from ser.runs import codes as saved_codes
from ser.runs import loggers, network
from ser.runs.run import build_components, train
from ser.training.phased import PhasedModel
from ser.training.stopping import CheckpointSelection
from ser.training.trainer import Training

IDS = pd.Index([f"u{i:02d}" for i in range(48)])
TEST = IDS[36:]
CLASSES = ("a", "b", "c")
LABELS = pd.Series(np.random.default_rng(1).permutation(np.resize(CLASSES, 48)), index=IDS)
LENGTHS = np.random.default_rng(2).integers(2, 60, 48)
OFFSETS = np.concatenate([[0], LENGTHS.cumsum()])
SMALL = [
    "features=logmel80",
    "model=lstm",
    "model.encoder.width=8",
    "model.encoder.hidden=[8]",
    "representation.module.encoder.hidden=[16]",
    "representation.module.encoder.dropout=0",
    "representation.module.decoder.dropout=0",
    "representation.module.decoder.hidden=[16]",
    "representation.size=3",
    "representation.stopping.max_epochs=3",
    "representation.batch_size=16",
    "data.batch_size=8",
    "trainer.max_epochs=3",
    "trainer.checkpoint_seconds=0",
]


def frames() -> np.ndarray:
    means = np.repeat(LABELS.map({"a": -1.0, "b": 0.0, "c": 1.0}).to_numpy(), LENGTHS)
    noise = np.random.default_rng(3).normal(size=(OFFSETS[-1], 4))
    return (20 + 5 * (means[:, None] + noise)).astype(np.float32)


def prepared(
    cfg: DictConfig,
    *,
    labels: pd.Series = LABELS,
    values: np.ndarray | None = None,
    fraction: float = 1.0,
) -> Prepared:
    """24 utterances of 4-D frames train, 12 validate, 12 test."""
    found = frames() if values is None else values
    features = Features(IDS, found, OFFSETS, tuple("wxyz"), "frame")
    fold = Fold(0, 1, IDS[:24], IDS[24:36], TEST, fit=IDS[:24], speaker_independent=True)
    table = pd.DataFrame({"speaker": (np.arange(48) // 12).astype(str)}, index=IDS)
    target = Target("emotion", CLASSES, labels, labelled_fraction=fraction)
    corpus = Corpus("made", table)

    def factory(features: Features, view: View) -> DataModule:
        return build(cfg.data)(features, target, fold, table["speaker"], cfg.seed, view)

    return Prepared(
        corpus=corpus,
        data=factory(features, View()),
        beyond=IDS[:0],
        training_audio=set(),
        signature="made",
        options={},
        run_key="",
        remarks=remarks_of(cfg, corpus, factory(features, View()), 0),
        factory=factory,
    )


def representation_of(cfg: DictConfig, run: Prepared) -> Representation:
    representation = build_components(cfg, run.data.target.classes, "").representation
    assert representation is not None
    return representation


def items(cfg: DictConfig, data: DataModule, ids: pd.Index) -> tuple[Items, np.ndarray]:
    return network.items_of(cfg, data, ids, build(cfg.segments))


def coded(cfg: DictConfig, run: Prepared, folder: Path) -> DataModule:
    """The data of a run as codes of its representation, which is fitted first."""
    segments = build(cfg.segments)
    place = RunFolder(folder)
    fitted = network.fit_representation(cfg, run, representation_of(cfg, run), segments, [])
    return network.coded_data(cfg, run, fitted, segments, False, place)


def train_in(
    folder: Path, composed: Callable[..., Composed], *overrides: str, **made: object
) -> dict[str, np.ndarray]:
    """Trains all stages in a folder, and gives probabilities by part."""
    cfg, names = composed(*overrides, *SMALL, f"fitted={folder}/fitted")
    outcome = train(cfg, prepared(cfg, **made), RunFolder(folder / "run"), names["model"], [])  # type: ignore[arg-type]
    return dict(outcome.predictions)


@pytest.fixture
def trained(composed: Callable[..., Composed], tmp_path: Path) -> Callable:
    """Trains all stages in a folder of its own, and gives probabilities by part."""
    return lambda folder, *overrides, **made: train_in(
        tmp_path / folder, composed, *overrides, **made
    )


@pytest.fixture(scope="module")
def honest(
    composed: Callable[..., Composed], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], tuple[Path, dict[str, np.ndarray]]]:
    """Trains all stages with a representation, once: the folder, and probabilities by part."""

    @cache
    def train_once(name: str) -> tuple[Path, dict[str, np.ndarray]]:
        folder = tmp_path_factory.mktemp(name)
        return folder, train_in(folder, composed, f"representation={name}")

    return train_once


def same(first: dict[str, np.ndarray], second: dict[str, np.ndarray], part: str) -> bool:
    return np.array_equal(first[part], second[part])


@pytest.mark.parametrize("name", ["autoencoder", "vae", "cvae", "cvae_null", "cvae_oracle"])
def test_other_test_labels_change_no_prediction_unless_the_oracle_is_asked(
    name: str, honest: Callable, trained: Callable
) -> None:
    other = LABELS.copy()
    other.loc[TEST] = np.roll(LABELS.loc[TEST].to_numpy(), 1)
    assert (other != LABELS).any()
    _, expected = honest(name)
    permuted = trained("permuted", f"representation={name}", labels=other)
    assert same(expected, permuted, "val")
    assert same(expected, permuted, "test") is (name != "cvae_oracle")


def test_the_oracle_s_leak_is_marked(composed: Callable[..., Composed]) -> None:
    for name in ("cvae", "cvae_null", "cvae_oracle", "vae"):
        cfg, _ = composed(f"representation={name}", *SMALL)
        marked = any(remark.startswith("LEAKED") for remark in prepared(cfg).remarks)
        assert marked is (name == "cvae_oracle")


@pytest.mark.parametrize("name", ["vae", "cvae"])
def test_a_test_part_of_garbage_changes_nothing_that_is_fitted_or_chosen(
    name: str, honest: Callable, trained: Callable, tmp_path: Path
) -> None:
    garbage = frames()
    rows = slice(OFFSETS[36], None)
    garbage[rows] = np.random.default_rng(0).normal(0, 1e6, garbage[rows].shape)
    folder, expected = honest(name)
    spoilt = trained("spoilt", f"representation={name}", values=garbage)
    assert same(expected, spoilt, "val")
    assert not same(expected, spoilt, "test")
    (first,), (second,) = (
        [file.parent for file in (x / "fitted").glob("*/fitted.json")]
        for x in (folder, tmp_path / "spoilt")
    )
    assert first.name == second.name
    for left in ("standardiser.npz", "metrics.csv"):
        assert (first / left).read_bytes() == (second / left).read_bytes()


@pytest.mark.parametrize("after", [5, 20])
def test_killed_in_either_stage_it_ends_in_the_same_numbers(
    after: int, honest: Callable, trained: Callable, tmp_path: Path
) -> None:
    class Killed(BaseException):
        pass

    folder, whole = honest("cvae")
    step, seen = PhasedModel.training_step, []

    def killing(self: PhasedModel, batch: object, number: int) -> None:
        if len(seen) == after:
            raise Killed
        seen.append(type(self).__name__)
        step(self, batch, number)  # type: ignore[arg-type]

    with mock.patch.object(PhasedModel, "training_step", killing), pytest.raises(Killed):
        trained("killed", "representation=cvae")
    assert seen[-1] == ("CVAE" if after == 5 else "Classifier")
    assert (tmp_path / "killed/run/representation").exists() is (after == 20)
    again = trained("killed", "representation=cvae")
    assert same(whole, again, "val")
    assert same(whole, again, "test")
    for name in (results.METRICS, f"{results.REPRESENTATION}/{results.METRICS}"):
        files = [(x / "run" / name).read_bytes() for x in (folder, tmp_path / "killed")]
        assert files[0] == files[1]


@pytest.mark.parametrize(("name", "values"), [("vae", 3), ("cvae", 9)])
def test_the_lstm_sees_the_codes_of_an_utterance_s_segments_in_order(
    name: str, values: int, composed: Callable[..., Composed], tmp_path: Path
) -> None:
    options = ["data.clip=null", "data.batch_size=12", f"fitted={tmp_path}"]
    cfg, _ = composed(f"representation={name}", *SMALL, *options)
    run = prepared(cfg)
    representation = representation_of(cfg, run)
    data = coded(cfg, run, tmp_path / "run")
    assert data.task.inputs == 3
    shares = data.task.variants
    assert shares is None if name == "vae" else float(shares.sum()) == pytest.approx(1)
    data.setup("fit")
    (batch,) = data.split_dataloader("test")
    assert batch.lengths is not None
    assert batch.lengths.tolist() == [1 + max(0, -(-(n - 10) // 10)) for n in LENGTHS[36:]]
    assert batch.x.shape == (12, batch.lengths.max(), values)
    fitted = representation.fit(*items(cfg, run.data, run.data.fold.train), 3)
    for number, utterance in enumerate(TEST):
        alone, _ = items(cfg, run.data, pd.Index([utterance]))
        expected = data.standardiser(fitted.transform(alone))
        length = int(batch.lengths[number])
        np.testing.assert_allclose(batch.x[number, :length], expected, rtol=1e-4, atol=1e-4)
        assert not batch.x[number, length:].any()


def test_mapped_frames_stay_in_their_file_and_give_the_same_numbers(
    trained: Callable, tmp_path: Path
) -> None:
    np.save(tmp_path / "frames.npy", frames())
    mapped = np.load(tmp_path / "frames.npy", mmap_mode="r")
    found = {}
    for kind, values in (("held", frames()), ("mapped", mapped)):
        with mock.patch.object(torch, "from_numpy", wraps=torch.from_numpy) as taken:
            found[kind] = trained(kind, "representation=vae", values=values)
        whole = [call for call in taken.call_args_list if call.args[0].shape == mapped.shape]
        assert bool(whole) is (kind == "held")  # all of it standardised beforehand
    assert same(found["held"], found["mapped"], "test")


def test_what_has_no_label_is_learned_from_without_one(composed: Callable[..., Composed]) -> None:
    cfg, _ = composed("representation=cvae", *SMALL)
    run = prepared(cfg, fraction=0.25)
    x, y = items(cfg, run.data, run.data.fold.train)
    every, all_of = items(cfg, prepared(cfg).data, run.data.fold.train)
    assert len(x) == len(every) == len(y)
    told = y != UNLABELLED
    assert 0 < told.sum() < len(y) / 2
    assert np.array_equal(y[told], all_of[told])


def test_an_utterance_that_is_not_seen_in_one_piece_is_told(
    trained: Callable, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        trained("short", "representation=vae")
        assert "data.max_frames" not in caplog.text
        trained("long", "representation=vae", "data.max_frames=4", "segments.hop=4")
    assert "have more segments than data.max_frames=4" in caplog.text


def test_hop_changes_what_is_fitted_and_how_codes_are_read_does_not(
    composed: Callable[..., Composed], tmp_path: Path
) -> None:
    """The one is part of a fit's name, the other is not."""

    def key(*overrides: str) -> str:
        cfg, _ = composed(*overrides, *SMALL, f"fitted={tmp_path}")
        run = prepared(cfg)
        representation = representation_of(cfg, run)
        return representation.key(*items(cfg, run.data, run.data.fold.train), 3)

    plain = key("representation=cvae")
    assert key("representation=cvae_oracle") == plain
    assert key("representation=cvae", "representation.module.code=mean_and_variance") == plain
    assert key("representation=cvae", "segments.hop=5") != plain
    assert key("representation=cvae_null") != plain  # condition dropout
    assert key("representation=cvae", "representation.module.free_bits=0.1") != plain


def test_samples_are_segments_at_the_scale_of_their_frames(
    composed: Callable[..., Composed], tmp_path: Path
) -> None:
    cfg, _ = composed("representation=vae", *SMALL, f"fitted={tmp_path}")
    run = prepared(cfg)
    representation = representation_of(cfg, run)
    fitted = representation.fit(*items(cfg, run.data, run.data.fold.train), 3)
    made = fitted.sample(np.zeros(50, int), seed=0)
    assert made.shape == (50, 40)
    each = made.reshape(500, 4)
    means = frames()[: OFFSETS[24]].mean(0)
    np.testing.assert_allclose(each.mean(0), means, atol=4)  # of a spread of 5 to 6


def test_the_record_of_the_first_stage_counts_active_units(
    trained: Callable, tmp_path: Path
) -> None:
    options = ["representation.module.annealing_epochs=2", "representation.module.free_bits=0.1"]
    trained("run", "representation=vae", *options)
    record = pd.read_csv(tmp_path / "run/run/representation" / results.METRICS)
    wanted = {"train/elbo_loss", "train/reconstruction_loss", "train/kl", "train/active_units"}
    assert wanted <= set(record)
    # The first epoch's KL term weighs nothing, but for what is free of charge.
    first = record.iloc[0]
    assert first["train/elbo_loss"] == pytest.approx(first["train/reconstruction_loss"], rel=1e-4)
    facts = results.read_json(tmp_path / "run/run/representation" / results.FITTED)
    assert facts is not None
    assert facts["segments"] == 24 + further_segments()
    assert not (tmp_path / "run/run/representation" / results.CODES).exists()


def further_segments() -> int:
    """Segments of the training part beyond the first of each utterance."""
    return int(sum(max(0, -(-(n - 10) // 10)) for n in LENGTHS[:24]))


OF_SEGMENTS = [
    "features=logmel80",
    "segments=context",
    "segments.past=1",
    "segments.future=1",
    "data.batch_size=32",
    "trainer.max_epochs=2",
    "trainer.checkpoint_seconds=0",
]
DENOISING = [
    *OF_SEGMENTS,
    "representation=dae_tied",
    "representation.module.hidden=[8]",
    "representation.size=3",
    "representation.module.epochs_each=1",
    "representation.stopping.max_epochs=3",
    "representation.batch_size=32",
]
BEGINNING = [*DENOISING, "model=pyramid", "model.encoder.hidden=[8,3]", "transfer=weights"]


def test_a_classifier_begins_from_the_layers_of_a_representation(
    composed: Callable[..., Composed], tmp_path: Path
) -> None:
    cfg, names = composed(*BEGINNING, f"fitted={tmp_path}/fitted")
    run = prepared(cfg)
    begun = {}
    fit = Training.fit

    def noted(
        self: Training, model: PhasedModel, data: DataModule, *args: object
    ) -> CheckpointSelection:
        if isinstance(model, Classifier):
            begun.update({k: v.clone() for k, v in model.encoder.state_dict().items()})
            begun["mean"] = torch.from_numpy(data.standardiser.mean)
        return fit(self, model, data, *args)  # type: ignore[arg-type]

    with mock.patch.object(Training, "fit", noted):
        train(cfg, run, RunFolder(tmp_path / "run"), names["model"], [])
    representation = representation_of(cfg, run)
    fitted = representation.fit(*items(cfg, run.data, run.data.fold.train), 3)
    assert isinstance(fitted, Network)
    assert torch.equal(begun.pop("mean"), torch.from_numpy(fitted.standardiser.mean))
    of_representation = fitted.module.encoder.state_dict()
    assert begun.keys() == of_representation.keys()
    assert all(torch.equal(begun[name], of_representation[name]) for name in begun)
    best = torch.load(tmp_path / "run/checkpoints/best.ckpt", weights_only=True)["weights"]
    assert not torch.equal(best["encoder.layers.0.weight"], begun["layers.0.weight"])  # fine-tuned


@pytest.mark.parametrize("overrides", [DENOISING, OF_SEGMENTS])
def test_an_utterance_s_probabilities_are_the_means_of_its_segments(
    overrides: list[str], composed: Callable[..., Composed], tmp_path: Path
) -> None:
    cfg, names = composed(*overrides, "model=softmax", f"fitted={tmp_path}/fitted")
    found = train(cfg, prepared(cfg), RunFolder(tmp_path / "run"), names["model"], []).predictions[
        "test"
    ]
    run = prepared(cfg)
    if cfg.representation is not None:
        data = coded(cfg, run, tmp_path / "run")
    else:
        data = run.with_view(View(segments=build(cfg.segments)))
    assert data.task.inputs == (3 if cfg.representation is not None else 3 * 4)
    model = build(cfg.model)(data.task).eval()
    best = torch.load(tmp_path / "run/checkpoints/best.ckpt", weights_only=True)
    model.load_state_dict(best["weights"])
    for number, utterance in enumerate(TEST):
        values = data.segments_of(pd.Index([utterance]), data.view.segments)  # type: ignore[arg-type]
        each = data.standardiser(values.values[values.frames.reshape(-1)])
        with torch.no_grad():
            x = torch.from_numpy(each.reshape(len(values), -1))
            assert len(x) == LENGTHS[36 + number]
            expected = model(Batch(x, torch.zeros(len(x)))).softmax(1).mean(0)
        np.testing.assert_allclose(found[number], expected, rtol=1e-4, atol=1e-6)


def test_whatever_else_a_representation_sees_it_is_told_no_class_of(
    composed: Callable[..., Composed], tmp_path: Path
) -> None:
    """As the CVAE would be, of those tested."""
    cfg, _ = composed("representation=cvae", *SMALL, "fit_on=all", f"fitted={tmp_path}")
    seen = []

    def noted(self: Learned, x: Segments, y: np.ndarray, size: int, **others: object) -> None:
        seen.append((x, y))
        raise KeyboardInterrupt

    run = replace(prepared(cfg), beyond=IDS[24:])
    representation = representation_of(cfg, run)
    with mock.patch.object(Learned, "fit", noted), pytest.raises(KeyboardInterrupt):
        network.fit_representation(cfg, run, representation, build(cfg.segments), [])
    ((x, y),) = seen
    assert len(x.offsets) - 1 == 48
    assert (y[x.offsets[24] :] == UNLABELLED).all()
    assert (y[: x.offsets[24]] != UNLABELLED).all()


def test_a_machine_on_segments_concludes_with_what_is_kept(
    composed: Callable[..., Composed], tmp_path: Path
) -> None:
    cfg, names = composed(
        *OF_SEGMENTS, "model=dnn_elm", "model.encoder.hidden=[8]", "model.units=10"
    )
    outcome = train(cfg, prepared(cfg), RunFolder(tmp_path), names["model"], [])
    best = torch.load(tmp_path / "checkpoints/best.ckpt", weights_only=True)["weights"]
    assert bool(best["is_fitted"])
    assert best["output"].abs().sum() > 0
    np.testing.assert_allclose(outcome.predictions["test"].sum(1), 1, rtol=1e-5)


@pytest.mark.parametrize("ready", [False, True])
def test_loggers_are_shown_both_stages_each_over_its_epochs(
    ready: bool, honest: Callable, composed: Callable[..., Composed], tmp_path: Path
) -> None:
    """Whether the autoencoder is trained by this run, or was by another."""
    shared = honest("vae")[0] if ready else tmp_path
    cfg, names = composed("representation=vae", *SMALL, f"fitted={shared}/fitted")
    folder = tmp_path / "logged"
    about = run_info(folder)
    shown = [
        loggers.wandb(about, project="ser", group=None, mode=None, tags=[]),
        loggers.tensorboard(about),
    ]
    found = train(cfg, prepared(cfg), RunFolder(folder), names["model"], shown)  # type: ignore[arg-type]
    for each in shown:
        table = results.predictions("val", LABELS[24:36], found.predictions["val"], CLASSES)
        result = {"val": results.split_scores(table, "val", CLASSES), "test": None}
        loggers.finish(each, result, table)

    curves = {
        prefix: pd.read_csv(place / results.METRICS)
        for prefix, place in (("representation/", folder / "representation"), ("", folder))
    }
    offline = read(folder)
    rows = offline.rows[:6]
    assert [row["_step"] for row in rows] == list(range(6))
    written = EventAccumulator(str(folder / "tensorboard")).Reload()
    assert offline.exit_code == 0
    for start, (prefix, table) in zip((0, 3), curves.items(), strict=True):
        assert "train/elbo_loss" in table or not prefix
        for column in table:
            name = f"{prefix}{column}"
            values = table[column].tolist()
            assert [row[name] for row in rows[start : start + 3]] == pytest.approx(values), name
            scalars = written.Scalars(name)[:3]
            assert [each.step for each in scalars] == [0, 1, 2]
            assert [each.value for each in scalars] == pytest.approx(values, rel=1e-6), name
            if column != "epoch" and prefix:
                assert offline.axes[name] == f"{prefix}epoch"
    assert not any("representation/epoch" in row for row in offline.rows[3:])
    assert offline.axes["*"] == "epoch"


def test_codes_of_some_segments_are_kept_where_models_see_them_one_by_one(
    composed: Callable[..., Composed], tmp_path: Path
) -> None:
    cfg, names = composed(*DENOISING, "model=softmax", f"fitted={tmp_path}/fitted")
    run = prepared(cfg)
    with mock.patch.object(saved_codes, "SEGMENTS", 100):
        train(cfg, run, RunFolder(tmp_path / "run"), names["model"], [])
    path = tmp_path / "run" / results.REPRESENTATION / results.SEGMENT_CODES
    with np.load(path, allow_pickle=False) as found:
        codes, owners = found["codes"], found["utterance"]
        parts, truths = found["part"], found["truth"]
    assert codes.shape == (100, 3)
    assert set(parts) == {"train", "val", "test"}
    assert (LABELS.loc[owners].to_numpy() == truths).all()
    numbers = IDS.get_indexer(pd.Index(owners))
    assert (np.array(["train"] * 24 + ["val"] * 12 + ["test"] * 12)[numbers] == parts).all()
    counts = np.bincount(numbers, minlength=48)
    assert (counts >= np.minimum(LENGTHS, 2)).all()  # evenly over utterances
    representation = representation_of(cfg, run)
    fitted = representation.fit(*items(cfg, run.data, run.data.fold.train), 3)
    for number in (0, 30, 47):
        alone, _ = items(cfg, run.data, IDS[[number]])
        every = fitted.transform(alone)
        for code in codes[numbers == number]:
            assert np.isclose(every, code, atol=1e-5).all(axis=1).any()
    assert not path.with_name(results.CODES).exists()
    again = tmp_path / "again" / results.REPRESENTATION / results.SEGMENT_CODES
    with mock.patch.object(saved_codes, "SEGMENTS", 100):
        train(cfg, prepared(cfg), RunFolder(tmp_path / "again"), names["model"], [])
    assert again.read_bytes() == path.read_bytes()


def test_codes_of_a_recurrent_autoencoder_are_those_of_utterances(
    composed: Callable[..., Composed], tmp_path: Path
) -> None:
    lower = [each.replace("representation.", "representation.lower.") for each in DENOISING]
    cfg, names = composed(
        *(each for each in lower if not each.startswith("representation=")),
        "representation=blstm_autoencoder",
        "representation.upper.stopping.max_epochs=2",
        "representation.upper.module.encoder.width=2",
        "representation.upper.size=4",
        "model=mlp",
        "model.encoder.hidden=[]",
        f"fitted={tmp_path}/fitted",
    )
    outcome = train(cfg, prepared(cfg), RunFolder(tmp_path / "run"), names["model"], [])
    assert outcome.predictions["test"].shape == (12, 3)
    folder = tmp_path / "run" / results.REPRESENTATION
    table = pd.read_csv(folder / results.CODES, index_col="utterance")
    assert table.index.equals(IDS)
    assert list(table) == ["part", "truth", *(f"code_{n}" for n in range(4))]
    assert not (folder / results.SEGMENT_CODES).exists()
    best = torch.load(tmp_path / "run/checkpoints/best.ckpt", weights_only=True)["weights"]
    assert {name: tuple(each.shape) for name, each in best.items()} == {
        "head.weight": (3, 4), "head.bias": (3,)
    }  # fmt: skip
