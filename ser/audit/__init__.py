"""An audit of a corpus: can the label be predicted without listening to the emotion?

Scores from nuisance variables alone, recordings that occur twice, and what published splits and the
folds of the configuration have in common. No torch is imported.
"""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console
from rich.progress import track
from threadpoolctl import threadpool_limits

from ser.audit import documents, findings
from ser.audit.baselines import Data, nuisances, score_nuisances
from ser.audit.copies import find_copies
from ser.audit.overlaps import folds, published
from ser.audit.reading import read_all
from ser.audit.result import Audit
from ser.config import build
from ser.data.fingerprint import labelled_corpus
from ser.data.targets import LEVELS, Target, on_scale
from ser.errors import UserError
from ser.features.store import Store


def audit(cfg: DictConfig, command: str, out: Path | None) -> bool:
    """Audit a corpus, print the result and write it to a folder.

    Args:
        cfg: Configuration with a corpus, a target, a fold and a store.
        command: Arguments of `python -m ser` that made the configuration.
        out: Folder of the results; None: outputs/audits/<corpus>/<target>.

    Returns:
        True if there is no fault.

    Raises:
        UserError: The corpus or the target cannot be made, or audio cannot be read.
    """
    with threadpool_limits(1):  # the order of summation would depend on the number of threads
        result = make_audit(cfg, command)
    out = out or Path("outputs/audits") / result.corpus / result.target
    documents.write(result, out)
    documents.show(result, out, Console(highlight=False))
    return not result.has_fault


def make_audit(cfg: DictConfig, command: str) -> Audit:
    """Compute an audit; see `audit`."""
    corpus, target = labelled_corpus(cfg)
    if target.tasks:
        names = "|".join(task.name for task in target.tasks)
        raise UserError(f"target={target.name}: an audit is of one target: target={names}")
    store: Store = build(cfg.store)
    readings = read_all(corpus.table, store.workers, cfg.skip_faulty)
    recordings = store.recordings(corpus.table)
    table = corpus.table.loc[readings.acoustics.index].join(readings.acoustics)
    target = target.only(table.index)
    if target.is_value:
        target = _by_level(target)
    _require_pairs(target)
    data = Data(table.loc[target.labels.index], target.codes.to_numpy(), len(target.classes))
    scores = score_nuisances(data, _progress)
    copies = find_copies(table, recordings.reindex(table.index).dropna(), readings.landmarks)
    splits = published(table, copies)
    make = partial(build(cfg.fold), corpus.table, target.strata)
    name = cfg.fold._target_.rpartition(".")[2]
    own = folds(name, lambda index: make(index=index), corpus.table, recordings, copies)
    remarks = [f"{reason} (left out)" for reason in readings.faulty] + list(target.remarks)
    if corpus.synthetic:
        remarks.append("The corpus is synthetic speech: its audit says nothing about people.")
    listed = [
        *findings.of_baselines(scores, target.name),
        *findings.of_copies(copies, table, target.labels),
        *findings.of_published(splits),
        *findings.of_folds(own),
        *(findings.Finding("remark", text) for text in remarks),
    ]
    return Audit(
        corpus=corpus.name,
        target=target.name,
        classes=target.classes,
        counts=(len(target.labels), len(corpus.table), data.table["speaker"].nunique()),
        baselines=scores,
        absent=nuisances(data.table)[1],
        units=data.units[1],
        acoustics=readings.acoustics,
        labels=target.labels,
        copies=copies,
        published=splits,
        folds=own,
        findings=sorted(listed, key=lambda each: findings.SEVERITIES.index(each.severity)),
        command=command,
    )


def _by_level(target: Target) -> Target:
    """Return the levels of a value as classes, with a remark: scores here are of classes."""
    levels = target.strata
    counts = levels.value_counts()
    names = tuple(name for name in LEVELS if counts.get(name, 0) > 1)
    if len(names) < 2:
        raise UserError(
            f"{target.name}: an audit needs two utterances each of two levels, not only of "
            f"{', '.join(names) or 'none'}"
        )
    rule = "low below 2.5, high from 3.5"
    if not on_scale(target.labels):
        rule = "thirds of the utterances"
    remark = f"Values of {target.name} are audited by level: {', '.join(names)} ({rule})."
    labels = levels[levels.isin(names)]
    remarks = (*target.remarks, remark)
    return replace(target, classes=names, labels=labels, levels=None, remarks=remarks)


def _require_pairs(target: Target) -> None:
    """Raise UserError unless every class has an utterance to learn from and one to predict."""
    counts = target.labels.value_counts()
    for name in target.classes:
        if counts.get(name, 0) < 2:
            raise UserError(
                f"class {name} of {target.name} has {counts.get(name, 0)} utterance(s) with audio; "
                "an audit needs two: leave the class out of target.classes"
            )


def _progress(names: Sequence[str]) -> Iterator[str]:
    console = Console(stderr=True)
    terminal = console.is_terminal
    return iter(track(names, "scoring", console=console, transient=True, disable=not terminal))


def command_of(overrides: Sequence[str]) -> str:
    """Return the arguments of `python -m ser` for these overrides."""
    return shlex.join(["audit", *overrides])
