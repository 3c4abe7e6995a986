"""`python -m ser COMMAND ...`: everything but training.

Overrides are those of `train.py`: corpus=emodb corpus.root=... features=functionals,lld
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ser.config import build
from ser.config.compose import compose_all
from ser.errors import UserError, disk_errors_told

if TYPE_CHECKING:  # imported where needed: --help must not wait for torch
    from ser.latents.page import Audio
    from ser.sweeps.grid import Grid


def check(overrides: Sequence[str]) -> int:
    """look a corpus over: counts, labels, audio; status 1 on a fault"""
    from ser.data.check import check as check_corpus

    (cfg,) = compose_all(overrides)
    corpus = build(cfg.corpus)
    return 0 if check_corpus(corpus, cfg.published) else 1


def extract(overrides: Sequence[str]) -> int:
    """fill the store with features, e.g. features=functionals,lld"""
    configs = compose_all(overrides)
    cfg = configs[0]
    corpus = build(cfg.corpus)
    extractors = [build(each.features) for each in configs]
    build(cfg.store).fill(corpus.table, extractors, skip=cfg.skip_faulty)
    return 0


def latents(run: Path, audio: "Audio | None") -> int:
    """measure and draw what the latents of a finished run hold"""
    from ser.latents import latents as tell_latents

    tell_latents(run, audio)
    return 0


def sample(run: Path, component: str | None, count: int, seed: int, out: Path | None) -> int:
    """draw synthetic feature vectors from the representation of a finished run, as CSV"""
    from ser.inference.sample import sample as draw
    from ser.results import write_text

    table = draw(run, component, count, seed)
    if out is None:
        table.to_csv(sys.stdout, index=False)
    else:
        write_text(out, table.to_csv(index=False))
        print(f"{out}: {len(table)} synthetic vectors", file=sys.stderr)
    return 0


def evaluate(run: Path, overrides: list[str]) -> int:
    """test finished runs on a corpus that they were not made on, e.g. corpus=ravdess"""
    from ser.inference.evaluate import evaluate as test_elsewhere

    return test_elsewhere(run, overrides)


def predict(run: Path, audio: list[Path], **options: Any) -> int:
    """what finished runs tell of new recordings; status 1 if none can be predicted"""
    from ser.inference.predict import predict as tell_predictions

    return tell_predictions(run, audio, **options)


def export(run: Path, **options: Any) -> int:
    """a finished run as a folder for others: ONNX, weights, model card"""
    from ser.export import export as write_export

    return write_export(run, **options)


def status(asked: Sequence[str]) -> int:
    """count the runs that are done, running, failed, missing; status 1 until all are done"""
    from ser.sweeps.status import status as tell_status

    return tell_status(lambda: _grid(asked))


def report(asked: Sequence[str], out: Path | None) -> int:
    """tables, tests and figures of a grid, from predictions; logger=wandb shows them there, too"""
    from ser.report import report as make_report

    grid = _grid(asked)
    out = out or Path("outputs/reports") / grid.name
    make_report(grid, out)
    if grid.logger is not None and "wandb" in grid.logger:
        from ser.runs.loggers import log_report

        options = {key: grid.logger.wandb[key] for key in ("project", "group", "mode")}
        corpora = {run.names["corpus"] for run in grid.runs}
        log_report(grid.name, corpora, out, **options, tags=list(grid.logger.wandb.tags))
    return 0


def _grid(asked: Sequence[str]) -> "Grid":
    """The runs in a folder, or those that overrides such as grid=demo ask for."""
    from ser.sweeps import grid

    folders = [each for each in asked if "=" not in each]
    if not folders:
        return grid.composed(asked)
    overrides = [each for each in asked if "=" in each]
    if len(folders) > 1 or any(not each.startswith(BASELINE) for each in overrides):
        raise UserError(
            f"one folder of runs, {BASELINE}NAME beside it at most; "
            "or overrides such as grid=demo seed=0,1"
        )
    found = grid.in_folder(Path(folders[0]))
    return replace(found, baseline=overrides[-1].removeprefix(BASELINE)) if overrides else found


BASELINE = "report.baseline="
# Those that take overrides.
COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {"check": check, "extract": extract}


def _add_evaluate(command: argparse.ArgumentParser) -> None:
    run = "folder of a finished run, or of many (all folds, all seeds) of one target"
    command.add_argument("run", type=Path, metavar="RUN", help=run)
    corpus = "the other corpus, e.g. corpus=ravdess corpus.root=... 'target.merge={calm: neutral}'"
    command.add_argument("overrides", nargs="+", metavar="OVERRIDE", help=corpus)
    command.set_defaults(call=evaluate)


def _add_predict(command: argparse.ArgumentParser) -> None:
    run = "folder of a finished run, or of many (all folds, all seeds), which are averaged"
    command.add_argument("run", type=Path, metavar="RUN", help=run)
    audio = "recordings (wav, flac, ogg, mp3, ...), or folders to search for them"
    command.add_argument("audio", type=Path, nargs="+", metavar="AUDIO", help=audio)
    command.add_argument("--window", type=float, metavar="S", help="predict windows of S seconds")
    command.add_argument("--hop", type=float, metavar="S", help="from one to the next")
    speaker = "all recordings are one speaker's (for runs with data.standardise=speaker)"
    command.add_argument("--one-speaker", action="store_true", help=speaker)
    command.add_argument("--workers", type=int, metavar="N", help="default: one a core")
    command.add_argument("--out", type=Path, help="a .csv, .json or .jsonl file; default: a table")
    command.set_defaults(call=predict)


def _add_export(command: argparse.ArgumentParser) -> None:
    command.add_argument("run", type=Path, metavar="RUN", help="folder of a finished run")
    formats = "onnx: model and weights; safetensors: weights alone (default: onnx)"
    command.add_argument(
        "--format", dest="kind", choices=("onnx", "safetensors"), default="onnx", help=formats
    )
    command.add_argument("--out", type=Path, help="a folder; default: one in outputs/exports")
    licence = "of the weights, as model hubs call it, e.g. cc-by-nc-4.0; default: to be chosen"
    command.add_argument("--licence", metavar="NAME", help=licence)
    audio = "recordings, or folders of them, to check on; default: utterances of the run"
    command.add_argument("--audio", type=Path, nargs="+", default=[], metavar="AUDIO", help=audio)
    command.set_defaults(call=export)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m ser",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, function in COMMANDS.items():
        command = commands.add_parser(name, help=function.__doc__)
        command.add_argument("overrides", nargs="*", help="as for train.py, e.g. corpus=emodb")
        command.set_defaults(call=function)
    command = commands.add_parser("latents", help=latents.__doc__)
    command.add_argument("run", type=Path, metavar="RUN", help="folder of a finished run")
    command.add_argument(
        "--audio",
        choices=("embed", "link", "none"),
        help="in the page, by path, or not at all (default: in the page up to 15 MB)",
    )
    command.set_defaults(call=latents)
    command = commands.add_parser("sample", help=sample.__doc__)
    command.add_argument("run", type=Path, metavar="RUN", help="folder of a finished run")
    command.add_argument("--component", metavar="CLASS", help="e.g. anger; default: every class")
    command.add_argument("--count", type=int, default=100, help="vectors a class (default: 100)")
    command.add_argument("--seed", type=int, default=0, help="of the draws (default: 0)")
    command.add_argument("--out", type=Path, help="a CSV file; default: standard output")
    command.set_defaults(call=sample)
    _add_evaluate(commands.add_parser("evaluate", help=evaluate.__doc__))
    _add_predict(commands.add_parser("predict", help=predict.__doc__))
    _add_export(commands.add_parser("export", help=export.__doc__))
    asked: dict[str, Any] = {
        "nargs": "+",
        "metavar": "WHAT",
        "help": "a folder of runs, or e.g. grid=demo seed=0,1",
    }
    command = commands.add_parser("status", help=status.__doc__)
    command.add_argument("asked", **asked)
    command.set_defaults(call=status)
    command = commands.add_parser("report", help=report.__doc__)
    command.add_argument("asked", **asked)
    command.add_argument("--out", type=Path, help="default: outputs/reports/<grid>")
    command.set_defaults(call=report)
    options = vars(parser.parse_args(arguments))
    del options["command"]
    call = options.pop("call")
    try:
        with disk_errors_told():
            return call(**options)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
