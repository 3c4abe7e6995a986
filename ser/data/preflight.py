"""What is known about a run before its features are loaded, without importing torch."""

from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig

from ser.config import build
from ser.config.checks import check_values
from ser.config.machine import require_gpu
from ser.config.run_key import trains_on_gpu
from ser.data.fingerprint import RunKeys
from ser.results import RunFolder


def require_valid(cfg: DictConfig) -> None:
    """Check the options of a configuration, and that this machine has its device.

    The files of a pretrained encoder are found, or fetched, so that a wrong name is known at once.
    `RunKeys.fold` checks in addition that corpus, target and fold can be made.

    Raises:
        UserError: The run cannot be made.
    """
    check_values(cfg)
    if trains_on_gpu(cfg):
        require_gpu()
    if "model" in cfg.features:
        _ = build(cfg.features).columns


def finished_result(
    cfg: DictConfig, folder: RunFolder, keys: RunKeys, options: Mapping[str, Any] | None = None
) -> dict[str, Any] | None:
    """Return `result.json` of a finished run that would give the same result again.

    None: the run is to be made, or only the run itself can tell. That is so for `skip_faulty`,
    because the features tell which utterances are faulty, and for a test on another corpus.

    Args:
        cfg: Configuration of the run.
        folder: Folder of the run.
        keys: Keys of runs.
        options: `result_options` of the run; None: they are computed.

    Raises:
        UserError: The folder has a finished run of other data, features or options.
    """
    if cfg.force or cfg.skip_faulty or cfg.test_corpus is not None or not folder.is_finished:
        return None
    return folder.finished_result(keys(cfg, options), force=False)
