"""The launcher `ray`, where the extra `ray` is installed."""

from importlib.util import find_spec

if find_spec("hydra_plugins.hydra_ray_launcher"):
    from hydra_plugins._ser_ray import Options, RayLauncher  # noqa: F401
