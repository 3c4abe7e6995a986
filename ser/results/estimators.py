"""Fitted scikit-learn objects as files without code, by skops. Equal objects give equal bytes.

skops imports all of scikit-learn, nearly a second: it is imported where it is used.
"""

import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ser.errors import UserError
from ser.results.files import damaged, require_intact_archive, write_bytes

SCHEMA = "schema.json"


def save_estimator(path: Path, fitted: Any) -> None:
    """Write a fitted object.

    skops names arrays by addresses in memory or random numbers, and dates them. Here they are
    numbered in the order of their use, so that equal runs have equal files.
    """
    import skops.io

    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(skops.io.dumps(fitted))) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
        names: dict[Any, str] = {}
        schema = _numbered(json.loads(members.pop(SCHEMA)), set(members), names)
        with zipfile.ZipFile(buffer, "w") as normalised:
            for name, number in names.items():
                if name in members:
                    normalised.writestr(zipfile.ZipInfo(number), members[name])
            normalised.writestr(zipfile.ZipInfo(SCHEMA), json.dumps(schema, indent=2))
    write_bytes(path, buffer.getvalue())


def load_estimator(path: Path, trusted: Sequence[str] = ()) -> Any:
    """Load a fitted object.

    Args:
        path: File that `save_estimator` has written.
        trusted: Types that skops does not trust by default.

    Raises:
        UserError: The file is missing, damaged or contains other types.
    """
    import skops.io
    from skops.io.exceptions import UntrustedTypesFoundException

    require_intact_archive(path)
    try:
        return skops.io.load(path, trusted=list(trusted))
    except UntrustedTypesFoundException as error:
        raise UserError(f"{path} is not a model of this project: {error}") from error
    except Exception as error:  # skops documents none; the content of a damaged file is arbitrary
        raise damaged(path, error) from error


def _numbered(node: Any, members: set[str], names: dict[Any, str]) -> Any:
    """Return a schema whose identities and files are numbered in the order of appearance."""
    if isinstance(node, list):
        return [_numbered(each, members, names) for each in node]
    if not isinstance(node, dict):
        return node
    copy: dict[str, Any] = {}
    for key, value in node.items():
        if key == "__id__":
            copy[key] = int(names.setdefault(value, str(len(names))))
        elif key == "file" and value in members:
            number = f"{len(names)}{Path(value).suffix}"
            copy[key] = names.setdefault(value, number)
        else:
            copy[key] = _numbered(value, members, names)
    return copy
