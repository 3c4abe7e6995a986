"""Groups of speakers of similar size and with similar numbers of utterances of each class."""

import numpy as np
import pandas as pd

PASSES = 100  # over all speakers, at most; a few are enough
SCALE = 10**6


def balanced_groups(classes: pd.Series, speakers: pd.Series, count: int, split_seed: int) -> dict:
    """Divide speakers into groups that are balanced by utterances and by classes.

    The groups minimise, as far as can be done by moving one speaker or swapping two, the sum of
    (n - e)² / e over groups, classes and all classes together, where n is the number of utterances
    of a group and e its mean over groups. Speakers are assigned in random order, each to the best
    group, and then moved and swapped.

    Args:
        classes: Class by utterance id.
        speakers: Speaker by utterance id; utterances of unknown speakers are ignored.
        count: Number of groups, at most that of the speakers. No group is empty.
        split_seed: Seed of the order.

    Returns:
        Number of the group by speaker.
    """
    table = pd.crosstab(speakers.loc[classes.index], classes).sort_index()
    order = np.random.default_rng([split_seed, 0]).permutation(len(table))
    numbers = table.to_numpy(np.int64)[order]
    numbers = np.column_stack([numbers, numbers.sum(axis=1)])
    # Whole numbers, so that groups are the same on every machine. The means are constant, so that
    # sums of squares are minimal where deviations from the means are.
    weights = np.maximum(1, SCALE * count // np.maximum(1, numbers.sum(axis=0)))
    groups = _assigned(numbers, weights, count)
    for _ in range(PASSES):
        if not _improve(groups, numbers, weights, count):
            break
    names = table.index[order]
    return dict(zip(names, groups.tolist(), strict=True))


def _assigned(numbers: np.ndarray, weights: np.ndarray, count: int) -> np.ndarray:
    """Assign each speaker in turn to the group in which it adds least to the sum of squares.

    Args:
        numbers: (S, C) utterances of each speaker.
        weights: (C,) weight of a square.
        count: Number of groups.

    Returns:
        (S,) numbers of groups.
    """
    sums, members = np.zeros((count, numbers.shape[1]), np.int64), np.zeros(count, np.int64)
    groups = np.zeros(len(numbers), np.int64)
    for speaker, own in enumerate(numbers):
        added = (sums * own * weights).sum(axis=1)
        if len(numbers) - speaker <= (members == 0).sum():  # the others fill the empty groups
            added[members > 0] = np.iinfo(np.int64).max
        group = groups[speaker] = int(added.argmin())
        sums[group] += own
        members[group] += 1
    return groups


def _improve(groups: np.ndarray, numbers: np.ndarray, weights: np.ndarray, count: int) -> bool:
    """Move each speaker to another group, or swap two, where that lowers the sum of squares.

    Returns:
        Whether anything was changed; `groups` is changed in place.
    """
    sums = np.zeros((count, numbers.shape[1]), np.int64)
    np.add.at(sums, groups, numbers)
    changed = False
    for speaker, own in enumerate(numbers):
        group = groups[speaker]
        # A swap hands over the difference to the other speaker, a move all that one has.
        given = np.concatenate([own - numbers, np.repeat(own[None], count, axis=0)])
        to = np.concatenate([groups, np.arange(count)])
        change = ((sums[to] - sums[group] + given) * given * weights).sum(axis=1)
        change[to == group] = 0
        if (groups == group).sum() == 1:
            change[len(numbers) :] = 0  # its group would be empty
        best = int(change.argmin())
        if change[best] < 0:
            sums[group] -= given[best]
            sums[to[best]] += given[best]
            groups[speaker] = to[best]
            if best < len(numbers):
                groups[best] = group
            changed = True
    return changed
