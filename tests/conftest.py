"""Fixtures that several folders of tests share."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def emodb_root() -> Path:
    """Real speech: EMO-DB at $SER_EMODB_ROOT."""
    root = os.environ.get("SER_EMODB_ROOT")
    if not root:
        pytest.skip("needs EMO-DB: set SER_EMODB_ROOT to its folder")
    return Path(root)
