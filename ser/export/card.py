"""The model card: description, test results and limits of an exported model."""

from collections.abc import Iterator, Mapping
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
    content = {
        "result": result,
        "facts": facts,
        "name": system(result),
        "split": SPLITS[split],
        "licence": licence,
        "comparison": comparison,
        "front_matter": _front_matter(recogniser, kind, licence, split),
        "encoder": about_encoder(recogniser),
        "usage": _feature_code(facts) if kind == "onnx" else None,
        "has_range": recogniser.training_range is not None,
        "kind": recogniser.kind,
        "counts": markdown(_count_table(recogniser)),
        "unit": ", in %" if recogniser.classes else "",
        "scores": markdown(_score_table(findings, result[split])),
        "recalls": markdown(_recall_table(result, split)) if recogniser.classes else None,
        "subsets": _subset_table(findings),
        "other_corpora": _other_corpora_table(recogniser.folder.path),
        "limits": list(_limits(recogniser, findings, split)),
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


def _front_matter(recogniser: Recogniser, kind: str, licence: str | None, split: str) -> str:
    """Return the YAML that a model hub reads."""
    result = recogniser.result
    names, scores = result["system"], result[split]
    task: dict[str, Any] = {"type": "audio-classification", "name": "Speech emotion recognition"}
    metrics = [
        {"type": HUB_METRICS.get(name, name), "name": title, "value": scores[name]}
        for name, title in TITLES.items()
        if scores.get(name) is not None
    ]
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
        "metrics": [each["type"] for each in metrics if each["name"] != TITLES["ece"]],
        "model-index": [
            {
                "name": system(result),
                "results": [{"task": task, "dataset": dataset, "metrics": metrics}],
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


def _score_table(findings: ReportData, scores: Mapping[str, Any]) -> Table:
    """Return the scores with the confidence interval of the report, where it has one."""
    (interval,), (cell,) = findings.intervals, findings.cells
    scoring = cell.scoring
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
    return Table("Overall", columns, tuple(rows))


def _recall_table(result: Mapping[str, Any], split: str) -> Table:
    scores, classes = result[split], result["classes"]
    rows = []
    for name, row in zip(classes, scores["confusion"], strict=True):
        recall = scores["recall"][name]
        rows.append((name, *map(str, row), "absent" if recall is None else percent(recall)))
    title = "Confusion matrix: true classes in rows, predicted classes in columns"
    return Table(title, ("", *classes, "recall %"), tuple(rows))


def _other_corpora_table(folder: Path) -> str | None:
    """Return the scores on other corpora; None if the run was not tested on any."""
    runs = with_evaluations(grid.find_runs(folder))
    findings = summarise(runs, finished_runs(runs))
    rows = []
    for cell, summary, interval in findings.rows:
        if cell.tested_on is None or summary is None:
            continue
        first, second = cell.scoring.primary, cell.scoring.second
        chance = [percent(summary.mean("pooled", name)) for name in first.own_chance]
        columns = ["corpus", first.title, "95% over speakers"]
        columns += [f"chance level of {first.title}" for _ in chance]
        columns.append(second.title)
        scores = [each.text(summary.mean("pooled", each.name)) for each in (first, second)]
        rows.append((cell.tested_on, scores[0], first.interval(interval), *chance, scores[1]))
    return markdown(Table("On other corpora", tuple(columns), tuple(rows))) if rows else None


def _subset_table(findings: ReportData) -> str | None:
    """Return the scores by gender, style and the like; None if nothing of this is known."""
    (column,) = findings.columns
    table = sliced(findings, column)
    return None if table is None else markdown(table)


def _limits(recogniser: Recogniser, findings: ReportData, split: str) -> Iterator[str]:
    """Yield what limits the scores of this run."""
    result = recogniser.result
    (interval,), (cell,) = findings.intervals, findings.cells
    if split == "val":
        yield (
            "There is no test split. These scores are of the validation split, on which the "
            "checkpoint was selected, and are therefore too high."
        )
    if "chosen" in result:  # options were selected by inner folds over both
        yield "The exported model was fitted on the training and validation splits together."
    if interval is None:
        speakers = "test speakers do not differ" if cell.speakers > 1 else "one test speaker"
        yield (
            f"There is no confidence interval over speakers ({speakers}). How much the scores of "
            "other speakers differ is unknown."
        )
    elif interval[0] <= result[split].get("chance_ua", 0.0):
        yield (
            f"{cell.scoring.primary.title} is not shown to be above chance level: the lower end of "
            "its interval is not."
        )
    if recogniser.is_uncalibrated:
        yield (
            "Probabilities are uncalibrated: they tend to exceed the share of predictions that are "
            "right."
        )
    recalls = result[split].get("recall", {})
    absent = [name for name, recall in recalls.items() if recall is None]
    if absent:
        yield f"No utterance of {', '.join(absent)} was tested. UA and F1 leave this out."
    if not result["speaker_independent"]:
        yield (
            "Speakers of the training split were tested. Scores of other speakers will be lower "
            "than these."
        )
