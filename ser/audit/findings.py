"""Faults, warnings and remarks of an audit, and its verdict in words."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from ser.audit.baselines import ALL_ACOUSTICS, ALL_LABELS, GROUPING, LABELS, Baseline
from ser.audit.copies import COVERED, Copy
from ser.audit.overlaps import Folds, Overlap

Severity = Literal["fault", "warning", "remark"]
SEVERITIES: tuple[Severity, ...] = ("fault", "warning", "remark")
NAMED = 3  # utterances, speakers or texts that a sentence names


@dataclass(frozen=True)
class Finding:
    """Something that an audit found.

    Attributes:
        severity: "fault": scores on this corpus, or on these splits, can be wrong; "warning": a
            model could use it; "remark": worth knowing.
        text: A sentence.
    """

    severity: Severity
    text: str


def of_baselines(baselines: Sequence[Baseline], target: str) -> Iterator[Finding]:
    """Yield faults and warnings, the highest score first."""
    for baseline in sorted(baselines, key=lambda each: -each.ua):
        score = (
            f"UA {percent(baseline.ua)}% ({interval(baseline)}, chance {percent(baseline.chance)})"
        )
        name = baseline.nuisance
        if baseline.is_fault:
            yield Finding(
                "fault",
                f"Naming {LABELS[name]} already gives {score}: a model that recognises "
                f"{LABELS[name]} seems to recognise the {target}.",
            )
        elif baseline.is_warning and name in (ALL_LABELS, ALL_ACOUSTICS):
            parts = "columns of the corpus" if name == ALL_LABELS else "acoustic nuisances"
            yield Finding("warning", f"All {parts} together give {score}.")
        elif baseline.is_warning and name in LABELS:
            yield Finding("warning", f"Naming {LABELS[name]} alone gives {score}.")
        elif baseline.is_warning:
            yield Finding("warning", f"{name.capitalize()} alone gives {score}.")


def of_copies(copies: Sequence[Copy], table: pd.DataFrame, labels: pd.Series) -> Iterator[Finding]:
    """Yield faults for one audio under two labels or speakers, and a warning for other copies.

    Args:
        copies: Pairs of utterances with the same audio.
        table: Of the corpus.
        labels: Class name by utterance id; utterances without a class are absent.
    """
    class_of, speaker_of = labels.to_dict(), table["speaker"].to_dict()
    relabelled, respoken, others = [], [], []
    for copy in copies:
        classes = {class_of[name] for name in copy.pair if name in class_of}
        # An excerpt may have another label than the recording that contains it.
        if len(classes) > 1 and copy.share >= COVERED:
            relabelled.append(copy)
        elif speaker_of[copy.first] != speaker_of[copy.second]:
            respoken.append(copy)
        else:
            others.append(copy)
    kinds: tuple[tuple[Severity, list[Copy], str], ...] = (
        ("fault", relabelled, "with the same audio and different labels"),
        ("fault", respoken, "with the same audio and different speakers"),
        ("warning", others, "with the same audio"),
    )
    for severity, found, what in kinds:
        if found:
            few = list_few([f"{copy.first} = {copy.second}" for copy in found])
            yield Finding(severity, f"{count(len(found), 'pair')} of utterances {what}: {few}.")


def of_published(overlaps: Sequence[Overlap]) -> Iterator[Finding]:
    """Yield faults for speakers and audio in two published splits, a remark for texts."""
    for each in overlaps:
        splits = f"The published splits {each.first} and {each.second} share"
        if each.speakers:
            yield Finding(
                "fault",
                f"{splits} {len(each.speakers)} of the {each.second_speakers} speakers of "
                f"{each.second}: {list_few(each.speakers)}.",
            )
        if each.audio:
            yield Finding(
                "fault",
                f"{splits} audio: {count(len(each.audio), 'utterance')} of {each.second}, "
                f"{list_few(each.audio)}.",
            )
        if each.texts:
            yield Finding("remark", f"{splits} {count(len(each.texts), 'text')}{_seen(each)}.")


def of_folds(folds: Folds) -> Iterator[Finding]:
    """Yield faults for folds that are not what they claim, and a remark for texts."""
    name = f"fold={folds.name}"
    if not folds.made:
        yield Finding("warning", f"{name} was not audited: {folds.failures[0]}")
        return
    if folds.failures:
        few = "; ".join(folds.failures[:NAMED])
        yield Finding("fault", f"{name} does not hold: {few}.")
    if audio := {name for each in folds.overlaps for name in each.audio}:
        yield Finding(
            "fault",
            f"{name} tests {count(len(audio), 'utterance')} whose audio is in training, too: "
            f"{list_few(sorted(audio))}.",
        )
    speakers = {name for each in folds.overlaps for name in each.speakers}
    if speakers and not folds.speaker_independent:
        yield Finding(
            "warning",
            f"{name} is speaker dependent, as its scores say: {count(len(speakers), 'speaker')} "
            "in both training and test.",
        )
    tested, seen = (
        sum(n) for n in zip(*((e.sizes[1], e.seen) for e in folds.overlaps), strict=True)
    )
    if seen:
        yield Finding(
            "remark",
            f"{name}: {seen / tested:.0%} of the tested utterances have a text that is in "
            "training, too.",
        )


def verdict(findings: Sequence[Finding], baselines: Sequence[Baseline], target: str) -> str:
    """Return the conclusion in one paragraph: the first faults, or what was ruled out."""
    faults = [each.text for each in findings if each.severity == "fault"]
    if faults:
        more = f" {count(len(faults) - NAMED, 'more fault')} below." if len(faults) > NAMED else ""
        return f"{count(len(faults), 'fault')}. {' '.join(faults[:NAMED])}{more}"
    harmless = [b for b in baselines if b.nuisance in GROUPING and not b.is_warning]
    text = "No fault."
    if harmless:
        scores = [f"{LABELS[each.nuisance]} ({percent(each.ua)}%)" for each in harmless]
        chance = percent(harmless[0].chance)
        text += f" The {target} cannot be predicted from {join(scores, 'or')} alone"
        text += f" (UA, chance {chance}%)."
    warned = sorted((each for each in baselines if each.is_warning), key=lambda each: -each.ua)
    if warned:
        scores = [f"{each.nuisance} ({percent(each.ua)}%)" for each in warned]
        text += f" But a model can use {join(scores, 'and')}."
    return text


def percent(share: float) -> str:
    return f"{100 * share:.1f}"


def interval(baseline: Baseline) -> str:
    return f"95% interval {percent(baseline.low)} to {percent(baseline.high)}"


def count(number: int, noun: str) -> str:
    """Return e.g. "1 fault" or "3 faults"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def join(parts: Sequence[str], word: str) -> str:
    """Return e.g. "a, b or c"."""
    *most, last = parts
    return f"{', '.join(most)} {word} {last}" if most else last


def list_few(names: Sequence[str]) -> str:
    """Return the first names, and the number of the others."""
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _seen(overlap: Overlap) -> str:
    share = overlap.seen / overlap.sizes[1]
    return f", those of {share:.0%} of the utterances of {overlap.second}"
