"""Random configurations are accepted or refused in one line per problem: no traceback, no hang.

Choices of groups are composed once; cases are changes of the composed configuration, as overrides
of the command line would make them.
"""

import pickle
import random
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from omegaconf import DictConfig, OmegaConf

from ser.config import choices
from ser.config.checks import check
from ser.errors import UserError

Compose = Callable[..., DictConfig]

CASES = 500
EXPERIMENTS = 5
SECONDS = 10  # of one case
GROUPS = (
    *("corpus", "target", "features", "segments", "fold", "representation", "model"),
    *("trainer", "logger"),
)
WRONG = (
    *(-1, 0, 1, 2, 7, -0.5, 0.5, 1.5, 1e-300, 1e300, 10**9, 10**30, 2**32, True, False, None),
    *(float("nan"), float("inf"), float("-inf"), "", " ", "ten", "10", "???", "a/../../b", "=1+1"),
    *("${seed}", "${nothing}", "${oc.env:NOTHING}", "${run_name:}", "Grüße 你好", "\t", "a\nb"),
    *([], [0], [1], [-1], [0.5, 0.5], ["a"], [None], [[1]], [4, 4, 4, 4], [1e9], {}, {"a": 1}),
    *({"_target_": "os.getcwd"}, {"_target_": 3}, {"_target_": "ser.nothing"}, [{"_target_": "x"}]),
)
TARGETS = (
    "ser.networks.mlp.MLPEncoder",
    "torch.optim.SGD",
    "sklearn.svm.LinearSVC",
    "builtins.int",
)


class TooSlow(Exception):
    """A case took longer than `SECONDS`."""


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TooSlow

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def bases(rng: random.Random, composed: Compose) -> list[bytes]:
    """Compose combinations that have every choice of every group once, and some experiments.

    They are pickled, because each case changes a copy, and a deep copy takes longer.
    """
    queues = {group: rng.sample(names, len(names)) for group in GROUPS if (names := choices(group))}
    drawn = [
        [f"{group}={names[i % len(names)]}" for group, names in queues.items()]
        for i in range(max(map(len, queues.values())))
    ]
    drawn += [[f"experiment={name}"] for name in rng.sample(choices("experiment"), EXPERIMENTS)]
    return [pickle.dumps(composed(*overrides)) for overrides in drawn]


def changed(rng: random.Random, base: bytes) -> tuple[DictConfig, list[str]]:
    """Return a copy of a configuration with one to three changes, and what they are."""
    cfg = pickle.loads(base)
    OmegaConf.set_readonly(cfg, False)
    OmegaConf.set_struct(cfg, False)
    changes = []
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        parents = list(_mappings(cfg, ""))
        path, node = rng.choice(parents)
        name = rng.choice([*map(str, node), "extra"])
        kind = rng.choices(["set", "delete", "target"], [8, 1, 1])[0]
        value = rng.choice(WRONG) if kind == "set" else rng.choice(TARGETS)
        if kind == "delete":
            node.pop(name, None)
        else:
            node["_target_" if kind == "target" else name] = value
        changes.append(f"{kind} {path}.{name}={value!r}")
    return cfg, changes


def _mappings(node: DictConfig, path: str) -> Iterator[tuple[str, DictConfig]]:
    """Yield all mappings that configure a run, each with its path; `node` is the first."""
    yield path, node
    for key in node:
        child = node._get_node(key)
        is_mapping = OmegaConf.is_dict(child) and isinstance(child._content, dict)
        if is_mapping and key not in ("published", "paper", "report"):
            yield from _mappings(child, f"{path}.{key}".lstrip("."))


def _reason(error: BaseException) -> str:
    (*_, last) = traceback.extract_tb(error.__traceback__)
    return f"{type(error).__name__}: {error} ({last.filename}:{last.lineno})"


@pytest.mark.slow
def test_configurations_are_accepted_or_refused_in_lines(composed: Compose) -> None:
    rng = random.Random(16)
    configurations = bases(rng, composed)
    failures, accepted = [], 0
    for number in range(CASES):
        cfg, changes = changed(rng, configurations[number % len(configurations)])
        try:
            with limited(SECONDS):
                check(cfg)
            accepted += 1
        except UserError as error:
            if any(len(line) > 400 or not line.isprintable() for line in str(error).splitlines()):
                failures.append(f"{changes}: {error}")
        except BaseException as error:
            failures.append(f"{changes}: {_reason(error)}")
    assert not failures, "\n".join(failures)
    assert 0 < accepted < CASES / 2
