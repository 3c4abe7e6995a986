"""What a run says of itself before it is trained."""

import logging
from collections.abc import Mapping

from rich.table import Table
from torch import nn

from ser.console import console, remark
from ser.corpora import Corpus
from ser.data.datamodule import DataModule

log = logging.getLogger(__name__)


def announce(
    names: Mapping[str, str], seed: int, corpus: "Corpus", data: "DataModule", remarks: list[str]
) -> None:
    """Says what will be trained on what, with what guessing would get."""
    fold = data.fold
    log.info(
        "%s on %s: %s from %s (%d values), fold %s %d of 0-%d, seed %d",
        names["model"],
        names["corpus"],
        data.target.name,
        names["features"],
        data.task.inputs,
        names["fold"],
        fold.index,
        fold.count - 1,
        seed,
    )
    counts = data.class_counts()
    table = Table(box=None, header_style="bold")
    table.add_column("utterances")
    for part in counts:
        table.add_column(str(part), justify="right")
    for name, row in counts.iterrows():
        table.add_row(str(name), *map(str, row))
    table.add_row("all", *map(str, counts.sum()), style="bold")
    speakers = {part: corpus.table["speaker"].loc[ids].unique() for part, ids in fold.parts.items()}
    if fold.speaker_independent:
        table.add_row("speakers", *(_short(sorted(names)) for names in speakers.values()))
    if fold.text_independent:
        texts = [corpus.table["text"].loc[ids].nunique() for ids in fold.parts.values()]
        table.add_row("texts", *map(str, texts))
    console.print(table)
    if left_out := len(data.target.labels) - len(fold.everyone):
        log.info("%d more utterances are in no part of this fold", left_out)
    tested = counts["test"] if counts["test"].any() else counts["val"]
    log.info(
        "guessing gets UA %.1f%%, always naming the largest class WA %.1f%%",
        100 / (tested > 0).sum(),
        100 * tested.max() / tested.sum(),
    )
    remark(remarks)


def parameters(name: str, model: "nn.Module", epochs: int) -> None:
    """Says how large a network and its encoder are, and how long it is trained.

    The encoders of parthasarathy2019's systems are to be compared, whatever else they have.
    """

    def count(module: "nn.Module") -> str:
        return f"{sum(parameter.numel() for parameter in module.parameters()):,}"

    inner = getattr(model, "encoder", None)
    encoder = f" (encoder {count(inner)})" if inner is not None else ""
    log.info("%s: %s parameters%s, %d epochs", name, count(model), encoder, epochs)


def _short(names: list[str]) -> str:
    return " ".join(names) if len(names) <= 3 else str(len(names))
