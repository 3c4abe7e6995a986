"""SVG with presentation attributes instead of CSS, for programs that know little of CSS."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from ser.plots.colours import LIGHT

SVG = "http://www.w3.org/2000/svg"
FONTS = "Arial, Helvetica, sans-serif"  # other programs do not know system-ui
_RULE = re.compile(r"([^{}]+){([^{}]*)}")
_VARIABLE = re.compile(r"var\((--\w+)\)")
_SELECTOR = re.compile(r"\.figure (?P<tag>\w+)?(?P<classes>(\.[\w-]+)*)")

ET.register_namespace("", SVG)


@dataclass(frozen=True)
class Rule:
    """A rule of CSS.

    Attributes:
        tag: Name of the elements; empty for all.
        classes: Classes that an element must have.
        properties: Names and values, with the colours of light pages.
    """

    tag: str
    classes: frozenset[str]
    properties: tuple[tuple[str, str], ...]


def without_css(svg: str, css: str) -> str:
    """Return a drawing whose elements have attributes instead of classes.

    Args:
        svg: An `<svg>` document without namespaces but that of SVG.
        css: Rules of `figure.css`: `.figure tag`, `.figure .class` or `.figure .class.class`.
    """
    root = ET.fromstring(svg)
    rules = _rules(css)
    for element in root.iter():
        _, _, tag = element.tag.rpartition("}")
        classes = frozenset(element.attrib.pop("class", "").split())
        for name, value in _properties(tag, classes, rules):
            element.set(name, value)
    return ET.tostring(root, encoding="unicode") + "\n"


@cache
def _properties(
    tag: str, classes: frozenset[str], rules: tuple[Rule, ...]
) -> tuple[tuple[str, str], ...]:
    """Return the properties of an element; CSS takes precedence over attributes."""
    matching = [r for r in rules if r.tag in ("", tag) and r.classes <= classes]
    # The sort is stable: of equally specific rules the last one holds.
    matching.sort(key=lambda rule: len(rule.classes))
    return tuple({name: value for r in matching for name, value in r.properties}.items())


@cache
def _rules(css: str) -> tuple[Rule, ...]:
    return tuple(_parsed(css))


def _parsed(css: str) -> Iterator[Rule]:
    for selectors, body in _RULE.findall(css):
        declarations = (each.partition(":") for each in body.split(";") if each.strip())
        properties = tuple((name.strip(), _value(value)) for name, _, value in declarations)
        for selector in selectors.split(","):
            match = _SELECTOR.fullmatch(selector.strip())
            if match is None:
                raise ValueError(f"figure.css: unexpected selector {selector.strip()}")
            classes = frozenset(filter(None, match["classes"].split(".")))
            yield Rule(match["tag"] or "", classes, properties)


def _value(value: str) -> str:
    value = _VARIABLE.sub(lambda match: LIGHT[match[1]], value.strip())
    return FONTS if "system-ui" in value else value
