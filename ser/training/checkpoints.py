"""Files of weights: written atomically, verified when they are read."""

import io
import logging
import pickle
from pathlib import Path
from typing import Any

import torch

from ser.errors import UserError
from ser.results import UNFINISHED, damaged, read_json, require_intact_archive, write_bytes

log = logging.getLogger(__name__)

LAST = "last.ckpt"


def save_atomically(path: Path, content: dict[str, Any]) -> None:
    """Save tensors and plain content; the file is complete or absent."""
    # Through memory, because torch reports a full disk by exceptions of its own.
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_bytes(path, buffer.getbuffer())


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Load tensors and plain content to the CPU.

    Raises:
        UserError: The file is missing, truncated or altered, or contains something else.
    """
    require_intact_archive(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, EOFError, KeyError, ValueError, RuntimeError, pickle.PickleError) as error:
        raise damaged(path, error) from error
    if not isinstance(content, dict):
        raise UserError(f"{path} is damaged: it has no weights")
    return content


def load_weights(module: torch.nn.Module, path: Path) -> None:
    """Load the selected weights of a checkpoint into a module.

    Raises:
        UserError: As for `load_checkpoint`, or the weights are those of another network.
    """
    content = load_checkpoint(path)
    try:
        module.load_state_dict(content["weights"])
    except (KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise UserError(f"{path} does not have the weights of this network") from error


def owner_of(folder: Path) -> str:
    """Return the key of the run or fit whose training writes checkpoints into a folder.

    The folder of a fit is named by its key.
    """
    unfinished = read_json(folder.parent / UNFINISHED) or {}
    return str(unfinished.get("run_key", folder.parent.name))


def discard_unusable(folder: Path) -> None:
    """Remove the checkpoint of an unfinished training if it cannot be continued, and warn.

    Args:
        folder: Folder of the checkpoints.
    """
    path = folder / LAST
    if not path.exists():
        return
    try:
        callbacks = load_checkpoint(path).get("callbacks", {})
        if owner_of(folder) not in {state.get("owner") for state in callbacks.values()}:
            raise UserError(f"{path} is of another training")
    except UserError as error:
        log.warning("%s; it is removed, and training begins anew", error)
        path.unlink()
