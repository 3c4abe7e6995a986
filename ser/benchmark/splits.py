"""The splits of a corpus as files, which others can use without this project::

    <corpus>_<target>_<fold>/
        splits.csv     utterance, speaker, truth, audio, fold_0, fold_1, ...
        splits.json    corpus, target, fold, classes, number of utterances, fingerprints

A cell of `fold_<i>` is train, val, test, or empty if fold i leaves the utterance out. `truth` is
the class or value. `audio` is the BLAKE2b digest of the audio file, 32 hexadecimal digits, and
where the utterance is a part of the file its start and end in seconds. Both can be left out.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from itertools import combinations
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import DictConfig, OmegaConf

from ser.benchmark.tables import read_table
from ser.config import build, run_key, stored
from ser.data.feasible import make_fold
from ser.data.fingerprint import fingerprint, labelled_corpus
from ser.data.folds import PARTS
from ser.errors import UserError
from ser.features.store import Store
from ser.results import csv_text, digests_of, read_sealed, write_sealed, write_text
from ser.results.verify import listed

SPLITS, FACTS = "splits.csv", "splits.json"
TRUTH, AUDIO = "truth", "audio"
# Parts of a configuration from which the splits can be made again, without places of this machine.
NODES = ("corpus", "target", "fold")
PLACES = {"corpus": ("root", "ratings")}


@dataclass(frozen=True)
class Splits:
    """The splits of a corpus for one target, over all folds.

    Attributes:
        path: The protocol folder.
        facts: Content of `splits.json`.
        table: Content of `splits.csv`, by utterance id.
    """

    path: Path
    facts: Mapping[str, Any]
    table: pd.DataFrame

    @property
    def name(self) -> str:
        return str(self.facts["name"])

    @property
    def corpus(self) -> str:
        return str(self.facts["corpus"])

    @property
    def target(self) -> str:
        return str(self.facts["target"])

    @property
    def fold(self) -> str:
        """Name of the partition, e.g. "speaker_kfold"."""
        return str(self.facts["fold"])

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes; none if the target is a value."""
        return tuple(map(str, self.facts["classes"]))

    @property
    def folds(self) -> int:
        """Number of folds."""
        return int(self.facts["folds"])

    @property
    def is_independent(self) -> bool:
        """Whether the splits claim that no speaker is in two of them."""
        return bool(self.facts["speaker_independent"])

    @cached_property
    def truth(self) -> pd.Series | None:
        """Class or value by utterance id; None if it was not published."""
        return self.table.get(TRUTH)

    def part(self, fold: int, part: str) -> pd.Index:
        """Return the sorted utterances of one split, "train", "val" or "test"."""
        return self.table.index[self.table[f"fold_{fold}"] == part]

    def speakers(self, fold: int, part: str) -> set[str]:
        """Return the known speakers of one split."""
        speakers = self.table.loc[self.part(fold, part), "speaker"]
        return set(speakers[speakers != ""])

    def written(self, *, truth: bool, digests: bool) -> "Splits":
        """Return the splits without what is not to be published."""
        names = [name for name, kept in ((TRUTH, truth), (AUDIO, digests)) if not kept]
        facts = {**self.facts, "has_truth": truth, "has_digests": digests}
        return Splits(self.path, facts, self.table.drop(columns=names))

    def write(self, folder: Path) -> "Splits":
        """Write both files to the protocol folder below a folder, and return what was written.

        Raises:
            UserError: The protocol folder has other splits.
        """
        path = folder / self.name
        content = Splits(path, self.facts, self.table)
        known = differences(read_splits(path), content) if (path / FACTS).exists() else ()
        for problem in known:
            raise UserError(f"{path} has other splits: {problem}; choose another folder")
        write_text(path / SPLITS, csv_text(self.table.reset_index()))
        write_sealed(path / FACTS, {**self.facts, "digests": digests_of(path, [SPLITS])})
        return content


def make_splits(cfg: DictConfig, choices: Mapping[str, str]) -> Splits:
    """Return the splits of a configuration, with truth and digests.

    Args:
        cfg: Configuration of a run; its model and features do not matter.
        choices: Choice of the config groups corpus, target and fold.

    Raises:
        UserError: Corpus, target or fold cannot be made, or the target has several tasks.
    """
    corpus, target = labelled_corpus(cfg)
    if target.tasks:
        raise UserError(f"target={target.name}: splits are of one task, not of several")
    store: Store = build(cfg.store)
    recordings, contents = store.recordings(corpus.table), store.contents(corpus.table)
    first = make_fold(cfg, corpus, target, recordings, 0)
    folds = [make_fold(cfg, corpus, target, recordings, index) for index in range(first.count)]
    ids = target.labels.index.sort_values()
    table = pd.DataFrame(
        {
            "speaker": corpus.table["speaker"].loc[ids].fillna("").astype(str),
            TRUTH: target.truth.loc[ids].fillna("") if target.classes else target.labels.loc[ids],
            AUDIO: contents.reindex(ids).fillna(""),
        },
        index=ids.rename("utterance"),
    )
    for fold in folds:
        cells = [pd.Series(part, index=fold.parts[part]) for part in PARTS]
        table[f"fold_{fold.index}"] = pd.concat(cells).reindex(ids).fillna("")
    facts = {
        "name": "_".join(choices[group] for group in NODES),
        **{group: choices[group] for group in NODES},
        "classes": list(target.classes),
        "folds": first.count,
        "utterances": len(table),
        "speakers": int(table.loc[table["speaker"] != "", "speaker"].nunique()),
        "speaker_independent": first.speaker_independent,
        "text_independent": first.text_independent,
        "fingerprints": [fingerprint(corpus, target, f, ids[:0], contents) for f in folds],
        "has_truth": True,
        "has_digests": True,
        "config": _nodes(cfg),
        "ser": version("ser"),
    }
    return Splits(Path(), facts, table)


def _nodes(cfg: DictConfig) -> dict[str, Any]:
    """Return what makes the splits again, where the corpus is given."""
    nodes: dict[str, Any] = {key: OmegaConf.to_container(cfg[key], resolve=True) for key in NODES}
    for key, names in PLACES.items():
        nodes[key] |= {name: None for name in names if name in nodes[key]}
    nodes["fold"]["index"] = 0
    return {**nodes, "skip_faulty": cfg.skip_faulty}


def made_again(splits: Splits, corpus: DictConfig) -> Splits:
    """Return the splits as they follow from the corpus on this machine.

    Args:
        splits: Published splits.
        corpus: Configuration with `corpus.root` and `store`.

    Raises:
        UserError: The corpus or its splits cannot be made, or `splits.json` names something that
            may not be built.
    """
    cfg = stored.checked(splits.facts["config"], splits.path / FACTS)
    for name in PLACES["corpus"]:
        if name in cfg.corpus:
            cfg.corpus[name] = corpus.corpus.get(name)
    cfg.store = corpus.store
    return make_splits(cfg, {group: str(splits.facts[group]) for group in NODES})


def read_splits(path: Path) -> Splits:
    """Read a protocol folder.

    Raises:
        UserError: A file is missing, damaged, or lacks something.
    """
    facts = read_sealed(path / FACTS)
    if facts is None:
        raise UserError(f"{path / FACTS} is missing")
    try:
        folds = [f"fold_{index}" for index in range(int(facts["folds"]))]
        needed = ["speaker", *folds]
        table = read_table(path / SPLITS, ["utterance", *needed]).set_index("utterance")
        if not facts["classes"] and TRUTH in table:
            table[TRUTH] = table[TRUTH].astype(float)
        _ = [str(facts[name]) for name in ("name", *NODES, "speaker_independent", "config")]
        if len(facts["fingerprints"]) != len(folds):
            raise ValueError(f"not one fingerprint for each of {len(folds)} folds")
    except KeyError as error:
        raise UserError(f"{path / FACTS} has no {error}") from None
    except (TypeError, ValueError) as error:
        raise UserError(f"{path / FACTS} is damaged: {error}") from None
    return Splits(path, facts, table)


def splits_problems(splits: Splits) -> Iterator[str]:
    """Yield what contradicts in split files, without the corpus."""
    table = splits.table
    for name, digest in (splits.facts.get("digests") or {}).items():
        if digests_of(splits.path, [SPLITS]).get(name) != digest:
            yield f"{name} has changed since it was written ({FACTS} has its digest)"
    if (doubled := table.index[table.index.duplicated()]).size:
        yield f"{SPLITS} has utterances twice: {listed(doubled)}"
        return
    if len(table) != splits.facts["utterances"]:
        yield f"{SPLITS} has {len(table)} utterances, {FACTS} says {splits.facts['utterances']}"
    if splits.classes and splits.truth is not None:
        unknown = splits.truth[~splits.truth.isin([*splits.classes, ""])]
        if len(unknown):
            yield f"{SPLITS} has a class that {FACTS} lacks: {listed(unknown)}"
    for fold in range(splits.folds):
        cells = table[f"fold_{fold}"]
        if len(unknown := cells[~cells.isin([*PARTS, ""])]):
            yield f"{SPLITS}, fold {fold}: unknown split {listed(unknown)}"
        for one, other in combinations(PARTS, 2):
            shared = splits.speakers(fold, one) & splits.speakers(fold, other)
            if splits.is_independent and shared:
                yield (
                    f"{SPLITS}, fold {fold}: speakers in both {one} and {other}: "
                    f"{listed(sorted(shared))}"
                )
        if has_fingerprint(splits) and _fingerprint(splits, fold) != _claimed(splits, fold):
            yield (
                f"{SPLITS}, fold {fold}: labels, speakers, splits or audio are not those of the "
                f"fingerprint in {FACTS}"
            )


def has_fingerprint(splits: Splits) -> bool:
    """Return whether the fingerprints follow from `splits.csv`.

    They do not without truth or digests, nor for targets with soft labels or weights.
    """
    target = splits.facts["config"].get("target") or {}
    is_plain = target.get("labels") != "distribution" and target.get("weights") is None
    complete = {TRUTH, AUDIO} <= set(splits.table) and bool((splits.table["speaker"] != "").all())
    return complete and is_plain


def _claimed(splits: Splits, fold: int) -> str:
    return str(splits.facts["fingerprints"][fold])


def _fingerprint(splits: Splits, fold: int) -> str:
    """Return the fingerprint of a fold, as `ser.data.fingerprint` computes it."""
    rows = splits.table[splits.table[f"fold_{fold}"] != ""].sort_index()
    columns = [rows[name] for name in (f"fold_{fold}", TRUTH, "speaker", AUDIO)]
    listing = [list(row) for row in zip(rows.index, *columns, strict=True)]
    return run_key.digest({"classes": splits.classes, "rows": listing})


def differences(splits: Splits, other: Splits) -> Iterator[str]:
    """Yield in what published splits differ from others, such as those of the corpus itself."""
    table, now = splits.table, other.table
    if splits.classes != other.classes or splits.folds != other.folds:
        yield f"{FACTS}: other classes or another number of folds"
        return
    if len(lacking := now.index.difference(table.index)):
        yield f"{SPLITS} lacks utterances: {listed(lacking)}"
    if len(more := table.index.difference(now.index)):
        yield f"{SPLITS} has utterances that are not in the corpus: {listed(more)}"
    shared = table.index.intersection(now.index)
    for column in map(str, table):
        if column in now:
            differ = table.loc[shared, column] != now.loc[shared, column]
            if differ.any():
                what = {TRUTH: "another label", AUDIO: "other audio"}.get(column, f"other {column}")
                yield f"{SPLITS} has {what} than the corpus: {listed(shared[differ])}"
    if splits.facts["fingerprints"] != other.facts["fingerprints"]:
        yield f"{FACTS}: the fingerprints are not those of the corpus: other audio or labels"
