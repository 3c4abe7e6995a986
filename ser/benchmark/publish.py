"""Turn finished runs into a folder that others can check: `python -m ser publish`.

Of each run, predictions, `result.json` and cost are kept. Audio, features, weights and all paths of
this machine are left out.
"""

import json
import re
import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from omegaconf import DictConfig, OmegaConf

from ser.benchmark.checking import submission_problems
from ser.benchmark.published import (
    BY_SPEAKER,
    COMPRESSED,
    CONFIG,
    SUBMISSION,
    read_submission,
    sums_by_speaker,
)
from ser.benchmark.splits import NODES, TRUTH, Splits, make_splits
from ser.benchmark.tables import write_compressed
from ser.config import run_key
from ser.data.fingerprint import RunKeys
from ser.errors import UserError
from ser.results import COST, RESULT, RunFolder, digests_of, write_json, write_sealed, write_text
from ser.results.verify import inconsistencies, split_problems
from ser.sweeps.grid import Grid
from ser.sweeps.jobs import options_of
from ser.sweeps.planned import PlannedRun

# Decimal places of probabilities and values: the fewest with which the scores are the same.
DECIMALS = (4, 5, 6, 9)
# Config groups whose choices describe a system.
GROUPS = (*NODES, "experiment", "features", "representation", "model", "trainer")
FACTS_OF_COST = ("seconds", "threads", "date", "commit")


@dataclass(frozen=True)
class Options:
    """What is published.

    Attributes:
        truth: Publish labels and digests of the audio with the splits, as far as `digests` says.
        digests: Publish digests of the audio.
        mixed: Allow runs of several commits in one system.
    """

    truth: bool
    digests: bool
    mixed: bool


def publish(grid: Grid, out: Path, options: Options) -> list[Path]:
    """Write the finished runs of a grid to a folder that others can check.

    Args:
        grid: Runs; of each system all folds must be finished.
        out: Folder; systems that it has already are replaced.
        options: What is published.

    Returns:
        The folders of the systems.

    Raises:
        UserError: A run is not finished or inconsistent, has several tasks, or would publish a path
            of this machine; the corpus is not the one that the runs were made on.
    """
    systems: dict[tuple[str, ...], list[PlannedRun]] = defaultdict(list)
    for run in grid.runs:
        systems[(*(run.choices[group] for group in NODES), run.system)].append(run)
    made: dict[str, Splits] = {}
    keys = RunKeys()
    folders = []
    for (*names, system), runs in systems.items():
        _require_complete(system, runs)
        cfg, protocol = RunFolder(runs[0].folder).require_config(), "_".join(names)
        if protocol not in made:
            made[protocol] = make_splits(cfg, runs[0].choices)
            kept = made[protocol].written(truth=options.truth, digests=options.digests)
            kept.write(out)
        name = re.sub(r"=/\S*/", "=", system)  # without the folder of an encoder
        path = out / protocol / slug(name)
        if path.exists() and not (path / SUBMISSION).exists():
            raise UserError(f"{path} exists, and is not a published system; choose another --out")
        _publish_system(path, name, runs, made[protocol], options, keys.signature(cfg))
        folders.append(path)
    return folders


def _require_complete(system: str, runs: Sequence[PlannedRun]) -> None:
    """Raise a UserError unless all runs of a system are finished, consistent and distinct."""
    folders: dict[tuple[int, int], Path] = {}
    for run in runs:
        other = folders.setdefault((run.fold, run.seed), run.folder)
        if other != run.folder:
            raise UserError(
                f"{system}: {other} and {run.folder} have the same fold and seed; publish a grid, "
                "or a folder that has only one of them"
            )
        if not RunFolder(run.folder).is_finished:
            raise UserError(f"{run.folder}: not finished; a system is published with all its runs")
        for problem in inconsistencies(RunFolder(run.folder)):
            raise UserError(f"{run.folder}: {problem}")


def _publish_system(
    path: Path,
    system: str,
    runs: Sequence[PlannedRun],
    splits: Splits,
    options: Options,
    signature: str,
) -> None:
    """Write the folder of one system, once it has been verified as others would do it."""
    unfinished = path.with_name(f"{path.name}.part")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        _write_system(unfinished, system, runs, splits, options, signature)
        written = read_submission(unfinished, {})
        for problem in submission_problems(written.with_splits(splits)):
            raise UserError(problem)
        shutil.rmtree(path, ignore_errors=True)
        unfinished.rename(path)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _write_system(
    path: Path,
    system: str,
    runs: Sequence[PlannedRun],
    splits: Splits,
    options: Options,
    signature: str,
) -> None:
    commits = sorted({str(RunFolder(run.folder).read_cost().get("commit")) for run in runs})
    if len(commits) > 1 and not options.mixed:
        raise UserError(
            f"{system}: its runs are of several commits ({', '.join(commits)}): train them again "
            "with force=true, or declare all commits with --mixed-commits"
        )
    names = []
    for run in runs:
        folder = path / f"fold-{run.fold}" / f"seed-{run.seed}"
        names += [str(each.relative_to(path)) for each in _write_run(folder, run, splits, options)]
    first = RunFolder(runs[0].folder)
    write_text(path / CONFIG, _config_text(first.require_config()))
    fitted = ((first.read_record() or {}).get("fitted_on") or {}).get("splits") or ["train"]
    choices = {group: name for group, name in runs[0].choices.items() if group in GROUPS}
    facts = {
        "system": system,
        "choices": choices,
        "overrides": _overrides(runs[0]),
        "training": "+".join(fitted),
        "commits": commits,
        "version": version("ser"),
        "features": signature,
        "digests": digests_of(path, [CONFIG, *names]),
    }
    _require_no_paths(facts, path / SUBMISSION)
    write_sealed(path / SUBMISSION, facts)


def _write_run(path: Path, run: PlannedRun, splits: Splits, options: Options) -> Iterator[Path]:
    """Write the files of one run, and yield them."""
    folder = RunFolder(run.folder)
    record = folder.require_result()
    if record.get("tasks"):
        raise UserError(f"{run.folder}: has several tasks; runs of one task can be published")
    table = folder.read_predictions()
    if any(str(name).startswith("t_") for name in table):
        raise UserError(f"{run.folder}: runs on distributions of raters cannot be published")
    _require_no_paths(record, run.folder / RESULT)
    # Its digest is of the content, so that the form may change.
    write_text(path / RESULT, compact(folder.record_file))
    yield path / RESULT
    cost = folder.read_cost()
    write_sealed(path / COST, {name: cost.get(name) for name in FACTS_OF_COST})
    yield path / COST
    table = rounded(table, record)
    write_compressed(path / COMPRESSED, table.drop(columns=TRUTH))
    yield path / COMPRESSED
    if not options.truth:
        sums = sums_by_speaker(table, splits)
        write_json(path / BY_SPEAKER, {name: each.tolist() for name, each in sums.items()})
        yield path / BY_SPEAKER


def rounded(table: pd.DataFrame, record: Mapping[str, Any]) -> pd.DataFrame:
    """Return predictions with as few decimal places as the recorded scores allow.

    Args:
        table: Of `predictions.csv`.
        record: Content of `result.json`.
    """
    numbers = [name for name in map(str, table) if name.startswith("p_")] or ["prediction"]
    classes = list(record["classes"])
    for decimals in DECIMALS:
        short = table.assign(**{name: np.round(table[name], decimals) for name in numbers})
        problems = (
            problem
            for part in ("val", "test")
            for problem in split_problems(short, part, classes, record, rounded=True)
        )
        if next(problems, None) is None:
            return short
    return table


def compact(file: Path) -> str:
    """Return the content of a JSON file in one line."""
    return json.dumps(json.loads(file.read_text()), sort_keys=True, separators=(",", ":")) + "\n"


def slug(system: str) -> str:
    """Return the name of a system as the name of a folder.

    Examples:
        >>> slug("svm features=encoder model.size=[32, 32]")
        'svm_features-encoder_model.size-32_32'
    """
    return re.sub(r"[^\w.+-]+", "_", system.replace("=", "-").replace("[", "").replace("]", ""))


# ---- without paths of the machine


def _config_text(cfg: DictConfig) -> str:
    """Return a configuration without the options that cannot change a result."""
    content: Any = OmegaConf.to_container(cfg, resolve=True)
    for option in run_key.WITHOUT_EFFECT:
        *parents, last = option.split(".")
        node = content
        for parent in parents:
            node = node.get(parent) or {}
        node.pop(last, None)
    # As on the machine of the runs: elsewhere, `auto` may be another one.
    content["trainer"]["accelerator"] = "gpu" if run_key.trains_on_gpu(cfg) else "cpu"
    if "model" in content["features"]:
        content["features"]["model"] = Path(content["features"]["model"]).name
    _require_no_paths(content, Path(CONFIG))
    return OmegaConf.to_yaml(OmegaConf.create(content))


def _overrides(run: PlannedRun) -> list[str]:
    """Return the overrides of a system: without fold, seed, and places of this machine."""
    dropped = ("seed", "fold.index", *run_key.WITHOUT_EFFECT)
    options = options_of(run.overrides)
    if "features.model" in options:
        options["features.model"] = Path(options["features.model"]).name
    return [
        f"{key}={value}"
        for key, value in options.items()
        if key not in dropped and not key.startswith(("hydra", "store.", "logger"))
    ]


def _require_no_paths(content: Any, file: Path) -> None:
    """Raise a UserError if some text is a path of this machine."""
    if isinstance(content, Mapping):
        for key, value in content.items():
            _require_no_paths(key, file)
            _require_no_paths(value, file)
    elif isinstance(content, list | tuple):
        for value in content:
            _require_no_paths(value, file)
    elif isinstance(content, str) and re.search(r"(^|[\s=:,'\"])(/|~/|[A-Za-z]:\\)\w", content):
        raise UserError(f"{file}: {content}: a path of this machine would be published")
