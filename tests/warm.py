"""Commands in processes that are forked from one that has already imported torch.

`python train.py` takes seconds to import torch, Lightning and Hydra's plug-ins. A server process
imports them once per test process and forks for each command. The forked process behaves like a
new interpreter: it has its own arguments, environment, working directory, output and exit code,
and can be killed. Only environment variables that libraries read at import have no effect.
"""

import atexit
import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).parents[1]
TRAIN = ROOT / "train.py"
LIMIT = 300.0  # seconds per command


class Process:
    """A running command, similar to `subprocess.Popen`; the context manager waits for its end.

    Args:
        arguments: Arguments of `python`: a script, `-m` and a module, or `-c` and code.
        cwd: Working directory; default: that of this process.
        env: Environment; default: that of this process.
        new_session: Whether the process leads its own session and process group.
    """

    def __init__(
        self,
        arguments: Sequence[str | Path],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        new_session: bool = False,
    ) -> None:
        self.args = list(map(str, arguments))
        self.returncode: int | None = None
        request = {
            "arguments": self.args,
            "cwd": os.fspath(cwd or Path.cwd()),
            "env": dict(os.environ if env is None else env),
            "new_session": new_session,
        }
        self._out, self._err = (tempfile.TemporaryFile("w+") for _ in range(2))  # noqa: SIM115
        ours, theirs = os.pipe()
        content = json.dumps(request).encode()
        header = len(content).to_bytes(8, "big")
        fds = [theirs, self._out.fileno(), self._err.fileno()]
        server = _server()
        socket.send_fds(server, [header], fds)
        server.sendall(content)
        os.close(theirs)
        self._status = os.fdopen(ours)
        self.pid = int(self._status.readline())

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal, or None while the process runs."""
        return self.returncode if not self._ended_within(0) else self._read()

    def wait(self, timeout: float = LIMIT) -> int:
        """Wait for the exit code.

        Raises:
            subprocess.TimeoutExpired: The process took longer and was killed.
        """
        if not self._ended_within(timeout):
            self.kill()
            raise subprocess.TimeoutExpired(self.args, timeout, *self._output())
        return self._read()

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def result(self, timeout: float = LIMIT) -> subprocess.CompletedProcess[str]:
        """Wait for the exit code and return it with the output."""
        return subprocess.CompletedProcess(self.args, self.wait(timeout), *self._output())

    def __enter__(self) -> "Process":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None and self.poll() is None:
            self.kill()
        self.wait()

    def _ended_within(self, timeout: float) -> bool:
        if self.returncode is not None:
            return True
        ready, _, _ = select.select([self._status], [], [], timeout)
        return bool(ready)

    def _read(self) -> int:
        if self.returncode is None:
            self.returncode = int(self._status.readline())
            self._status.close()
        return self.returncode

    def _output(self) -> tuple[str, str]:
        texts = []
        for file in (self._out, self._err):
            file.seek(0)
            texts.append(file.read())
        return texts[0], texts[1]


def run(
    arguments: Sequence[str | Path], *, check: bool = False, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, as `subprocess.run` with captured text.

    Args:
        arguments: Arguments of `python`, see `Process`.
        check: Whether an exit code other than 0 raises `subprocess.CalledProcessError`.
        options: Options of `Process`.
    """
    done = Process(arguments, **options).result()
    if check and done.returncode:
        print(done.stdout, done.stderr, sep="\n")  # shown by pytest
        done.check_returncode()
    return done


# ---- the server process


@cache
def _server() -> socket.socket:
    """Start this file as a process that ends when the socket is closed."""
    ours, theirs = socket.socketpair()
    fd = theirs.fileno()
    subprocess.Popen([sys.executable, __file__, str(fd)], pass_fds=[fd], cwd=ROOT)
    theirs.close()
    return ours


def _import() -> dict[str, str]:
    """Import what commands need and return the environment variables that the imports set."""
    before = dict(os.environ)
    import skops.io  # noqa: F401
    from hydra import compose, initialize_config_dir
    from hydra.core.plugins import Plugins

    import ser.runs.estimator
    import ser.runs.run  # noqa: F401
    from ser.config import CONF
    from ser.config.checks import check

    Plugins.instance()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        check(compose("train"))  # fills the caches of parsers, and of annotations that are checked
    return {name: value for name, value in os.environ.items() if before.get(name) != value}


def _serve(server: socket.socket) -> None:
    """Fork a process for each request; returns in the forked process only."""
    variables = _import()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no zombies
    while True:
        header, fds, _, _ = socket.recv_fds(server, 8, 3)
        if not header:
            os._exit(0)
        content = b""
        size = int.from_bytes(header, "big")
        while len(content) < size:
            content += server.recv(size - len(content))
        if os.fork() == 0:
            break
        for fd in fds:
            os.close(fd)
    server.close()
    status = _supervise(*fds)
    request = json.loads(content)
    os.environ.clear()
    os.environ.update(variables | request["env"])
    os.chdir(request["cwd"])
    if request["new_session"]:
        os.setsid()
    sys.argv = request["arguments"]
    os.write(status, f"{os.getpid()}\n".encode())
    os.close(status)


def _supervise(status: int, out: int, err: int) -> int:
    """Fork the process of a command and report its exit code; returns in the fork only."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if (pid := os.fork()) != 0:
        _, code = os.waitpid(pid, 0)
        os.write(status, f"{os.waitstatus_to_exitcode(code)}\n".encode())
        os._exit(0)
    for source, target in ((os.open(os.devnull, os.O_RDONLY), 0), (out, 1), (err, 2)):
        os.dup2(source, target)
        os.close(source)
    return status


def _execute() -> None:
    """Execute `sys.argv` as `python` does."""
    first = sys.argv[0]
    if first in ("-m", "-c"):
        sys.path[0] = os.getcwd() if first == "-m" else ""
        what, sys.argv[:2] = sys.argv[1], [first]
        if first == "-m":
            runpy.run_module(what, run_name="__main__", alter_sys=True)
        else:
            exec(compile(what, "<string>", "exec"), {"__name__": "__main__"})
    else:
        sys.path[0] = str(Path(first).parent.resolve())
        runpy.run_path(first, run_name="__main__")


def _leave(code: list[int]) -> None:
    """End the process without the destruction of all that is imported, which takes a second."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code[-1])


if __name__ == "__main__":
    # Registered before anything is imported, so that it is called last.
    codes = [1]
    atexit.register(_leave, codes)
    _serve(socket.socket(fileno=int(sys.argv[1])))
    try:
        _execute()
        codes.append(0)
    except SystemExit as stop:
        codes.append(0 if stop.code is None else stop.code if isinstance(stop.code, int) else 1)
        raise
    except KeyboardInterrupt:
        atexit.unregister(_leave)  # Python ends with the signal
        raise
