"""Train, test, compare and use systems that recognise emotions in speech.

COMMAND --help explains one command and shows an example.
"""

# Each command imports what it needs when it is called: --help must not wait for torch or Hydra.

import argparse
import atexit
import gc
import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ser import arguments
from ser.errors import UserError, convert_disk_errors

if TYPE_CHECKING:
    from ser.latents.page import Audio


def train(overrides: Sequence[str]) -> int:
    """Train one system on one fold with one seed, and test it once; -m: many.

    In a checkout, python train.py does the same.
    """
    from ser.runs.command import main as train_runs

    train_runs(overrides)
    return 0


def check(overrides: Sequence[str]) -> int:
    """Check that a corpus is complete and that its audio can be read.

    Counts are compared with the published ones. The exit status is 1 if there is any fault.
    """
    from ser.config import build
    from ser.config.compose import compose_all
    from ser.data.check import check as check_corpus

    (cfg,) = compose_all(overrides)
    return 0 if check_corpus(build(cfg.corpus), cfg.published) else 1


def audit(overrides: Sequence[str], out: Path | None) -> int:
    """Test whether labels can be predicted without listening to the emotion.

    Scores from speaker, session, text, duration, level, noise and silence alone; recordings that
    occur twice; speakers, texts and audio that published splits or the folds of the configuration
    share. The exit status is 1 if there is any fault.
    """
    from ser.audit import audit as audit_corpus
    from ser.audit import command_of
    from ser.config.checks import check_values
    from ser.config.compose import compose_all

    configs = compose_all(overrides)
    if len(configs) > 1:
        raise UserError("audit takes one corpus and one target: give each option one value")
    check_values(configs[0])
    return 0 if audit_corpus(configs[0], command_of(overrides), out) else 1


def extract(overrides: Sequence[str]) -> int:
    """Extract features of a corpus and store them for later runs.

    Several feature sets can be given at once: features=functionals,lld
    """
    from ser.config import build
    from ser.config.compose import compose_all

    configs = compose_all(overrides)
    cfg = configs[0]
    extractors = [build(each.features) for each in configs]
    build(cfg.store).fill(build(cfg.corpus).table, extractors, skip=cfg.skip_faulty)
    return 0


def manifest(corpora: Sequence[str], out: Path) -> int:
    """Write a corpus as a manifest, a table that can be edited, or join several corpora to one.

    A joined manifest has a column `corpus`, and the names of utterances, speakers, sessions and
    dialogues begin with that of their corpus. Single ratings are written to x.ratings.csv.
    """
    from ser.data.manifests import join, read_corpora, write_manifest

    read = read_corpora(corpora)
    joined = read[0] if len(read) == 1 else join(read)
    written = write_manifest(joined, out)
    print(f"{' and '.join(map(str, written))}: {len(joined.table)} utterances", file=sys.stderr)
    return 0


def status(selection: Sequence[str]) -> int:
    """Count the runs that are done, running, failed or missing.

    The exit status is 1 until all runs are done.
    """
    from ser.sweeps.selection import select_runs
    from ser.sweeps.status import show_status

    grid = select_runs(selection)
    is_folder = not any("=" in each for each in selection)
    # A sweep may add runs to a folder, but a grid stays what it is.
    return show_status(lambda: select_runs(selection) if is_folder else grid)


def report(selection: Sequence[str], out: Path | None) -> int:
    """Write tables, statistics and figures of a grid or folder of runs.

    logger=wandb sends the report to Weights & Biases, too. For a folder of runs,
    report.baseline=NAME selects the system that the others are compared with, and
    report.comparisons=[[SYSTEM,REFERENCE],...] further pairs. Several folders or grids, each with
    the overrides after it, are compared: report outputs/runs/a outputs/runs/b.
    report.formats=[pdf,png] writes figures as PDF and PNG, too; report.tsne=true draws codes of
    representations by t-SNE.
    """
    from ser.report import report as write_report
    from ser.sweeps.selection import REPORTS, report_name, select_report

    grid = select_report(selection)
    out = out or REPORTS / report_name(selection, grid.name)
    data = write_report(grid, out)
    if grid.logger is not None and "wandb" in grid.logger:
        from ser.runs.logged_report import log_report

        options = {key: grid.logger.wandb[key] for key in ("project", "group", "mode")}
        corpora = {run.choices["corpus"] for run in grid.runs}
        log_report(data, corpora, out, **options, tags=list(grid.logger.wandb.tags))
    return 0


def latents(run: Path, audio: "Audio | None") -> int:
    """Measure what the latents of a run encode, and draw a map of them.

    Results are written to the folder latents/ of the run.
    """
    from ser.latents import latents as write_latents

    write_latents(run, audio)
    return 0


def sample(run: Path, component: str | None, count: int, seed: int, out: Path | None) -> int:
    """Draw synthetic feature vectors from the representation of a run."""
    _require_finished(run)
    from ser.inference.sample import sample as draw_samples
    from ser.results import csv_text, write_text

    table = draw_samples(run, component, count, seed)
    if out is None:
        sys.stdout.write(csv_text(table))
    else:
        write_text(out, csv_text(table))
        print(f"{out}: {len(table)} synthetic vectors", file=sys.stderr)
    return 0


def predict(run: Path, audio: list[Path], **options: Any) -> int:
    """Predict the classes or values of recordings with finished runs.

    The exit status is 1 if no recording can be predicted.
    """
    _require_finished(run)
    with _without_collections():
        from ser.inference.predict import predict as predict_recordings

    return predict_recordings(run, audio, **options)


def evaluate(run: Path, overrides: list[str], corrupt: str | None) -> int:
    """Test finished runs on another corpus, or on corrupted audio.

    Results are written to the folder evaluated/ of each run, and shown by the command report.
    """
    _require_finished(run)
    from ser.inference.corrupt_option import conditions

    if corrupt is not None:
        conditions(corrupt)  # raises for a wrong one, before torch is imported
    from ser.inference.evaluate import evaluate as evaluate_runs

    return evaluate_runs(run, overrides, corrupt)


def export(run: Path, **options: Any) -> int:
    """Export a run for use elsewhere: ONNX model, weights, model card.

    The export is checked against the run before it is written.
    """
    _require_finished(run)
    from ser.export import export_run

    return export_run(run, **options)


def clean(runs: list[Path], *, delete: bool) -> int:
    """List fitted representations that no run needs, and files not written to their end.

    Nothing is removed without --delete. Runs, features and fits of running processes are kept.
    """
    from ser.config.compose import compose_all
    from ser.results.fitted import leftovers, remove

    (cfg,) = compose_all([])
    root = Path(cfg.fitted)
    unneeded = leftovers(root, runs)
    for each in unneeded:
        print(f"{each.path}  {each.size / 1e6:.1f} MB  {each.reason}")
    megabytes = sum(each.size for each in unneeded) / 1e6
    if delete:
        remove(root, unneeded)
        print(f"{len(unneeded)} removed, {megabytes:.1f} MB")
    else:
        hint = "; --delete removes them" if unneeded else ""
        print(f"{len(unneeded)} not needed, {megabytes:.1f} MB{hint}")
    return 0


def splits(overrides: Sequence[str], out: Path, *, truth: bool, digests: bool) -> int:
    """Write the splits of a corpus as files that others can use without this project.

    A folder for each target and fold gets splits.csv and splits.json: speaker, class or value,
    digest of the audio, and the split in each fold, by utterance.
    """
    from ser.benchmark.splits import make_splits
    from ser.config.checks import check_values
    from ser.config.compose import compose_with_choices

    for cfg, choices in compose_with_choices(overrides):
        check_values(cfg)
        kept = make_splits(cfg, choices).written(truth=truth, digests=truth and digests)
        print(f"{kept.write(out).path}: {len(kept.table)} utterances", file=sys.stderr)
    return 0


def publish(
    selection: Sequence[str], out: Path, *, truth: bool, digests: bool, mixed_commits: bool
) -> int:
    """Write finished runs to a small folder that others can verify without audio.

    Of each run, predictions, scores and cost are kept, beside the splits of the corpus.
    """
    from ser.benchmark.publish import Options
    from ser.benchmark.publish import publish as publish_runs
    from ser.sweeps.selection import select_runs

    options = Options(truth=truth, digests=truth and digests, mixed=mixed_commits)
    for folder in publish_runs(select_runs(selection), out, options):
        print(folder, file=sys.stderr)
    return 0


def verify(words: list[str]) -> int:
    """Check finished runs, or published results of any system, without audio.

    Lists files that have changed, scores that do not follow from the predictions, and splits that
    are not what they claim. It finds inconsistency, not forgery: whoever changes a file can change
    the digests, too. With options of a corpus, published splits and labels are compared with it.
    The exit status is 1 if there is any inconsistency.
    """
    from ser.benchmark.verify import verify as verify_all

    return verify_all(words)


def leaderboard(folder: Path, out: Path | None, reference: list[str]) -> int:
    """Write a leaderboard of published results: index.html, leaderboard.md, leaderboard.csv.

    It has all corpora and targets below the folder, each system with its interval over speakers and
    its test against a reference, beside chance, one rater, cost and the audit of the corpus.
    """
    from ser.benchmark.leaderboard import leaderboard as write_leaderboard

    for path in write_leaderboard(folder, out, reference):
        print(path)
    return 0


@contextmanager
def _without_collections() -> Iterator[None]:
    """Import without garbage collections: searching what is imported takes up to a second."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.freeze()


def _require_finished(run: Path) -> None:
    """Raise a UserError unless there is a finished run, before torch is imported."""
    from ser.results import RunFolder

    RunFolder.all_finished(run)


class Command(NamedTuple):
    """A command of `python -m ser`.

    Attributes:
        run: Function that gets the parsed arguments and returns the exit status. Its name is that
            of the command, and its docstring the help text.
        add_arguments: Function that declares the arguments.
        example: Arguments of a typical call.
    """

    run: Callable[..., int]
    add_arguments: Callable[[argparse.ArgumentParser], None]
    example: str


COMMANDS = (
    Command(train, arguments.add_overrides, "corpus=emodb corpus.root=path/to/emodb model=aae"),
    Command(check, arguments.add_overrides, "corpus=emodb corpus.root=path/to/emodb"),
    Command(audit, arguments.add_audit, "corpus=emodb corpus.root=path/to/emodb"),
    Command(
        extract, arguments.add_overrides, "corpus=emodb corpus.root=... features=functionals,lld"
    ),
    Command(
        manifest, arguments.add_manifest, "corpus=emodb corpus.root=path/to/emodb --out emodb.csv"
    ),
    Command(status, arguments.add_selection, "grid=demo"),
    Command(report, arguments.add_report, "grid=demo"),
    Command(latents, arguments.add_latents, "RUN --audio link"),
    Command(sample, arguments.add_sample, "RUN --component anger --out anger.csv"),
    Command(predict, arguments.add_predict, "RUN path/to/recordings --out predictions.csv"),
    Command(evaluate, arguments.add_evaluate, "RUN corpus=ravdess corpus.root=path/to/ravdess"),
    Command(export, arguments.add_export, "RUN --licence cc-by-nc-4.0"),
    Command(clean, arguments.add_clean, "outputs/runs --delete"),
    Command(
        splits, arguments.add_splits, "corpus=emodb corpus.root=... fold=speaker_kfold --out splits"
    ),
    Command(publish, arguments.add_publish, "grid=demo --out published"),
    Command(leaderboard, arguments.add_leaderboard, "docs/results/benchmark"),
    Command(verify, arguments.add_verify, "outputs/runs"),
)


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    plain = argparse.RawDescriptionHelpFormatter
    program = arguments.program()
    parser = argparse.ArgumentParser(prog=program, description=__doc__, formatter_class=plain)
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND")
    for run, add_arguments, example in COMMANDS:
        name, text = run.__name__, inspect.getdoc(run) or ""
        command = subparsers.add_parser(
            name,
            help=text.partition("\n")[0].rstrip("."),
            description=text,
            epilog=f"example:\n  {program} {name} {example}",
            formatter_class=plain,
        )
        add_arguments(command)
        command.set_defaults(call=run)
    return parser


def main(words: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status; without one, list the commands."""
    words = sys.argv[1:] if words is None else words
    atexit.register(gc.freeze)  # Python would search what is imported for garbage once more
    if words[:1] == ["train"]:  # whose flags are Hydra's
        return train(words[1:])
    parser = make_parser()
    parsed, others = parser.parse_known_args(words)
    options = vars(parsed)
    # argparse does not take overrides that follow an option: evaluate RUN --corrupt phone corpus=x
    if others and ("overrides" not in options or any(each.startswith("-") for each in others)):
        parser.error(f"unrecognized arguments: {' '.join(others)}")
    if others:
        options["overrides"] += others
    if "call" not in options:
        parser.print_help()
        return 0
    call = options.pop("call")
    try:
        with convert_disk_errors():
            return call(**options)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
