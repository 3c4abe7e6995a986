"""How a run was made: what its model was fitted on, by which code and with which libraries."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

DIRTY = "-dirty"  # ends the name of a commit that the code differs from
UNKNOWN = "unknown"
UNKNOWN_FIT = (
    "result.json does not tell whether the validation split was fitted on, too; the test over "
    "folds assumes that it was not"
)


@dataclass(frozen=True)
class Fit:
    """What the model of a run was fitted on.

    Attributes:
        splits: Names of the splits.
        utterances: Number of labelled utterances.
    """

    splits: tuple[str, ...]
    utterances: int


def fits_of(result: Mapping[str, Any], tested: Mapping[str, int]) -> tuple[dict[str, Fit], bool]:
    """Return what the models of a run were fitted on, by the split that each is scored on.

    An estimator is fitted on train and validation before it is tested; its validation score is that
    of a fit on train alone. Runs of earlier versions do not record it: they were estimators if
    their options were chosen by inner folds, networks if they have a best epoch.

    Args:
        result: Content of `result.json`.
        tested: Number of predicted utterances by split.

    Returns:
        Fits by split, and whether they are known.

    Raises:
        ValueError: Nothing was fitted on.
    """
    counts, recorded = result["class_counts"], result.get("fitted_on")
    if recorded:
        test = Fit(tuple(recorded["splits"]), int(recorded["utterances"]))
        if test.utterances < 1:
            raise ValueError("fitted_on has no utterances")
        # Values have no counts of classes.
        others = sum(tested.get(split, 0) for split in test.splits if split != "train")
        labelled = sum(counts["train"].values()) if counts else test.utterances - others
        train = Fit(("train",), labelled)
        return {"val": test if test.splits == train.splits else train, "test": test}, True
    train = Fit(("train",), sum(counts["train"].values()) if counts else 0)
    if "inner_ua" in result:
        both = train.utterances + sum(counts["val"].values())
        return {"val": train, "test": Fit(("train", "val"), both)}, True
    return {"val": train, "test": train}, "best_epoch" in result


@dataclass(frozen=True)
class Software:
    """The code and libraries that made a run.

    Attributes:
        commit: Commit of the code, marked if the code differed from it; None if it is unknown.
        versions: Version of each library whose version can change a result.
    """

    commit: str | None
    versions: Mapping[str, str]

    @classmethod
    def of(cls, result: Mapping[str, Any], cost: Mapping[str, Any]) -> "Software":
        """Return what made a run, from its `result.json` and `cost.json`."""
        versions = {name: str(version) for name, version in result.get("versions", {}).items()}
        commit = cost.get("commit")
        return cls(None if commit is None else str(commit), versions)

    @property
    def parts(self) -> dict[str, str]:
        """The versions of code and libraries by name."""
        return {"commit": self.commit or UNKNOWN, **self.versions}
