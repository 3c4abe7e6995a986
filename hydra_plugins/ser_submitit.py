"""The launchers `submitit_slurm` and `submitit_local`, where the extra `sweep` is installed."""

from importlib.util import find_spec

if find_spec("hydra_plugins.hydra_submitit_launcher"):
    from hydra_plugins._ser_submitit import LocalLauncher, Options, SlurmLauncher  # noqa: F401
