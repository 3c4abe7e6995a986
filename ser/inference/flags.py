"""Statements on speech that a run was not made for: what is no speech, or unlike its training."""

from ser.inference.training_range import FLAGGED

NEARER = "train on data nearer to it"
BY_SPEAKER = f"standardise by speaker (data.standardise=speaker), or {NEARER}"
# Parts of a corpus that its remark distinguishes, so that the runs of a table have few remarks.
PARTS = {0.9: "over 90%", 0.5: "over half", 0.2: "over a fifth"}


def unlike_training(count: int, total: int, of: str, *, by_speaker: bool) -> str:
    """Return a line on predictions that are unlike the training data, and what to do.

    Args:
        count: Number of these.
        total: Number of predictions.
        of: What was predicted, in the plural.
        by_speaker: Whether the run standardises by speaker.
    """
    line = f"{count} of {total} {of} are unlike the training data (distance above 1)"
    if count <= FLAGGED * total:
        return f"{line}; {100 * FLAGGED:.0f}% are to be expected of recordings like those"
    return f"{line}: {NEARER if by_speaker else BY_SPEAKER}"


def no_speech(count: int, total: int, of: str) -> str:
    """Return a line on predictions of what contains no speech. Args as of `unlike_training`."""
    return f"{count} of {total} {of} contain no speech; their predictions mean nothing"


def corpus_remark(share: float, corpus: str, *, by_speaker: bool) -> str | None:
    """Return the remark on a corpus of which a share is unlike the training data, if it is large.

    Args:
        share: Share of its utterances.
        corpus: Name of the corpus.
        by_speaker: Whether the run standardises by speaker.
    """
    for least, part in PARTS.items():
        if share > least:
            advice = NEARER if by_speaker else BY_SPEAKER
            return f"{part} of {corpus} is unlike the training data: {advice}"
    return None
