"""Experiments of latif2017 and latif2018."""

from collections.abc import Callable

import pytest
from omegaconf import DictConfig

from ser.config import CONF
from ser.config.checks import check
from ser.config.run_key import result_options

Compose = Callable[..., DictConfig]

EXPERIMENTS = [
    (paper, path.stem)
    for paper in ("latif2017", "latif2018")
    for path in sorted((CONF / "experiment" / paper).glob("*.yaml"))
]


@pytest.mark.parametrize(("paper", "experiment"), EXPERIMENTS)
def test_every_experiment_has_the_segments_and_networks_of_the_paper(
    paper: str, experiment: str, composed: Compose
) -> None:
    cfg = composed(f"experiment={paper}/{experiment}", "corpus=iemocap")
    check(cfg)
    module, segments = cfg.representation.module, cfg.segments
    assert (segments.frames * cfg.features.dim, segments.hop) == (800, 10)
    assert (list(module.encoder.hidden), list(module.decoder.hidden)) == ([512, 256], [256, 512])
    assert (module.encoder.dropout, module.decoder.dropout) == (0, 0)
    assert (cfg.representation.size, cfg.representation.batch_size) == (128, 128)
    betas = [0.999, 0.99] if experiment.endswith("as_printed") else [0.9, 0.999]
    assert (list(module.optimiser.betas), module.optimiser.eps) == (betas, 1e-8)
    assert cfg.representation.stopping.max_epochs == 50
    assert (cfg.model.encoder.layers, cfg.trainer.max_epochs, cfg.data.batch_size) == (2, 20, 128)
    kind = experiment.split("_")[0]
    classes = {"ae": "Autoencoder", "vae": "VAE", "cvae": "CVAE"}
    assert module._target_.rpartition(".")[2] == classes[kind]
    if kind != "ae":
        has_means_alone = paper == "latif2017" or experiment.endswith("means")
        assert module.code == ("mean" if has_means_alone else "mean_and_variance")
    if kind == "cvae":
        readings = {"null": None, "oracle": "oracle"}
        assert module.reading == readings.get(experiment.rpartition("_")[2], "marginal")
    assert (cfg.paper.key, cfg.paper.corpus, cfg.paper.joined) == (paper, "iemocap", "fold_mean")
    header = (CONF / "experiment" / paper / f"{experiment}.yaml").read_text()
    assert f"python train.py -m experiment={paper}/{experiment} corpus=iemocap" in header


@pytest.mark.parametrize("kind", ["ae", "vae", "cvae"])
def test_tables_of_emotions_have_published_scores_for_each_style(
    kind: str, composed: Compose
) -> None:
    for paper, fold, scores in (
        ("latif2017", "holdout", {"wa"}),
        ("latif2018", "session", {"wa", "ua"}),
    ):
        cfg = composed(f"experiment={paper}/{kind}_lstm", "corpus=iemocap")
        assert cfg.target.merge == {"excitement": "happiness"}
        assert cfg.fold._target_ == f"ser.data.folds.{fold}"
        assert 50 < cfg.paper.published.emotion.wa < 65
        for target in ("emotion", "emotion_improvised", "emotion_scripted"):
            assert set(cfg.paper.published[target]) == scores


@pytest.mark.parametrize("style", ["improvised", "scripted"])
def test_targets_of_the_tables_select_one_style(style: str, composed: Compose) -> None:
    cfg = composed("experiment=latif2018/cvae_lstm", "corpus=iemocap", f"target=emotion_{style}")
    check(cfg)
    assert list(cfg.target.styles) == [style]


@pytest.mark.parametrize("kind", ["ae", "vae", "cvae"])
def test_tables_of_attributes_have_random_folds_as_in_the_paper(
    kind: str, composed: Compose
) -> None:
    cfg = composed(f"experiment=latif2018/{kind}_lstm_attributes", "corpus=iemocap")
    assert cfg.target.bins == "strict"
    assert (cfg.fold._target_, cfg.fold.count) == ("ser.data.folds.random", 10)
    for attribute in ("activation", "dominance", "valence"):
        assert set(cfg.paper.published[attribute]) == {"f1"}


@pytest.mark.parametrize("attribute", ["dominance", "valence"])
def test_attributes_of_the_tables_are_binned_alike(attribute: str, composed: Compose) -> None:
    cfg = composed(
        "experiment=latif2018/cvae_lstm_attributes", "corpus=iemocap", f"target={attribute}"
    )
    check(cfg)
    assert (cfg.target.name, cfg.target.bins) == (attribute, "strict")


@pytest.mark.parametrize("kind", ["ae", "vae", "cvae"])
def test_speaker_independent_folds_of_attributes_have_no_published_score(
    kind: str, composed: Compose
) -> None:
    cfg = composed(
        "grid=latif2018_table2_independent",
        f"experiment=latif2018/{kind}_lstm_attributes",
        "fold=session",
    )
    check(cfg)
    assert cfg.target.bins == "strict"
    assert cfg.fold._target_ == "ser.data.folds.session"
    assert cfg.paper.published is None


@pytest.mark.parametrize(
    "experiment", ["latif2017/ae_lstm", "latif2018/vae_lstm", "latif2018/cvae_lstm_null"]
)
def test_protocol_for_emodb_changes_classes_and_batches_only(
    experiment: str, composed: Compose
) -> None:
    cfg = composed(f"experiment={experiment}", "corpus=emodb", "protocol=emodb_latif")
    check(cfg)
    assert cfg.paper.published is None
    assert list(cfg.target.classes) == ["anger", "happiness", "neutral", "sadness"]
    adapted = result_options(cfg)
    paper = result_options(composed(f"experiment={experiment}", "corpus=iemocap"))
    for options in (adapted, paper):
        del options["corpus"], options["target"]["merge"]
        del options["data"]["batch_size"], options["representation"]["batch_size"]
    assert adapted == paper
