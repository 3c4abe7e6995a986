"""Speech emotion recognition that can be believed.

The names below are the Python API; `ser.api` documents them. They are imported on first use, so
that `import ser` takes no time.

    import ser

    run = ser.train("corpus=emodb", "corpus.root=path/to/emodb", "model=aae")
    run.predict("recording.wav")
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ser.api import (
        Run,
        UserError,
        extract,
        load,
        read_corpus,
        read_predictions,
        read_runs,
        train,
    )

    __version__: str

__all__ = [
    "Run",
    "UserError",
    "__version__",
    "extract",
    "load",
    "read_corpus",
    "read_predictions",
    "read_runs",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'ser' has no attribute {name!r}")
    if name == "__version__":
        from importlib.metadata import version

        return version("ser")
    from ser import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
