"""Launchers of submitit for long sweeps, with the options of `hydra-submitit-launcher`.

Theirs raise an error at the first job that is cancelled, and notice that it is only where Slurm has
accounting. With these, a job that is lost costs its own runs, and the sweep continues. A job can
make several runs, and one that reaches its time limit is continued from its checkpoint.

Hydra imports this module whenever `train.py` starts; submitit is imported when jobs are submitted.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.search_path_plugin import SearchPathPlugin
from hydra_plugins.hydra_submitit_launcher.config import (
    BaseQueueConf,
    LocalQueueConf,
    SlurmQueueConf,
)
from hydra_plugins.hydra_submitit_launcher.submitit_launcher import BaseSubmititLauncher
from omegaconf import OmegaConf

from ser.errors import UserError, last_line
from ser.sweeps import queue

log = logging.getLogger(__name__)

# Slurm's default limit of the number of jobs in an array is 1,001.
MOST_JOBS = 1000


@dataclass
class SlurmConf(SlurmQueueConf):
    """Options of `hydra/launcher=submitit_slurm`."""

    _target_: str = f"{__name__}.SlurmLauncher"
    # number of runs that a job makes, one after the other
    runs_per_job: int = 1
    # times that a job which reaches its time limit is put back into the queue, and continues
    max_num_timeout: int = 20


@dataclass
class LocalConf(LocalQueueConf):
    """Options of `hydra/launcher=submitit_local`."""

    _target_: str = f"{__name__}.LocalLauncher"
    runs_per_job: int = 1


class _Launcher(BaseSubmititLauncher):
    """Launcher whose jobs may be lost.

    Args:
        runs_per_job: Number of runs that a job makes.
        params: Options of submitit, see `hydra_plugins.hydra_submitit_launcher.config`.
    """

    def __init__(self, runs_per_job: int, **params: Any) -> None:
        super().__init__(**params)
        self.runs_per_job = runs_per_job

    def __call__(self, runs: Sequence[tuple[Any, ...]]) -> list[JobReturn]:  # type: ignore[override]
        """Make the runs of a job, in the job; each is arguments of the plug-in's own `__call__`."""
        call = super().__call__
        return [call(*run) for run in runs]

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        if self.runs_per_job < 1:
            raise UserError(f"hydra.launcher.runs_per_job={self.runs_per_job}: at least 1")
        state = Singleton.get_state()
        runs = [
            (list(overrides), "hydra.sweep.dir", number, f"job_id_for_{number}", state)
            for number, overrides in enumerate(job_overrides, initial_job_idx)
        ]
        by_job = [
            runs[start : start + self.runs_per_job]
            for start in range(0, len(runs), self.runs_per_job)
        ]
        jobs = self._submit(by_job)
        arrays = queue.arrays([job.job_id for job in jobs])
        log.info("submitted %d runs in %d jobs: %s", len(runs), len(jobs), ", ".join(arrays))
        common = set.intersection(*map(set, job_overrides))
        names = {
            job.job_id: f"job {job.job_id} {_differing(of_job, common)}".rstrip()
            for job, of_job in zip(jobs, by_job, strict=True)
        }
        outcomes = queue.outcomes(jobs, self._states, names)
        returns: list[JobReturn] = []
        for of_job, outcome in zip(by_job, outcomes, strict=True):
            if isinstance(outcome, queue.LostJobError):
                lost = JobReturn(status=JobStatus.FAILED, _return_value=outcome)
                returns += [lost] * len(of_job)
            else:
                returns += outcome
        return returns

    def _submit(self, by_job: Sequence[Any]) -> list[Any]:
        """Submit a job for each element.

        Raises:
            UserError: There is no such cluster here, or it refuses the jobs.
        """
        from submitit.core.utils import FailedJobError, FailedSubmissionError

        try:
            executor = self._executor()
            parts = [
                by_job[start : start + MOST_JOBS] for start in range(0, len(by_job), MOST_JOBS)
            ]
            return [job for part in parts for job in executor.map_array(self, part)]
        except (FailedJobError, FailedSubmissionError, RuntimeError) as error:
            raise UserError(
                f"hydra/launcher=submitit_{self._EXECUTOR}: {last_line(error)}"
            ) from error

    def _executor(self) -> Any:
        import submitit

        params = dict(self.params)
        folder = params.pop("submitit_folder")
        names = {
            name: name if name in shared else f"{self._EXECUTOR}_{name}"
            for shared in [set(OmegaConf.structured(BaseQueueConf))]
            for name in params
        }
        timeouts = {
            names[name]: params.pop(name) for name in ("max_num_timeout",) if name in params
        }
        executor = submitit.AutoExecutor(folder=folder, cluster=self._EXECUTOR, **timeouts)
        executor.update_parameters(**{names[name]: value for name, value in params.items()})
        return executor


def _differing(runs: Sequence[tuple[Any, ...]], common: set[str]) -> str:
    """Return the overrides of runs, for a message, without those of all runs of the sweep."""
    texts = [" ".join(each for each in run[0] if each not in common) for run in runs]
    return f"({'; '.join(texts)})" if any(texts) else ""


class LocalLauncher(_Launcher):
    """Jobs are processes of this machine."""

    _EXECUTOR = "local"
    _states = staticmethod(queue.local_states)


class SlurmLauncher(_Launcher):
    """Jobs are those of Slurm."""

    _EXECUTOR = "slurm"
    _states = staticmethod(queue.slurm_states)


class Options(SearchPathPlugin):
    """Puts the options of these launchers in place of those of the plug-in.

    Hydra calls it when all plug-ins have stored their options.
    """

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        store = ConfigStore.instance()
        for name, options in (("submitit_local", LocalConf), ("submitit_slurm", SlurmConf)):
            store.store(group="hydra/launcher", name=name, node=options, provider="ser")
