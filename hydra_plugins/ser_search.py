"""Hydra's Optuna sweeper for a search that can be stopped at any time (see `conf/search/`).

Hydra imports this module whenever `train.py` starts, so heavy imports are inside functions.
"""

import logging
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from ser.arguments import train_program
from ser.config import run_key
from ser.config.checks import check
from ser.errors import UserError
from ser.sweeps.jobs import ALL, FOLD, NUMBERS

if TYPE_CHECKING:
    from optuna.storages import RDBStorage
    from optuna.study import Study

log = logging.getLogger(__name__)
# The database of a study logs each of its own plug-ins when Hydra creates the sampler.
logging.getLogger("alembic").setLevel(logging.WARNING)

RESULTS = "optimization_results.yaml"  # file name of Hydra's sweeper


class Search(Sweeper):
    """An Optuna study that the same command resumes.

    Differences from Hydra's sweeper:

    - `n_trials` counts the trials of the whole study, not those of one command;
    - an interrupted trial is repeated first, and its run continues from its checkpoint;
    - a resumed sampler gets another seed, because its own would propose the first trials again;
    - anything else that could change a score starts another study, so that scores are comparable.

    Args:
        params: Ranges of options, in Hydra's syntax.
        options: Further options of `hydra/sweeper=optuna`.
    """

    def __init__(self, *, params: DictConfig, **options: Any) -> None:
        self.params = {str(key): str(value) for key, value in params.items()}
        self.options = options

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self.cfg = config
        self.context: dict[str, Any] = {
            "hydra_context": hydra_context,
            "task_function": task_function,
            "config": config,
        }

    def sweep(self, arguments: list[str]) -> None:
        from ser.results import RunFolder

        folder = Path(self.cfg.hydra.sweep.dir, "search", self.options["study_name"])
        try:
            check(self.cfg)
            with RunFolder(folder).claimed(wait=False):
                self._search(arguments, folder)
        except UserError as error:
            sys.exit(f"\nerror: {error}")

    def _search(self, arguments: list[str], folder: Path) -> None:
        from hydra_plugins.hydra_optuna_sweeper.optuna_sweeper import OptunaSweeper
        from optuna import create_study
        from optuna.logging import set_verbosity
        from optuna.storages import RDBStorage

        set_verbosity(logging.WARNING)  # the name of the study is logged below
        searched, fixed = self._searched(arguments)
        name = f"{folder.name}-{self._digest(searched)}"
        storage = RDBStorage(self.options["storage"])
        study = create_study(
            study_name=name, storage=storage, direction="maximize", load_if_exists=True
        )
        done = _resume(study, storage)
        left = max(0, self.options["n_trials"] - done)
        log.info("%s: %d trials left, %d finished before", name, left, done)
        changed = {"study_name": name, "n_trials": left, "params": OmegaConf.create(searched)}
        node = self.cfg.hydra.sweeper.sampler
        if node.get("seed") is not None:
            # With the same seed it would propose its first trials again.
            changed["sampler"] = instantiate(node, seed=node.seed + len(study.trials))
        sweeper = OptunaSweeper(**self.options | changed)
        sweeper.setup(**self.context)
        sweeper.sweep(fixed)
        path = Path(self.cfg.hydra.sweep.dir, RESULTS).replace(folder / RESULTS)
        self._log_best(path, fixed)

    def _searched(self, arguments: list[str]) -> tuple[dict[str, str], list[str]]:
        """Return the searched ranges by key, and the overrides that fix other options.

        Raises:
            UserError: The search varies the seed or the fold, whose best value means nothing.
        """
        level = self.cfg.features.level
        searched = {
            key: value
            for key, value in self.params.items()
            # Networks for features of the other level are not used.
            if not key.startswith("networks.") or key.startswith(f"networks.{level}.")
        }
        fixed = []
        for override in OverridesParser.create().parse_overrides(arguments):
            key, _, value = str(override.input_line).partition("=")
            if override.is_sweep_override():
                searched[key] = value
            else:
                searched.pop(key, None)
                fixed.append(str(override.input_line))
        if f"{FOLD}={ALL}" in fixed:
            searched[FOLD] = ALL
        for key in NUMBERS:
            if key in searched:
                raise UserError(f"{key}={searched[key]}: a search needs one value, e.g. {key}=0")
        return searched, fixed

    def _digest(self, searched: dict[str, str]) -> str:
        """Return a hash that changes with anything that makes scores incomparable."""
        content = run_key.result_options(self.cfg)
        content |= {"root": str(self.cfg.corpus.root), "searched": searched}
        return run_key.digest(content)[:8]

    def _log_best(self, path: Path, fixed: list[str]) -> None:
        """Log the best trial and the command that trains and tests it."""
        best = OmegaConf.load(path)
        model = f"model={self.cfg.hydra.runtime.choices.model}"
        final = [model, *fixed, *(f"{key}={value}" for key, value in best.best_params.items())]
        # The overrides of the search itself do not belong to the command.
        words = [w for w in dict.fromkeys(final) if not w.startswith(("search=", "test="))]
        log.info(
            "best validation UA: %.1f%% (%s). Train it again and test it once with\n  %s",
            100 * best.best_value,
            path,
            f"{train_program()} {shlex.join(words)}",
        )


def _resume(study: "Study", storage: "RDBStorage") -> int:
    """Queue interrupted trials again, and return the number of finished ones."""
    from optuna.trial import TrialState

    study_id = storage.get_study_id_from_name(study.study_name)
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        trial_id = storage.get_trial_id_from_study_id_trial_number(study_id, trial.number)
        storage.set_trial_state(trial_id, TrialState.WAITING)
    return len(study.get_trials(states=(TrialState.COMPLETE,)))
