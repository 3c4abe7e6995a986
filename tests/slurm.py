"""A Slurm cluster of its own, on this machine: a controller and nodes, without systemd.

The nodes are daemons of this machine with names of their own. All daemons end with the process
that started them, even if it is killed. Nothing of an installed cluster is used or changed.
"""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

# Those that start the daemons, and those of users.
COMMANDS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol")
SEARCHED = f"{os.environ['PATH']}:/usr/sbin:/sbin"  # users do not have the latter two

# Without accounting, as in small clusters, and without control groups, as in containers.
CONFIG = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/controller
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/controller.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/controller.log
SlurmdLogFile={folder}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/builtin
SchedulerParameters=sched_interval=1,batch_sched_delay=0
KillWait=1
NodeName=node1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=1
NodeName=node2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=1
PartitionName=short Nodes=ALL Default=YES MaxTime=60 State=UP
"""
NODES = ("node1", "node2")


def missing() -> str | None:
    """Return why no cluster can be started here, or None."""
    absent = [name for name in COMMANDS if shutil.which(name, path=SEARCHED) is None]
    if absent:
        return f"needs Slurm and munge: {', '.join(absent)} not found"
    return None if os.geteuid() == 0 else "slurmd needs root to start jobs"


def wait_until(condition: Callable[[], object], seconds: float = 150) -> None:
    """Wait until a condition holds; fail if it does not within some seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, condition
        time.sleep(0.05)


@dataclass(frozen=True)
class Cluster:
    """A running cluster of two nodes with one core each, and a partition `short`.

    Attributes:
        env: Environment of commands that are to use it.
    """

    env: dict[str, str]

    def call(self, *command: str) -> str:
        """Run a command of Slurm, and return what it prints."""
        return subprocess.run(
            command, env=self.env, check=True, text=True, stdout=subprocess.PIPE
        ).stdout.strip()

    def states(self) -> dict[str, str]:
        """States of all jobs, by array and task."""
        lines = self.call("squeue", "-h", "--array", "--states=all", "-o", "%F_%K %T").splitlines()
        return dict(line.split() for line in lines)  # type: ignore[misc]

    def drain(self, node: str) -> None:
        """Start no further jobs on a node."""
        self.call("scontrol", "update", f"nodename={node}", "state=drain", "reason=test")

    def resume(self, node: str) -> None:
        self.call("scontrol", "update", f"nodename={node}", "state=resume")


@contextmanager
def cluster() -> Iterator[Cluster]:
    """Start a cluster, and end it with all of its jobs."""
    # Not pytest's folder, which other users may not enter: munge refuses a socket there.
    with tempfile.TemporaryDirectory(prefix="slurm") as name, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)
        for each in ("controller", *NODES):
            (folder / each).mkdir()
        key = folder / "munge.key"
        key.touch(0o400)
        key.write_bytes(os.urandom(1024))
        content = CONFIG.format(
            host=socket.gethostname(), ports=_free_ports(3), user="root", folder=folder
        )
        (folder / "slurm.conf").write_text(content)
        env = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf"), "PATH": SEARCHED}
        for daemon in (
            ["munged", "--foreground", *(
                f"--{what}={folder}/munge.{end}" for what, end in (
                    ("key-file", "key"), ("socket", "socket"), ("pid-file", "pid"),
                    ("log-file", "log"), ("seed-file", "seed"),
                )
            )],
            ["slurmctld", "-D"],
            *(["slurmd", "-D", "-N", node] for node in NODES),
        ):  # fmt: skip
            stack.enter_context(_running(daemon, folder, env))
            if daemon[0] == "munged":
                wait_until((folder / "munge.socket").exists)
        started = Cluster(env)
        stack.callback(_cancel_all, started)
        idle = ["sinfo", "--noheader", "--format=%T"]
        wait_until(lambda: started.call(*idle) == "idle")
        yield started


@contextmanager
def _running(command: list[str], folder: Path, env: dict[str, str]) -> Iterator[None]:
    """Keep a daemon running; it ends with this process, too."""
    with (folder / f"{command[0]}.out").open("a") as output:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *command], env=env, stdout=output, stderr=output
        )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _cancel_all(started: Cluster) -> None:
    """End all jobs, whose processes would outlive the daemons."""
    if started.call("squeue", "--noheader"):
        started.call("scancel", "--user=root")
        wait_until(lambda: not started.call("squeue", "--noheader"))


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
