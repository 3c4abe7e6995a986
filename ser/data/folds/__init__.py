"""Which utterances train, validate and test: pure functions of a corpus' table.

Each takes `(table, labelled, *, index, ...)`: the corpus' table, the ids of the utterances that the
target selects, and the fold's number. Parts hold labelled utterances only; `fit` holds what
unsupervised stages may see, i.e. the training part and the unlabelled utterances beside it.
Splits that are drawn depend on `split_seed`, never on the training seed.
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
