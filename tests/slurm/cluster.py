"""A real Slurm on this machine alone: munge, a controller and one node on loopback, started and stopped by a test."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scontrol", "scancel")
CONFIGURATION = Path("/etc/slurm")
"""Where Slurm's programs look inside a job, whose environment does not carry SLURM_CONF."""

MARK = "PRIVRAD_TEST_SLURM"
OURS = "# Written by a test of privrad; delete it."
SETTINGS = """
ClusterName=loopback
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
MpiDefault=none
ReturnToService=2
KillWait=5
MinJobAge=3600
SchedulerParameters=bf_interval=1,sched_min_interval=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
GresTypes=gpu
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs=16 RealMemory=1000000 Gres=gpu:2
PartitionName=cpu Nodes={host} Default=YES
PartitionName=gpu Nodes={host}
"""
"""Of CPUs, memory and GPUs the node only says that it has them: jobs are told apart by what they ask for."""


def missing() -> str:
    """Why this machine cannot run a Slurm of its own, or nothing."""
    lacking = [program for program in PROGRAMS if shutil.which(program) is None]
    if lacking:
        return f"no {', '.join(lacking)} on this machine; apt-get install slurm-wlm munge"
    return "" if os.geteuid() == 0 else "Slurm's daemons need root; run the tests as root"


@dataclass(frozen=True)
class Job:
    """What Slurm itself remembers of one job, from `scontrol show job`."""

    record: dict[str, str]

    @property
    def number(self) -> str:
        return self.record["JobId"]

    @property
    def rule(self) -> str:
        """The rule, or the group of rules, that the job runs."""
        return self.record["Comment"].removeprefix("rule_").split("_wildcards_")[0]

    @property
    def state(self) -> str:
        """RUNNING, COMPLETED, FAILED, CANCELLED or another of Slurm's."""
        return self.record["JobState"]

    @property
    def partition(self) -> str:
        return self.record["Partition"]

    @property
    def folder(self) -> Path:
        """The folder that it was handed in from."""
        return Path(self.record["WorkDir"])

    @property
    def gpus(self) -> int:
        """How many GPUs were asked for."""
        return int(self.record.get("TresPerJob", "gres:gpu:0").rpartition(":")[2])

    @property
    def megabytes(self) -> float:
        """The memory that was asked for."""
        asked = self.record["MinMemoryNode"]
        return float(asked[:-1]) * {"M": 1, "G": 1024}[asked[-1]]

    @property
    def output(self) -> str:
        """What it printed, and Slurm about it."""
        return Path(self.record["StdOut"]).read_text(errors="replace")

    def beside(self, other: Job) -> bool:
        """Whether both ran at one time, by Slurm's record of when each began and ended."""
        return self.record["StartTime"] < other.record["EndTime"] and other.record["StartTime"] < self.record["EndTime"]


@dataclass
class Slurm:
    """A running Slurm: one node with partitions `cpu` and `gpu`, 16 CPUs and two GPUs, none of which need be there."""

    folder: Path

    def jobs(self) -> list[Job]:
        """All jobs so far, in the order in which they were handed in."""
        told = self.call("scontrol", "--oneliner", "show", "job")
        records = [dict(re.findall(r"(\S+?)=(\S*)", line)) for line in told.splitlines() if line.startswith("JobId=")]
        return sorted((Job(record) for record in records), key=lambda job: int(job.number))

    def cancel(self, job: Job) -> None:
        """Kill a job, as a user or an administrator does."""
        self.call("scancel", job.number)

    def call(self, *command: str) -> str:
        """The output of one of Slurm's programs."""
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


@contextmanager
def running(folder: Path) -> Iterator[Slurm]:
    """Start Slurm with its state in `folder`, and stop it with all its jobs, whatever happens in between."""
    host = socket.gethostname().split(".")[0]
    settings = SETTINGS.format(host=host, folder=folder, controller=_free_port(), node=_free_port())
    for name in ("state", "spool", "gpu0", "gpu1"):
        (folder / name).mkdir()
    with ExitStack() as stack:
        stack.enter_context(_marked(folder))
        stack.enter_context(_written(CONFIGURATION / "slurm.conf", settings))
        stack.enter_context(_written(CONFIGURATION / "gres.conf", f"AutoDetect=off\nName=gpu File={folder}/gpu[0-1]\n"))
        stack.enter_context(_written(CONFIGURATION / "cgroup.conf", "CgroupPlugin=cgroup/v1\n"))
        stack.enter_context(_munge(folder))
        stack.enter_context(_daemon(folder, "slurmctld", "-D", "-i"))
        stack.enter_context(_daemon(folder, "slurmd", "-D", "-N", host))
        slurm = Slurm(folder)
        stack.callback(_end_jobs, slurm)
        _wait(lambda: "State=IDLE" in slurm.call("scontrol", "show", "node", host), folder, "its node is not ready")
        yield slurm


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


@contextmanager
def _marked(folder: Path) -> Iterator[None]:
    """Name the folder in the environment that daemons and jobs inherit, by which those left at the end are found."""
    os.environ[MARK] = str(folder)
    try:
        yield
    finally:
        mark = f"{MARK}={os.environ.pop(MARK)}".encode()
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if int(process.name) != os.getpid() and mark in (process / "environ").read_bytes().split(b"\0"):
                    os.kill(int(process.name), signal.SIGKILL)


@contextmanager
def _written(path: Path, text: str) -> Iterator[None]:
    """A file of Slurm's configuration, put back afterwards as it was; one that a killed test left was not there."""
    before = path.read_bytes() if path.exists() else b""
    path.write_text(f"{OURS}\n{text}")
    try:
        yield
    finally:
        if before and not before.startswith(OURS.encode()):
            path.write_bytes(before)
        else:
            path.unlink()


@contextmanager
def _munge(folder: Path) -> Iterator[None]:
    """A munge of our own key and socket, which Slurm's programs sign their messages with."""
    key = folder / "munge.key"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o600)
    files = {name: folder / f"munge.{name}" for name in ("socket", "pid", "log", "seed")}
    options = ["--foreground", "--force", f"--key-file={key}", f"--socket={files['socket']}"]
    options += [f"--{name}-file={files[name]}" for name in ("pid", "log", "seed")]
    with _daemon(folder, "munged", *options):
        _wait(files["socket"].exists, folder, "munged makes no socket")
        yield


@contextmanager
def _daemon(folder: Path, *command: str) -> Iterator[None]:
    with (folder / f"{command[0]}.out").open("wb") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said, stdin=subprocess.DEVNULL)
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _end_jobs(slurm: Slurm) -> None:
    """Kill what still runs, so that no job outlives its test."""
    with suppress(subprocess.SubprocessError):
        slurm.call("scancel", "--user=root", "--signal=KILL", "--full")
        slurm.call("scancel", "--user=root")
        _wait(lambda: not slurm.call("squeue", "--noheader"), slurm.folder, "its jobs do not end")


def _wait(ready: Callable[[], bool], folder: Path, otherwise: str, *, seconds: float = 30) -> None:
    """Wait until `ready` holds; RuntimeError with what the daemons logged where it does not."""
    end = time.monotonic() + seconds
    while True:
        with suppress(subprocess.SubprocessError):
            if ready():
                return
        if time.monotonic() > end:
            told = "\n".join(f"{path}:\n{path.read_text()[-2000:]}" for path in sorted(folder.glob("*.log")))
            raise RuntimeError(f"Slurm: {otherwise} after {seconds:.0f} s\n{told}")
        time.sleep(0.1)
