"""Targets: what is predicted. A target selects utterances of a corpus and labels them."""

from ser.data.targets.emotions import emotion, emotion_shares
from ser.data.targets.target import Target
from ser.data.targets.tasks import attributes, joined
from ser.data.targets.values import LEVELS, Bins, attribute, levels, on_scale

__all__ = [
    "LEVELS",
    "Bins",
    "Target",
    "attribute",
    "attributes",
    "emotion",
    "emotion_shares",
    "joined",
    "levels",
    "on_scale",
]
