"""A clone of the project with a tiny study as its config.yaml, in which a user runs Snakemake, DVC and make."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
AUTHOR = ("-c", "user.name=test", "-c", "user.email=test@localhost")
Run = subprocess.CompletedProcess[str]


@dataclass(frozen=True)
class Workspace:
    """A clone; `keys` is the hospital's folder of keys, which lies outside and is shared."""

    folder: Path
    keys: Path

    @property
    def study(self) -> Path:
        return self.folder / "config.yaml"

    @property
    def environment(self) -> dict[str, str]:
        own = {"PYTHONPATH": str(self.folder / "src"), "PRIVRAD_KEYS": str(self.keys), "OMP_NUM_THREADS": "1"}
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "DVC"))
        }
        return inherited | own | {"PATH": f"{BIN}:{os.environ['PATH']}"}

    def run(self, *command: str, **more: Any) -> Run:
        """Run a command in the clone, outputs together."""
        streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        environment = self.environment | more.pop("environment", {})
        return subprocess.run(command, cwd=self.folder, env=environment, check=False, **(streams | more))

    def done(self, *command: str, **more: Any) -> str:
        """Run a command that must succeed; what it said."""
        run = self.run(*command, **more)
        assert run.returncode == 0, f"{' '.join(command)}:\n{run.stdout[-6000:]}"
        return run.stdout

    def make(self, target: str, **more: Any) -> Run:
        """`make TARGET` with the virtual environment that runs the tests."""
        venv = BIN.parent
        return self.run("make", f"VENV={venv}", f"BIN={BIN}", "-o", f"{venv}/.ready", target, **more)

    def commit(self, message: str) -> None:
        self.done("git", "add", "--all")
        self.done("git", *AUTHOR, "commit", "--quiet", "--message", message)

    def clone(self, folder: Path) -> Workspace:
        """A fresh clone of this one, with its remote, as a colleague makes it."""
        self.done("git", "clone", "--quiet", str(self.folder), str(folder))
        return Workspace(folder=folder, keys=self.keys)

    def edit(self, old: str, new: str, *, file: str = "config.yaml") -> None:
        text = (self.folder / file).read_text()
        assert old in text
        (self.folder / file).write_text(text.replace(old, new))

    def planned(self) -> dict[str, int]:
        """How many jobs of each rule Snakemake would run."""
        said = self.done("snakemake", "--dry-run")
        if "Nothing to be done" in said:
            return {}
        rows = re.findall(r"^(\w+) +(\d+)$", said[said.rindex("Job stats:") :], re.M)
        return {name: int(count) for name, count in rows if name not in ("all", "total")}

    def changed(self) -> set[str]:
        """The stages that DVC would look at again."""
        return set(re.findall(r"^([\w@.-]+):$", self.done("dvc", "status"), re.M))

    def repro(self, *stages: str, **more: Any) -> list[str]:
        """The stages that `dvc repro` ran."""
        return re.findall(r"^Running stage '(.*)':", self.done("dvc", "repro", *stages, **more), re.M)

    def saved(self) -> dict[str, str]:
        """The hash of each output in dvc.lock."""
        stages = yaml.safe_load((self.folder / "dvc.lock").read_text())["stages"]
        return {out["path"]: out["md5"] for stage in stages.values() for out in stage["outs"]}


def begun(folder: Path, *, study: str, keys: Path) -> Workspace:
    """A repository of its own with the project's files as they are here, and a study of tests/ as its config.yaml."""
    folder.mkdir(parents=True)
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    kept = [name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).exists()]
    packed = subprocess.run(["tar", "c", *kept], cwd=ROOT, capture_output=True, check=True)
    subprocess.run(["tar", "x"], cwd=folder, input=packed.stdout, check=True)
    made = Workspace(folder=folder, keys=keys)
    made.study.write_bytes((ROOT / "tests" / study).read_bytes())
    made.done("git", "init", "--quiet")
    shaped = made.make("stages")
    assert shaped.returncode == 0, shaped.stdout
    made.commit("the study")
    return made
