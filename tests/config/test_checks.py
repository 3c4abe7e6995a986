"""An invalid configuration raises an error that names the option and a valid choice."""

from collections.abc import Callable

import pytest
from omegaconf import DictConfig

from ser.config.checks import check
from ser.errors import UserError

Compose = Callable[..., DictConfig]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("trainer.max_epochs=ten", "trainer.max_epochs=ten: input should be a valid integer"),
        ("trainer.max_epochs='10'", "trainer.max_epochs=10: input should be a valid integer"),
        ("seed=1.5", "seed=1.5: input should be a valid integer"),
        ("seed=-1", "seeds count from 0"),
        ("force=maybe", "force=maybe: input should be a valid boolean"),
        ("data.standardise=speakers", "did you mean speaker"),
        ("model.encoder.hidden=256", "model.encoder.hidden=256: input should be"),
        (
            "+model.encoder.hiden=[1]",
            "model.encoder.hiden: there is no such option; did you mean hidden",
        ),
        ("~data.clip", "data.clip is missing"),
        ("target.bins=round", "target.bins"),
        ("model.optimiser._target_=torch.optim.Adams", "torch.optim.Adams"),
    ],
)
def test_wrong_options_are_named(override: str, message: str, composed: Compose) -> None:
    target = ["target=valence"] if override.startswith("target") else []
    with pytest.raises(UserError) as error:
        check(composed(*target, override))
    assert message in str(error.value)


def test_all_problems_are_reported_at_once(composed: Compose) -> None:
    cfg = composed(
        "seed=-1",
        "data.batch_size=big",
        "~data.clip",
        "trainer.max_epochs=ten",
        "+trainer.epochs=3",
        "fit_on=all",
        "model=svm",
        "calibrate=temperature",
    )
    with pytest.raises(UserError) as error:
        check(cfg)
    assert str(error.value).splitlines() == [
        "seed=-1: seeds count from 0",
        "data.clip is missing",
        "data.batch_size=big: input should be a valid integer",
        "trainer.epochs: there is no such option; did you mean max_epochs?",
        "trainer.max_epochs=ten: input should be a valid integer",
        "fit_on=all is for a representation, and there is none",
        "calibrate=temperature is for networks: model=svm and model=logistic fit a temperature of "
        "their own, on scores of speakers left out",
    ]


def test_combinations_with_an_invalid_part_are_not_checked(composed: Compose) -> None:
    with pytest.raises(UserError) as error:
        check(composed("features=lld", "model.encoder._target_=ser.networks.mlp.Missing"))
    (line,) = str(error.value).splitlines()
    assert line == "model.encoder._target_=ser.networks.mlp.Missing: nothing of this name"


def test_unsuitable_level_names_features_of_a_suitable_level(composed: Compose) -> None:
    with pytest.raises(UserError, match=r"needs utterance-level.*frame-level: features=.*is10"):
        check(composed("features=lld"))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["representation=lda", "features=lld", "model=lstm"], "needs utterance-level features"),
        (["representation=vae", "features=lld"], "MLPEncoder needs utterance-level"),
        (["representation=vae", "model=lstm"], "LSTMEncoder needs frame-level"),
        (["features=lld", "model=mlp"], "needs utterance-level"),
        (["model=softmax"], "Pyramid needs frame-level features, but these are utterance-level"),
        (["representation=blstm_autoencoder"], "needs frame-level features"),
        (
            ["representation=blstm_autoencoder", "features=lld", "model=lstm"],
            "LSTMEncoder needs frames, but this representation has one code per utterance",
        ),
        (["fit_on=all"], "fit_on=all is for a representation, and there is none"),
        (["transfer=weights"], "transfer=weights is for a representation"),
        (["representation=pca", "model=svm", "fit_on=all"], "fit_on=all: with model=svm"),
        (
            ["representation=vae", "features=lld", "model=pyramid", "transfer=weights"],
            "transfer=weights is for a denoising autoencoder",
        ),
        (
            [
                "representation=dae_tied",
                "features=lld",
                "model=pyramid",
                "transfer=weights",
                "representation.size=50",
            ],
            "model.encoder.hidden=[320, 160, 80]: transfer=weights needs the widths of the "
            "representation, [320, 160, 50]",
        ),
        (["representation=cvae", "model=svm"], "reading=marginal needs a model that averages"),
        (
            ["representation=cvae", "features=lld", "model=aae"],
            "averages over codes, and AAE does not",
        ),
        (["representation=cvae_oracle", "model=svm"], "reading=oracle is not for model=svm"),
        (
            ["representation=cvae", "representation.module.reading=null", "model=mlp"],
            "reading=null encodes without a class, which training must have included",
        ),
        (
            ["representation=cvae", "representation.module.reading=none", "model=mlp"],
            "representation.module.reading=none: input should be 'marginal' or 'oracle'",
        ),
        (
            ["representation=vae", "features=lld", "model=lstm", "segments.hop=1.5"],
            "segments.hop=1.5: input should be a valid integer",
        ),
    ],
)
def test_unsuitable_combinations_are_named(
    overrides: list[str], message: str, composed: Compose
) -> None:
    with pytest.raises(UserError) as error:
        check(composed(*overrides))
    assert message in str(error.value)


def test_unknown_test_corpus_is_named_with_all_corpora(composed: Compose) -> None:
    with pytest.raises(UserError, match="there is no such corpus; there are cremad, .*, none"):
        check(composed("test_corpus=ravdes"))
    assert composed("test_corpus=none").test_corpus is None
    assert composed().test_corpus is None
