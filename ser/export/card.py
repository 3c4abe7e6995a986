"""The model card: what the model is, what it was tested on, and what nobody should do with it."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, StrictUndefined
from opensmile import FeatureSet

from ser.console import system
from ser.errors import UserError
from ser.inference.loading import Recogniser
from ser.report import reckoned
from ser.report.findings import Findings
from ser.report.gather import finished_runs, with_evaluations
from ser.report.render import markdown, md
from ser.report.tables import NONE, Table, percent, sliced
from ser.sweeps import grid

TEMPLATE = Path(__file__).parent / "card.md.j2"
# Names that the hub gives to scores, and what they are called here.
METRICS = {"ua": "recall", "wa": "accuracy", "f1": "f1"}
CALLED = {
    "ua": "UA (unweighted accuracy, macro recall)",
    "wa": "WA (weighted accuracy)",
    "f1": "F1 (macro)",
    "ece": "ECE (calibration error)",
}
PARTS = {"test": "test", "val": "validation"}
OPENSMILE = "ser.features.opensmile.OpenSmile"


def card(
    recogniser: Recogniser,
    facts: Mapping[str, Any],
    kind: str,
    licence: str | None,
    checked: str,
) -> str:
    """The text of a `README.md` for a model hub.

    Args:
        recogniser: what was exported.
        facts: content of its `config.json`.
        kind: the format.
        licence: of the weights; None: nobody has chosen one.
        checked: what a comparison with PyTorch has found.

    Raises:
        UserError: the run's predictions cannot be read.
    """
    result, found = recogniser.result, findings(recogniser.folder.path)
    part = "test" if result["test"] else "val"
    about = {
        "result": result,
        "facts": facts,
        "name": system(result),
        "part": PARTS[part],
        "kind": kind,
        "licence": licence,
        "checked": checked,
        "front": _front(recogniser, kind, licence, part),
        "use": _use(facts) if kind == "onnx" else None,
        "counts": markdown(_counts(result)),
        "scores": markdown(_scores(found, result[part])),
        "recalls": markdown(_recalls(result, part)),
        "slices": _slices(found),
        "elsewhere": _elsewhere(recogniser.folder.path),
        "limits": list(_limits(recogniser, found, part)),
    }
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["md"] = md
    template = environment.from_string(TEMPLATE.read_text())
    return template.render(about)


def findings(folder: Path) -> Findings:
    """What a report tells of one run."""
    of_run = grid.find_runs(folder)
    if len(of_run.runs) > 1:
        raise UserError(f"{folder} holds another run below it: a folder that holds one")
    return reckoned(of_run, finished_runs(of_run))


def _front(recogniser: Recogniser, kind: str, licence: str | None, part: str) -> str:
    """The YAML that a model hub reads."""
    result = recogniser.result
    names, scores = result["system"], result[part]
    task: dict[str, Any] = {"type": "audio-classification", "name": "Speech emotion recognition"}
    told = [
        {"type": METRICS[name], "name": CALLED[name], "value": scores[name]} for name in METRICS
    ]
    told.append({"type": "ece", "name": CALLED["ece"], "value": scores["ece"]})
    split: dict[str, Any] = {
        "config": f"{names['fold']} {result['fold_index']}",
        "split": PARTS[part],
    }
    content = {
        "license": licence or "other",
        "library_name": "onnx" if kind == "onnx" else "pytorch",
        "pipeline_tag": task["type"],
        "tags": ["speech-emotion-recognition", "speech", "ser", names["model"], names["features"]],
        "metrics": list(METRICS.values()),
        "model-index": [
            {
                "name": system(result),
                "results": [
                    {
                        "task": task,
                        "dataset": {"type": names["corpus"], "name": names["corpus"], **split},
                        "metrics": told,
                    }
                ],
            }
        ],
    }
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True).strip()


def _use(facts: Mapping[str, Any]) -> str:
    """Python that makes `features` of one recording: (1, D) or (1, T, F)."""
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


def _counts(result: Mapping[str, Any]) -> Table:
    parts = [part for part in ("train", "val", "test") if part in result["class_counts"]]
    counts = [result["class_counts"][part] for part in parts]
    rows = [(name, *(str(each[name]) for each in counts)) for name in result["classes"]]
    rows.append(("all", *(f"{sum(each.values()):,}" for each in counts)))
    rows.append(("speakers", *(str(len(result["speakers"][part])) for part in parts)))
    columns = ("utterances", *("validation" if part == "val" else part for part in parts))
    return Table("Utterances by class and part", columns, tuple(rows))


def _scores(found: Findings, scores: Mapping[str, Any]) -> Table:
    """With the report's own interval, where it has one."""
    (interval,) = found.intervals
    reach = NONE if interval is None else " to ".join(map(percent, interval))
    guessed = {"ua": percent(scores["chance_ua"]), "wa": percent(scores["majority_wa"])}
    rows = [
        (
            CALLED[name],
            percent(scores[name]),
            reach if name == "ua" else "",
            guessed.get(name, ""),
        )
        for name in CALLED
    ]
    columns = ("%", "score", "95% over speakers", "guessing, largest class")
    return Table("In all", columns, tuple(rows))


def _recalls(result: Mapping[str, Any], part: str) -> Table:
    scores, classes = result[part], result["classes"]
    rows = []
    for name, row in zip(classes, scores["confusion"], strict=True):
        recall = scores["recall"][name]
        told = "absent" if recall is None else percent(recall)
        rows.append((name, *map(str, row), told))
    return Table(
        "True class by rows, told class by columns", ("", *classes, "recall %"), tuple(rows)
    )


def _elsewhere(folder: Path) -> str | None:
    """Scores on corpora that the run was tested on beside its own; None: there are none."""
    planned = with_evaluations(grid.find_runs(folder))
    found = reckoned(planned, finished_runs(planned))
    rows = []
    for cell, summed, interval in found.rows:
        if cell.tested_on is None or summed is None:
            continue
        reach = NONE if interval is None else " to ".join(map(percent, interval))
        shares = [percent(summed.mean("pooled", name)) for name in ("ua", "chance_ua", "wa")]
        rows.append((cell.tested_on, shares[0], reach, *shares[1:]))
    columns = ("corpus", "UA", "95% over speakers", "guessing UA", "WA")
    return markdown(Table("On other corpora", columns, tuple(rows))) if rows else None


def _slices(found: Findings) -> str | None:
    (column,) = found.columns
    table = sliced(found, column)
    return None if table is None else markdown(table)


def _limits(recogniser: Recogniser, found: Findings, part: str) -> Iterator[str]:
    result = recogniser.result
    (interval,), (cell,) = found.intervals, found.cells
    if part == "val":
        yield (
            "No test part: these scores are of validation, by which the weights were chosen, and "
            "so too high."
        )
    if "chosen" in result:  # by inner folds over both
        yield "What is exported was fitted on the training and the validation part together."
    if interval is None:
        why = "No speaker tested differs from another" if cell.speakers > 1 else "One is tested"
        yield f"No interval over speakers ({why.lower()}): how far others differ is unknown."
    elif interval[0] <= result[part]["chance_ua"]:
        yield "Not shown to be above guessing: the interval's lower end is not."
    absent = [name for name, recall in result[part]["recall"].items() if recall is None]
    if absent:
        yield f"Of {', '.join(absent)} nobody was tested, and UA and F1 leave it out."
    if not result["speaker_independent"]:
        yield "Speakers were heard in training: strangers will be told worse than these scores say."
