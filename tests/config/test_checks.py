"""An invalid configuration raises an error that names the option and a valid choice."""

import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from ser.config import CONF
from ser.config.bounds import bound_of
from ser.config.checks import check
from ser.errors import UserError
from ser.networks.conv import POOL, ConvEncoder

Compose = Callable[..., DictConfig]
VALUES = ("target=activation", "target.bins=null")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("trainer.max_epochs=ten", "trainer.max_epochs=ten: input should be a valid integer"),
        ("trainer.max_epochs='10'", "trainer.max_epochs=10: input should be a valid integer"),
        ("seed=1.5", "seed=1.5: input should be a valid integer"),
        ("seed=-1", "seed=-1: input should be greater than or equal to 0"),
        ("seed=4294967296", "seed=4294967296: input should be less than 4294967296"),
        ("trainer.max_epochs=-1", "trainer.max_epochs=-1: input should be greater than"),
        ("data.batch_size=0", "data.batch_size=0: input should be greater than"),
        ("trainer.threads=0", "trainer.threads=0: input should be greater than"),
        ("trainer.patience=-3", "trainer.patience=-3: input should be greater than"),
        ("data.clip=0", "data.clip=0: input should be greater than 0"),
        ("model.optimiser.lr=-1", "model.optimiser.lr=-1: input should be greater than 0"),
        ("model.optimiser.lr=nan", "model.optimiser.lr=nan: input should be"),
        ("model.optimiser.lr=inf", "model.optimiser.lr=inf: input should be a finite number"),
        ("model.encoder.dropout=1.5", "model.encoder.dropout=1.5: input should be less than 1"),
        ("model.encoder.dropout=-0.1", "model.encoder.dropout=-0.1: input should be greater"),
        ("model.encoder.hidden=[32,-1]", "model.encoder.hidden=[32, -1]: input should be"),
        ("store.workers=0", "store.workers=0: input should be greater than"),
        ("fold.index=-1", "fold.index=-1: input should be greater than"),
        ("target.labelled_fraction=0", "target.labelled_fraction=0: input should be greater"),
        ("+model.optimiser.betas=[0.9,1.5]", "betas=[0.9, 1.5]: input should be less than 1"),
        ("+model.optimiser.maximise=true", "maximise: there is no such option; did you mean maxim"),
        ("+model.task=1", "model.task: there is no such option"),
        ("+model._args_=[1]", "model._args_: there is no such option"),
        ("+sed=1", "sed: there is no such option; did you mean seed"),
        ("seed=???", "seed: Missing mandatory value"),
        ("seed=${sed}", "seed: Interpolation key 'sed' not found"),
        ("data=null", "data: "),
        ("+corpus.name=../../escaped", "corpus.name=../../escaped: value error, must be a name of"),
        ("~trainer", "trainer: must be one of cpu, ddp, gpu"),
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
        "seed=-1: input should be greater than or equal to 0",
        "data.batch_size=big: input should be a valid integer",
        "trainer.max_epochs=ten: input should be a valid integer",
        "data.clip is missing",
        "trainer.epochs: there is no such option; did you mean max_epochs?",
        "fit_on=all is for a representation, and there is none",
        "calibrate=temperature is for networks: model=svm|logistic|ridge fit a temperature of "
        "their own, on scores of speakers left out",
    ]


def test_combinations_with_an_invalid_part_are_not_checked(composed: Compose) -> None:
    with pytest.raises(UserError) as error:
        check(composed("features=lld", "model.encoder._target_=ser.networks.mlp.Missing"))
    (line,) = str(error.value).splitlines()
    assert line == ("model.encoder._target_='ser.networks.mlp.Missing': nothing of this name")


def test_library_that_cannot_be_imported_is_named(
    composed: Compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "opensmile", None)
    monkeypatch.delitem(sys.modules, "ser.features.opensmile", raising=False)
    with pytest.raises(UserError, match=r"OpenSmile': cannot be imported: .*opensmile"):
        check(composed("features=functionals"))


def test_unsuitable_level_names_features_of_a_suitable_level(composed: Compose) -> None:
    with pytest.raises(UserError, match=r"needs utterance-level.*frame-level: features=.*is10"):
        check(composed("features=lld"))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["representation=lda", "features=lld", "model=lstm"], "needs utterance-level features"),
        (
            ["target=attributes", "model=svm"],
            "target.names=[activation,valence,dominance] has several tasks, and this model "
            "predicts one: target=activation|valence|dominance",
        ),
        (["target=attributes", "model=dnn_elm", "features=lld"], "this model does not predict"),
        (["target=attributes", "calibrate=temperature"], "calibrate=temperature is for one"),
        (["target=attributes", "data.class_weights=balanced"], "data.class_weights is for class"),
        (["target=attributes", "target.bins=rounded", "data.mixup=0.2"], "data.mixup=0.2 is for"),
        (
            ["target=attributes", "target.names=[valence,emotion]", "data.mixup=0.2"],
            "target.names=[valence,emotion] has several tasks, and data.mixup=0.2 is for one",
        ),
        (["target=attributes", "representation=lda"], "this representation needs classes of one"),
        (
            ["target=attributes", "model=aae", "model.latents.y.condition=label"],
            "model.latents.y.condition needs classes of one",
        ),
        (["target=attributes", "target.names=[valence,valence]"], "one or more different tasks"),
        (["target=attributes", "~target.loss_weights.valence"], "loss_weights.valence is missing"),
        (["target=attributes", "+target.loss_weights.joy=1.0"], "there is no task joy"),
        (["representation=vae", "features=lld"], "this model needs utterance-level"),
        (["representation=vae", "model=lstm"], "this model needs frame-level"),
        (["features=lld", "model=mlp"], "needs utterance-level"),
        (["model=softmax"], "this model needs frame-level features, but these are utterance-level"),
        (["representation=blstm_autoencoder"], "needs frame-level features"),
        (
            ["representation=blstm_autoencoder", "features=lld", "model=lstm"],
            "this model needs frames, but this representation has one code per utterance",
        ),
        (["fit_on=all"], "fit_on=all is for a representation, and there is none"),
        (["transfer=weights"], "transfer=weights is for a representation"),
        (
            ["representation=pca", "model=svm", "fit_on=all"],
            "fit_on=all: with model=svm|logistic|ridge|svr",
        ),
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
        (
            [
                *("representation=dae_tied", "features=lld", "model=pyramid"),
                "representation.stopping.max_epochs=10",
            ],
            "representation.stopping.max_epochs=10: 3 layers with epochs_each=5 need 11 or more",
        ),
        (
            ["representation=aae", "model=svm", "representation.stopping.phases=[classification]"],
            "representation.stopping: there is no phase classification; the phases are reconstr",
        ),
        (["model=svr"], "this model predicts values, and the target has classes: model=svm|ridge"),
        (["model=svm", *VALUES], "which this model does not predict: model=svr|ridge"),
        (
            ["model=svr", *VALUES, "representation=pca", "train_on=both"],
            "train_on=both draws samples of classes: train_on=real",
        ),
        (["model=svr", *VALUES, "model.grid.C=[0]"], "model.grid.C=[0]: input should be greater"),
        (["model=svr", *VALUES, "+model.grid.D=[1]"], "model.grid.D: there is no such option"),
        (["model=svr", *VALUES, "model.regressor.epsilon=-1"], "epsilon=-1: input should be"),
        (["model=svm", "model.grid.C=[]"], "model.grid.C=[]: list should have at least 1 item"),
        (
            ["model=svm", "+model.grid.kernel=[cubic]"],
            "model.grid.kernel=cubic: The 'kernel'",
        ),
        (["model=svm", "+model.grid.D=[1]"], "model.grid.D: there is no such option"),
        (["representation=cvae", "model=svm"], "reading=marginal needs a model that averages"),
        (
            ["representation=cvae", "features=lld", "model=aae"],
            "averages over codes, and this model does not",
        ),
        (
            ["representation=cvae_oracle", "model=svm"],
            "reading=oracle is not for model=svm|logistic|ridge",
        ),
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
        (
            ["features=wavlm", "features.layer=chosen"],
            "features.layer=chosen: features=encoder_chosen features.model=... has the options",
        ),
        (
            ["features=encoder_chosen", "features.model=x", "target=attributes"],
            "features.layer=chosen: a layer is chosen for one task, and there are 3",
        ),
        (
            ["features=encoder_chosen", "layer_choice.grid.C=[0]"],
            "layer_choice.grid.C=[0]: input should be greater than 0",
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


def test_every_number_has_a_bound() -> None:
    without = {
        path
        for file in CONF.rglob("*.yaml")
        if file.parent.name not in ("corpus", "grid", "search", "job_logging")
        for path, value in _leaves(OmegaConf.load(file), "")
        if bound_of(f"{file.parent.name}.{path}") is None
    }
    assert not without


def _leaves(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Yield the numbers, and lists of numbers, that configure a run."""
    if OmegaConf.is_dict(node):
        for key in node:
            if key not in ("defaults", "paper", "report", "hydra", "version"):
                value = None if OmegaConf.is_interpolation(node, key) else node[key]
                yield from _leaves(value, f"{path}.{key}".lstrip("."))
        return
    values = node if OmegaConf.is_list(node) else [node]
    if len(values) and all(type(value) in (int, float) for value in values):
        yield path, node


def test_pools_of_fewer_layers_need_fewer_frames(composed: Compose) -> None:
    options = ["features=lld", "model=cnn", "model.encoder.channels=[8,8]"]
    with pytest.raises(UserError, match=r"data\.max_frames=1024: 2 channels.* for at most 64"):
        check(composed(*options))
    check(composed(*options, "data.max_frames=64"))
    assert ConvEncoder.pool == POOL


def test_a_second_corpus_may_have_published_counts(composed: Compose) -> None:
    check(composed("test_corpus=iemocap"))
