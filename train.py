"""Train one system on one fold with one seed, and test it once: `python train.py --help`."""

import os
import sys

import hydra
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from ser.config.explain import explain
from ser.config.help import help_text
from ser.config.run_key import register_resolvers
from ser.errors import UserError, convert_disk_errors
from ser.sweeps.jobs import with_multirun

register_resolvers()


@hydra.main(version_base="1.3", config_path="conf", config_name="train")
def main(cfg: DictConfig) -> float:
    """Return the validation score, the only score that a sweeper may see."""
    # Imported here, because whatever can be said without torch should not wait for it.
    from hydra.core.hydra_config import HydraConfig

    from ser.runs.run import run

    hydra_config = HydraConfig.get()
    many = hydra_config.mode.name == "MULTIRUN"
    names = dict(hydra_config.runtime.choices)
    folder = hydra_config.runtime.output_dir
    try:
        return run(cfg, folder, names, brief=many, hydra=hydra_config)
    except UserError as error:
        if many:  # the sweep continues, and reports the error at its end
            raise
        raise SystemExit(f"\nerror: {error}") from None  # Hydra would print the overrides, too


if __name__ == "__main__":
    if {"--help", "-h"} & set(sys.argv[1:]):
        print(help_text())
        sys.exit()
    sys.argv[1:] = with_multirun(sys.argv[1:])
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors reach the lines below, not Hydra's own printing
    try:
        with convert_disk_errors():
            main()
    except KeyboardInterrupt:
        sys.exit("\nstopped; the same command continues")
    except UserError as error:
        sys.exit(f"\nerror: {error}")
    except (HydraException, OmegaConfBaseException) as error:
        sys.exit("\n".join(f"\nerror: {reason}" for reason in explain(sys.argv[1:], error)))
