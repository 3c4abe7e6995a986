"""Rendering of the Jinja2 templates of a package: HTML, CSS and SVG."""

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup


def render(package: str, name: str, **values: object) -> Markup:
    """Render a template; all values are escaped unless they are `Markup`.

    Args:
        package: Package whose folder `templates` has the file, e.g. "ser.report".
        name: File name of the template.
        values: Variables of the template. A missing one raises an error.
    """
    return Markup(_environment(package).get_template(name).render(values))


@cache
def _environment(package: str) -> Environment:
    return Environment(
        loader=PackageLoader(package),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
