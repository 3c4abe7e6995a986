"""Hydra launcher that trains runs with the same network together (see `ser.runs.pack`).

Hydra imports this module whenever `train.py` starts, so torch is imported when runs are launched.
"""

import logging
import sys
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus, configure_log, run_job
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

from ser.sweeps.jobs import Job, without_numbers

if TYPE_CHECKING:
    from ser.runs.pack import PackRun, RunPack

log = logging.getLogger(__name__)

SWEEPER = "hydra_plugins.ser_sweeper.Sweeper"


class Packed(Launcher):
    """Launches runs that differ in fold and seed only as packs, one after another.

    Args:
        runs: Runs of a pack; None: as many as fit into memory (`ser.runs.pack.largest_pack`).
    """

    config: DictConfig
    hydra_context: HydraContext

    def __init__(self, runs: int | None) -> None:
        self._runs = runs
        if runs is not None and (not isinstance(runs, int) or runs < 1):
            sys.exit(f"\nerror: hydra.launcher.runs={runs}: must be a number from 1, or null")

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self.hydra_context, self.config = hydra_context, config
        if config.hydra.sweeper._target_ != SWEEPER:
            # Whoever proposes trials one after another has none to train together.
            sys.exit("\nerror: hydra/launcher=packed is for sweeps, not for a search: search=none")

    def launch(self, job_overrides: Sequence[Job], initial_job_idx: int) -> Sequence[JobReturn]:
        from ser.runs.pack import largest_pack

        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        groups: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for number, job in enumerate(job_overrides):
            groups[without_numbers(job)].append(number)
        returns: dict[int, JobReturn] = {}
        for numbers in groups.values():
            # Those of a seed together, because two folds may share a training.
            numbers.sort(key=lambda number: _without_fold(job_overrides[number]))
            size = self._runs or largest_pack(self._compose(job_overrides[numbers[0]], 0))
            for begin in range(0, len(numbers), size):
                jobs = {number: job_overrides[number] for number in numbers[begin : begin + size]}
                returns |= self._launch_pack(jobs, initial_job_idx)
        return [returns[number] for number in sorted(returns)]

    def _launch_pack(self, jobs: dict[int, Job], first: int) -> dict[int, JobReturn]:
        """Train some runs together; return what Hydra's launchers return, by number of the job."""
        from ser.runs.pack import RunPack

        configs = {number: self._compose(job, first + number) for number, job in jobs.items()}
        configure_log(self.config.hydra.job_logging, self.config.hydra.verbose)
        runs: dict[int, PackRun] = {}
        try:
            pack = RunPack(next(iter(configs.values())))
        except Exception as error:
            return {number: _failed(error) for number in jobs}
        with pack:
            returns = {
                number: run_job(
                    task_function=partial(_begin, pack, runs, number),
                    config=config,
                    job_dir_key="hydra.sweep.dir",
                    job_subdir_key="hydra.sweep.subdir",
                    hydra_context=self.hydra_context,
                    configure_logging=False,
                )
                for number, config in configs.items()
            }
            try:
                pack.train(list(runs.values()))
            except Exception as error:
                return {**returns, **{number: _failed(error) for number in runs}}
            for number in list(runs):
                try:
                    returns[number].return_value = pack.finish(runs.pop(number))
                except Exception as error:
                    returns[number] = _failed(error)
        return returns

    def _compose(self, job: Job, number: int) -> DictConfig:
        """Return the configuration of a job, as Hydra's launchers compose it."""
        cfg = self.hydra_context.config_loader.load_sweep_config(self.config, list(job))
        with open_dict(cfg):
            cfg.hydra.job.id = f"{cfg.hydra.job.name}_{number}"
            cfg.hydra.job.num = number
        return cfg


def _without_fold(job: Job) -> list[str]:
    return [override for override in job if not override.startswith("fold.index=")]


def _begin(pack: "RunPack", runs: "dict[int, PackRun]", number: int, cfg: DictConfig) -> object:
    """Begin a run; Hydra calls it as the task of a job."""
    begun = pack.begin(cfg, OmegaConf.create(HydraConfig.get()))
    if isinstance(begun, float):
        return begun
    runs[number] = begun
    return None


def _failed(error: Exception) -> JobReturn:
    return JobReturn(status=JobStatus.FAILED, _return_value=error)
