"""Every yaml of every group composes and fits the signature of what it configures."""

from collections.abc import Callable

import pytest
from omegaconf import DictConfig

from ser.config import choices
from ser.config.checks import check
from ser.errors import UserError

Compose = Callable[..., DictConfig]


SEQUENCE_MODELS = ("cnn", "lstm", "blstm", "softmax", "pyramid", "dnn_elm")
# Any choice of one of these groups goes with any choice of the others.
INDEPENDENT = ("corpus", "fold", "logger", "trainer", "segments", "target")


@pytest.mark.parametrize(("index", "name"), enumerate(choices("features")))
def test_features_and_independent_groups(index: int, name: str, composed: Compose) -> None:
    overrides = [f"features={name}"]
    for group in INDEPENDENT:
        names = choices(group)
        overrides.append(f"{group}={names[index % len(names)]}")
    cfg = composed(*overrides)
    if cfg.features.level == "utterance":
        check(cfg)
    else:
        with pytest.raises(UserError) as error:
            check(cfg)
        (problem,) = str(error.value).splitlines()
        assert "needs utterance-level features" in problem


def test_every_choice_of_an_independent_group_is_tested() -> None:
    assert all(len(choices(group)) <= len(choices("features")) for group in INDEPENDENT)


@pytest.mark.parametrize("name", choices("model"))
def test_models(name: str, composed: Compose) -> None:
    features = "lld" if name in SEQUENCE_MODELS else "functionals"
    features = "wavlm" if name.endswith("_layer_sum") else features
    target = ["target=activation", "target.bins=null"] if name in ("svr", "ridge") else []
    check(composed(f"model={name}", f"features={features}", *target))


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


@pytest.mark.parametrize("name", choices("corpus"))
def test_every_corpus_has_a_default_fold_and_one_for_experiments_that_need_sessions(
    name: str, composed: Compose
) -> None:
    fold = _fold(composed(f"corpus={name}"))
    other = "ravdess" if fold == "session_swap" else "emodb"  # changes nothing
    paper = "experiment=parthasarathy2019/utterance_aae"
    assert _fold(composed(f"corpus={name}", paper, f"test_corpus={other}")) == fold
    by_session = _fold(composed(f"corpus={name}", "experiment=sahu2017/compression_features"))
    assert by_session == ("session" if fold == "session_swap" else "speaker_kfold")


def test_default_folds(composed: Compose) -> None:
    folds = {name: _fold(composed(f"corpus={name}")) for name in choices("corpus")}
    pairs = {name for name, fold in folds.items() if fold == "session_swap"}
    assert pairs == {"demo", "emodb", "iemocap", "msp_improv"}
    assert {folds[name] for name in folds.keys() - pairs} == {"speaker_kfold"}
    paper = "experiment=parthasarathy2019/utterance_aae"
    assert _fold(composed("corpus=ravdess", paper, "fold=session_swap")) == "session_swap"


def _fold(cfg: DictConfig) -> str:
    return cfg.fold._target_.rpartition(".")[2]
