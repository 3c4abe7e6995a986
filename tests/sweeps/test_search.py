"""Searches for options by validation score, stopped and continued."""

import os
import re
import shlex
import signal
import time
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
import warm
from hydra import compose, initialize_config_dir
from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf
from optuna.trial import TrialState

from ser import results
from ser.config import CONF
from ser.config.checks import check
from ser.config.run_key import register_resolvers, result_options
from ser.errors import UserError

# One trial after the other, in this process, its logs where pytest finds them.
SERIAL = ["hydra/launcher=basic", "hydra.sweeper.n_jobs=1"]
QUIET = ["hydra/job_logging=none", "hydra/hydra_logging=none"]

Trial = dict[str, str]  # what was searched, values by option


def search(
    folder: Path, score: Callable[[Trial], float], trials: int, *overrides: str, swept: str = ""
) -> None:
    """What `python train.py search=aae` does, but for what a trial is."""
    register_resolvers()
    arguments = ["search=aae", *SERIAL, *QUIET, *overrides]
    arguments += [f"hydra.sweep.dir={folder}", f"hydra.sweeper.n_trials={trials}"]

    def task(cfg: DictConfig) -> float:
        made = dict(text.split("=", 1) for text in HydraConfig.get().overrides.task)
        return score({key: made[key] for key in made if "." in key})

    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", arguments, return_hydra_config=True)
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        sweeper = Plugins.instance().instantiate_sweeper(
            hydra_context=HydraContext(config_loader=hydra.config_loader, callbacks=Callbacks()),
            task_function=task,
            config=cfg,
        )
        sweeper.sweep([*cfg.hydra.overrides.task, *([swept] if swept else [])])


def studies(folder: Path) -> list[optuna.Study]:
    (file,) = folder.glob("search/*/trials.sqlite")
    storage = f"sqlite:///{file}"
    summaries = optuna.get_all_study_summaries(storage)
    return [optuna.load_study(study_name=each.study_name, storage=storage) for each in summaries]


def states(study: optuna.Study) -> list[TrialState]:
    return [trial.state for trial in study.trials]


def test_search_space_contains_options_of_the_model() -> None:
    register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", ["search=aae"], return_hydra_config=True)
        plain = compose("train", [], return_hydra_config=True)
    check(cfg)
    assert cfg.test is False
    assert cfg.hydra.mode.name == "MULTIRUN"
    assert cfg.hydra.runtime.choices["hydra/sweeper"] == "optuna"
    for option in cfg.hydra.sweeper.params:
        assert OmegaConf.select(cfg, option) is not None, option
    assert plain.hydra.sweeper._target_ == "hydra_plugins.ser_sweeper.Sweeper"


def test_stopped_search_continues_with_the_interrupted_trial(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made: list[Trial] = []

    def score(trial: Trial) -> float:
        made.append(trial)
        if len(made) == 3:
            raise KeyboardInterrupt
        return float(trial["model.discriminator.dropout"])

    with pytest.raises(KeyboardInterrupt):
        search(tmp_path, score, 4)
    (study,) = studies(tmp_path)
    assert states(study) == [TrialState.COMPLETE, TrialState.COMPLETE, TrialState.RUNNING]
    search(tmp_path, score, 4)
    (study,) = studies(tmp_path)
    assert states(study) == [TrialState.COMPLETE] * 4
    assert made.pop(3) == made[2]
    assert len({str(trial) for trial in made}) == 4  # none is proposed twice

    # No trial is left to run, and the best one is printed again.
    caplog.set_level("INFO")
    search(tmp_path, score, 4)
    assert len(made) == 4
    best = max(made, key=lambda trial: float(trial["model.discriminator.dropout"]))
    options = {f"{key}={value}" for key, value in best.items()}
    assert options | {"model=aae"} == set(printed_command(caplog.text))

    search(tmp_path, score, 5)
    assert len({str(trial) for trial in made}) == 5


def printed_command(text: str) -> list[str]:
    """The overrides of the command that tests the best trial."""
    (command,) = re.findall(r"^ +python train\.py (.*)$", text, re.MULTILINE)
    return shlex.split(command)


def test_study_contains_comparable_scores_only(tmp_path: Path) -> None:
    for overrides in ([], ["trainer.max_epochs=3"], ["data.batch_size=64"], ["logger=wandb"]):
        search(tmp_path, lambda trial: 0.5, 1, *overrides)
    assert [len(study.trials) for study in studies(tmp_path)] == [1, 1, 1]


def test_options_of_networks_for_another_feature_level_are_not_searched(tmp_path: Path) -> None:
    made: list[Trial] = []
    search(tmp_path, lambda trial: made.append(trial) or 0.5, 1, "features=lld")  # type: ignore[func-returns-value]
    assert [option for option in made[0] if option.startswith("networks")] == [
        "networks.frame.encoder.dropout"
    ]


def test_search_over_seeds_raises_an_error(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="seed=0,1: a search needs one value"):
        search(tmp_path, lambda trial: 0.5, 1, swept="seed=0,1")


def test_search_stops_and_reports_the_reason_if_every_trial_fails(tmp_path: Path) -> None:
    def fail(trial: Trial) -> float:
        raise UserError("no such corpus")

    with pytest.raises(SystemExit, match="no such corpus"):
        search(tmp_path, fail, 5)
    (study,) = studies(tmp_path)
    assert states(study) == [TrialState.FAIL]


@pytest.mark.slow
def test_killed_search_keeps_its_trials_and_never_scores_the_test_split(
    few: list[str], composed: Callable, tmp_path: Path
) -> None:
    """A real search, killed in its second trial."""
    tiny = [
        "networks.utterance.encoder.hidden=[8]", "networks.utterance.decoder.hidden=[8]",
        "model.discriminator.hidden=[8]", "data.batch_size=64", "trainer.max_epochs=6",
    ]  # fmt: skip
    overrides = [*few, *tiny, "trainer.checkpoint_seconds=0"]
    command = [
        warm.TRAIN, "search=aae", *overrides, *SERIAL,
        "hydra.sweeper.n_trials=2", f"hydra.sweep.dir={tmp_path}",
    ]  # fmt: skip
    with warm.Process(command) as process:
        deadline = time.monotonic() + 120
        while len(curves := list(tmp_path.rglob(results.METRICS))) < 2 or any(
            len(file.read_text().splitlines()) < 3 for file in curves
        ):
            assert time.monotonic() < deadline
            assert process.poll() is None, process.result()
            time.sleep(0.001)
        os.kill(process.pid, signal.SIGKILL)
    (study,) = studies(tmp_path)
    assert states(study) == [TrialState.COMPLETE, TrialState.RUNNING]
    (finished,) = (file.parent for file in tmp_path.rglob(results.RESULT))
    before = {file: file.stat().st_mtime_ns for file in finished.iterdir()}

    output = warm.run(command, check=True).stdout
    assert sum("continuing from" in log.read_text() for log in tmp_path.rglob("train.log")) == 1
    again = studies(tmp_path)[0].trials
    assert [trial.state for trial in again] == [TrialState.COMPLETE] * 2
    assert [trial.params for trial in again] == [trial.params for trial in study.trials]
    assert {file: file.stat().st_mtime_ns for file in finished.iterdir()} == before
    folders = [file.parent for file in tmp_path.rglob(results.RESULT)]
    assert len(folders) == 2
    for folder in folders:
        assert results.read_json(folder / results.RESULT)["test"] is None
        assert set(results.RunFolder(folder).read_predictions()["part"]) == {"val"}

    # The printed command tests the best trial.
    best, _ = composed(*printed_command(output))
    assert best.test is True
    (same,) = (
        folder
        for folder in folders
        if result_options(OmegaConf.load(folder / ".hydra" / "config.yaml"))
        == result_options(best) | {"test": False}
    )
    score = results.read_json(same / results.RESULT)["val"]["ua"]
    assert score == max(trial.value for trial in again)
