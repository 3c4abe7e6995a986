"""The model card: description, test results and limits of an exported model."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, StrictUndefined
from opensmile import FeatureSet

from ser.console import system
from ser.errors import UserError
from ser.features.encoder import Encoder
from ser.inference.loading import Recogniser
from ser.report import summarise
from ser.report.data import ReportData
from ser.report.gather import finished_runs, with_evaluations
from ser.report.render import markdown, md
from ser.report.shares import SCORES
from ser.report.tables import Table, sliced
from ser.report.text import NONE, percent
from ser.sweeps import grid

TEMPLATE = Path(__file__).parent / "card.md.j2"
# Names of scores on model hubs, and in the text of the card.
HUB_METRICS = {"ua": "recall", "wa": "accuracy", "f1": "f1", "pearson": "pearsonr"}
TITLES = {
    "ua": "UA (unweighted accuracy, macro recall)",
    "wa": "WA (weighted accuracy)",
    "f1": "F1 (macro)",
    "ece": "ECE (calibration error)",
    "ccc": "CCC (concordance correlation coefficient)",
    "pearson": "Pearson (correlation coefficient)",
    "rmse": "RMSE (root mean square error)",
    "mae": "MAE (mean absolute error)",
    "kl": "KL (divergence from the shares of raters, nats)",
    "js": "JS (Jensen-Shannon distance to the shares of raters)",
    "ece_distribution": "Calibration error against the shares of raters",
}
SPLITS = {"train": "train", "val": "validation", "test": "test"}
OPENSMILE = "ser.features.opensmile.OpenSmile"


def render_card(
    recogniser: Recogniser,
    facts: Mapping[str, Any],
    kind: str,
    licence: str | None,
    comparison: str,
) -> str:
    """Return the text of a `README.md` for a model hub.

    Args:
        recogniser: Run that was exported.
        facts: Content of its `config.json`.
        kind: Format of the export.
        licence: Licence of the weights; None: none was chosen.
        comparison: Result of the comparison of the export with the run.

    Raises:
        UserError: The predictions of the run cannot be read.
    """
    result, findings = recogniser.result, run_findings(recogniser.folder.path)
    split = "test" if result["test"] else "val"
    scored = _scored(recogniser, findings, split)
    content = {
        "result": result,
        "facts": facts,
        "name": system(result),
        "split": SPLITS[split],
        "licence": licence,
        "comparison": comparison,
        "front_matter": _front_matter(recogniser, scored, kind, licence, split),
        "encoder": about_encoder(recogniser),
        "usage": _feature_code(facts) if kind == "onnx" else None,
        "has_range": recogniser.training_range is not None,
        "kind": recogniser.kind,
        "counts": markdown(_count_table(recogniser)),
        "unit": ", in %" if all(each.classes for each in scored) else "",
        "scored": [
            {
                "task": each.task,
                "scores": markdown(_score_table(each)),
                "recalls": markdown(_recall_table(each)) if each.classes else None,
                "subsets": _subset_table(each.findings),
            }
            for each in scored
        ],
        "other_corpora": _other_corpora_tables(recogniser.folder.path),
        "limits": list(_limits(recogniser, scored, split)),
    }
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["md"] = md
    template = environment.from_string(TEMPLATE.read_text())
    return template.render(content)


def run_findings(folder: Path) -> ReportData:
    """Return the data of a report on one run."""
    runs = grid.find_runs(folder)
    if len(runs.runs) > 1:
        raise UserError(f"{folder} contains another run below it; export a folder of one run")
    return summarise(runs, finished_runs(runs))


@dataclass(frozen=True)
class Scored:
    """Scores of a run on one task.

    Attributes:
        task: Name of the task; empty if the run has but one.
        classes: Names of the classes; none: a value.
        findings: Data of a report of this task.
        scores: Scores of the split in `result.json`.
    """

    task: str
    classes: Sequence[str]
    findings: ReportData
    scores: Mapping[str, Any]


def _scored(recogniser: Recogniser, findings: ReportData, split: str) -> list[Scored]:
    """Return the scores of each task that has labels in a split."""
    result = recogniser.result
    if "tasks" not in result:
        return [Scored("", recogniser.classes, findings, result[split])]
    columns = {target: (corpus, target) for corpus, target in findings.columns}
    scores = result[split]["tasks"]
    return [
        Scored(name, classes, findings.select(columns[name]), scores[name])
        for name, classes in result["tasks"].items()
        if name in scores
    ]


def _front_matter(
    recogniser: Recogniser, scored: Sequence[Scored], kind: str, licence: str | None, split: str
) -> str:
    """Return the YAML that a model hub reads."""
    result = recogniser.result
    names = result["system"]
    task: dict[str, Any] = {"type": "audio-classification", "name": "Speech emotion recognition"}
    metrics = {
        each.task: [
            {"type": HUB_METRICS.get(name, name), "name": title, "value": each.scores[name]}
            for name, title in TITLES.items()
            if each.scores.get(name) is not None
        ]
        for each in scored
    }
    listed = dict.fromkeys(each["type"] for of_task in metrics.values() for each in of_task)
    dataset: dict[str, Any] = {
        "type": names["corpus"],
        "name": names["corpus"],
        "config": f"{names['fold']} {result['fold_index']}",
        "split": SPLITS[split],
    }
    content = {
        "license": licence or "other",
        "library_name": "onnx" if kind == "onnx" else "pytorch",
        "pipeline_tag": task["type"],
        "tags": ["speech-emotion-recognition", "speech", "ser", names["model"], names["features"]],
        "metrics": [name for name in listed if name not in ("ece", "ece_distribution", "kl", "js")],
        "model-index": [
            {
                "name": system(result),
                "results": [
                    {
                        "task": task | ({"name": f"{task['name']}: {name}"} if name else {}),
                        "dataset": dataset.copy(),  # YAML would refer to one from another
                        "metrics": of_task,
                    }
                    for name, of_task in metrics.items()
                ],
            }
        ],
    }
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True).strip()


def _feature_code(facts: Mapping[str, Any]) -> str:
    """Return Python code that computes `features` of one recording, (1, D) or (T, F)."""
    node = facts["features"]
    if node["_target_"] == OPENSMILE and node["set"] in FeatureSet.__members__:
        return (
            "smile = opensmile.Smile(\n"
            f"    opensmile.FeatureSet.{node['set']},\n"
            f"    opensmile.FeatureLevel({node['output']!r}),\n"
            f"    sampling_rate={node['rate']},\n"
            "    resample=True,\n"
            ")\n"
            'features = smile.process_file("speech.wav").to_numpy(np.float32)'
        )
    return (
        'extractor = instantiate(config["features"])\n'
        'features = extractor(*audio.read("speech.wav"))'
    )


def about_encoder(recogniser: Recogniser) -> dict[str, str] | None:
    """Return what identifies the pretrained encoder of the features; None: there is none."""
    extractor = recogniser.extractor
    if not isinstance(extractor, Encoder):
        return None
    files, layer = extractor.files, recogniser.result.get("layer")
    layers = extractor.layers if layer is None else (layer,)
    return {
        "name": Path(files.model).name if files.commit is None else files.model,
        "revision": "a local folder" if files.commit is None else f"revision {files.commit}",
        "layers": f"{'layer' if len(layers) == 1 else 'layers'} {', '.join(map(str, layers))}",
        "digest": files.digest,
        "licence": files.licence or "not stated in its folder",
    }


def _count_table(recogniser: Recogniser) -> Table:
    result = recogniser.result
    splits = [split for split in SPLITS if split in result["speakers"]]
    described = recogniser.folder.read_utterances()
    totals = described["part"].value_counts()
    rows = [
        (name, *(str(result["class_counts"][split][name]) for split in splits))
        for name in result["classes"]
    ]
    rows.append(("all", *(f"{totals.get(split, 0):,}" for split in splits)))
    rows.append(("speakers", *(str(len(result["speakers"][split])) for split in splits)))
    columns = ("utterances", *(SPLITS[split] for split in splits))
    by = "class and split" if result["classes"] else "split"
    return Table(f"Utterances by {by}", columns, tuple(rows))


def _score_table(scored: Scored) -> Table:
    """Return the scores with the confidence interval of the report, where it has one."""
    (interval,), (cell,) = scored.findings.intervals, scored.findings.cells
    scoring, scores = cell.scoring, scored.scores
    # Columns of chance levels; CCC has 0 there, whatever the data are.
    columns: tuple[str, ...] = ("", "score", "95% over speakers")
    chance = {}
    if scoring.classes:
        columns = ("%", *columns[1:], "chance level, largest class")
        chance = {"ua": percent(scores["chance_ua"]), "wa": percent(scores["majority_wa"])}
    rows = []
    for score in (*scoring.scores, *scoring.more):
        known = scores[score.name]
        row = (
            TITLES[score.name],
            NONE if known is None else score.text(known),
            score.interval(interval) if score is scoring.primary else "",
            chance.get(score.name, ""),
        )
        rows.append(row[: len(columns)])
    for name in (score.name for score in SCORES if score.name in scores):
        rows.append((TITLES[name], f"{scores[name]:.3f}", *[""] * (len(columns) - 2)))
    return Table("Overall", columns, tuple(rows))


def _recall_table(scored: Scored) -> Table:
    scores, classes = scored.scores, scored.classes
    rows = []
    for name, row in zip(classes, scores["confusion"], strict=True):
        recall = scores["recall"][name]
        rows.append((name, *map(str, row), "absent" if recall is None else percent(recall)))
    title = "Confusion matrix: true classes in rows, predicted classes in columns"
    return Table(title, ("", *classes, "recall %"), tuple(rows))


def _other_corpora_tables(folder: Path) -> list[str]:
    """Return the scores on other corpora, classes and values apart; none if there are no tests."""
    runs = with_evaluations(grid.find_runs(folder))
    findings = summarise(runs, finished_runs(runs))
    tables: dict[tuple[str, ...], list[tuple[str, ...]]] = defaultdict(list)
    for cell, summary, interval in findings.rows:
        if cell.tested_on is None or summary is None:
            continue
        first, second = cell.scoring.primary, cell.scoring.second
        chance = [percent(summary.mean("pooled", name)) for name in first.own_chance]
        columns = ["corpus", first.title, "95% over speakers"]
        columns += [f"chance level of {first.title}" for _ in chance]
        columns.append(second.title)
        scores = [each.text(summary.mean("pooled", each.name)) for each in (first, second)]
        (task,) = {run.task for run in cell.runs.values()}
        name = cell.tested_on if task is None else f"{cell.tested_on}, {task}"
        row = (name, scores[0], first.interval(interval), *chance, scores[1])
        tables[tuple(columns)].append(row)
    return [
        markdown(Table("On other corpora", columns, tuple(rows)))
        for columns, rows in tables.items()
    ]


def _subset_table(findings: ReportData) -> str | None:
    """Return the scores by gender, style and the like; None if nothing of this is known."""
    (column,) = findings.columns
    table = sliced(findings, column)
    return None if table is None else markdown(table)


def _limits(recogniser: Recogniser, scored: Sequence[Scored], split: str) -> Iterator[str]:
    """Yield what limits the scores of this run."""
    result = recogniser.result
    if split == "val":
        yield (
            "There is no test split. These scores are of the validation split, on which the "
            "checkpoint was selected, and are therefore too high."
        )
    if "chosen" in result:  # options were selected by inner folds over both
        yield "The exported model was fitted on the training and validation splits together."
    for each in scored:
        yield from _task_limits(each)
    if recogniser.is_uncalibrated:
        yield (
            "Probabilities are uncalibrated: they tend to exceed the share of predictions that are "
            "right."
        )
    if not result["speaker_independent"]:
        yield (
            "Speakers of the training split were tested. Scores of other speakers will be lower "
            "than these."
        )


def _task_limits(scored: Scored) -> Iterator[str]:
    """Yield what limits the scores of one task."""
    (interval,), (cell,) = scored.findings.intervals, scored.findings.cells
    of_task = f" of {scored.task}" if scored.task else ""
    if interval is None:
        speakers = "test speakers do not differ" if cell.speakers > 1 else "one test speaker"
        yield (
            f"There is no confidence interval over speakers{of_task} ({speakers}). How much the "
            "scores of other speakers differ is unknown."
        )
    elif interval[0] <= scored.scores.get("chance_ua", 0.0):
        yield (
            f"{cell.scoring.primary.title}{of_task} is not shown to be above chance level: the "
            "lower end of its interval is not."
        )
    recalls = scored.scores.get("recall", {})
    if absent := [name for name, recall in recalls.items() if recall is None]:
        yield f"No utterance of {', '.join(absent)} was tested. UA and F1 leave this out."
