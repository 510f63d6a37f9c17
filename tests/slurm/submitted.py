"""A copy of the project whose study runs through Slurm."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.slurm.cluster import Job, Slurm
from tests.test_workflow import Workspace
from tests.versions import workspace as versions

PROFILE = "profiles/slurm/config.yaml"
QUICK = ("--slurm-init-seconds-before-status-checks", "2", "--latency-wait", "10")
"""Short waits: the next check comes 10 seconds later each time that nothing ended."""

PHASES = {
    "cohorts": ("phantom", "ingest", "locate", "prepare", "duplicates", "split"),
    "training": ("reserve", "finetune", "predict"),
    "pages": ("evaluate", "figures", "report", "internal"),
}
"""Rules that go into one job, since each job starts Snakemake twice."""


class Submitted(Workspace):
    def __init__(self, folder: Path, slurm: Slurm) -> None:
        super().__init__(folder, study="slurm/study.yaml")
        self.slurm = slurm

    def fill(self) -> None:
        self.folder.mkdir(exist_ok=True)
        super().fill()

    def fill_with_dvc(self) -> versions.Workspace:
        """Fill the folder with a clone that has DVC, whose profile waits little and groups jobs."""
        clone = versions.begun(self.folder, study="slurm/study.yaml", keys=self.folder / "keys")
        profile = self.folder / PROFILE
        self.edit(PROFILE, "latency-wait: 60", "latency-wait: 10\nslurm-init-seconds-before-status-checks: 2")
        groups = "".join(f"  {rule}: {phase}\n" for phase, rules in PHASES.items() for rule in rules)
        profile.write_text(f"{profile.read_text()}\ngroups:\n{groups}")
        return clone

    def ungroup(self) -> None:
        """Make each rule a job of its own again."""
        profile = self.folder / PROFILE
        profile.write_text(profile.read_text().partition("\ngroups:")[0])

    @contextmanager
    def started(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """The workflow, started as docs/cluster.md says and ended with the context; what it says is `said`."""
        environment = os.environ | {"PYTHONPATH": str(self.folder / "src"), "PRIVRAD_KEYS": str(self.folder / "keys")}
        command = [sys.executable, "-m", "snakemake", "--workflow-profile", "profiles/slurm", *QUICK, *arguments]
        with (self.folder / "said").open("w") as said:
            run = subprocess.Popen(command, cwd=self.folder, env=environment, text=True, stdout=said, stderr=said)
        try:
            yield run
        finally:
            run.kill()
            run.wait()

    def run(self, *arguments: str) -> int:
        """The exit status of the workflow."""
        with self.started(*arguments) as run:
            return run.wait()

    def wait_for(self, ready: Callable[[], bool], *, seconds: float = 900) -> None:
        """Wait until `ready` holds; AssertionError with what the workflow said where it does not."""
        end = time.monotonic() + seconds
        while not ready():
            assert time.monotonic() < end, self.said
            time.sleep(0.02)

    @property
    def said(self) -> str:
        said = self.folder / "said"
        return said.read_text() if said.exists() else ""

    def jobs(self, rule: str = "") -> list[Job]:
        """The jobs of this folder in Slurm's records whose rule, or group of rules, is named so."""
        return [job for job in self.slurm.jobs() if job.folder == self.folder and job.rule.startswith(rule)]
