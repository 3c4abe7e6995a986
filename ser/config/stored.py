"""Configurations that are read back from run folders, which may come from somebody else.

A configuration names what is built from it: `_target_` is the path of a class or function. So that
a run folder from a stranger executes nothing, the whole configuration is checked before anything
is imported or built:

- every `_target_`, whatever node holds it, names a component of the part of the project that
  belongs to its top-level key, or one of a few classes of scikit-learn and torch. Names are looked
  up in the source files of the project; no module is imported for the check,
- keys that direct Hydra's instantiation are `_target_` and `_partial_`, no others,
- interpolations call a few harmless resolvers, and their values are checked like any others.
"""

import ast
import os
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import GrammarParseError, OmegaConfBaseException
from omegaconf.grammar.gen.OmegaConfGrammarParser import OmegaConfGrammarParser
from omegaconf.grammar_parser import parse

from ser.config.run_key import register_resolvers
from ser.errors import UserError, last_line

SOURCES = Path(__file__).parents[1]
LEARNERS = ("ser.models.", "ser.networks.", "ser.representations.", "ser.training.stopping.")
# Packages whose components each top-level key may name.
PACKAGES: Mapping[str, tuple[str, ...]] = {
    "corpus": ("ser.corpora.",),
    "test_corpus": ("ser.corpora.",),
    "target": ("ser.data.targets.",),
    "features": ("ser.features.",),
    "augment": ("ser.features.augmentation.", "ser.features.corruptions."),
    "segments": ("ser.data.segments.",),
    "fold": ("ser.data.folds.",),
    "data": ("ser.data.datamodule.", "ser.data.perturbations."),
    "store": ("ser.features.store.",),
    "trainer": ("ser.training.",),
    "logger": ("ser.runs.loggers.",),
    **dict.fromkeys(("representation", "model", "networks"), LEARNERS),
}
# Functions are called when their arguments are complete, so only partials of them are built.
FUNCTIONS = ("ser.data.", "ser.models.", "ser.runs.loggers.")
OTHERS = {
    *(f"torch.optim.{name}" for name in ("Adadelta", "Adagrad", "Adam", "AdamW", "Adamax")),
    *(f"torch.optim.{name}" for name in ("NAdam", "RAdam", "RMSprop", "SGD")),
    *(f"sklearn.decomposition.{name}" for name in ("FactorAnalysis", "FastICA", "KernelPCA")),
    *(f"sklearn.decomposition.{name}" for name in ("PCA", "TruncatedSVD")),
    "sklearn.discriminant_analysis.LinearDiscriminantAnalysis",
    "sklearn.discriminant_analysis.QuadraticDiscriminantAnalysis",
    *(f"sklearn.ensemble.{name}" for name in ("ExtraTreesClassifier", "RandomForestClassifier")),
    *("sklearn.linear_model.LogisticRegression", "sklearn.linear_model.Ridge"),
    "sklearn.linear_model.RidgeClassifier",
    *("sklearn.naive_bayes.GaussianNB", "sklearn.neighbors.KNeighborsClassifier"),
    *(f"sklearn.svm.{name}" for name in ("LinearSVC", "LinearSVR", "NuSVC", "NuSVR", "SVC", "SVR")),
}
RESOLVERS = ("oc.env", "oc.select", "stem")
VARIABLES = ("SER_", "IEMOCAP_ROOT")  # environment variables that conf/ refers to
LARGEST = 1 << 20  # bytes of a file; the largest of the project's own has 12 kB

Kind = Literal["class", "function"]


def read(file: Path) -> DictConfig:
    """Read the configuration of a run, check all of it, and resolve its interpolations.

    Raises:
        UserError: It cannot be read, or names something that may not be built.
    """
    return checked(read_yaml(file), file)


def checked(content: Any, file: Path) -> DictConfig:
    """Check the plain content of a configuration, and resolve its interpolations.

    Args:
        content: What a file contains.
        file: The file, for the error.

    Raises:
        UserError: It names something that may not be built.
    """
    register_resolvers()
    if not isinstance(content, dict):
        raise UserError(f"{file}: not a configuration")
    require_known_resolvers(content, file)
    try:
        plain = OmegaConf.to_container(OmegaConf.create(content), resolve=True)
    except (OmegaConfBaseException, RecursionError) as error:
        reason = str(error).partition("\n")[0]  # the lines after it are about OmegaConf's types
        raise UserError(f"{file}: {reason}") from error
    assert isinstance(plain, dict)
    for problem in _problems(plain):
        raise UserError(f"{file}: {problem}")
    return OmegaConf.create({key: value for key, value in plain.items() if key != "logger"})


def read_yaml(file: Path) -> Any:
    """Return plain content of a YAML file, numbers as Hydra reads them.

    Raises:
        UserError: The file is missing, too large, no YAML, or has tags or aliases, by which a small
            file can construct objects or fill the memory.
    """
    try:
        if file.stat().st_size > LARGEST:
            raise UserError(f"{file}: too large for the configuration of a run")
        text = file.read_text()
        events = yaml.parse(text, yaml.CSafeLoader)
        if any(isinstance(e, yaml.AliasEvent) or _has_tag(e) for e in events):
            raise UserError(f"{file}: tags and aliases are not allowed in the files of a run")
        return yaml.load(text, yaml.CSafeLoader)
    except FileNotFoundError:
        raise UserError(f"{file} is missing; it describes the run") from None
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        reason = getattr(error, "problem", None) or last_line(error)
        raise UserError(f"{file}: damaged ({reason})") from error


def require_known_resolvers(content: Any, file: Path) -> None:
    """Raise a UserError if an interpolation calls anything but the resolvers of `conf/`."""
    for text in _texts(content):
        if "${" in text and (name := _foreign_resolver(text)):
            raise UserError(f"{file}: the interpolation {name} is not allowed in a stored run")


def _has_tag(event: yaml.Event) -> bool:
    return getattr(event, "tag", None) not in (None, "!")


def _texts(node: Any) -> Iterator[str]:
    """Yield all strings of plain content, keys included."""
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict):
        for key, value in node.items():
            yield from _texts(key)
            yield from _texts(value)
    elif isinstance(node, list):
        for value in node:
            yield from _texts(value)


@cache
def _foreign_resolver(text: str) -> str | None:
    """Return the first resolver of a text that is not allowed; None: there is none."""
    try:
        nodes = [parse(text)]
    except GrammarParseError as error:
        return f"{text} ({last_line(error)})"
    while nodes:
        node = nodes.pop()
        if isinstance(node, OmegaConfGrammarParser.InterpolationResolverContext):
            name = node.resolverName().getText()
            first = node.sequence().element(0).getText() if node.sequence() else ""
            if name not in RESOLVERS or (name == "oc.env" and not first.startswith(VARIABLES)):
                return node.getText()
        nodes += node.getChildren() if hasattr(node, "getChildren") else []
    return None


# ---- what may be built


def _problems(content: Mapping[Any, Any]) -> Iterator[str]:
    for key, value in content.items():
        yield from _node_problems(value, str(key), str(key))


def _node_problems(node: Any, key: str, path: str) -> Iterator[str]:
    """Yield what is not allowed in or below a node.

    Args:
        node: Plain content.
        key: Its top-level key.
        path: Its dotted path.
    """
    if isinstance(node, str) and "${" in node:
        yield f"{path}={node}: the value of an interpolation must not be an interpolation"
    if isinstance(node, list):
        for number, value in enumerate(node):
            yield from _node_problems(value, key, f"{path}[{number}]")
    if not isinstance(node, dict):
        return
    names = [str(name) for name in node]
    for name in names:
        if name.startswith("_") and name.endswith("_") and name not in ("_target_", "_partial_"):
            yield f"{path}.{name}: not a key of a stored configuration"
    if "_target_" in names:
        yield from _target_problems(node, key, path)
    elif "_partial_" in names:
        yield f"{path}._partial_: there is no _target_"
    for name, value in node.items():
        yield from _node_problems(value, key, f"{path}.{name}")


def _target_problems(node: Mapping[str, Any], key: str, path: str) -> Iterator[str]:
    name, partial = node["_target_"], node.get("_partial_", False)
    if not isinstance(name, str) or not isinstance(partial, bool):
        yield f"{path}: _target_ must be a name, and _partial_ true or false"
    elif not _may_be_built(name, key, partial):
        yield f"{path}._target_={name}: not a component that may be built from a stored run"
    elif name.startswith("ser.corpora.") and any(map(_has_target, node.values())):
        yield f"{path}: a corpus takes plain arguments"
    elif name == "ser.features.opensmile.OpenSmile" and not _is_trusted_set(node.get("set")):
        yield (
            f"{path}.set={node.get('set')}: an openSMILE config file can write files; if you trust "
            "it, name its folder in the environment variable SER_OPENSMILE_CONFIGS"
        )
    elif name == "ser.features.encoder.Encoder" and any(map(_has_target, node.values())):
        yield f"{path}: an encoder takes plain arguments"


def _may_be_built(name: str, key: str, partial: bool) -> bool:
    packages = PACKAGES.get(key, ())
    if name in OTHERS:
        return packages == LEARNERS
    kind, origin = definition(name) or (None, "")
    if not name.startswith(packages) or not origin.startswith(packages):
        return False
    *_, module, last = name.split(".")
    if key in ("corpus", "test_corpus"):  # the contract: ser.corpora.<name>.<name>(root)
        return kind == "function" and module == last
    return kind == "class" or (partial and name.startswith(FUNCTIONS))


@cache
def definition(name: str) -> tuple[Kind, str] | None:
    """Look up a public class or function in the sources of the project, without importing it.

    Returns:
        Its kind, and its name in the module that defines it; None: it is not defined at the top of
        a module, nor imported there from another module of the project.
    """
    *parents, last = name.split(".")
    if parents[:1] != ["ser"] or last.startswith("_") or not all(map(str.isidentifier, parents)):
        return None
    path = SOURCES.joinpath(*parents[1:])
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    if not file.is_file():
        return None
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.ClassDef) and node.name == last:
            return "class", name
        if isinstance(node, ast.FunctionDef) and node.name == last:
            return "function", name
        if isinstance(node, ast.ImportFrom) and not node.level and node.module:
            for alias in node.names:
                if (alias.asname or alias.name) == last:
                    return definition(f"{node.module}.{alias.name}")
    return None


def _has_target(node: Any) -> bool:
    values = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return (isinstance(node, dict) and "_target_" in node) or any(map(_has_target, values))


def _is_trusted_set(name: Any) -> bool:
    """Whether an openSMILE set is one of the package's, or a file in a folder that is trusted."""
    if not isinstance(name, str):
        return False
    folder = os.environ.get("SER_OPENSMILE_CONFIGS")
    trusted = folder and Path(name).resolve().is_relative_to(Path(folder).resolve())
    return name.isidentifier() or bool(trusted)
