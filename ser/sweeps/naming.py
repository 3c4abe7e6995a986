"""Names of systems: the shortest ones that distinguish the rows of a table."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from ser.config import run_key
from ser.sweeps.jobs import NUMBERS, options_of
from ser.sweeps.planned import PlannedRun

# Options that a table has rows and columns for. Every other option that varies is part of the name
# of a system.
AXES = {*NUMBERS, "corpus", "target", "grid", "experiment", "representation", "model"}


def name_systems(runs: Sequence[PlannedRun]) -> list[PlannedRun]:
    """Return the runs with the shortest names that distinguish their systems."""
    keys = _varied_options(runs)
    named = []
    for run in runs:
        options = options_of(run.overrides)
        varied = {key: options[key] for key in keys if key in options}
        words = [_base_name(run.choices), *(f"{key}={value}" for key, value in varied.items())]
        named.append(replace(run, system=" ".join(words), varied=varied))
    return _distinguish_variants(named)


def _varied_options(runs: Sequence[PlannedRun]) -> list[str]:
    """Return the options, sorted, that differ between runs and are part of a system's name."""
    values: dict[str, set[str | None]] = defaultdict(set)
    options = [options_of(run.overrides) for run in runs]
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
