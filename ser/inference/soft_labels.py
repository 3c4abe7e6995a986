"""Labels of another corpus as shares of its raters, for runs that were trained on such shares."""

from dataclasses import replace

from omegaconf import DictConfig, OmegaConf

from ser.config import build
from ser.corpora import Corpus
from ser.data.raters import is_rated
from ser.data.targets import Target, emotion_shares, joined
from ser.errors import UserError
from ser.inference.kinds import Kind, OneTask
from ser.inference.tested import matched

DISTRIBUTION = "distribution"


def with_shares_of_raters(
    options: DictConfig, corpus: Corpus, target: Target, kind: Kind
) -> Target:
    """Return a target whose classes are labelled as `target.labels=distribution` does.

    The shares are those of the classes of a run: of an emotion, raters who chose another one have
    no part in them. Tasks without single ratings keep their labels, with a remark.

    Args:
        options: Configuration of the target.
        corpus: The corpus.
        target: Its labels by these options.
        kind: What the run predicts.

    Raises:
        UserError: No utterance has a majority of raters for one of the classes.
    """
    tasks = [_soft(options, corpus, own, task) for task, own in matched(kind, target)]
    return joined(corpus, tasks) if target.tasks else tasks[0]


def _soft(options: DictConfig, corpus: Corpus, target: Target, task: OneTask) -> Target:
    if target.is_value:
        return target
    if not is_rated(corpus, target.name):
        remark = (
            f"{corpus.name} has no single ratings of {target.name}: scored by its labels, not by "
            "shares of raters"
        )
        return replace(target, remarks=(*target.remarks, remark))
    if target.name != "emotion":
        return _attribute(options, corpus, target.name)
    soft = emotion_shares(
        corpus,
        classes=task.names,
        merge=options.merge,
        styles=options.styles,
        min_agreement=options.get("min_agreement", 0),
    )
    chosen = soft.only(soft.labels.index[soft.labels.isin(options.classes or task.names)])
    if chosen.truth.isna().all():
        raise UserError(
            f"no utterance of {corpus.name} has a majority of raters for one of "
            f"{', '.join(task.names)}. Say which class corresponds to which, e.g. "
            f"'target.merge={{joy: {task.names[0]}}}'"
        )
    return replace(chosen, remarks=(*chosen.remarks, *_left_out(corpus, target, chosen)))


def _attribute(options: DictConfig, corpus: Corpus, name: str) -> Target:
    """Return an attribute, alone or one of several tasks, with the shares of its raters."""
    own = OmegaConf.create(OmegaConf.to_container(options, resolve=True))
    assert isinstance(own, DictConfig)
    own.labels = DISTRIBUTION
    if "names" in own:
        own.names = [name]
    target: Target = build(own)(corpus)
    return target


def _left_out(corpus: Corpus, target: Target, chosen: Target) -> list[str]:
    """Return a remark on utterances that are labelled, but by raters as none of the classes."""
    count = len(target.labels.index.difference(chosen.labels.index))
    if not count:
        return []
    classes = ", ".join(chosen.classes)
    return [f"{count} utterances of {corpus.name} left out: most raters chose none of {classes}"]
