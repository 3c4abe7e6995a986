"""Folds: which utterances train, validate and test, as functions of a corpus table.

Each function takes `(table, labels, *, index, ...)`: the corpus table, the class of each utterance
that the target selects, and the number of the fold. The splits contain labelled utterances only.
`fit` has the utterances that unsupervised stages may see: the training split and the unlabelled
utterances that go with it. Random splits depend on `split_seed`, and never on the training seed.
"""

from ser.data.folds.at_random import holdout, random
from ser.data.folds.by_language import language
from ser.data.folds.by_speaker import loso, session, session_swap, speaker_kfold, speakers
from ser.data.folds.by_text import speaker_text, text
from ser.data.folds.fold import PARTS, Fold, verify
from ser.data.folds.joined import corpus
from ser.data.folds.published import partition

__all__ = [
    "PARTS",
    "Fold",
    "corpus",
    "holdout",
    "language",
    "loso",
    "partition",
    "random",
    "session",
    "session_swap",
    "speaker_kfold",
    "speaker_text",
    "speakers",
    "text",
    "verify",
]
