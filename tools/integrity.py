"""Whether every installed file of every locked package is the one that was installed.

    python -m tools.integrity

Compares each file with the hash in its package's RECORD, and each package's version with the lock. It shows damage, and
an edit that left RECORD alone; who can write to the environment can write RECORD too, and then only `make setup` in an
empty folder helps, which takes nothing but what the lock's hashes name. Exit 1 where a file or a version differs.
"""

from __future__ import annotations

import base64
import hashlib
import sys
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path

from packaging.utils import canonicalize_name
from packaging.version import Version

from privrad import progress
from tools.vulnerabilities import locked

OURS = ("privrad", "pip", "setuptools")


def faults(distribution: metadata.Distribution) -> Iterator[str]:
    """The files of an installed package that are missing or not those of its RECORD."""
    named = f"{distribution.name} {distribution.version}"
    listed = distribution.files
    if listed is None:
        yield f"{named}: RECORD is missing; install it again"
        return
    for file in listed:
        if file.hash is None:
            continue
        path = Path(str(file.locate()))
        if not path.is_file():
            yield f"{named}: {file} is missing; install it again"
        elif digest(path, file.hash.mode) != file.hash.value:
            yield f"{named}: {file} was changed; install it again"


def digest(path: Path, kind: str) -> str:
    """A file's hash as RECORD writes it: URL-safe base 64 without padding."""
    with path.open("rb") as stream:
        return base64.urlsafe_b64encode(hashlib.file_digest(stream, kind).digest()).rstrip(b"=").decode()


def versions(installed: Mapping[str, str], wanted: Mapping[str, str]) -> list[str]:
    """The installed packages that the lock does not name, or names with another version; a build's mark is none."""
    told = [f"{name} {held} is not in the lock" for name, held in installed.items() if name not in {*wanted, *OURS}]
    told += [
        f"{name} {installed[name]} is not the locked {version}"
        for name, version in wanted.items()
        if name in installed and Version(installed[name]).public != Version(version).public
    ]
    return sorted(told)


def main() -> int:
    here = {canonicalize_name(each.name): each for each in metadata.distributions()}
    wanted = locked()
    told = versions({name: each.version for name, each in here.items()}, wanted)
    for name in progress.track(sorted(here.keys() & wanted.keys()), what="packages"):
        told += faults(here[name])
    print("\n".join(told) or f"every file of {len(here.keys() & wanted.keys())} locked packages is as installed")
    return 1 if told else 0


if __name__ == "__main__":
    sys.exit(main())
