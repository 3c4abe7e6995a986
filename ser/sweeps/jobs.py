"""The jobs of a sweep: the overrides of each run, and its configuration.

`train.py` imports this module before Hydra starts, so nothing heavy is imported at its top.
"""

import shlex
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import yaml
from omegaconf import DictConfig, OmegaConf

from ser.arguments import train_program
from ser.config import CONF
from ser.errors import UserError
from ser.sweeps.system import NUMBERS, System

if TYPE_CHECKING:
    from ser.data.fingerprint import RunKeys

FOLD = "fold.index"
ALL = "all"  # value of `fold.index` that stands for every fold of the partition
# Arguments of Hydra that exclude `-m`, or are the same.
COMMANDS = {"-m", "--multirun", "-c", "--cfg", "-i", "--info", "-r", "--run"}

Job = Sequence[str]  # the overrides of one run
Compose = Callable[[list[str]], DictConfig]


def with_multirun(arguments: Sequence[str]) -> list[str]:
    """Return arguments of `train.py`, with `-m` if they are many runs: all folds, or a grid.

    Examples:
        >>> with_multirun(["model=svm", "fold.index=all"])
        ['model=svm', 'fold.index=all', '-m']
        >>> with_multirun(["grid=demo", "--cfg", "job"])
        ['grid=demo', '--cfg', 'job']
    """
    many = any(each == f"{FOLD}={ALL}" or each.startswith("grid=") for each in arguments)
    commands = {each.partition("=")[0] for each in arguments} & COMMANDS
    return [*arguments, *(["-m"] if many and not commands else [])]


def with_swept_options(arguments: Sequence[str]) -> list[str]:
    """Return arguments in which an option of a group with several choices may be a new one.

    Hydra first composes one configuration without the choices of a sweep, in which options of
    theirs may not exist.

    Examples:
        >>> with_swept_options(["target=activation,valence", "target.bins=null", "seed=1"])
        ['target=activation,valence', '++target.bins=null', 'seed=1']
        >>> with_swept_options(["target=activation,valence", "target.bin=null"])
        ['target=activation,valence', 'target.bin=null']
    """
    keys = [each.partition("=")[0] for each in arguments if "," in each.partition("=")[2]]
    for name in (each.partition("=")[2] for each in arguments if each.startswith("grid=")):
        keys += _swept_by(name)
    options = {f"{key}.{option}" for key in keys for option in _options_of(key)} - {FOLD, *keys}
    return [f"++{each}" if each.partition("=")[0] in options else each for each in arguments]


def _options_of(group: str) -> Iterator[str]:
    """Yield the options of all choices of a group."""
    for path in (CONF / group).glob("*.yaml"):
        yield from yaml.safe_load(path.read_text()) or {}


def _swept_by(grid: str) -> Iterator[str]:
    """Yield the options that a grid sweeps over, and those of the grids that it is made of."""
    path = CONF / "grid" / f"{grid}.yaml"
    if not path.is_file():
        return
    content = yaml.safe_load(path.read_text())
    for parent in content.get("defaults", []):
        if isinstance(parent, str):
            yield from _swept_by(parent)
    yield from content.get("hydra", {}).get("sweeper", {}).get("params") or {}


def compose_jobs(
    jobs: Sequence[Job],
    compose: Compose,
    count_folds: Callable[[DictConfig], int],
    refuse: Callable[[Job, UserError], None] | None = None,
) -> Iterator[tuple[Job, System]]:
    """Yield each job with its system, whose config is that of the job until the next is requested.

    A system is composed once (0.16 s), for all of its folds and seeds.

    A job with `fold.index=all` is replaced by one for each fold of its partition. Of a system with
    `seeds=first`, jobs with another seed than its first job are left out.

    Args:
        jobs: Overrides of each run.
        compose: Function that composes the config of a job, including Hydra's own node.
        count_folds: Function that returns the number of folds of the partition of a config, whose
            `fold.index` is 0.
        refuse: Function that is called with a job whose folds cannot be counted, and the reason;
            None: the reason is raised.

    Raises:
        UserError: There is no job, e.g. because a glob matches nothing.
    """
    if not jobs:
        raise UserError("no run is selected; does a glob match nothing?")
    known: dict[tuple[str, ...], System] = {}
    counts: dict[tuple[str, ...], int] = {}
    seeds: dict[tuple[str, ...], int] = {}
    for job in map(list, dict.fromkeys(map(tuple, jobs))):
        name = without_numbers(job)
        if name not in known:
            known[name] = System(compose(job))
        system = known[name]
        cfg = system.cfg
        for key, value in options_of(job).items():
            if key in NUMBERS:
                OmegaConf.update(cfg, key, yaml.safe_load(value))
        if cfg.get("seeds") == "first" and seeds.setdefault(name, cfg.seed) != cfg.seed:
            continue
        if cfg.fold.index != ALL:
            yield job, system
            continue
        cfg.fold.index = 0
        try:
            if name not in counts:
                counts[name] = count_folds(cfg)
        except UserError as error:
            if refuse is None:
                raise
            refuse(job, error)
            continue
        for index in range(counts[name]):
            cfg.fold.index = index
            yield [f"{FOLD}={index}" if _is_fold(text) else text for text in job], system


def all_folds(overrides: Job) -> str:
    """Return the command that trains the folds of a run, all of them.

    Examples:
        >>> all_folds(["model=svm", "fold.index=3", "seed=7"])
        'python train.py -m model=svm seed=7 fold.index=all'
    """
    others = [text for text in overrides if not _is_fold(text)]
    return f"{train_program()} -m {shlex.join([*others, f'{FOLD}={ALL}'])}"


def _is_fold(text: str) -> bool:
    return text.partition("=")[0] == FOLD


def fold_count(cfg: DictConfig, keys: "RunKeys") -> int:
    """Return the number of folds of a partition, for which the corpus is read once.

    Raises:
        UserError: The corpus cannot be read, or the partition not be made.
    """
    from ser.config.checks import check_values

    check_values(cfg)
    return keys.fold_count(cfg)


def without_numbers(job: Job) -> tuple[str, ...]:
    """Return the overrides that runs which differ in fold and seed only have in common."""
    return tuple(text for text in job if text.partition("=")[0] not in NUMBERS)


def options_of(overrides: Job) -> dict[str, str]:
    """Return overrides as values by key; those without a value, such as deletions, are left out."""
    return dict(text.split("=", 1) for text in overrides if "=" in text)
