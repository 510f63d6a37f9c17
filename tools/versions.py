"""Save a study's results with DVC and bring them back, in the project's root.

Snakemake decides what has to be made; DVC keeps what was made, by its hash, in a cache and a remote.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

import yaml

from privrad import config, stages

LOCK = Path("dvc.lock")
UNSAVED = """Nothing was saved: by config.yaml and the code as they are now, these are still to be made:
  {jobs}
Run snakemake --cores all (or make repro, which saves afterwards) and save again."""
STALE = """The results that came are not those of config.yaml and the code as they are here: none was marked as made.
Check out the commit that dvc.lock belongs to, or run snakemake --cores all."""
LEFT = """Nothing was saved: no rule makes these any more, and in a clone that pulls they would be missing:
  {files}
Move them out of results/ and save again."""
UNREACHED = """see what dvc says above. Is a remote set (dvc remote add --default NAME ADDRESS), and may you read it
(dvc remote modify --local NAME keyfile KEY)?"""
UNLOCATED = """the results are here and marked as made, but where the images lie, which the next report needs, could
not be found; mend what snakemake says above, then run snakemake --cores all locations"""
SAVED = """Saved in DVC's cache. To keep it for others:
git add .dvc/config config.yaml dvc.yaml dvc.lock, git commit, dvc push."""


class RefusedError(Exception):
    """What could not be done, and what to do about it."""


def save() -> None:
    """Commit the results to DVC's cache and dvc.lock; RefusedError where something is still to be made."""
    _shaped()
    if jobs := pending():
        raise RefusedError(UNSAVED.format(jobs="\n  ".join(jobs)))
    if left := leftovers():
        raise RefusedError(LEFT.format(files="\n  ".join(left)))
    _run("dvc", "commit", "--force", hint="see what dvc says above; results and cache are as they were")
    _run("dvc", "status", "--quiet", hint="a result changed while it was saved; save again")
    print(SAVED)


def pull() -> None:
    """Bring the results from the remote and let Snakemake know them as made; RefusedError where they do not fit."""
    if not LOCK.is_file():
        raise RefusedError(f"{LOCK} is missing, so nothing says which results to bring; check out a commit that has it")
    _run("dvc", "pull", hint=UNREACHED)
    if subprocess.run(["dvc", "status", "--quiet"], check=False).returncode:
        raise RefusedError(STALE)
    _forget()
    _run(
        "snakemake", "--touch", "--forceall", "--cores", "1", "--quiet", "all", hint="results are here, but not marked"
    )
    _run("snakemake", "locations", "--cores", "all", "--quiet", "all", hint=UNLOCATED)
    if jobs := pending():
        raise RefusedError("The results came, but Snakemake would still make: " + ", ".join(jobs))
    print("Pulled: results/ is as dvc.lock says, and snakemake --cores all has nothing to do.")


def _forget() -> None:
    """Take away what lies under private/ of results that stood here before, and can be made from those that came.

    What then says that these were pulled, and nobody was kept from writing the internal report, is a file `pulled`.
    """
    study = yaml.safe_load(Path("config.yaml").read_text(encoding="utf-8"))["study"]
    own = Path("private", study)
    for path in (*own.glob("*/locate/*/paths.parquet"), own / "internal.html"):
        path.unlink(missing_ok=True)
    own.mkdir(parents=True, exist_ok=True)
    (own / "pulled").touch()


def repro() -> None:
    """Run the study with Snakemake, which makes in parallel what DVC would make in turn, and save it."""
    _shaped()
    _run(
        "snakemake",
        "--cores",
        "all",
        hint="mend what it says; what was made stays, and the next run goes on from there",
    )
    save()


def _shaped() -> None:
    """RefusedError where dvc.yaml has other stages than the study."""
    try:
        stages.require(config.load(Path("config.yaml")), path=stages.DVC_FILE)
    except config.ConfigError as error:
        raise RefusedError(str(error)) from None


def pending() -> list[str]:
    """What Snakemake would run: each rule's name and how many jobs."""
    said = _run("snakemake", "--dry-run", hint="mend what it says", shown=False)
    if "Nothing to be done" in said:
        return []
    found = re.findall(r"^(\w+) +(\d+)$", said[said.rindex("Job stats:") :], re.MULTILINE)
    return [f"{name} ({jobs})" for name, jobs in found if name not in ("all", "total")]


def leftovers() -> list[str]:
    """Files below the study's results that are no output of its rules, as of a budget that was taken out."""
    said = _run("snakemake", "--summary", hint="mend what it says", shown=False)
    made = {Path(line.split("\t")[0]) for line in said.splitlines() if line.startswith("results/")}
    studies = {Path(*path.parts[:2]) for path in made}
    there = (path for study in studies for path in study.rglob("*") if path.is_file() and path.name[0] != ".")
    return sorted(str(path) for path in there if made.isdisjoint([path, *path.parents]))


def _run(*command: str, hint: str, shown: bool = True) -> str:
    """Run a command; its output where it is not `shown`, and RefusedError with the hint where it fails."""
    stream = None if shown else subprocess.PIPE
    try:
        done = subprocess.run(
            command, text=True, stdout=stream, stderr=None if shown else subprocess.STDOUT, check=False
        )
    except FileNotFoundError:
        raise RefusedError(f"{command[0]} is not on the PATH; run make save, pull or repro, which set it") from None
    if done.returncode:
        sys.stderr.write(done.stdout or "")
        raise RefusedError(f"{' '.join(command)} failed: {hint}")
    return done.stdout or ""


def main() -> int:
    """Do what the command line names."""
    parser = argparse.ArgumentParser(description="Save a study's results with DVC, or bring them back.")
    actions = {"save": save, "pull": pull, "repro": repro}
    parser.add_argument("action", choices=actions)
    try:
        actions[parser.parse_args().action]()
    except RefusedError as refused:
        print(f"error: {refused}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
