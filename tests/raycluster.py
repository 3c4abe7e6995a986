"""A Ray cluster of its own, on this machine: a head and another node in separate processes."""

import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

RAY = Path(sys.executable).with_name("ray")
# Seconds after which a node that does not answer is given up, instead of 15.
IMPATIENT = {"RAY_health_check_period_ms": "500", "RAY_health_check_failure_threshold": "2"}
MEMORY = "--object-store-memory=80000000"


@dataclass(frozen=True)
class Cluster:
    """A running cluster of a head and a node with one core each.

    Attributes:
        address: Address of the head.
        env: Environment of commands that are to use it.
        node: Id of the process that keeps the second node running.
    """

    address: str
    env: dict[str, str]
    node: int

    def is_on_node(self, process: int) -> bool:
        """Whether a process belongs to the second node."""
        return process in _tree(self.node)

    def kill_node(self) -> None:
        """End the second node with all of its processes, as a power failure does."""
        _kill(self.node)


@contextmanager
def cluster() -> Iterator[Cluster]:
    """Start a cluster, and end all of its processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"127.0.0.1:{port}"
    env = {
        **os.environ,
        **IMPATIENT,
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(),
    }
    # The paths of sockets must be short.
    with TemporaryDirectory(prefix="ray") as folder, ExitStack() as stack:
        head = ["--head", f"--port={port}", f"--temp-dir={folder}", "--include-dashboard=false"]
        node = 0
        for arguments in (head, [f"--address={address}"]):
            node = stack.enter_context(_running(arguments, env, Path(folder)))
        yield Cluster(address, env, node)


@contextmanager
def _running(arguments: list[str], env: dict[str, str], folder: Path) -> Iterator[int]:
    """Keep a node running, and yield the id of its process once it is up."""
    command = ["setpriv", "--pdeathsig", "TERM", str(RAY), "start", "--block", *arguments]
    options = ["--num-cpus=1", "--node-ip-address=127.0.0.1", "--disable-usage-stats", MEMORY]
    with subprocess.Popen(
        [*command, *options], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            assert process.stdout is not None
            printed = ""
            for line in process.stdout:
                printed += line
                if "Ray runtime started" in line:
                    break
            else:
                raise AssertionError(printed)
            yield process.pid
        finally:
            _kill(process.pid)


def _kill(root: int) -> None:
    for process in _tree(root):
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def _tree(root: int) -> list[int]:
    """Ids of a process and of all that it has started, directly or not."""
    children: dict[int, list[int]] = {}
    for file in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parent = int(file.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(file.parent.name))
    tree = [root]
    for process in tree:  # which grows
        tree += children.get(process, [])
    return tree
