"""The check of configurations that are read back: all of the project's pass, nothing else does."""

import re
from pathlib import Path

import pytest
import yaml

from ser.config import CONF, stored
from ser.errors import UserError

# Groups whose files are merged at the top of the configuration.
WHOLE = {"experiment", "protocol", "grid", "search"}
GLOBAL = re.compile(r"# @package _global_")


def configured() -> list[tuple[str, dict]]:
    """Every file of conf/, as the top-level keys that it sets; what only Hydra builds left out."""
    files = []
    for file in sorted(CONF.rglob("*.yaml")):
        content = yaml.safe_load(file.read_text())
        group = file.relative_to(CONF).parts[0]
        if content is None or group == "hydra":
            continue
        if group not in WHOLE and group != "train.yaml" and not GLOBAL.search(file.read_text()):
            content = {"representation" if group == "stopping" else group: content}
        content.pop("hydra", None)
        files.append((str(file.relative_to(CONF)), content))
    return files


def test_every_component_of_conf_may_be_built() -> None:
    checked = 0
    for name, content in configured():
        content.pop("defaults", None)
        without = yaml.safe_load(re.sub(r"\$\{[^}]*\}+", "value", yaml.safe_dump(content)))
        assert not list(stored._problems(without)), name
        stored.require_known_resolvers(content, Path(name))
        checked += "_target_" in str(content)
    assert checked > 40


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ser.models.aae.AAE", ("class", "ser.models.aae.AAE")),
        ("ser.data.folds.session", ("function", "ser.data.folds.by_speaker.session")),
        ("ser.training.trainer.write_bytes", None),  # see below
        ("ser.models.estimator.joblib.load", None),
        ("ser.models.estimator.np", None),
        ("ser.models.absent.X", None),
        ("ser..models.aae.AAE", None),
        ("ser.models/aae.AAE", None),
        ("os.system", None),
    ],
)
def test_names_are_looked_up_in_the_sources(name: str, expected: tuple[str, str] | None) -> None:
    found = stored.definition(name)
    if name.endswith("write_bytes"):  # found where it is defined, which no key may name
        assert found is None or found[1].startswith("ser.results.")
    else:
        assert found == expected


def read(tmp_path: Path, text: str) -> str:
    file = tmp_path / "config.yaml"
    file.write_text(text)
    with pytest.raises(UserError) as caught:
        stored.read(file)
    assert "\n" not in str(caught.value)
    assert str(file) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not a configuration"),
        ("[1, 2]", "not a configuration"),
        ("a: [", "damaged"),
        ("\x00\xff", "damaged"),
        ("a: &x [1]\nb: *x", "tags and aliases"),
        ("a: !!python/object/apply:os.system [id]", "tags and aliases"),
        ("a: ${oc.env:HOME}", "oc.env:HOME"),
        ("a: '${oc.create:{b: 1}}'", "not allowed"),
        ("a: x${b.${oc.decode:c}}", "oc.decode"),
        ("a: ${absent}", "absent"),
        ("a: ${", "not allowed"),
        ("a: \\${b}\nb: 1", "must not be an interpolation"),
        ("model: {_target_: 3}", "must be a name"),
        ("model: {_partial_: true}", "no _target_"),
        ("model: {_convert_: all}", "_convert_"),
        ("features: {_target_: ser.features.opensmile.OpenSmile, set: my.conf}", "config file"),
    ],
)
def test_anything_else_is_refused_in_one_line(text: str, reason: str, tmp_path: Path) -> None:
    assert reason in read(tmp_path, text)


def test_values_are_resolved_and_loggers_left_out(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(
        "seed: 3\nfold: {index: '${seed}'}\nmodel: '${networks.${kind}}'\nkind: a\n"
        "networks: {a: {_target_: ser.networks.mlp.MLPEncoder, lr: 1.0e-05}}\n"
        "corpus: {root: '${oc.env:SER_ABSENT,null}', name: '${stem:a/b.csv}'}\n"
        "logger: {wandb: {_target_: ser.runs.loggers.wandb, _partial_: true}}\n"
    )
    cfg = stored.read(file)
    assert "logger" not in cfg
    assert cfg.fold.index == 3
    assert cfg.model == {"_target_": "ser.networks.mlp.MLPEncoder", "lr": 1e-5}
    assert cfg.corpus == {"root": None, "name": "b"}


def test_an_encoder_takes_plain_arguments(tmp_path: Path) -> None:
    inner = "{_target_: ser.features.spectrogram.LogMel, level: frame}"
    text = f"features: {{_target_: ser.features.encoder.Encoder, model: {inner}}}\n"
    assert "features: an encoder takes plain arguments" in read(tmp_path, text)
