"""Folds: which utterances train, validate and test, as functions of a corpus table.

Each function takes `(table, labelled, *, index, ...)`: the corpus table, the ids of the utterances
that the target selects, and the number of the fold. The splits contain labelled utterances only.
`fit` has the utterances that unsupervised stages may see: the training split and the unlabelled
utterances that go with it. Random splits depend on `split_seed`, and never on the training seed.
"""

from ser.data.folds.at_random import holdout, random
from ser.data.folds.by_speaker import session, session_swap, speakers
from ser.data.folds.by_text import speaker_text, text
from ser.data.folds.fold import PARTS, Fold, verify

__all__ = [
    "PARTS",
    "Fold",
    "holdout",
    "random",
    "session",
    "session_swap",
    "speaker_text",
    "speakers",
    "text",
    "verify",
]
