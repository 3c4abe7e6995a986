"""Options of raters: earlier runs keep their keys, and what does not fit together is an error."""

from collections.abc import Callable

import pytest
from omegaconf import DictConfig

from ser.config.checks import check
from ser.config.run_key import result_options
from ser.errors import UserError

Compose = Callable[..., DictConfig]
SOFT = "target.labels=distribution"


@pytest.mark.parametrize("target", ["emotion", "activation", "emotion_improvised", "attributes"])
def test_defaults_do_not_change_the_key_of_a_run(target: str, composed: Compose) -> None:
    """The options of runs from before there were labels and weights."""
    options = result_options(composed(f"target={target}"))["target"]
    assert not {"labels", "weights"} & set(options)
    for override in (SOFT, "target.labels=majority", "target.weights=agreement"):
        assert result_options(composed(f"target={target}", override))["target"] != options


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ([SOFT, "model=svm", "representation=pca"], "estimators learn it from features"),
        (
            ["target.weights=agreement", "model=dnn_elm", "features=lld"],
            "target.weights=agreement is for networks",
        ),
        (["target=attributes", SOFT], "target.labels=null target.weights=null"),
        ([SOFT, "model=dnn_elm", "features=lld"], "target.labels=distribution is for networks"),
        ([SOFT, "calibrate=temperature"], "which needs one class: calibrate=none"),
        (
            ["target=valence", "target.bins=null", SOFT],
            "target.bins=null is for the mean of the raters",
        ),
        (
            ["target=valence", "target.bins=null", "target.weights=agreement"],
            "target.labels=mean target.weights=null",
        ),
        (
            [SOFT, "model=aae", "model.latents.z.condition=label"],
            "model.latents.z.condition: no class is certain: null",
        ),
        (["target=valence", "target.labels=corpus"], "target.labels=corpus"),
        (["target.labels=mean"], "target.labels=mean"),
        (["target.labels=distibution"], "did you mean distribution"),
    ],
)
def test_unsuitable_options_are_named(
    overrides: list[str], message: str, composed: Compose
) -> None:
    with pytest.raises(UserError) as error:
        check(composed(*overrides))
    assert message in str(error.value)


@pytest.mark.parametrize("model", ["mlp", "aae", "cnn", "lstm", "logistic", "svm", "ridge"])
def test_models_learn_shares(model: str, composed: Compose) -> None:
    features = ["features=lld"] if model in ("cnn", "lstm") else []
    check(composed(SOFT, f"model={model}", *features))


@pytest.mark.parametrize("bins", ["rounded", "null"])
def test_tasks_of_classes_learn_shares(bins: str, composed: Compose) -> None:
    tasks = ["target=attributes", "target.names=[activation,emotion]", f"target.bins={bins}"]
    check(composed(SOFT, *tasks, "model=aae", "data.class_weights=balanced"))
