"""The command that trains: `python train.py`, or `ser train` where the package is installed."""

import atexit
import gc
import os
import sys
from collections.abc import Sequence
from typing import Any

import hydra
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from ser.config import CONF
from ser.config.explain import explain
from ser.config.help import help_text
from ser.config.run_key import register_resolvers
from ser.errors import UserError, convert_disk_errors
from ser.sweeps.jobs import with_multirun, with_swept_options


def task(cfg: DictConfig) -> float:
    """Train one run; return the validation score, the only score that a sweeper may see.

    Hydra's launchers import this function by its name, also in processes on other machines.
    """
    # Imported here, because whatever can be said without torch should not wait for it.
    from hydra.core.hydra_config import HydraConfig

    from ser.runs.run import run

    if not gc.get_freeze_count():
        gc.freeze()  # what is imported stays; to search it for garbage takes 0.3 s after each run

    hydra_config: Any = HydraConfig.get()
    many = hydra_config.mode.name == "MULTIRUN"
    names = dict(hydra_config.runtime.choices)
    folder = hydra_config.runtime.output_dir
    try:
        return run(cfg, folder, names, brief=many, hydra=hydra_config)
    except UserError as error:
        if many:  # the sweep continues, and reports the error at its end
            raise
        raise SystemExit(f"\nerror: {error}") from None  # Hydra would print the overrides, too


def main(words: Sequence[str]) -> None:
    """Train the run, or with `-m` the runs, that arguments of the command line describe.

    Raises:
        SystemExit: With a message, if it cannot be done.
    """
    if {"--help", "-h"} & set(words):
        print(help_text())
        return
    atexit.register(gc.freeze)  # Python would search what is imported for garbage once more
    register_resolvers()
    sys.argv[1:] = with_multirun(with_swept_options(words))  # which Hydra reads
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors reach the lines below, not Hydra's own printing
    # An absolute path, because the installed configuration is not beside this module.
    run_hydra = hydra.main(version_base="1.3", config_path=str(CONF), config_name="train")(task)
    try:
        with convert_disk_errors():
            run_hydra()
    except KeyboardInterrupt:
        sys.exit("\nstopped; the same command continues")
    except UserError as error:
        sys.exit(f"\nerror: {error}")
    except (HydraException, OmegaConfBaseException) as error:
        sys.exit("\n".join(f"\nerror: {reason}" for reason in explain(words, error)))
