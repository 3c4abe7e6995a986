"""The runs of a grid, composed anew from what was asked for, or found in a folder of runs.

A sweep leaves out what is finished, `status` counts what is not, `report` names what is missing:
all three ask here which runs there should be and where they lie.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf

from ser import results
from ser.config import CONF, run_key
from ser.config.explain import explain
from ser.errors import UserError

# Composed configs differ by these in nothing but the value itself, so that one composition
# (0.16 s) serves all seeds and folds of a system.
NUMBERS = ("seed", "fold.index")
# What a table has lines and columns for; whatever else is varied is named beside the system.
AXES = {*NUMBERS, "corpus", "target", "grid", "experiment", "representation", "model"}

Compose = Callable[[list[str]], DictConfig]


@dataclass(frozen=True)
class Planned:
    """A run that was asked for, whether or not it has been made.

    Attributes:
        folder: where it lies or will lie.
        system: what the runs of one line of a table have in common: the experiment or the model,
            and whatever else was varied, e.g. "utterance_aae" or "svm features=is10".
        names: what was chosen of each config group, e.g. {"corpus": "emodb"}.
        fold: its number.
        seed: of the run.
        paper: of the experiment: key, published scores, how folds are joined; None: no paper.
        overrides: that make `train.py` train it.
        variant: a digest of all that can change its result but corpus, target, fold number, seed.
        varied: options that are named beside the system, e.g. {"representation.size": "128"}.
        tested_on: the corpus of an evaluation of the run; None: the run's own.
    """

    folder: Path
    system: str
    names: Mapping[str, str]
    fold: int
    seed: int
    paper: Mapping[str, Any] | None
    overrides: tuple[str, ...]
    variant: str
    varied: Mapping[str, str] = field(default_factory=dict)
    tested_on: str | None = None

    @property
    def corpus(self) -> str:
        """What it is trained and tested on, e.g. "emodb" or "emodb to ravdess"."""
        own = self.names["corpus"]
        return own if self.tested_on is None else f"{own} to {self.tested_on}"


@dataclass(frozen=True)
class Grid:
    """Runs that belong together.

    Attributes:
        name: of the grid, or of the folder.
        runs: in the order in which they are launched.
        baseline: the system that the others are tested against; None: none is named.
        logger: config of the loggers that a report may go to; None: of a folder.
        tsne: whether its report draws codes by t-SNE.
    """

    name: str
    runs: tuple[Planned, ...]
    baseline: str | None
    logger: DictConfig | None = None
    tsne: bool = False


def composed(overrides: Sequence[str]) -> Grid:
    """The runs that `python train.py -m OVERRIDES` would launch.

    Args:
        overrides: as for train.py, e.g. ["grid=demo", "seed=0,1"].

    Raises:
        UserError: they cannot be composed, or are no runs at all.
    """
    from hydra import compose, initialize_config_dir
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    run_key.register_resolvers()
    try:
        with initialize_config_dir(str(CONF.resolve()), version_base="1.3"):
            parser = OverridesParser.create(GlobalHydra.instance().config_loader())
            asked = parser.parse_overrides(list(overrides))
            single = [str(each.input_line) for each in asked if not each.is_sweep_override()]
            whole = compose("train", single, return_hydra_config=True)
            ours = [each for each in asked if not each.is_hydra_override()]
            hydras = [str(each.input_line) for each in asked if each.is_hydra_override()]
            params = parser.parse_overrides(swept(whole))
            (jobs,) = BasicSweeper.split_arguments(params + ours, None)
            runs = planned(
                jobs, lambda job: compose("train", [*hydras, *job], return_hydra_config=True)
            )
    except HydraException as error:
        raise UserError("\n".join(explain(overrides)) or str(error)) from None
    name = whole.hydra.runtime.choices.get("grid") or "runs"
    return Grid(name, tuple(runs), whole.report.baseline, whole.logger, whole.report.tsne)


def swept(cfg: DictConfig) -> list[str]:
    """The overrides that a grid's own config sweeps over."""
    params = cfg.hydra.sweeper.get("params") or {}
    return [f"{key}={value}" for key, value in params.items()]


def planned(jobs: Sequence[Sequence[str]], compose: Compose) -> list[Planned]:
    """Where the runs of some jobs lie, and what they are called.

    Args:
        jobs: overrides of each.
        compose: config of a job, Hydra's own node included.

    Raises:
        UserError: there are none, as `configs`.
    """
    variants: dict[int, str] = {}
    runs = []
    for job, cfg in configs(jobs, compose):
        if id(cfg) not in variants:
            variants[id(cfg)] = _variant(cfg)
        names = dict(cfg.hydra.runtime.choices)
        runs.append(_planned(folder_of(cfg), cfg, names, job, variants[id(cfg)]))
    return _named(runs)


def configs(
    jobs: Sequence[Sequence[str]], compose: Compose
) -> Iterator[tuple[Sequence[str], DictConfig]]:
    """Each job with its config, which is good until the next one is asked for.

    Raises:
        UserError: there are none, as when a glob matches nothing.
    """
    if not jobs:
        raise UserError("no run at all: does a glob match nothing?")
    known: dict[tuple[str, ...], DictConfig] = {}
    for job in jobs:
        numbers = dict(text.split("=", 1) for text in job if text.split("=")[0] in NUMBERS)
        rest = tuple(text for text in job if text.split("=")[0] not in NUMBERS)
        if rest not in known:
            known[rest] = compose(list(job))
        for key, value in numbers.items():
            OmegaConf.update(known[rest], key, yaml.safe_load(value))
        yield job, known[rest]


def folder_of(cfg: DictConfig) -> Path:
    """Where a sweep puts the run of this config."""
    return Path(cfg.hydra.sweep.dir, cfg.hydra.sweep.subdir)


def in_folder(folder: Path) -> Grid:
    """The runs, finished or not, that lie anywhere below a folder.

    Raises:
        UserError: there is none, or one of them does not say what it is.
    """
    run_key.register_resolvers()
    places = {file.parent for name in results.MARKS for file in folder.rglob(name)}
    runs = []
    for place in sorted(places):
        try:
            cfg, hydra, job = (
                yaml.load((place / ".hydra" / name).read_text(), yaml.CSafeLoader)
                for name in ("config.yaml", "hydra.yaml", "overrides.yaml")
            )
        except FileNotFoundError as error:
            raise UserError(f"{error.filename} is missing: what run is this?") from None
        names = hydra["hydra"]["runtime"]["choices"]
        node = OmegaConf.create(cfg)
        runs.append(_planned(place, node, names, job, _variant(node)))
    if not runs:
        raise UserError(f"{folder} holds no runs")
    return Grid(folder.resolve().name, tuple(_named(runs)), None)


def _planned(
    folder: Path, cfg: DictConfig, names: Mapping[str, str], job: Sequence[str], variant: str
) -> Planned:
    paper: Any = OmegaConf.to_container(cfg.paper) if cfg.paper else None
    return Planned(folder, "", names, cfg.fold.index, cfg.seed, paper, tuple(job), variant)


def _variant(cfg: DictConfig) -> str:
    content = run_key.identity(cfg)
    for key in ("seed", "corpus", "target"):
        del content[key]
    del content["fold"]["index"]
    return run_key.digest(content)


def _named(runs: list[Planned]) -> list[Planned]:
    """The runs with their systems' names, as short as tells one system from another."""
    varied: dict[str, set[str | None]] = defaultdict(set)
    asked = [dict(text.split("=", 1) for text in run.overrides if "=" in text) for run in runs]
    for key in {key for overrides in asked for key in overrides}:
        if key not in AXES and not key.startswith(("hydra", *run_key.NO_PART_OF_IDENTITY)):
            varied[key] = {overrides.get(key) for overrides in asked}
    told = sorted(key for key, values in varied.items() if len(values) > 1)
    beside = [{key: each[key] for key in told if key in each} for each in asked]
    short = [
        " ".join([_base(run), *(f"{key}={value}" for key, value in options.items())])
        for run, options in zip(runs, beside, strict=True)
    ]
    variants: dict[tuple[str, ...], set[str]] = defaultdict(set)
    cells = [(name, run.corpus, run.names["target"]) for run, name in zip(runs, short, strict=True)]
    for run, cell in zip(runs, cells, strict=True):
        variants[cell].add(run.variant)
    # Two configs under one name, as when files of conf/ changed between them, are two systems.
    marks = [f" #{run.variant[:4]}" for run in runs]
    return [
        replace(run, system=cell[0] + (mark if len(variants[cell]) > 1 else ""), varied=options)
        for run, cell, mark, options in zip(runs, cells, marks, beside, strict=True)
    ]


def _base(run: Planned) -> str:
    names = run.names
    if experiment := names.get("experiment"):
        return experiment.rpartition("/")[2]
    codes = names.get("representation", "identity")  # which runs of earlier versions have not
    return names["model"] if codes == "identity" else f"{codes}-{names['model']}"
