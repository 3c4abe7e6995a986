"""Experiments of parthasarathy2019."""

from collections.abc import Callable

import pytest
from omegaconf import DictConfig

from ser.config import CONF
from ser.config.checks import check
from ser.config.run_key import result_options

Compose = Callable[..., DictConfig]


def experiments(folder: str) -> list[str]:
    return sorted(path.stem for path in (CONF / "experiment" / folder).glob("*.yaml"))


@pytest.mark.parametrize("experiment", experiments("parthasarathy2019"))
def test_every_experiment_has_the_features_and_target_of_the_paper(
    experiment: str, composed: Compose
) -> None:
    cfg = composed(f"experiment=parthasarathy2019/{experiment}")
    check(cfg)
    assert cfg.paper.key == "parthasarathy2019"
    assert cfg.target.name == "activation"
    assert cfg.features.set == "IS13"
    header = (CONF / "experiment/parthasarathy2019" / f"{experiment}.yaml").read_text()
    assert f"python train.py -m experiment=parthasarathy2019/{experiment} corpus=iemocap" in header


@pytest.mark.parametrize("experiment", experiments("emodb"))
def test_every_experiment_on_emodb_has_the_model_of_the_paper(
    experiment: str, composed: Compose
) -> None:
    cfg = composed(f"experiment=emodb/{experiment}")
    check(cfg)
    assert cfg.paper.key == "parthasarathy2019"
    assert cfg.paper.published is None
    assert cfg.target._target_ == "ser.data.targets.emotion"
    paper = composed(f"experiment=parthasarathy2019/{experiment}")
    assert result_options(cfg)["model"]["_target_"] == result_options(paper)["model"]["_target_"]
    header = (CONF / "experiment/emodb" / f"{experiment}.yaml").read_text()
    assert f"python train.py -m experiment=emodb/{experiment} corpus.root=" in header


@pytest.mark.parametrize("level", ["utterance", "frame"])
@pytest.mark.parametrize("corpus", ["parthasarathy2019", "emodb"])
def test_encoder_alone_is_the_autoencoder_without_its_other_phases(
    level: str, corpus: str, composed: Compose
) -> None:
    aae, alone = (
        result_options(composed(f"experiment={corpus}/{level}_{system}"))
        for system in ("aae", "encoder_alone")
    )
    assert alone.pop("model") == aae.pop("model") | {"phases": ["classification"]}
    assert alone == aae


def test_each_ablation_changes_what_its_name_says_and_nothing_else(composed: Compose) -> None:
    full = result_options(composed("experiment=parthasarathy2019/utterance_aae"))["model"]

    def model_of(name: str) -> dict:
        cfg = composed(f"experiment=parthasarathy2019/utterance_aae_{name}")
        return result_options(cfg)["model"]

    phases = ["reconstruction", "classification"]
    assert model_of("no_regularisation") == full | {"phases": phases}
    assert model_of("equal_learning_rates") == full | {"discriminator_rate": 1.0}
    without = model_of("no_discriminator_dropout")
    assert without.pop("discriminator") == full["discriminator"] | {"dropout": 0.0}
    assert without == {key: value for key, value in full.items() if key != "discriminator"}
    plain = model_of("no_batchnorm")
    assert not plain["batch_norm"]
    assert not plain["encoder"]["batch_norm"]
    assert not plain["decoder"]["batch_norm"]
    assert model_of("vanilla") == plain | {
        "discriminator_rate": 1.0,
        "discriminator": full["discriminator"] | {"dropout": 0.0},
    }
