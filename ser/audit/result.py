"""The result of an audit, and its tables."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from ser import metrics
from ser.audit.acoustics import MEASUREMENTS
from ser.audit.baselines import MARGIN, Baseline, halfway_from
from ser.audit.copies import Copy
from ser.audit.findings import Finding, percent, verdict
from ser.audit.overlaps import Folds, Overlap
from ser.report.tables import Table
from ser.report.text import NONE

SEVERITY = "finding"  # column of the main table
LISTED = 50  # copies that a page lists; the CSV file has all

OVERLAPS = (
    *("source", "first", "second", "first_utterances", "second_utterances", "shared_speakers"),
    *("second_speakers", "shared_texts", "utterances_with_shared_text"),
    "utterances_with_shared_audio",
)


@dataclass(frozen=True)
class Audit:
    """The result of an audit.

    Attributes:
        corpus: Name of the corpus.
        target: Name of the target.
        classes: Its classes.
        counts: Number of labelled utterances, of all utterances and of speakers.
        baselines: Scores from nuisance variables.
        absent: Nuisance variables that the corpus lacks, or that do not vary.
        units: What intervals are over: "speakers" or "utterances".
        acoustics: Measurements of every utterance, by id.
        labels: Class name by utterance id.
        copies: Pairs of utterances with the same audio.
        published: Overlaps of published splits.
        folds: Overlaps of the folds of the configuration.
        findings: Faults, warnings and remarks, in this order.
        command: Arguments of `python -m ser` that make this audit again.
    """

    corpus: str
    target: str
    classes: tuple[str, ...]
    counts: tuple[int, int, int]
    baselines: Sequence[Baseline]
    absent: Sequence[str]
    units: str
    acoustics: pd.DataFrame
    labels: pd.Series
    copies: Sequence[Copy]
    published: Sequence[Overlap]
    folds: Folds
    findings: Sequence[Finding]
    command: str

    @property
    def chance(self) -> float:
        """UA at chance level."""
        return 1 / len(self.classes)

    @property
    def verdict(self) -> str:
        return verdict(self.findings, self.baselines, self.target)

    @property
    def has_fault(self) -> bool:
        return any(finding.severity == "fault" for finding in self.findings)

    @property
    def headline(self) -> str:
        labelled, utterances, speakers = self.counts
        return (
            f"{self.target} of {self.corpus}: {labelled:,} of {utterances:,} utterances, "
            f"{len(self.classes)} classes, {speakers} speakers"
        )


def baseline_table(audit: Audit) -> Table:
    """Return UA from each nuisance variable, beside chance and the thresholds."""
    rows = tuple(
        (
            each.nuisance,
            percent(each.ua),
            f"{percent(each.low)} to {percent(each.high)}",
            percent(each.chance),
            severity(each),
            each.values,
        )
        for each in audit.baselines
    )
    chance = audit.chance
    halfway, margin = percent(halfway_from(chance)), percent(chance + MARGIN * (1 - chance))
    absent = f"Not in this corpus, or the same everywhere: {', '.join(audit.absent)}."
    notes = (
        "UA (%) of a classifier that sees nothing but this variable, on held-out utterances of the "
        "same speakers, sessions and texts: stratified folds over utterances. values: number of "
        "different values, or what is measured.",
        f"95%: confidence interval by a bootstrap over {audit.units}. fault: UA from speaker, "
        f"session or text is at least {halfway}, halfway from chance to 100. warning: the interval "
        f"lies above {margin}, a tenth of the way.",
        "UA can be below chance where every speaker or text has each class equally often: the "
        "utterance that is held out is then missing from the training part.",
        *((absent,) if audit.absent else ()),
    )
    columns = ("nuisance", "UA", "95%", "chance", SEVERITY, "values")
    return Table("What predicts the label without listening to it", columns, rows, notes=notes)


def severity(baseline: Baseline) -> str:
    return "fault" if baseline.is_fault else "warning" if baseline.is_warning else ""


def median_table(audit: Audit) -> Table:
    """Return the median of each acoustic measurement by class."""
    labels = audit.labels
    medians = audit.acoustics.loc[labels.index].groupby(labels).median(numeric_only=True)
    units = {name: unit for units in MEASUREMENTS.values() for name, unit in units.items()}
    rows = tuple(
        (name, *(_number(float(medians[column][name]), units[column]) for column in units))
        for name in audit.classes
    )
    columns = ("class", *(f"{name.replace('_', ' ')} ({unit})" for name, unit in units.items()))
    notes = (
        "level: mean power of the frames within 40 dB of the loudest one; silence: before the "
        "first and after the last of them. noise: the quietest tenth of the frames, also below "
        "(low) and above (high) 1 kHz. Levels are relative to full scale. bandwidth: highest "
        "frequency within 50 dB of the strongest one.",
        "Duration, level and pauses are in part expression: sad speech is slower. Silence at the "
        "ends, noise and bandwidth come from recording and cutting.",
    )
    return Table("Median of each class", columns, rows, notes=notes)


def copy_table(audit: Audit) -> Table:
    """Return pairs of utterances with the same audio."""
    shown = audit.copies[:LISTED]
    rows = tuple((copy.first, copy.second, copy.difference) for copy in shown)
    notes = [
        "identical: the same decoded samples. Others are copies with another level, rate, codec or "
        "cut, found by landmarks of the spectrogram and verified by waveform correlation. Other "
        "takes of a sentence are no copies.",
    ]
    if len(audit.copies) > LISTED:
        notes.append(f"The first {LISTED} of {len(audit.copies):,}; copies.csv has all.")
    columns = ("first", "second", "the second one")
    return Table("Utterances with the same audio", columns, rows, 3, notes=tuple(notes))


def overlap_table(title: str, overlaps: Sequence[Overlap]) -> Table:
    """Return what pairs of splits have in common."""
    rows = tuple(
        (
            each.source,
            f"{each.first}, {each.second}",
            f"{each.sizes[0]:,}, {each.sizes[1]:,}",
            f"{len(each.speakers)} of {each.second_speakers}",
            f"{len(each.texts)}",
            f"{each.seen / each.sizes[1]:.0%}" if each.sizes[1] else NONE,
            f"{len(each.audio)}",
        )
        for each in overlaps
    )
    columns = ("split", "of", "utterances", "speakers", "texts", "text seen", "audio")
    notes = (
        "speakers: those of the second split that are in the first one, too. texts: in both. text "
        "seen: share of the second split's utterances whose text is in the first one. audio: "
        "utterances of the second split whose audio is in the first one.",
    )
    return Table(title, columns, rows, 2, notes=notes)


def frames(audit: Audit) -> dict[str, pd.DataFrame]:
    """Return all numbers of an audit as tables, by name of the CSV file."""
    recalls = [f"recall_{name}" for name in audit.classes]
    baselines = [
        {
            "nuisance": each.nuisance,
            "kind": each.kind,
            "values": each.values,
            "ua": each.ua,
            "low": each.low,
            "high": each.high,
            "chance": each.chance,
            "severity": severity(each),
            **dict(zip(recalls, metrics.recalls(each.confusion), strict=True)),
        }
        for each in audit.baselines
    ]
    copies = [asdict(copy) for copy in audit.copies]
    overlaps = [
        (
            each.source,
            each.first,
            each.second,
            *each.sizes,
            len(each.speakers),
            each.second_speakers,
            len(each.texts),
            each.seen,
            len(each.audio),
        )
        for each in (*audit.published, *audit.folds.overlaps)
    ]
    utterances = audit.acoustics.assign(label=audit.labels.reindex(audit.acoustics.index))
    findings = [{"severity": each.severity, "text": each.text} for each in audit.findings]
    return {
        "baselines": pd.DataFrame(baselines),
        "copies": pd.DataFrame(copies, columns=list(Copy.__dataclass_fields__)),
        "overlaps": pd.DataFrame(overlaps, columns=OVERLAPS),
        "findings": pd.DataFrame(findings, columns=["severity", "text"]),
        "utterances": utterances.reset_index(names="utterance"),
    }


def _number(value: float, unit: str) -> str:
    if np.isnan(value):
        return NONE
    digits = {"Hz": 0, "dB": 1, "s": 2}[unit]
    return f"{round(value, digits) + 0.0:,.{digits}f}"  # + 0.0: no -0.0
