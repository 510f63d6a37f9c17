"""Which build of torch pip takes on this machine, and what it needs: PyPI's, or a CPU build that pip is set to find.

    python -m tools.torch_build pin requirements.lock          prints the constraint that keeps pip to that build
    python -m tools.torch_build wants requirements-cuda.lock   succeeds if the installed torch asks for any of them

Of several allowed hashes pip prefers those that an index states, so a CPU wheel in a folder would lose to PyPI's.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path


def packages(lock: str) -> dict[str, str]:
    """A lock's entries by requirement, such as "torch==2.13.0", each with its marker and hashes."""
    return {entry.split()[0]: entry for entry in re.findall(r"^[a-z].*(?:\n +.*)*", lock, re.M)}


def hashes(entry: str) -> set[str]:
    """The SHA-256 hashes of one entry, as hexadecimal digits."""
    return set(re.findall(r"--hash=sha256:([0-9a-f]{64})", entry))


def torch_of(locked: dict[str, str]) -> str:
    """The requirement that locks torch."""
    (torch,) = (requirement for requirement in locked if requirement.startswith("torch=="))
    return torch


def taken_here(requirement: str) -> str:
    """The SHA-256 of the file that pip would install: as its index states it, or of the file itself if it lies here."""
    command = [sys.executable, "-m", "pip", "-qq", "install", "--dry-run", "--ignore-installed", "--no-deps"]
    done = subprocess.run([*command, "--report", "-", requirement], text=True, stdout=subprocess.PIPE, check=True)
    (item,) = json.loads(done.stdout)["install"]
    archive: dict[str, str] = item["download_info"]["archive_info"]
    return archive["hash"].removeprefix("sha256=")


def pin(lock: str) -> str:
    """The constraint that keeps pip to the build it takes here; empty when the lock does not allow that build."""
    locked = packages(lock)
    torch = torch_of(locked)
    digest = taken_here(torch)
    return f"{torch} --hash=sha256:{digest}\n" if digest in hashes(locked[torch]) else ""


def wanted(lock: str, requirements: list[str]) -> set[str]:
    """The packages of a lock that requirements (such as "triton==3.7.1; sys_platform == 'linux'") name."""
    named = {re.split(r"[^\w.-]", requirement, maxsplit=1)[0] for requirement in requirements}
    return named & {requirement.split("==")[0] for requirement in packages(lock)}


def main(command: str, lock: str) -> int:
    text = Path(lock).read_text(encoding="utf-8")
    if command == "pin":
        print(pin(text), end="")
        return 0
    return 0 if wanted(text, requires("torch") or []) else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
