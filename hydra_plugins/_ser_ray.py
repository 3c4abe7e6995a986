"""The launcher of `hydra-ray-launcher`, which can also use a cluster that is running.

Theirs requests memory for a cluster of its own, which Ray refuses if it is to connect to another.
Hydra imports this module whenever `train.py` starts; Ray is imported when runs are launched.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn
from hydra.plugins.search_path_plugin import SearchPathPlugin
from hydra_plugins.hydra_ray_launcher import ray_launcher
from hydra_plugins.hydra_ray_launcher._config import RayLauncherConf

from ser.errors import UserError


@dataclass
class RayConf(RayLauncherConf):
    """Options of `hydra/launcher=ray`."""

    _target_: str = f"{__name__}.RayLauncher"


class RayLauncher(ray_launcher.RayLauncher):
    """Launcher whose workers are processes of this machine, or of a cluster.

    Args:
        ray: Arguments of `ray.init` (`init`) and of `ray.remote` (`remote`).
    """

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        address = self.ray_cfg.init.get("address")
        if address is not None:
            self.ray_cfg.init.setdefault("object_store_memory", None)
        try:
            return super().launch(job_overrides, initial_job_idx)
        except ConnectionError as error:
            raise UserError(
                f"hydra.launcher.ray.init.address={address}: no Ray cluster runs there that this "
                "machine can connect to (`ray start --head` starts one)"
            ) from error


class Options(SearchPathPlugin):
    """Puts these options in place of those of the plug-in, see `_ser_submitit.Options`."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        ConfigStore.instance().store(
            group="hydra/launcher", name="ray", node=RayConf, provider="ser"
        )
