"""What is printed before a run is trained: data, chance level, size of the network."""

import logging
from collections.abc import Mapping

import pandas as pd
from rich.table import Table
from torch import nn

from ser.console import console, print_remarks
from ser.corpora import Corpus
from ser.data.datamodule import DataModule
from ser.data.targets import Target

log = logging.getLogger(__name__)


def announce(
    choices: Mapping[str, str], seed: int, corpus: Corpus, data: DataModule, remarks: list[str]
) -> None:
    """Print what is trained on which data, and the scores at chance level."""
    fold = data.fold
    log.info(
        "%s on %s: %s from %s (%d values), fold %s %d of 0-%d, seed %d",
        choices["model"],
        choices["corpus"],
        data.target.name,
        choices["features"],
        data.task.inputs,
        choices["fold"],
        fold.index,
        fold.count - 1,
        seed,
    )
    counts = data.class_counts()
    table = Table(box=None, header_style="bold")
    table.add_column("utterances")
    for split in counts:
        table.add_column(str(split), justify="right")
    copies = pd.Index(fold.copies)
    if len(copies):
        counts["copies"] = data.counts(copies)
        table.add_column("copies", justify="right")
    for name, row in counts.iterrows():
        table.add_row(str(name), *map(str, row))
    sizes = [len(ids) for ids in (*fold.parts.values(), *([copies] if len(copies) else []))]
    table.add_row("all", *map(str, sizes), style="bold")
    speakers = {
        s: corpus.table["speaker"].loc[ids].dropna().unique() for s, ids in fold.parts.items()
    }
    if fold.speaker_independent:
        table.add_row("speakers", *(_short(sorted(names)) for names in speakers.values()))
    if fold.text_independent:
        texts = [corpus.table["text"].loc[ids].nunique() for ids in fold.parts.values()]
        table.add_row("texts", *map(str, texts))
    console.print(table)
    if left_out := len(data.target.labels) - len(fold.everyone):
        log.info("%d more utterances are in no split of this fold", left_out)
    tested = fold.test if len(fold.test) else fold.val
    if data.target.tasks:
        of_tasks = (f"{task.name} {_chance(task, tested)}" for task in data.target.tasks)
        log.info("chance level: %s", ", ".join(of_tasks))
    else:
        log.info("chance level: %s", _chance(data.target, tested))
    print_remarks(remarks)


def _chance(target: Target, tested: pd.Index) -> str:
    """Return the scores at chance level on the utterances that are tested."""
    if target.is_value:
        return "CCC 0"
    counts = target.labels.reindex(tested).value_counts()
    largest = 100 * counts.max() / counts.sum()
    return f"UA {100 / len(counts):.1f}%; always predicting the largest class: WA {largest:.1f}%"


def parameters(name: str, model: nn.Module, epochs: int) -> None:
    """Print the size of a network and of its encoder, and the number of epochs.

    The systems of parthasarathy2019 are comparable by the size of their encoders.
    """

    def count(module: nn.Module) -> str:
        return f"{sum(parameter.numel() for parameter in module.parameters()):,}"

    inner = getattr(model, "encoder", None)
    encoder = f" (encoder {count(inner)})" if inner is not None else ""
    log.info("%s: %s parameters%s, %d epochs", name, count(model), encoder, epochs)


def _short(names: list[str]) -> str:
    return " ".join(names) if len(names) <= 3 else str(len(names))
