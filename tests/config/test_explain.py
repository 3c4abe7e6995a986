"""Explanations of overrides that Hydra cannot compose."""

from ser.config import CONF
from ser.config.explain import explain


def test_unknown_choices_and_options_are_explained() -> None:
    models = sorted(path.stem for path in (CONF / "model").glob("*.yaml"))
    assert explain(["model=mpl", "trainer.max_epoch=3"]) == [
        f"model=mpl: there is no such model; did you mean model=mlp? there are {', '.join(models)}"
    ]
    assert explain(["model=svm", "model.grid.D=[1]"]) == [
        "model.grid.D: there is no such option; there are C"
    ]
    assert explain(["trainer.max_epoch=3", "seed=1"]) == [
        "trainer.max_epoch: there is no such option; did you mean max_epochs?"
    ]
