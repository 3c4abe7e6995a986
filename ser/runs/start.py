"""The start of a single run: what is wrong is reported, and a finished run is found.

Hydra calls `Start` before it creates the folder of the run (see `conf/train.yaml`). Nothing here
imports torch, so the answer comes at once.
"""

import copy
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, open_dict

from ser import console
from ser.data.fingerprint import RunKeys
from ser.data.preflight import finished_result, require_valid
from ser.errors import UserError, convert_disk_errors
from ser.results import RunFolder


class Start(Callback):
    """Ends the process before a single run that is refused or finished; sweeps do so themselves."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        folder = RunFolder(Path(config.hydra.run.dir).absolute())
        cfg = copy.deepcopy(config)
        with open_dict(cfg):
            del cfg["hydra"]
        keys = RunKeys()
        try:
            with convert_disk_errors():
                require_valid(cfg)
                keys.fold(cfg)
                result = finished_result(cfg, folder, keys)
                if result is None:
                    _make_folder(folder.path)
        except UserError as error:
            # Hydra turns exceptions of callbacks into warnings.
            raise SystemExit(f"\nerror: {error}") from None
        if result is not None:
            console.finished_before(folder.path, result)
            raise SystemExit(0)


def _make_folder(folder: Path) -> None:
    """Create the folder of a run, as Hydra is about to do, which would end in a traceback.

    Raises:
        UserError: It cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"hydra.run.dir={folder}: {error.strerror}; choose a folder that can be written"
        ) from error
