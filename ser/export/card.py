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
HUB_METRICS = {"ua": "recall", "wa": "accuracy", "f1": "f1"}
SCORES = {
    "ua": "UA (unweighted accuracy, macro recall)",
    "wa": "WA (weighted accuracy)",
    "f1": "F1 (macro)",
    "ece": "ECE (calibration error)",
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
        "kind": kind,
        "licence": licence,
        "comparison": comparison,
        "front_matter": _front_matter(recogniser, kind, licence, split),
        "encoder": about_encoder(recogniser),
        "usage": _feature_code(facts) if kind == "onnx" else None,
        "has_range": recogniser.training_range is not None,
        "counts": markdown(_count_table(result)),
        "scores": markdown(_score_table(findings, result[split])),
        "recalls": markdown(_recall_table(result, split)),
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
        for name, title in SCORES.items()
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
        "metrics": list(HUB_METRICS.values()),
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


def _count_table(result: Mapping[str, Any]) -> Table:
    splits = [split for split in SPLITS if split in result["class_counts"]]
    counts = [result["class_counts"][split] for split in splits]
    rows = [(name, *(str(each[name]) for each in counts)) for name in result["classes"]]
    rows.append(("all", *(f"{sum(each.values()):,}" for each in counts)))
    rows.append(("speakers", *(str(len(result["speakers"][split])) for split in splits)))
    columns = ("utterances", *(SPLITS[split] for split in splits))
    return Table("Utterances by class and split", columns, tuple(rows))


def _score_table(findings: ReportData, scores: Mapping[str, Any]) -> Table:
    """Return the scores with the confidence interval of the report, where it has one."""
    (interval,) = findings.intervals
    intervals = {"ua": _interval_text(interval)}
    chance = {"ua": percent(scores["chance_ua"]), "wa": percent(scores["majority_wa"])}
    rows = [
        (title, percent(scores[name]), intervals.get(name, ""), chance.get(name, ""))
        for name, title in SCORES.items()
    ]
    columns = ("%", "score", "95% over speakers", "chance level, largest class")
    return Table("Overall", columns, tuple(rows))


def _interval_text(interval: tuple[float, float] | None) -> str:
    return NONE if interval is None else " to ".join(map(percent, interval))


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
        ua, chance, wa = (
            percent(summary.mean("pooled", name)) for name in ("ua", "chance_ua", "wa")
        )
        rows.append((cell.tested_on, ua, _interval_text(interval), chance, wa))
    columns = ("corpus", "UA", "95% over speakers", "chance level of UA", "WA")
    return markdown(Table("On other corpora", columns, tuple(rows))) if rows else None


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
    elif interval[0] <= result[split]["chance_ua"]:
        yield "UA is not shown to be above chance level: the lower end of its interval is not."
    if not recogniser.is_calibrated:
        yield (
            "Probabilities are uncalibrated: they tend to exceed the share of predictions that are "
            "right."
        )
    absent = [name for name, recall in result[split]["recall"].items() if recall is None]
    if absent:
        yield f"No utterance of {', '.join(absent)} was tested. UA and F1 leave this out."
    if not result["speaker_independent"]:
        yield (
            "Speakers of the training split were tested. Scores of other speakers will be lower "
            "than these."
        )
