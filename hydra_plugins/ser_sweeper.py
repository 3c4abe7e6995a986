"""Hydra's basic sweeper with skipping of finished runs (see `ser.sweeps.sweep`).

Finished runs are skipped before launching, a failed run does not stop the others, and a summary and
the scores of complete systems are printed at the end. Hydra imports this module whenever `train.py`
starts, in every process of a launcher too, so the resolvers that name run folders are registered
here.
"""

import logging
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from ser.arguments import program
from ser.config.run_key import register_resolvers
from ser.errors import UserError
from ser.sweeps.sweep import Sweep

register_resolvers()
log = logging.getLogger(__name__)


class Sweeper(BasicSweeper):
    """Sweeper that launches unfinished runs only; Args as of `hydra/sweeper=basic`."""

    def sweep(self, arguments: list[str]) -> Any:
        try:
            failed = self._sweep(arguments)
        except UserError as error:
            sys.exit(f"\nerror: {error}")
        if failed:
            sys.exit(f"\nerror: {failed} failed; repeat the command to try them again")

    def _sweep(self, arguments: list[str]) -> int:
        from ser.results import write_text

        assert self.config is not None
        assert self.launcher is not None
        assert self.hydra_context is not None
        loader, config, launcher = self.hydra_context.config_loader, self.config, self.launcher
        parser = OverridesParser.create(config_loader=loader)
        overrides = parser.parse_overrides(self._parse_config() + arguments)
        (jobs,) = self.split_arguments(overrides, None)
        in_parallel = config.hydra.runtime.choices["hydra/launcher"] != "basic"
        sweep = Sweep(
            jobs, lambda job: loader.load_sweep_config(config, job), in_parallel=in_parallel
        )
        if sweep.pending:
            write_text(Path(config.hydra.sweep.dir, "multirun.yaml"), OmegaConf.to_yaml(config))
        failed = sweep.run(lambda jobs: launcher.launch(jobs, initial_job_idx=0))
        log.info("%s", sweep.summary(failed))
        # Of Hydra's own options those that say where the runs are.
        places = [each for each in config.hydra.overrides.hydra if each.startswith("hydra.sweep.")]
        _show_scores(sweep, [*arguments, *places])
        return len(failed) + sum(map(len, sweep.refused.values()))


def _show_scores(sweep: Sweep, arguments: Sequence[str]) -> None:
    """Print the scores of the systems of a sweep that are complete, and the command of a report."""
    grid = sweep.complete()
    if grid is None:
        return
    from ser import console
    from ser.report import pooled

    try:
        pooled.show(grid, console.console)
    except UserError as error:
        log.warning("%s", error)
    console.console.print(
        f"\nFull report\n  {program()} report {shlex.join(arguments)}", markup=False
    )
