"""Attributes of classes that are read without importing them."""

import re

import pytest
from hydra.utils import get_class

from ser.config import CONF
from ser.config.static import class_attribute

TARGETS = {
    target
    for folder in ("model", "representation")
    for file in (CONF / folder).glob("*.yaml")
    for target in re.findall(r"_target_: (ser\.\S+[A-Z]\w*)$", file.read_text(), re.MULTILINE)
}


@pytest.mark.parametrize("name", ["level", "pools", "takes_variants"])
def test_attributes_are_those_of_the_imported_classes(name: str) -> None:
    assert len(TARGETS) > 15
    values = {target: class_attribute(target, name) for target in TARGETS}
    assert values == {target: getattr(get_class(target), name, None) for target in TARGETS}
    assert any(value is not None for value in values.values())


def test_what_is_not_a_class_of_the_project_has_no_attributes() -> None:
    assert class_attribute("torch.nn.Linear", "level") is None
    assert class_attribute("ser.networks.nowhere.MLP", "level") is None
    assert class_attribute("ser.networks.mlp.Nothing", "level") is None
