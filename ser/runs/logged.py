"""The numbers of a result as loggers take them: a flat dict."""

from collections.abc import Mapping
from typing import Any


def flat_scores(result: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers of a result as a flat dict: `test/ua`, `test/recall/anger`, ....

    Of several tasks: `test/activation/ccc`, ....

    Examples:
        >>> flat_scores({"test": {"ua": 0.5, "recall": {"joy": 0.5, "fear": None}}, "val": None})
        {'test/ua': 0.5, 'test/recall/joy': 0.5}
        >>> flat_scores({"test": {"tasks": {"valence": {"ccc": 0.5, "pearson": None}}}})
        {'test/valence/ccc': 0.5}
    """
    flat: dict[str, float] = {}
    for prefix, scores in _by_prefix(result).items():
        flat |= {f"{prefix}/{k}": value for k, value in scores.items() if isinstance(value, float)}
        recalls = scores.get("recall", {})
        flat |= {f"{prefix}/recall/{c}": value for c, value in recalls.items() if value is not None}
    return flat | {name: result[name] for name in ("best_epoch", "temperature") if name in result}


def confusions(result: Mapping[str, Any]) -> dict[str, list[list[int]]]:
    """Return the confusion matrices of a result: `test/confusion_counts`, ...."""
    return {
        f"{prefix}/confusion_counts": scores["confusion"]
        for prefix, scores in _by_prefix(result).items()
        if "confusion" in scores
    }


def _by_prefix(result: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return scores by `<split>`, or of several tasks by `<split>/<task>`."""
    splits = {name: result[name] for name in ("val", "test") if result.get(name)}
    return {
        prefix: scores
        for name, of_split in splits.items()
        for prefix, scores in (
            {f"{name}/{task}": each for task, each in of_split["tasks"].items()}
            if "tasks" in of_split
            else {name: of_split}
        ).items()
    }
