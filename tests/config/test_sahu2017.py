"""Experiments of sahu2017."""

from collections.abc import Callable

import pytest
from omegaconf import DictConfig

from ser.config import CONF
from ser.config.checks import check
from ser.config.run_key import result_options

Compose = Callable[..., DictConfig]

EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment/sahu2017").glob("*.yaml"))


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_selects_the_4490_utterances_of_the_paper(
    experiment: str, composed: Compose
) -> None:
    cfg = composed(f"experiment=sahu2017/{experiment}", "corpus=iemocap")
    check(cfg)
    # Excitement is not merged into happiness; an empty dict would keep the merge of the corpus.
    assert cfg.target.merge is None
    assert list(cfg.target.classes) == ["anger", "happiness", "neutral", "sadness"]
    assert (cfg.features.dim, cfg.fold._target_) == (1582, "ser.data.folds.session")
    assert cfg.model.leave_out == "session"
    assert (cfg.paper.key, cfg.paper.corpus) == ("sahu2017", "iemocap")
    assert 20 < cfg.paper.published.emotion.ua < 60
    header = (CONF / "experiment/sahu2017" / f"{experiment}.yaml").read_text()
    assert f"python train.py -m experiment=sahu2017/{experiment} corpus=iemocap" in header


@pytest.mark.parametrize(
    "experiment",
    [
        "compression_features",
        "compression_aae",
        "compression_autoencoder",
        "compression_lda",
        "compression_pca",
        "synthesis_both",
    ],
)
def test_protocol_for_emodb_changes_sizes_batches_and_epochs_only(
    experiment: str, composed: Compose
) -> None:
    cfg = composed(f"experiment=sahu2017/{experiment}", "corpus=emodb", "protocol=emodb_sahu2017")
    check(cfg)
    assert cfg.paper.published is None
    assert len(cfg.target.classes) == 7
    adapted = result_options(cfg)
    paper = result_options(composed(f"experiment=sahu2017/{experiment}", "corpus=iemocap"))
    assert adapted.pop("corpus") != paper.pop("corpus")
    assert adapted["target"].pop("classes") != paper["target"].pop("classes")
    if experiment in ("compression_aae", "compression_autoencoder", "compression_lda"):
        assert adapted["representation"]["size"] != paper["representation"]["size"]
    for options in (adapted, paper):
        for name in ("size", "batch_size", "stopping"):
            (options["representation"] or {}).pop(name, None)
    assert adapted == paper


def test_one_run_on_all_features_serves_both_tables(composed: Compose) -> None:
    first, second = (
        result_options(composed(f"experiment=sahu2017/{name}", "corpus=iemocap"))
        for name in ("compression_features", "synthesis_real")
    )
    assert first == second


@pytest.mark.parametrize("experiment", ["synthesis_synthetic", "synthesis_both"])
def test_kernel_width_does_not_follow_the_spread_of_samples(
    experiment: str, composed: Compose
) -> None:
    cfg = composed(f"experiment=sahu2017/{experiment}", "corpus=iemocap")
    check(cfg)
    assert cfg.model.classifier.gamma == "auto"
