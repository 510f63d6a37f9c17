"""Whether the locked packages are installed whole, with the files that were installed and none beside them.

    python -m tools.integrity

Compares each file with the hash in its package's RECORD, and each package's version with the lock, and names packages
that are missing and files of site-packages that no RECORD names. It shows damage, and an edit that left RECORD alone.
It does not compare what Python compiles (`__pycache__`), whose files have no hash, nor look outside site-packages but
for what a RECORD names. Who can write to the environment can write RECORD too, and then only `make setup` in an empty
folder helps, which takes nothing but what the lock's hashes name. Exit 1 where anything is told.
"""

from __future__ import annotations

import base64
import hashlib
import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from privrad import progress
from tools.torch_build import packages, wanted
from tools.vulnerabilities import LOCKS, ROOT, locked

OURS = ("privrad", "pip", "setuptools")
CACHE = "__pycache__"
UNHASHED = ("RECORD", "RECORD.jws", "RECORD.p7s")


def faults(distribution: metadata.Distribution) -> Iterator[str]:
    """The files of an installed package that are missing or not those of its RECORD."""
    named = f"{distribution.name} {distribution.version}"
    listed = distribution.files
    if listed is None:
        yield f"{named}: RECORD is missing; install it again"
        return
    for file in listed:
        path = Path(str(file.locate()))
        if file.hash is None:
            if file.name not in UNHASHED and file.parent.name != CACHE:
                yield f"{named}: {file} has no hash in RECORD; install it again"
        elif not path.is_file():
            yield f"{named}: {file} is missing; install it again"
        elif digest(path, file.hash.mode) != file.hash.value:
            yield f"{named}: {file} was changed; install it again"


def strangers(site: Path) -> list[str]:
    """The files of a folder of packages that no RECORD in it names, but what Python made of sources that one names."""
    installed = metadata.distributions(path=[str(site)])
    listed = {os.path.normpath(str(file.locate())) for each in installed for file in each.files or ()}
    there = (path for path in site.rglob("*") if path.is_symlink() or not path.is_dir())
    unnamed = (path for path in there if str(path) not in listed and str(_source(path)) not in listed)
    return [f"{path.relative_to(site)}: no RECORD names it; remove it, or see what made it" for path in sorted(unnamed)]


def _source(path: Path) -> Path:
    """Of a file that Python compiled and keeps: what it was compiled from."""
    return path.parents[1] / f"{path.name.partition('.')[0]}.py" if path.parent.name == CACHE else path


def digest(path: Path, kind: str) -> str:
    """A file's hash as RECORD writes it: URL-safe base 64 without padding."""
    with path.open("rb") as stream:
        return base64.urlsafe_b64encode(hashlib.file_digest(stream, kind).digest()).rstrip(b"=").decode()


def due(locks: Iterable[str]) -> set[str]:
    """The packages of some locks whose markers hold on this computer."""
    entries = (Requirement(entry.partition("\\")[0]) for lock in locks for entry in packages(lock).values())
    return {canonicalize_name(each.name) for each in entries if each.marker is None or each.marker.evaluate()}


def versions(installed: Mapping[str, str], known: Mapping[str, str], needed: Iterable[str]) -> list[str]:
    """The packages that are needed and missing, not in the lock, or of another version; a build's mark is none."""
    told = [f"{name} {known[name]} is in the lock and not installed" for name in {*needed} - installed.keys()]
    told += [f"{name} {held} is not in the lock" for name, held in installed.items() if name not in {*known, *OURS}]
    told += [
        f"{name} {installed[name]} is not the locked {version}"
        for name, version in known.items()
        if name in installed and Version(installed[name]).public != Version(version).public
    ]
    return sorted(told)


def main() -> int:
    here = {canonicalize_name(each.name): each for each in metadata.distributions()}
    base, cuda = ((ROOT / name).read_text(encoding="utf-8") for name in LOCKS)
    asked = [requirement for name in here if name == "torch" for requirement in here[name].requires or ()]
    needed = due([base, cuda] if wanted(cuda, asked) else [base])
    known = locked()
    told = versions({name: each.version for name, each in here.items()}, known, needed)
    for site in {Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib")}:
        told += strangers(site)
    for name in progress.track(sorted(here.keys() & known.keys()), what="packages"):
        told += faults(here[name])
    print("\n".join(told) or f"every file of {len(here.keys() & known.keys())} locked packages is as installed")
    return 1 if told else 0


if __name__ == "__main__":
    sys.exit(main())
