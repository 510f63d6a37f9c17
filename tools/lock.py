"""Refresh requirements.lock and requirements-cuda.lock: versions and hashes of every package, and no addresses.

The first holds all that pyproject.toml asks for, its build system and the dev extra included. The second holds what
PyPI's Linux build of torch needs beside that. torch is locked with the hashes of PyPI's builds, of the build that pip
takes here, and of those that the lock already had for the same version.
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

from privrad.files import write_text
from tools.torch_build import hashes, packages, taken_here, torch_of

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "requirements.lock"
CUDA_LOCK = ROOT / "requirements-cuda.lock"
CUDA = ("cuda-", "nvidia-", "triton==")


def resolve() -> dict[str, str]:
    """The newest versions that fit together, for Python 3.11 on any system, from the index's metadata alone."""
    build_system = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["build-system"]["requires"]
    command = [sys.executable, "-m", "uv", "--quiet", "pip", "compile", "pyproject.toml", "-", "--extra", "dev"]
    command += ["--universal", "--python-version", "3.11", "--fork-strategy", "fewest", "--prerelease", "disallow"]
    command += ["--generate-hashes", "--no-header", "--no-annotate"]
    done = subprocess.run(
        command, cwd=ROOT, input="\n".join(build_system), text=True, stdout=subprocess.PIPE, check=True
    )
    return packages(done.stdout)


def with_hashes(entry: str, digests: set[str]) -> str:
    """The entry with exactly these hashes, sorted."""
    requirement = entry.splitlines()[0].removesuffix("\\").strip()
    return " \\\n".join([requirement, *(f"    --hash=sha256:{digest}" for digest in sorted(digests))])


def main() -> None:
    locked = resolve()
    before = packages(LOCK.read_text(encoding="utf-8")) if LOCK.exists() else {}
    torch = torch_of(locked)
    locked[torch] = with_hashes(
        locked[torch], hashes(locked[torch]) | hashes(before.get(torch, "")) | {taken_here(torch)}
    )
    cuda = {requirement for requirement in locked if requirement.startswith(CUDA)}
    for path, chosen in ((LOCK, locked.keys() - cuda), (CUDA_LOCK, cuda)):
        write_text(path, "".join(f"{locked[requirement]}\n" for requirement in sorted(chosen)))
        print(f"{path.name}: {len(chosen)} packages")


if __name__ == "__main__":
    main()
