"""Hydra's Optuna sweeper, but for a search that can be stopped at any time (see `conf/search/`).

Hydra imports this whenever `train.py` starts, so that what is heavy is imported where it is used.
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

from ser.config import run_key
from ser.config.checks import check
from ser.errors import UserError

if TYPE_CHECKING:
    from optuna.storages import RDBStorage
    from optuna.study import Study

log = logging.getLogger(__name__)
# Of the study's database: it tells of each of its own parts, as soon as Hydra makes the sampler.
logging.getLogger("alembic").setLevel(logging.WARNING)

FOUND = "optimization_results.yaml"  # as Hydra's sweeper calls it


class Search(Sweeper):
    """A study that the same command continues: what Hydra's sweeper does, and

    - `n_trials` are those of the whole study;
    - a trial that was cut short is made first, and its run goes on from its checkpoint;
    - the sampler draws anew, where its seed would have it propose its first trials again;
    - what else could change a score makes another study, so that scores compare.

    Args:
        params: what is searched, in Hydra's syntax.
        options: further ones of `hydra/sweeper=optuna`.
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
        from ser.results import claimed

        folder = Path(self.cfg.hydra.sweep.dir, "search", self.options["study_name"])
        try:
            check(self.cfg)
            with claimed(folder):
                self._search(arguments, folder)
        except UserError as error:
            sys.exit(f"\nerror: {error}")

    def _search(self, arguments: list[str], folder: Path) -> None:
        from hydra_plugins.hydra_optuna_sweeper.optuna_sweeper import OptunaSweeper
        from optuna import create_study
        from optuna.logging import set_verbosity
        from optuna.storages import RDBStorage

        set_verbosity(logging.WARNING)  # the study is named below
        searched, fixed = self._searched(arguments)
        name = f"{folder.name}-{self._digest(searched)}"
        storage = RDBStorage(self.options["storage"])
        study = create_study(
            study_name=name, storage=storage, direction="maximize", load_if_exists=True
        )
        done = _resume(study, storage)
        left = max(0, self.options["n_trials"] - done)
        log.info("%s: %d trials to make, %d made before", name, left, done)
        changed = {"study_name": name, "n_trials": left, "params": OmegaConf.create(searched)}
        node = self.cfg.hydra.sweeper.sampler
        if node.get("seed") is not None:
            # With its own seed it would propose its first trials again.
            changed["sampler"] = instantiate(node, seed=node.seed + len(study.trials))
        sweeper = OptunaSweeper(**self.options | changed)
        sweeper.setup(**self.context)
        sweeper.sweep(fixed)
        found = Path(self.cfg.hydra.sweep.dir, FOUND).replace(folder / FOUND)
        self._tell(found, fixed)

    def _searched(self, arguments: list[str]) -> tuple[dict[str, str], list[str]]:
        """What is searched, ranges by key, and the overrides that fix the rest.

        Raises:
            UserError: the luckiest seed or the easiest fold is asked for.
        """
        level = self.cfg.features.level
        searched = {
            key: value
            for key, value in self.params.items()
            # Networks for features of another level are not used.
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
        for key in ("seed", "fold.index"):
            if key in searched:
                raise UserError(f"{key}={searched[key]}: a search is of one, e.g. {key}=0")
        return searched, fixed

    def _digest(self, searched: dict[str, str]) -> str:
        """Changes whenever scores would not be comparable, or are looked for elsewhere."""
        content = run_key.result_options(self.cfg)
        content |= {"root": str(self.cfg.corpus.root), "searched": searched}
        return run_key.digest(content)[:8]

    def _tell(self, found: Path, fixed: list[str]) -> None:
        best = OmegaConf.load(found)
        model = f"model={self.cfg.hydra.runtime.choices.model}"
        final = [model, *fixed, *(f"{key}={value}" for key, value in best.best_params.items())]
        # Trials choose the model by way of the search, and are not tested.
        words = [w for w in dict.fromkeys(final) if not w.startswith(("search=", "test="))]
        log.info(
            "best on validation: UA %.1f%% (%s). Trained again and tested, once, by\n  %s",
            100 * best.best_value,
            found,
            shlex.join(["python", "train.py", *words]),
        )


def _resume(study: "Study", storage: "RDBStorage") -> int:
    """Has trials that were cut short wait to be made again; counts those that are made."""
    from optuna.trial import TrialState

    study_id = storage.get_study_id_from_name(study.study_name)
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        cut = storage.get_trial_id_from_study_id_trial_number(study_id, trial.number)
        storage.set_trial_state(cut, TrialState.WAITING)
    return len(study.get_trials(states=(TrialState.COMPLETE,)))
