"""How commands are called, and their arguments."""

import argparse
import sys
from pathlib import Path

ONE_RUN = "folder of a finished run"
RUNS = "folder of a finished run, or a folder that contains several, e.g. of all folds and seeds"


def program() -> str:
    """Return how commands are called: `ser`, or `python -m ser` in a checkout without it."""
    in_checkout = Path(__file__).parents[1].joinpath("train.py").exists()
    return "python -m ser" if in_checkout and Path(sys.argv[0]).stem != "ser" else "ser"


def train_program() -> str:
    """Return how runs are trained: `ser train`, or `python train.py`."""
    return "ser train" if program() == "ser" else "python train.py"


def add_overrides(command: argparse.ArgumentParser) -> None:
    overrides = "options as for train.py, e.g. corpus=emodb corpus.root=path/to/emodb"
    command.add_argument("overrides", nargs="*", metavar="OVERRIDE", help=overrides)


def add_audit(command: argparse.ArgumentParser) -> None:
    add_overrides(command)
    out = "folder of the results (default: outputs/audits/ and the names of corpus and target)"
    command.add_argument("--out", type=Path, metavar="FOLDER", help=out)


def add_manifest(command: argparse.ArgumentParser) -> None:
    corpora = (
        "manifests, and options as for train.py, each corpus=... followed by its own, e.g. "
        "my.csv corpus=emodb corpus.root=path/to/emodb"
    )
    command.add_argument("corpora", nargs="+", metavar="CORPUS", help=corpora)
    out = "CSV or Parquet file to write, by its suffix"
    command.add_argument("--out", type=Path, metavar="FILE", required=True, help=out)


def add_selection(command: argparse.ArgumentParser) -> None:
    selection = "a folder that contains runs, or the overrides of a sweep, e.g. grid=demo seed=0,1"
    command.add_argument("selection", nargs="+", metavar="RUNS", help=selection)


def add_run(command: argparse.ArgumentParser, text: str) -> None:
    command.add_argument("run", type=Path, metavar="RUN", help=text)


def add_report(command: argparse.ArgumentParser) -> None:
    add_selection(command)
    out = "folder of the report (default: outputs/reports/ and the name of the grid or folder)"
    command.add_argument("--out", type=Path, metavar="FOLDER", help=out)


def add_latents(command: argparse.ArgumentParser) -> None:
    add_run(command, ONE_RUN)
    audio = "embed audio in the page, link to it or omit it (default: embed up to 15 MB, else link)"
    command.add_argument("--audio", choices=("embed", "link", "none"), help=audio)


def add_sample(command: argparse.ArgumentParser) -> None:
    add_run(command, ONE_RUN)
    component = "class to sample, e.g. anger (default: every class)"
    command.add_argument("--component", metavar="CLASS", help=component)
    count = "vectors per class (default: %(default)s)"
    command.add_argument("--count", type=int, default=100, metavar="N", help=count)
    seed = "random seed (default: %(default)s)"
    command.add_argument("--seed", type=int, default=0, metavar="N", help=seed)
    command.add_argument(
        "--out", type=Path, metavar="FILE", help="CSV file (default: standard output)"
    )


def add_predict(command: argparse.ArgumentParser) -> None:
    add_run(command, f"{RUNS}; the probabilities of several are averaged")
    audio = "recordings (wav, flac, ogg, mp3, ...), or folders that are searched for them"
    command.add_argument("audio", type=Path, nargs="+", metavar="AUDIO", help=audio)
    window = "predict windows of S seconds (default: whole recordings)"
    command.add_argument("--window", type=float, metavar="S", help=window)
    hop = "seconds between the starts of two windows (default: the length of a window)"
    command.add_argument("--hop", type=float, metavar="S", help=hop)
    speaker = "all recordings are of one speaker (required by runs with data.standardise=speaker)"
    command.add_argument("--one-speaker", action="store_true", help=speaker)
    workers = "recordings that are processed in parallel (default: number of CPU cores)"
    command.add_argument("--workers", type=int, metavar="N", help=workers)
    out = "file for the predictions: .csv, .json or .jsonl (default: print a table)"
    command.add_argument("--out", type=Path, metavar="FILE", help=out)


def add_evaluate(command: argparse.ArgumentParser) -> None:
    add_run(command, f"{RUNS}; all of one target")
    overrides = "the corpus to test on, as for train.py, e.g. corpus=ravdess corpus.root=..."
    command.add_argument("overrides", nargs="*", metavar="OVERRIDE", help=overrides)
    corrupt = (
        "corruptions of the audio, e.g. noise:10dB,noise:FOLDER:10dB,gain:-20dB,speed:0.9,"
        "reverb:0.6s,phone; without a corpus, that of the runs' own test splits"
    )
    command.add_argument("--corrupt", metavar="LIST", help=corrupt)


def add_export(command: argparse.ArgumentParser) -> None:
    add_run(command, ONE_RUN)
    kind = "onnx: model and weights; safetensors: weights only (default: %(default)s)"
    command.add_argument(
        "--format", dest="kind", choices=("onnx", "safetensors"), default="onnx", help=kind
    )
    out = "folder of the export (default: a folder in outputs/exports, named after the run)"
    command.add_argument("--out", type=Path, metavar="FOLDER", help=out)
    licence = "licence of the weights, as model hubs name it, e.g. cc-by-nc-4.0 (default: none)"
    command.add_argument("--licence", metavar="NAME", help=licence)
    audio = "recordings or folders for the check of the export (default: utterances of the run)"
    command.add_argument("--audio", type=Path, nargs="+", default=[], metavar="AUDIO", help=audio)


def add_clean(command: argparse.ArgumentParser) -> None:
    runs = "folders whose runs keep the fits they use (default: outputs/runs)"
    folders = [Path("outputs/runs")]
    command.add_argument("runs", type=Path, nargs="*", metavar="RUNS", default=folders, help=runs)
    delete = "remove what is listed (default: list only)"
    command.add_argument("--delete", action="store_true", help=delete)


def add_splits(command: argparse.ArgumentParser) -> None:
    add_overrides(command)
    out = "folder that gets a folder for each corpus, target and fold"
    command.add_argument("--out", type=Path, metavar="FOLDER", required=True, help=out)
    _add_withheld(command)


def add_publish(command: argparse.ArgumentParser) -> None:
    add_selection(command)
    out = "folder of the results; systems that it has already are replaced"
    command.add_argument("--out", type=Path, metavar="FOLDER", required=True, help=out)
    _add_withheld(command)
    mixed = "allow runs of several commits in one system, and declare all of them"
    command.add_argument("--mixed-commits", action="store_true", help=mixed)


def _add_withheld(command: argparse.ArgumentParser) -> None:
    truth = "leave out classes, values and digests, for a corpus without licence"
    command.add_argument("--no-truth", dest="truth", action="store_false", help=truth)
    digests = "leave out digests of the audio"
    command.add_argument("--no-digests", dest="digests", action="store_false", help=digests)


def add_verify(command: argparse.ArgumentParser) -> None:
    words = (
        "folders of runs or of published results, and optionally the corpus to compare with, e.g. "
        "corpus=emodb corpus.root=path/to/emodb"
    )
    command.add_argument("words", nargs="+", metavar="FOLDER", help=words)
