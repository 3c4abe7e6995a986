"""The runs of a grid: composed from overrides, or found in a folder.

A sweep skips the runs that are finished, `status` counts them and `report` lists those that are
missing. All three get the runs, and their folders, from here.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ser.config import CONF, run_key, stored
from ser.config.explain import explain
from ser.errors import UserError, last_line
from ser.results import RESULT, RunFolder
from ser.sweeps.jobs import ALL, FOLD, Job, compose_jobs, fold_count, with_swept_options
from ser.sweeps.naming import name_systems
from ser.sweeps.planned import PlannedRun
from ser.sweeps.system import System, variant

if TYPE_CHECKING:
    from ser.data.fingerprint import RunKeys


FORMATS = ("pdf", "png")  # of figures, beside SVG


@dataclass(frozen=True)
class Grid:
    """The runs of one table or figure.

    Attributes:
        name: Name of the grid, or of the folder.
        runs: Runs in the order in which a sweep launches them.
        baseline: System that the others are compared with; None: no comparison.
        logger: Config of the loggers that a report is sent to; None: for a folder.
        tsne: Whether the report plots codes by t-SNE.
        comparisons: Further pairs of systems that are compared: a system and its reference.
        damaged: Messages about run folders that cannot be read.
        formats: Files of figures beside SVG: "pdf", "png".
        overrides: Overrides that the grid was composed from; empty for a folder.
        parts: What is compared, if it is several folders or grids, with their runs as named here.
        selection: Arguments of the command that select it; of several parts, the options alone.
    """

    name: str
    runs: tuple[PlannedRun, ...]
    baseline: str | None
    logger: DictConfig | None = None
    tsne: bool = False
    comparisons: tuple[tuple[str, str], ...] = ()
    damaged: tuple[str, ...] = ()
    formats: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    parts: tuple["Grid", ...] = ()
    selection: tuple[str, ...] = ()


def parse_comparisons(value: Any) -> tuple[tuple[str, str], ...]:
    """Return the pairs of systems of `report.comparisons`.

    Args:
        value: A list of pairs, e.g. [[aae, mlp]], or its text.

    Raises:
        UserError: It is not a list of pairs of names.
    """
    error = UserError(
        f"report.comparisons={value}: expected a list of pairs, each a system and its reference, "
        "e.g. [[aae,mlp],[aae,cnn]]"
    )
    try:
        pairs = yaml.safe_load(value) if isinstance(value, str) else value
    except yaml.YAMLError:
        raise error from None
    is_list = isinstance(pairs, Sequence) and not isinstance(pairs, str)
    for pair in pairs if is_list else [None]:
        if isinstance(pair, str) or not isinstance(pair, Sequence) or len(pair) != 2:
            raise error
    named = [(str(system), str(reference)) for system, reference in pairs]
    if same := [system for system, reference in named if system == reference]:
        raise UserError(f"report.comparisons: {same[0]} cannot be compared with itself")
    return tuple(named)


def parse_formats(value: Any) -> tuple[str, ...]:
    """Return the formats of `report.formats`.

    Args:
        value: A list, e.g. ["pdf", "png"], or its text.

    Raises:
        UserError: It has another format.
    """
    try:
        formats = yaml.safe_load(value) if isinstance(value, str) else value
    except yaml.YAMLError:
        formats = None
    if not isinstance(formats, list) or any(each not in FORMATS for each in formats):
        raise UserError(
            f"report.formats={value}: expected a list of {' and '.join(FORMATS)}, e.g. "
            f"[{','.join(FORMATS)}]; SVG files are always written"
        )
    return tuple(dict.fromkeys(formats))


# ---- from overrides


def compose_grid(overrides: Sequence[str]) -> Grid:
    """Return the runs that `python train.py -m OVERRIDES` would launch.

    Args:
        overrides: Overrides as for train.py, e.g. ["grid=demo", "seed=0,1"].

    Raises:
        UserError: The overrides cannot be composed, or select no run.
    """
    from hydra import compose, initialize_config_dir
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    from ser.data.fingerprint import RunKeys

    run_key.register_resolvers()
    try:
        with initialize_config_dir(str(CONF.resolve()), version_base="1.3"):
            parser = OverridesParser.create(GlobalHydra.instance().config_loader())
            parsed = parser.parse_overrides(with_swept_options(overrides))
            fixed = [str(each.input_line) for each in parsed if not each.is_sweep_override()]
            cfg = compose("train", fixed, return_hydra_config=True)
            # Hydra's own options are for every job; the others are expanded to jobs, after the
            # lists of values that the grid itself defines.
            for_hydra = [str(each.input_line) for each in parsed if each.is_hydra_override()]
            for_jobs = [each for each in parsed if not each.is_hydra_override()]
            (jobs,) = BasicSweeper.split_arguments(
                parser.parse_overrides(_sweep_overrides(cfg)) + for_jobs, None
            )
            keys = RunKeys()
            composed = compose_jobs(
                jobs,
                lambda job: compose("train", [*for_hydra, *job], return_hydra_config=True),
                lambda cfg: _count_folds(cfg, keys),
            )
            runs = name_systems([plan(job, system) for job, system in composed])
    except HydraException as error:
        raise UserError("\n".join(explain(["-m", *overrides], error))) from None
    name = cfg.hydra.runtime.choices.get("grid") or "runs"
    comparisons = parse_comparisons(OmegaConf.to_container(cfg.report.comparisons))
    if not any(override.startswith("report.comparisons=") for override in overrides):
        # A grid that was narrowed to some of its systems compares those that are left.
        systems = {run.system for run in runs}
        comparisons = tuple(pair for pair in comparisons if systems.issuperset(pair))
    report: Any = OmegaConf.to_container(cfg.report)
    formats = parse_formats(report["formats"])
    options = cfg.report.baseline, cfg.logger, cfg.report.tsne, comparisons
    return Grid(name, tuple(runs), *options, formats=formats, overrides=tuple(overrides))


def _sweep_overrides(cfg: DictConfig) -> list[str]:
    """Return the overrides that a grid's own config sweeps over."""
    params = cfg.hydra.sweeper.get("params") or {}
    return [f"{key}={value}" for key, value in params.items()]


def plan(job: Job, system: System) -> PlannedRun:
    """Return the run of a job, without the name of its system, which depends on the other runs.

    Args:
        job: Overrides of the run.
        system: Its system, whose config is that of the run.

    Raises:
        UserError: The seed or the index of the fold is not a whole number.
    """
    cfg, folder = system.cfg, system.folder
    _require_numbers(cfg, folder)
    fold, seed, choices = cfg.fold.index, cfg.seed, system.choices
    return PlannedRun(folder, "", choices, fold, seed, system.paper, tuple(job), system.variant)


def _count_folds(cfg: DictConfig, keys: "RunKeys") -> int:
    """Return the number of folds: of the corpus, or else as finished runs have recorded it.

    Raises:
        UserError: The corpus cannot be read, and no run is finished.
    """
    try:
        return fold_count(cfg, keys)
    except UserError as error:
        recorded = _recorded_fold_count(cfg)
        if recorded is None:
            raise UserError(f"{FOLD}={ALL} needs the corpus to count its folds: {error}") from error
        return recorded


def _recorded_fold_count(cfg: DictConfig) -> int | None:
    """Return the number of folds according to any finished run of a partition, or None."""
    system = System(cfg)
    partition, _, _ = system.folder.parent.name.rpartition("-")
    parent = system.folder.parent.parent
    for folder in sorted(parent.iterdir()) if parent.is_dir() else ():
        name, _, index = folder.name.rpartition("-")
        if name == partition and index.isdecimal():
            cfg.fold.index = int(index)
            run = RunFolder(system.folder)
            if run.is_finished:
                return (run.read_record() or {}).get("fold_count")
    return None


# ---- from a folder


def find_runs(folder: Path) -> Grid:
    """Return all runs below a folder, finished or not; what cannot be read is named in the grid.

    Raises:
        UserError: There is no run that can be read.
    """
    run_key.register_resolvers()
    runs, damaged = [], []
    for each in RunFolder.find_all(folder):
        try:
            runs.append(_read_run(each))
        except UserError as error:
            damaged.append(str(error))
    if not runs:
        raise UserError(damaged[0] if damaged else f"{folder} contains no runs (no {RESULT})")
    return Grid(folder.resolve().name, tuple(name_systems(runs)), None, damaged=tuple(damaged))


def _read_run(folder: RunFolder) -> PlannedRun:
    """Return a run as the files in its folder describe it, without the name of its system."""
    with _describing(folder.choices_file) as hydra:
        choices = {str(group): name for group, name in hydra["hydra"]["runtime"]["choices"].items()}
        _ = [choices[name] for name in ("corpus", "target", "model")]
    with _describing(folder.overrides_file) as overrides:
        if not isinstance(overrides, list):
            raise TypeError("not a list")
    with _describing(folder.config_file) as config:
        stored.require_known_resolvers(config, folder.config_file)
        cfg = OmegaConf.create(config)
        _require_numbers(cfg, folder.path)
        job = tuple(str(each) for each in overrides)
        paper: Any = OmegaConf.to_container(cfg.paper) if cfg.paper else None
        return PlannedRun(
            folder.path, "", choices, cfg.fold.index, cfg.seed, paper, job, variant(cfg)
        )
    raise AssertionError  # for mypy: the context manager raises errors


@contextmanager
def _describing(file: Path) -> Iterator[Any]:
    """Yield the content of a file that describes a run, and name the file if it does not."""
    content = stored.read_yaml(file)
    try:
        yield content
    except (AttributeError, KeyError, TypeError, ValueError, OmegaConfBaseException) as error:
        raise UserError(
            f"{file} is damaged: it does not describe a run ({last_line(error)})"
        ) from error


def _require_numbers(cfg: DictConfig, folder: Path) -> None:
    """Raise a UserError unless the seed and the index of the fold are whole numbers."""
    for key, value in (("seed", cfg.seed), (FOLD, cfg.fold.index)):
        if not isinstance(value, int):
            raise UserError(f"{folder}: {key}={value}: must be a whole number")
