"""Categorical emotions as a target."""

from collections.abc import Mapping, Sequence

import pandas as pd

from ser.corpora import Corpus
from ser.data.targets.selection import column_of, of_styles, raters_of
from ser.data.targets.target import Target, require_all_classes, require_fraction


def emotion(
    corpus: Corpus,
    *,
    classes: Sequence[str] | None,
    merge: Mapping[str, str] | None,
    styles: Sequence[str] | None,
    min_agreement: int,
    labelled_fraction: float,
    labelled_seed: int,
) -> Target:
    """Select utterances by categorical emotion.

    Args:
        corpus: Corpus with the labels.
        classes: Emotions, in the order of the classes; None: all of the corpus, sorted by name.
        merge: Emotions that are replaced by another one, e.g. {"excitement": "happiness"}.
        styles: Styles of speech, e.g. ["improvised"]; None: all.
        min_agreement: Smallest number of raters who agree on the (merged) label; 0: no condition.
            Ignored, with a remark, if the corpus has no single ratings.
        labelled_fraction, labelled_seed: See `Target`.

    Raises:
        UserError: The corpus lacks emotions or the given styles, or a class is empty.
    """
    table = of_styles(corpus, styles)
    merge = dict(merge or {})
    labels = column_of(corpus, table, "emotion").dropna().replace(merge)
    remarks = []
    if min_agreement > 0 and corpus.raters is None:
        remarks.append(
            f"target.min_agreement={min_agreement} is ignored: corpus {corpus.name} has no single "
            "ratings"
        )
    elif min_agreement > 0:
        agreed = _agreement(corpus, labels, merge)
        labels = labels[agreed >= min_agreement]
    names = tuple(classes) if classes is not None else tuple(sorted(labels.unique()))
    require_fraction(labelled_fraction)
    selected = labels[labels.isin(names)]
    target = Target(
        "emotion", names, selected, labelled_fraction, labelled_seed, remarks=tuple(remarks)
    )
    require_all_classes(corpus, target, labels)
    return target


def _agreement(corpus: Corpus, labels: pd.Series, merge: Mapping[str, str]) -> pd.Series:
    """Count the raters who chose the (merged) label of each utterance."""
    raters = raters_of(corpus, "target.min_agreement")
    votes = raters[["utterance", "emotions"]].explode("emotions").dropna()
    votes["emotions"] = votes["emotions"].replace(dict(merge))
    hits = votes[votes["emotions"] == votes["utterance"].map(labels)]
    # A rater counts once, even if both an emotion and the one merged into it were chosen.
    counts = hits.groupby(level=0)["utterance"].first().value_counts()
    return counts.reindex(labels.index, fill_value=0)
