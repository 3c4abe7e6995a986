"""Run folders from a stranger execute nothing: planted payloads write no file."""

import json
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from ser.__main__ import main

MARK = "executed"
# Of a node that would write the file MARK of the working folder if it were built.
PAYLOADS: dict[str, dict[str, Any]] = {
    "function": {"_target_": "os.mkdir", "path": MARK},
    "partial": {"_target_": "os.mkdir", "path": MARK, "_partial_": True},
    "positional": {"_target_": "shutil.copyfile", "_args_": ["payload.pkl", MARK]},
    "pickle": {"_target_": "joblib.load", "_args_": ["payload.pkl"]},
    "pandas": {"_target_": "pandas.read_pickle", "filepath_or_buffer": "payload.pkl"},
    "torch": {"_target_": "torch.load", "f": "payload.pkl", "weights_only": False},
    "hub": {"_target_": "torch.hub.load", "repo_or_dir": ".", "model": "x", "source": "local"},
    "module": {"_target_": "evilmod.X"},
    "nested module": {"_target_": "evil.mod.X", "_partial_": True},
    "through a module": {"_target_": "ser.models.estimator.np.save", "file": MARK, "arr": [1]},
    "through an import": {"_target_": "ser.training.trainer.Path.touch", "_args_": [MARK]},
    "through skops": {"_target_": "ser.models.estimator.skops.io.load", "file": "payload.pkl"},
    "through sklearn": {"_target_": "sklearn.utils.os.mkdir", "path": MARK},
    "through torch": {"_target_": "torch.optim.Adam.__init__.__globals__", "_args_": []},
    "project's writer": {"_target_": "ser.results.files.write_text", "path": MARK, "text": "x"},
    "imported writer": {"_target_": "ser.training.trainer.write_bytes", "path": MARK},
    "another corpus": {"_target_": "ser.corpora.demo.write", "folder": MARK, "workers": 1},
    "logger": {"_target_": "ser.training.trainer.logging.FileHandler", "filename": MARK},
    "recursive": {"_target_": "os.mkdir", "path": MARK, "_recursive_": False},
    "converted": {"_target_": "os.mkdir", "path": MARK, "_convert_": "all"},
    "interpolated": {"_target_": "${planted.name}", "path": MARK},
    "resolver": {"a": "${oc.create:{_target_: os.mkdir}}"},
    "no resolver": {"_target_": "${eval:1}"},
    "environment": {"a": "${oc.env:HOME}"},
}
# Where it is planted in a configuration: every kind of node that holds something.
PLACES: dict[str, Callable[[dict, dict], object]] = {
    "features": lambda cfg, node: cfg.update(features=node),
    "model": lambda cfg, node: cfg["model"].update(node),
    "argument": lambda cfg, node: cfg["segments"].update(frames=node),
    "list": lambda cfg, node: cfg["segments"].update(zz=[node]),
    "list of lists": lambda cfg, node: cfg["features"].update(set=[[{"a": node}]]),
    "reserved key": lambda cfg, node: cfg["trainer"].update(hydra={"x": node}),
    "reserved key at the top": lambda cfg, node: cfg.update(hydra={"job": node}),
    "positional": lambda cfg, node: cfg["model"].update(_args_=[node]),
    "features.set": lambda cfg, node: cfg["features"].update(set=node),
    "corpus": lambda cfg, node: cfg.update(corpus=node),
    "argument of the corpus": lambda cfg, node: cfg["corpus"].update(name=node),
    "store": lambda cfg, node: cfg["store"].update(root=node),
    "target": lambda cfg, node: cfg["target"].update(merge={"a": node}),
    "fold": lambda cfg, node: cfg.update(fold={"index": 0, "a": node}),
    "data": lambda cfg, node: cfg["data"].update(clip=node),
    "logger": lambda cfg, node: cfg.update(logger={"x": node}),
    "unknown key": lambda cfg, node: cfg.update(zz={"y": [node]}),
    "seed": lambda cfg, node: cfg.update(seed=node),
}


class Payload:
    def __reduce__(self) -> tuple:
        return os.mkdir, (MARK,)


@pytest.fixture
def planted(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Path]]:
    """Copy a run, and change it; the working folder has modules and pickles of an attacker."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "evilmod.py").write_text(f"import os\nos.mkdir({MARK!r})\nclass X: pass\n")
    (home / "evil").mkdir()
    (home / "evil" / "mod.py").write_text(f"import os\nos.mkdir({MARK!r})\nclass X: pass\n")
    (home / "hubconf.py").write_text(f"import os\nos.mkdir({MARK!r})\n")
    (home / "payload.pkl").write_bytes(pickle.dumps(Payload()))
    monkeypatch.chdir(home)
    monkeypatch.syspath_prepend(str(home))

    def plant(system: str, change: Callable[[Path], object]) -> Path:
        folder = tmp_path / "run"
        shutil.copytree(tiny / "runs" / system, folder)
        change(folder)
        return folder

    yield plant
    assert not (home / MARK).exists(), "the payload was executed"


def refused(arguments: list[str | Path], capsys: pytest.CaptureFixture[str]) -> str:
    """Return the one line in which a command ends."""
    assert main([*map(str, arguments)]) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()[-1:]
    assert line.startswith("error: "), line
    return line


def commands(run: Path, tiny: Path) -> dict[str, list[str | Path]]:
    other = ["corpus=manifest", f"corpus.root={tiny}/made.csv"]
    return {
        "predict": ["predict", run, tiny / "00.wav"],
        "evaluate": ["evaluate", run, *other],
        "export": ["export", run, "--format", "safetensors", "--out", run.parent / "export"],
        "latents": ["latents", run],
        "sample": ["sample", run],
    }


def change_config(change: Callable[[dict], object]) -> Callable[[Path], None]:
    def write(run: Path) -> None:
        file = run / ".hydra" / "config.yaml"
        cfg = yaml.safe_load(file.read_text())
        cfg["planted"] = {"name": "os.mkdir"}
        change(cfg)
        file.write_text(yaml.safe_dump(cfg))

    return write


@pytest.mark.parametrize("payload", PAYLOADS)
def test_no_command_builds_a_payload(
    payload: str,
    planted: Callable[..., Path],
    tiny: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each payload in a place of its own, for one of the commands after the other."""
    number = list(PAYLOADS).index(payload)
    place = list(PLACES.values())[number % len(PLACES)]
    run = planted("aae", change_config(lambda cfg: place(cfg, PAYLOADS[payload])))
    command = list(commands(run, tiny).values())[number % 5]
    assert str(run / ".hydra" / "config.yaml") in refused(command, capsys)
    main(["status", str(run)])  # reads the configuration, too, and builds nothing


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("payload", ["function", "positional", "module"])
def test_no_place_holds_a_payload(
    place: str,
    payload: str,
    planted: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
    tiny: Path,
) -> None:
    number = list(PLACES).index(place) + len(payload)
    run = planted("aae", change_config(lambda cfg: PLACES[place](cfg, PAYLOADS[payload])))
    command = list(commands(run, tiny).values())[number % 5]
    assert str(run / ".hydra" / "config.yaml") in refused(command, capsys)


@pytest.mark.parametrize("file", ["config.yaml", "hydra.yaml", "overrides.yaml"])
@pytest.mark.parametrize("tag", ["!!python/object/apply:os.mkdir [executed]", "&a [*a]"])
def test_tags_and_aliases_of_yaml_construct_nothing(
    file: str,
    tag: str,
    planted: Callable[..., Path],
    tiny: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = planted("mlp", lambda run: (run / ".hydra" / file).write_text(f"a: {tag}\n"))
    command = ["predict", run, tiny / "00.wav"] if file == "config.yaml" else ["status", run]
    assert file in refused(command, capsys)


def write_object_array(file: Path) -> None:
    np.savez(file, mean=np.array([Payload()], dtype=object), scale=np.ones(1), clip=1.0)


def write_skops(file: Path) -> None:
    """Write a skops file with a function of another module in it."""
    schema = {
        "__class__": "function",
        "__module__": "os",
        "__loader__": "FunctionNode",
        "__id__": 1,
        "content": "mkdir",
        "protocol": 2,
        "_skops_version": "0.16.0",
    }
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("schema.json", json.dumps(schema))


@pytest.mark.parametrize(
    ("system", "name", "write"),
    [
        ("mlp", "checkpoints/best.ckpt", lambda f: f.write_bytes(pickle.dumps(Payload()))),
        ("mlp", "checkpoints/standardiser.npz", write_object_array),
        ("svm", "checkpoints/best.skops", write_skops),
        ("svm", "checkpoints/best.skops", lambda f: f.write_bytes(pickle.dumps(Payload()))),
        ("svm", "representation/transform.skops", write_skops),
        (
            "coder",
            "representation/checkpoints/best.ckpt",
            lambda f: f.write_bytes(pickle.dumps(Payload())),
        ),
        ("coder", "representation/standardiser.npz", write_object_array),
    ],
)
def test_files_of_a_run_are_loaded_as_data(
    system: str,
    name: str,
    write: Callable[[Path], object],
    planted: Callable[..., Path],
    tiny: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def plant(run: Path) -> None:
        write(run / name)
        result = json.loads((run / "result.json").read_text())
        for key in ("digests", "digest"):  # as of a run made before there were any
            result.pop(key, None)
        (run / "result.json").write_text(json.dumps(result))

    run = planted(system, plant)
    assert name in refused(["predict", run, tiny / "00.wav"], capsys)


def change_result(**changes: object) -> Callable[[Path], None]:
    def write(run: Path) -> None:
        result = json.loads((run / "result.json").read_text())
        for key in ("digests", "digest"):
            result.pop(key, None)
        for name, value in changes.items():
            group, _, key = name.partition("__")
            result[group] = {**result[group], key: value} if key else value
        (run / "result.json").write_text(json.dumps(result))

    return write


def test_a_target_of_another_folder_is_not_composed(
    planted: Callable[..., Path], tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = planted("mlp", change_result(system__target="../../../../../../tmp/evil"))
    assert "evil" in refused(commands(run, tiny)["evaluate"], capsys)


def test_names_of_a_run_do_not_lead_out_of_the_folder_of_exports(
    planted: Callable[..., Path], tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = planted("mlp", change_result(system__corpus=f"../../{MARK}/x"))
    assert main(["export", str(run), "--format", "safetensors"]) == 0
    (folder,) = Path("outputs/exports").iterdir()
    assert MARK in folder.name


def test_runs_of_a_manifest_can_be_analysed_and_sampled(
    tiny: Path, planted: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    run = planted("aae", lambda run: None)
    assert main(["latents", str(run)]) == 0
    assert main(["sample", str(tiny / "runs" / "coder"), "--count", "1"]) == 0
    assert capsys.readouterr().out.count("calm") == 1
