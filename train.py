"""Trains one system on one fold with one seed, and tests it once: `python train.py --help`."""

import sys

import hydra
from omegaconf import DictConfig

from ser.config.explain import explain
from ser.config.run_key import register_resolvers
from ser.errors import UserError

register_resolvers()
started = False


@hydra.main(version_base="1.3", config_path="conf", config_name="train")
def main(cfg: DictConfig) -> float:
    """Returns the validation score, which is what a sweeper may see."""
    global started
    started = True
    # Imported here: --help and tab completion must not wait for torch.
    from hydra.core.hydra_config import HydraConfig

    from ser.runs.run import run

    hydra_config = HydraConfig.get()
    many = hydra_config.mode.name == "MULTIRUN"
    names = dict(hydra_config.runtime.choices)
    try:
        return run(cfg, hydra_config.runtime.output_dir, names, brief=many)
    except UserError as error:
        if many:  # the sweep goes on, and tells at its end
            raise
        raise SystemExit(f"\nerror: {error}") from None


if __name__ == "__main__":
    try:
        main()
    except SystemExit as stop:
        if stop.code == 1 and not started:
            # Hydra has said what it could not compose; say what would be right.
            for reason in explain(sys.argv[1:]):
                print(f"\nerror: {reason}", file=sys.stderr)
        raise
