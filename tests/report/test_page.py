"""The page of a report: conclusion, commands and forest plot first; cards of systems."""

import re
import shlex
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import yaml
from made_runs import plan_grid, write, write_grid
from written import Written

from ser import results
from ser.report import compute
from ser.report.cards import cards
from ser.report.data import ReportData
from ser.report.figures import forest
from ser.report.page import linked
from ser.report.recipes import commands, recipes
from ser.sweeps.grid import Grid, parse_comparisons
from ser.sweeps.planned import PlannedRun


def test_conclusion_commands_and_forest_come_before_all_sections(shared: Written) -> None:
    page = shared.read("index.html")
    body = page[page.index("<body>") :]
    order = ['id="conclusion"', 'id="rerun"', 'id="forest"', "<nav", 'id="systems"', 'id="main"']
    order += ['id="tests"', "<details", 'id="confusions"', 'id="files"']
    places = [body.index(each) for each in order]
    assert places == sorted(places)
    first = body[: places[3]]
    assert "scores highest: UA" in first
    assert "test over 3 sessions" in re.sub(r"<[^>]+>", "", first)
    for system in ("mlp", "aae"):
        assert f">{system}</a>" in first  # in the conclusion
        assert f"<title>{system}: " in first  # in the forest plot
        assert body.count(f"</span>{system}</h3>") == 1  # its card
    assert "details::details-content" in page  # print shows what is folded


def test_forest_plot_has_the_numbers_of_the_scores(shared: Written, data: ReportData) -> None:
    drawn = pd.read_csv(shared.out / "forest.csv").set_index("system")
    scores = pd.read_csv(shared.out / "scores.csv").query("shown").set_index("system")
    assert list(drawn.index) == ["aae", "mlp"]  # the highest first
    for name, column in (("value", "ua"), ("low", "ua_low"), ("high", "ua_high")):
        assert drawn[name].to_dict() == pytest.approx(scores[column].to_dict())
    assert drawn["chance"].tolist() == pytest.approx([1 / 3] * 2)
    assert drawn["published"].isna().all()
    figure = forest.forest(data, data.columns[0])
    assert figure is not None
    assert figure.body.count('class="chance"') == 2
    assert figure.body.count('class="shown"') == 1  # aae is shown above mlp
    text = f"{100 * scores.loc['aae', 'ua']:.1f} ({100 * scores.loc['aae', 'ua_low']:.1f}–"
    assert text in figure.body


def test_forest_plot_has_published_scores_and_hollow_marks(tmp_path: Path) -> None:
    paper = {"key": "p", "published": {"activation": {"ua": 77.5}}}
    grid = plan_grid(tmp_path, ["mlp"], seeds=2, folds=2, baseline=None, paper=paper)
    for run in grid.runs[:-1]:
        write(run)
    data = compute(grid)
    figure = forest.forest(data, data.columns[0])
    assert figure is not None
    assert "published: 77.50" in figure.body
    assert "[1/2 seeds]" in figure.body
    assert " few" in figure.body
    assert forest.table(data)["published"].tolist() == [0.775]


def test_names_in_sentences_are_links(data: ReportData) -> None:
    text = linked(data, "aae <b> is above mlp; model=mlp, mlp_large and p = 0.5")
    assert text.count("<a ") == 2
    assert 'href="#system-0">mlp</a>; model=mlp, mlp_large' in text
    assert "&lt;b&gt;" in text
    assert "p\u00a0=\u00a00.5" in text


# ---- commands and cards


def described(run: PlannedRun, model: dict[str, object], root: str = "") -> PlannedRun:
    """Write the configuration of a run, and return it with its overrides."""
    config = {
        "seed": run.seed,
        "corpus": {"root": root or "${oc.env:SER_EMODB_ROOT,null}"},
        "features": {"model": "/home/me/encoder"},
        "model": model,
    }
    file = results.RunFolder(run.folder).config_file
    results.write_text(file, yaml.safe_dump(config))
    overrides = (
        *(f"model={run.system}", f"seed={run.seed}", f"fold.index={run.fold}", "grid=demo"),
        *(
            "hydra.sweep.dir=/tmp/x",
            "store.root=/tmp/y",
            *([f"corpus.root={root}"] if root else ()),
        ),
    )
    return replace(run, overrides=overrides)


def test_commands_train_all_runs_on_any_machine(finished_grid: Grid, tmp_path: Path) -> None:
    grid = plan_grid(tmp_path, seeds=2, folds=3)
    runs = tuple(described(run, {"size": 1}) for run in grid.runs)
    known = {"mlp": 3, "aae": 3}
    variable = "SER_EMODB_ROOT=path/to/emodb "
    made = recipes(replace(grid, runs=runs), known)
    assert made["aae"].command == (
        f"{variable}python train.py grid=demo model=aae fold.index=all seed=0,1"
    )
    assert commands(replace(grid, runs=runs), known) == (
        f"{variable}python train.py grid=demo model=aae,mlp fold.index=all seed=0,1",
        "python -m ser report outputs/runs report.baseline=mlp",
    )
    compared = replace(grid, runs=runs, comparisons=(("aae", "mlp"), ("a, b", "mlp")))
    report = commands(compared, known)[-1]
    (option,) = [each for each in shlex.split(report) if each.startswith("report.comparisons=")]
    assert parse_comparisons(option.partition("=")[2]) == compared.comparisons
    # No product of options: one command each.
    assert len(commands(replace(grid, runs=runs[1:]), known)) == 3
    overrides = ("grid=demo", "corpus.root=/data/emodb", "hydra.sweep.dir=/tmp/x")
    composed = replace(grid, runs=runs, overrides=(*overrides, "report.baseline=aae"))
    assert commands(composed, known) == (
        f"{variable}python train.py grid=demo corpus.root=path/to/emodb",
        f"{variable}python -m ser report grid=demo corpus.root=path/to/emodb report.baseline=aae",
    )


def test_card_says_what_a_system_is_and_costs(tmp_path: Path) -> None:
    grid = write_grid(tmp_path, seeds=1, folds=2)
    sizes = {"mlp": 64, "aae": 128}
    runs = [described(run, {"size": sizes[run.system], "depth": 2}) for run in grid.runs]
    choices = {"experiment": "paper/x", "features": "is10"}
    runs = [replace(run, choices={**run.choices, **choices}) for run in runs]
    mlp, aae = cards(compute(replace(grid, runs=tuple(runs))))
    assert (mlp.anchor, aae.anchor) == ("system-0", "system-1")
    assert mlp.colour != aae.colour
    assert aae.described == "mlp on is10"
    facts = dict(aae.facts)
    assert facts["experiment"] == "paper/x"
    assert facts["features"] == "is10"
    assert facts["UA"].endswith(")")
    assert (aae.other, aae.options) == ("mlp", (("model.size", "128", "64"),))
    assert aae.commit == "abc"
    assert aae.cost == "10 s a run (2 runs, 20 s in all), 12 epochs each, 1 thread"
    assert "seed=0" in aae.command


def test_page_has_no_folder_of_a_machine(tmp_path: Path) -> None:
    grid = write_grid(tmp_path / "runs", seeds=1, folds=2)
    runs = tuple(described(run, {"size": 1}, "/home/me/emodb") for run in grid.runs)
    data = compute(replace(grid, runs=runs))
    text = " ".join([*data.commands, *(str(each) for each in data.recipes.values())])
    assert "corpus.root=path/to/emodb" in text
    assert "/home" not in text
    assert "/tmp" not in text
