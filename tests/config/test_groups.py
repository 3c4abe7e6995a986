"""Every yaml of every group composes and fits the signature of what it configures."""

from collections.abc import Callable

import pytest
from omegaconf import DictConfig

from ser.config import CONF
from ser.config.checks import check
from ser.errors import UserError

Compose = Callable[..., DictConfig]


def choices(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


FRAME_MODELS = ("cnn", "lstm", "blstm", "softmax", "pyramid", "dnn_elm")
# Any choice of one of these groups goes with any choice of the others.
INDEPENDENT = ("corpus", "fold", "logger", "trainer", "segments", "target")


@pytest.mark.parametrize("index", range(max(len(choices(group)) for group in INDEPENDENT)))
def test_independent_groups(index: int, composed: Compose) -> None:
    overrides = []
    for group in INDEPENDENT:
        names = choices(group)
        overrides.append(f"{group}={names[index % len(names)]}")
    check(composed(*overrides))


@pytest.mark.parametrize("name", choices("features"))
def test_features(name: str, composed: Compose) -> None:
    cfg = composed(f"features={name}")
    if cfg.features.level == "utterance":
        check(cfg)
    else:
        with pytest.raises(UserError, match="needs utterance-level features"):
            check(cfg)


@pytest.mark.parametrize("name", choices("model"))
def test_models(name: str, composed: Compose) -> None:
    check(composed(f"model={name}", *(["features=lld"] if name in FRAME_MODELS else [])))


@pytest.mark.parametrize("name", choices("representation"))
def test_representations(name: str, composed: Compose) -> None:
    overrides = [f"representation={name}"]
    if name == "blstm_autoencoder":
        overrides.append("features=lld")
    elif name not in ("cvae", "cvae_oracle"):
        overrides.append("model=svm")  # accepts a list of code sizes
    check(composed(*overrides))


@pytest.mark.parametrize("name", choices("search"))
def test_searches(name: str, composed: Compose) -> None:
    check(composed(f"search={name}"))
