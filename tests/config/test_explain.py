"""Explanations of overrides that Hydra cannot compose."""

import pytest
from hydra.errors import ConfigCompositionException

from ser.config import CONF
from ser.config.explain import explain


def test_a_table_in_place_of_a_corpus_is_a_manifest() -> None:
    (message,) = explain(["corpus=my.csv"])
    assert "there is no such corpus; did you mean corpus=manifest corpus.root=my.csv?" in message


def test_unknown_choices_and_options_are_explained() -> None:
    models = sorted(path.stem for path in (CONF / "model").glob("*.yaml"))
    assert explain(["model=mpl", "trainer.max_epoch=3"]) == [
        f"model=mpl: there is no such model; did you mean model=mlp? there are {', '.join(models)}"
    ]
    assert explain(["model=svm", "model.grid.D=[1]"]) == [
        "model.grid.D: there is no such option; there are C"
    ]
    assert explain(["trainer.max_epoch=3", "seed=1"]) == [
        "trainer.max_epoch: there is no such option; did you mean trainer.max_epochs?"
    ]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.lr=1", "model.lr: there is no such option; did you mean model.optimiser.lr?"),
        ("lr=1", "lr: there is no such option; did you mean model.optimiser.lr?"),
        ("batch_size=3", "batch_size: there is no such option; did you mean data.batch_size?"),
        ("emodb", "emodb: expected OPTION=VALUE; did you mean corpus=emodb?"),
        ("seed", "seed: expected OPTION=VALUE"),
        (
            "corpus=emodb,ravdess",
            "corpus=emodb,ravdess: several values are several runs, one for each: "
            "python train.py -m corpus=emodb,ravdess",
        ),
        ("model=mlp,svmm", "model=svmm: there is no such model; did you mean model=svm?"),
        ("+search=bbe", "search=bbe: there is no such search; there are aae, none"),
        ("seed=[1,2", "seed=[1,2: no viable alternative at input '[1,2'"),
    ],
)
def test_remedy_is_named(override: str, message: str) -> None:
    (reason,) = explain([override])
    assert reason.startswith(message)


@pytest.mark.parametrize("plug_in", ["hydra/sweeper/optuna", "hydra/launcher/submitit_slurm"])
def test_extra_that_is_not_installed_is_named(plug_in: str) -> None:
    error = ConfigCompositionException(f"In 'hydra/config': Could not find '{plug_in}'\nmore")
    (reason,) = explain(["search=aae"], error)
    assert 'is not installed: pip install -e ".[sweep]"' in reason


def test_first_line_of_another_error_is_kept() -> None:
    error = ConfigCompositionException("Could not find 'hydra/launcher/none'\nmore")
    assert explain(["hydra/launcher=none"], error) == ["Could not find 'hydra/launcher/none'"]
