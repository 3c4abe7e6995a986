"""Train one system on one fold with one seed, and test it once: `python train.py --help`."""

import sys

import hydra
from omegaconf import DictConfig

from ser.config.explain import explain
from ser.config.help import help_text
from ser.config.run_key import register_resolvers
from ser.errors import UserError

register_resolvers()
started = False


@hydra.main(version_base="1.3", config_path="conf", config_name="train")
def main(cfg: DictConfig) -> float:
    """Return the validation score, the only score that a sweeper may see."""
    global started
    started = True
    # Imported here, because --help and tab completion should not wait for torch.
    from hydra.core.hydra_config import HydraConfig

    from ser.runs.run import run

    hydra_config = HydraConfig.get()
    many = hydra_config.mode.name == "MULTIRUN"
    names = dict(hydra_config.runtime.choices)
    try:
        return run(cfg, hydra_config.runtime.output_dir, names, brief=many)
    except UserError as error:
        if many:  # the sweep continues, and reports the error at its end
            raise
        raise SystemExit(f"\nerror: {error}") from None


if __name__ == "__main__":
    if {"--help", "-h"} & set(sys.argv[1:]):
        print(help_text())
        sys.exit()
    try:
        main()
    except SystemExit as stop:
        if stop.code == 1 and not started:
            # Hydra has printed what it could not compose; print what would be valid.
            for reason in explain(sys.argv[1:]):
                print(f"\nerror: {reason}", file=sys.stderr)
        raise
