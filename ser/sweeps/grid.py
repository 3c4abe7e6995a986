"""The runs of a grid: composed from overrides, or found in a folder.

A sweep skips the runs that are finished, `status` counts them and `report` lists those that are
missing. All three get the runs, and their folders, from here.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ser.config import CONF, run_key, stored
from ser.config.explain import explain
from ser.errors import UserError, last_line
from ser.results import RESULT, RunFolder

# Options that change nothing in a config but their own value. One composition (0.16 s) serves all
# of their combinations.
NUMBERS = ("seed", "fold.index")
# Options that a table has rows and columns for. Every other option that varies is part of the name
# of a system.
AXES = {*NUMBERS, "corpus", "target", "grid", "experiment", "representation", "model"}

Job = Sequence[str]  # the overrides of one run
Compose = Callable[[list[str]], DictConfig]


@dataclass(frozen=True)
class PlannedRun:
    """A run of a grid, finished or not.

    Attributes:
        folder: Folder of the run.
        system: Name that all runs of one row of a table share: the experiment or the model, and
            the other options that vary, e.g. "utterance_aae" or "svm features=is10".
        choices: Choice of each config group, e.g. {"corpus": "emodb"}.
        fold: Index of the fold.
        seed: Random seed.
        paper: Key, published scores and averaging of the experiment's paper; None: no paper.
        overrides: Overrides with which `train.py` trains the run.
        variant: Digest of all that can change the result, except corpus, target, fold and seed.
        varied: Options in the name of the system, e.g. {"representation.size": "128"}.
        tested_on: Corpus of an evaluation of the run; None: its own corpus.
    """

    folder: Path
    system: str
    choices: Mapping[str, str]
    fold: int
    seed: int
    paper: Mapping[str, Any] | None
    overrides: tuple[str, ...]
    variant: str
    varied: Mapping[str, str] = field(default_factory=dict)
    tested_on: str | None = None

    @property
    def corpus(self) -> str:
        """The corpora of training and test, e.g. "emodb" or "emodb to ravdess"."""
        own = self.choices["corpus"]
        return own if self.tested_on is None else f"{own} to {self.tested_on}"

    @property
    def cell(self) -> tuple[str, str, str]:
        """The cell of a table that the run belongs to: system, corpus, target."""
        return self.system, self.corpus, self.choices["target"]


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
    """

    name: str
    runs: tuple[PlannedRun, ...]
    baseline: str | None
    logger: DictConfig | None = None
    tsne: bool = False
    comparisons: tuple[tuple[str, str], ...] = ()
    damaged: tuple[str, ...] = ()


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

    run_key.register_resolvers()
    try:
        with initialize_config_dir(str(CONF.resolve()), version_base="1.3"):
            parser = OverridesParser.create(GlobalHydra.instance().config_loader())
            parsed = parser.parse_overrides(list(overrides))
            fixed = [str(each.input_line) for each in parsed if not each.is_sweep_override()]
            cfg = compose("train", fixed, return_hydra_config=True)
            # Hydra's own options are for every job; the others are expanded to jobs, after the
            # lists of values that the grid itself defines.
            for_hydra = [str(each.input_line) for each in parsed if each.is_hydra_override()]
            for_jobs = [each for each in parsed if not each.is_hydra_override()]
            (jobs,) = BasicSweeper.split_arguments(
                parser.parse_overrides(_sweep_overrides(cfg)) + for_jobs, None
            )
            runs = _plan_runs(
                jobs, lambda job: compose("train", [*for_hydra, *job], return_hydra_config=True)
            )
    except HydraException as error:
        raise UserError("\n".join(explain(["-m", *overrides], error))) from None
    name = cfg.hydra.runtime.choices.get("grid") or "runs"
    comparisons = parse_comparisons(OmegaConf.to_container(cfg.report.comparisons))
    if not any(override.startswith("report.comparisons=") for override in overrides):
        # A grid that was narrowed to some of its systems compares those that are left.
        systems = {run.system for run in runs}
        comparisons = tuple(pair for pair in comparisons if systems.issuperset(pair))
    return Grid(name, tuple(runs), cfg.report.baseline, cfg.logger, cfg.report.tsne, comparisons)


def compose_jobs(jobs: Sequence[Job], compose: Compose) -> Iterator[tuple[Job, DictConfig]]:
    """Yield each job with its config, which is valid until the next one is requested.

    Args:
        jobs: Overrides of each run.
        compose: Function that composes the config of a job, including Hydra's own node.

    Raises:
        UserError: There is no job, e.g. because a glob matches nothing.
    """
    if not jobs:
        raise UserError("no run is selected; does a glob match nothing?")
    known: dict[tuple[str, ...], DictConfig] = {}
    for job in jobs:
        system = without_numbers(job)
        if system not in known:
            known[system] = compose(list(job))
        for key, value in _options(job).items():
            if key in NUMBERS:
                OmegaConf.update(known[system], key, yaml.safe_load(value))
        yield job, known[system]


def folder_of(cfg: DictConfig) -> Path:
    """Return the folder in which a sweep puts the run of a config."""
    return Path(cfg.hydra.sweep.dir, cfg.hydra.sweep.subdir)


def _sweep_overrides(cfg: DictConfig) -> list[str]:
    """Return the overrides that a grid's own config sweeps over."""
    params = cfg.hydra.sweeper.get("params") or {}
    return [f"{key}={value}" for key, value in params.items()]


def _plan_runs(jobs: Sequence[Job], compose: Compose) -> list[PlannedRun]:
    """Return the runs of jobs, see `compose_jobs`."""
    variants: dict[tuple[str, ...], str] = {}
    runs = []
    for job, cfg in compose_jobs(jobs, compose):
        system = without_numbers(job)
        if system not in variants:
            variants[system] = _variant(cfg)
        choices = dict(cfg.hydra.runtime.choices)
        runs.append(_unnamed(folder_of(cfg), cfg, choices, job, variants[system]))
    return _name_systems(runs)


def without_numbers(job: Job) -> tuple[str, ...]:
    """Return the overrides that runs which differ in fold and seed only have in common."""
    return tuple(text for text in job if text.partition("=")[0] not in NUMBERS)


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
    return Grid(folder.resolve().name, tuple(_name_systems(runs)), None, damaged=tuple(damaged))


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
        return _unnamed(folder.path, cfg, choices, [str(each) for each in overrides], _variant(cfg))
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


def _unnamed(
    folder: Path, cfg: DictConfig, choices: Mapping[str, str], job: Job, variant: str
) -> PlannedRun:
    """Return a run without the name of its system, which depends on the other runs.

    Raises:
        UserError: The seed or the index of the fold is not a whole number.
    """
    for key, value in (("seed", cfg.seed), ("fold.index", cfg.fold.index)):
        if not isinstance(value, int):
            raise UserError(f"{folder}: {key}={value}: must be a whole number")
    paper: Any = OmegaConf.to_container(cfg.paper) if cfg.paper else None
    return PlannedRun(folder, "", choices, cfg.fold.index, cfg.seed, paper, tuple(job), variant)


def _variant(cfg: DictConfig) -> str:
    """Return the digest of a config without corpus, target, fold index and seed."""
    content = run_key.result_options(cfg)
    for key in ("seed", "corpus", "target"):
        del content[key]
    del content["fold"]["index"]
    return run_key.digest(content)


# ---- names of systems


def _name_systems(runs: Sequence[PlannedRun]) -> list[PlannedRun]:
    """Return the runs with the shortest names that distinguish their systems."""
    keys = _varied_options(runs)
    named = []
    for run in runs:
        options = _options(run.overrides)
        varied = {key: options[key] for key in keys if key in options}
        words = [_base_name(run.choices), *(f"{key}={value}" for key, value in varied.items())]
        named.append(replace(run, system=" ".join(words), varied=varied))
    return _distinguish_variants(named)


def _varied_options(runs: Sequence[PlannedRun]) -> list[str]:
    """Return the options, sorted, that differ between runs and are part of a system's name."""
    values: dict[str, set[str | None]] = defaultdict(set)
    options = [_options(run.overrides) for run in runs]
    for key in {key for each in options for key in each}:
        if key not in AXES and not key.startswith(("hydra", *run_key.WITHOUT_EFFECT)):
            values[key] = {each.get(key) for each in options}
    return sorted(key for key, different in values.items() if len(different) > 1)


def _base_name(choices: Mapping[str, str]) -> str:
    """Return the name of an experiment, or of the representation and the model.

    Examples:
        >>> _base_name({"experiment": "parthasarathy2019/utterance_aae", "model": "aae"})
        'utterance_aae'
        >>> _base_name({"representation": "pca", "model": "svm"})
        'pca-svm'
    """
    if experiment := choices.get("experiment"):
        return experiment.rpartition("/")[2]
    representation = choices.get("representation", "identity")
    model = choices["model"]
    return model if representation == "identity" else f"{representation}-{model}"


def _distinguish_variants(runs: Sequence[PlannedRun]) -> list[PlannedRun]:
    """Add a digest to the names of systems that share a name but not a config.

    This happens when files of conf/ have changed between two runs.
    """
    variants: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for run in runs:
        variants[run.cell].add(run.variant)
    return [
        replace(run, system=f"{run.system} #{run.variant[:4]}")
        if len(variants[run.cell]) > 1
        else run
        for run in runs
    ]


def _options(overrides: Job) -> dict[str, str]:
    """Return overrides as values by key; those without a value, such as deletions, are left out."""
    return dict(text.split("=", 1) for text in overrides if "=" in text)
