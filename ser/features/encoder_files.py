"""Files of pretrained speech encoders: where they are, what they contain, and their digest.

An encoder is a folder with `config.json`, `preprocessor_config.json` and weights, as
`save_pretrained` of Hugging Face's transformers writes it, or a repository of that form on the
Hugging Face hub. Neither torch nor transformers is imported here.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from ser.errors import UserError

CONFIG, PREPROCESSOR, CARD = "config.json", "preprocessor_config.json", "README.md"
# By preference; a file of torch is read as tensors only (`weights_only`).
WEIGHTS = ("model*.safetensors", "pytorch_model*.bin")
HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
COMMIT = re.compile(r"[0-9a-f]{40}")
FOLDERS = "SER_ENCODERS"  # environment variable: a folder with encoders
MISSING = 'encoders need transformers: pip install -e ".[encoders]"'
BLOCK = 1 << 22  # bytes that are read together
_DIGESTS: dict[tuple, str] = {}


@dataclass(frozen=True)
class EncoderFiles:
    """The folder of an encoder.

    Attributes:
        model: Name that the user has given: a folder, or a repository of the hub.
        folder: Folder with the files.
        commit: Commit of the hub's repository; None: a folder of the user.
    """

    model: str
    folder: Path
    commit: str | None

    @cached_property
    def config(self) -> dict[str, Any]:
        """Content of `config.json`."""
        return self._json(CONFIG)

    @cached_property
    def preprocessor(self) -> dict[str, Any]:
        """Content of `preprocessor_config.json`."""
        return self._json(PREPROCESSOR)

    @property
    def weights(self) -> list[Path]:
        """Files with the weights, in order of their names.

        Raises:
            UserError: There are none.
        """
        for pattern in WEIGHTS:
            if files := sorted(self.folder.glob(pattern)):
                return files
        raise self.error(f"has no weights ({' or '.join(WEIGHTS)})")

    @cached_property
    def digest(self) -> str:
        """Digest of weights, configuration and preprocessing, 16 hexadecimal digits."""
        files = [self.folder / CONFIG, self.folder / PREPROCESSOR, *self.weights]
        facts = [(file, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
        key = tuple(facts)
        if key not in _DIGESTS:  # gigabytes, which the runs of a sweep share
            content = hashlib.blake2b(digest_size=8)
            for block in _blocks(files):
                content.update(block)
            _DIGESTS[key] = content.hexdigest()
        return _DIGESTS[key]

    @property
    def licence(self) -> str | None:
        """Licence that the model card names; None: there is no card, or it names none."""
        try:
            front = (self.folder / CARD).read_text(errors="replace").split("---")[1]
            names = yaml.safe_load(front)
        except (OSError, IndexError, yaml.YAMLError):
            return None
        licence = names.get("license") if isinstance(names, Mapping) else None
        return licence if isinstance(licence, str) else None

    def number(self, *names: str) -> int:
        """Return the first of some whole numbers of `config.json`.

        Raises:
            UserError: It has none of them.
        """
        for name in names:
            value = self.config.get(name)
            if isinstance(value, int) and 0 < value < 1_000_000:
                return value
        raise self.error(f"{CONFIG} has no {' or '.join(names)}")

    def error(self, reason: str) -> UserError:
        """Return the error for files that cannot be used."""
        return UserError(f"features.model={self.model}: {self.folder} {reason}")

    def _json(self, name: str) -> dict[str, Any]:
        try:
            content = json.loads((self.folder / name).read_bytes())
        except FileNotFoundError:
            raise self.error(f"has no {name}: not an encoder of transformers") from None
        except (OSError, ValueError, RecursionError) as error:
            raise self.error(f"has a damaged {name} ({error})") from error
        if not isinstance(content, dict):
            raise self.error(f"has a damaged {name}")
        return content


def encoder_files(model: str, revision: str | None) -> EncoderFiles:
    """Find a folder by its path, or a repository of the hub, which is fetched if it is missing.

    A folder that is not at its path is searched by its name in the folder that the environment
    variable SER_ENCODERS names, so that runs of another machine can be used.

    Args:
        model: Path of a folder, or `owner/name` on the hub.
        revision: Commit, tag or branch on the hub; None: the branch main.

    Raises:
        UserError: There is no such folder, or the hub cannot be reached.
    """
    require_library()
    path = Path(model).expanduser()
    if path.is_dir():
        return EncoderFiles(model, path.resolve(), None)
    folders = os.environ.get(FOLDERS)
    if folders and (moved := Path(folders).expanduser() / path.name).is_dir():
        return EncoderFiles(model, moved.resolve(), None)
    if not HUB_NAME.fullmatch(model):
        raise UserError(
            f"features.model={model}: no such folder. If it is at another place here, set the "
            f"environment variable {FOLDERS} to the folder that contains {path.name}"
        )
    folder = _from_hub(model, revision or "main")
    return EncoderFiles(model, folder, folder.name if COMMIT.fullmatch(folder.name) else None)


def require_same_weights(present: str, trained: str, run: Path) -> None:
    """Check that an encoder is the one that a run was trained on.

    Args:
        present: Signature of the features that are extracted now.
        trained: Signature of the features of the run.
        run: Folder of the run, for the message.

    Raises:
        UserError: Both are of encoders, with different weights.
    """
    first, second = (re.search(r"weights-([0-9a-f]+)", text) for text in (present, trained))
    if first and second and first[1] != second[1]:
        raise UserError(
            f"{run}: trained on an encoder with other weights (digest {second[1]}) than the one at "
            f"features.model (digest {first[1]}); predictions would be meaningless"
        )


def require_library() -> None:
    """Raise a UserError unless transformers is installed."""
    if find_spec("transformers") is None:
        raise UserError(MISSING)


def _blocks(files: list[Path]) -> Iterator[bytes]:
    for file in files:
        with open(file, "rb") as stream:
            while block := stream.read(BLOCK):
                yield block


def _from_hub(model: str, revision: str) -> Path:
    """Return the folder of a repository in the cache of the hub; fetch what is missing."""
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    def folder_with(patterns: list[str], **options: Any) -> Path:
        arguments = {"revision": revision, "allow_patterns": patterns, **options}
        return Path(snapshot_download(model, **arguments))

    try:  # without the network, so that a fixed revision is read as it was fetched
        folder = folder_with([], local_files_only=True)
        if (folder / CONFIG).exists() and any(any(folder.glob(each)) for each in WEIGHTS):
            return folder
    except LocalEntryNotFoundError:
        pass
    command = f"hf download {model} --revision {revision}"
    if constants.HF_HUB_OFFLINE:
        raise UserError(
            f"features.model={model}: not in the cache of the Hugging Face hub, and HF_HUB_OFFLINE "
            f"is set. Fetch it beforehand: {command}"
        )
    try:
        # Only what is read: some repositories hold the weights three times.
        folder = folder_with([CONFIG, PREPROCESSOR, CARD, "model*.safetensors*"], etag_timeout=5)
        if not any(folder.glob(WEIGHTS[0])):
            folder = folder_with(["pytorch_model*.bin*"], etag_timeout=5)
    except Exception as error:  # of the hub, of httpx or of sockets
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise UserError(
            f"features.model={model}: no such folder, and it cannot be fetched from the Hugging "
            f"Face hub ({reason}). Fetch it where there is a network: {command} --local-dir "
            f"FOLDER, and give features.model=FOLDER"
        ) from error
    return folder
