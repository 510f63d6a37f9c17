"""Whether a locked package has a published vulnerability.

    python -m tools.vulnerabilities                     asks pip-audit, where it is installed and reaches its database
    python -m tools.vulnerabilities --advisories PLACE  without a network: PLACE is a folder or zip of OSV's JSON files

OSV gives its advisories on PyPI as one zip file. Exit 0 where no locked package is affected, 1 where one is, 2 where
nothing could be compared, as where no advisory names a package of PyPI.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from tools.torch_build import packages

ROOT = Path(__file__).parents[1]
LOCKS = ("requirements.lock", "requirements-cuda.lock")
FIRST = Version("0.dev0")
UNREADABLE = (
    *(OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error),
)
"""What comes of files in another form, RuntimeError of what is nested too deep and of an encrypted zip."""
Advisory = Mapping[str, Any]


@dataclass(frozen=True)
class Finding:
    """A locked package that an advisory affects; `fixed` is the next version that is mended, "" where none is named."""

    package: str
    version: str
    advisory: str
    summary: str
    fixed: str

    def __str__(self) -> str:
        mended = f"fixed in {self.fixed}" if self.fixed else "no fixed version is named"
        return f"{self.package} {self.version}: {self.advisory}; {mended}{f'; {self.summary}' if self.summary else ''}"


def locked() -> dict[str, str]:
    """The version of each package of both locks."""
    texts = [(ROOT / name).read_text(encoding="utf-8") for name in LOCKS]
    named = [requirement.split("==") for text in texts for requirement in packages(text)]
    return {canonicalize_name(name): version for name, version in named}


def read(place: Path) -> Iterator[Advisory]:
    """The advisories in a folder or zip file, one a JSON file."""
    if place.is_dir():
        texts = (path.read_bytes() for path in sorted(place.rglob("*.json")))
        yield from map(json.loads, texts)
        return
    with zipfile.ZipFile(place) as archive:
        for name in sorted(archive.namelist()):
            if name.endswith(".json"):
                yield json.loads(archive.read(name))


def findings(versions: Mapping[str, str], advisories: Sequence[Advisory]) -> list[Finding]:
    """Which of some packages are affected by advisories in the form of OSV; those withdrawn affect none."""
    found = []
    for advisory in advisories:
        for affected in on_pypi(advisory) if not advisory.get("withdrawn") else ():
            name = canonicalize_name(str(affected["package"]["name"]))
            if name in versions and is_affected(versions[name], affected):
                known = ", ".join([advisory["id"], *advisory.get("aliases", ())])
                summary = " ".join(str(advisory.get("summary", "")).split())
                found.append(Finding(name, versions[name], known, summary, fixed(versions[name], affected)))
    return sorted(set(found), key=lambda each: (each.package, each.advisory))


def on_pypi(advisory: Advisory) -> list[Advisory]:
    """What an advisory says of packages of PyPI, each by its name."""
    named = [(affected, affected.get("package", {})) for affected in advisory.get("affected", ())]
    return [affected for affected, package in named if package.get("ecosystem") == "PyPI" and package.get("name")]


def is_affected(version: str, affected: Advisory) -> bool:
    """Whether a version is one of those listed, or within a range. Source: OSV schema 1.6, "Evaluation".

    A range whose start cannot be compared starts at the first version; an end that cannot be compared ends nothing.
    """
    own = Version(version)
    if any(own == _version(each) or version == each for each in affected.get("versions", ())):
        return True
    return any(_within(own, each["events"]) for each in affected.get("ranges", ()) if each.get("type") == "ECOSYSTEM")


def fixed(version: str, affected: Advisory) -> str:
    """The next version in which an advisory is mended, "" where it names none."""
    named = [event["fixed"] for each in affected.get("ranges", ()) for event in each["events"] if "fixed" in event]
    later = [each for each in map(_version, named) if each is not None and each > Version(version)]
    return str(min(later)) if later else ""


def _within(own: Version, events: Sequence[Mapping[str, str]]) -> bool:
    told = [(_version(value), kind) for event in events for kind, value in event.items()]
    starts = [version or FIRST for version, kind in told if kind == "introduced"]
    last = max((start for start in starts if start <= own), default=None)
    limits = [version for version, kind in told if kind == "limit" and version]
    if last is None or (limits and all(own >= limit for limit in limits)):
        return False
    ends = [(version, kind) for version, kind in told if version is not None and version >= last]
    return not any((kind == "fixed" and end <= own) or (kind == "last_affected" and end < own) for end, kind in ends)


def _version(text: str) -> Version | None:
    if text == "0":
        return FIRST
    try:
        return Version(text)
    except InvalidVersion:
        return None


def _ask_pip_audit() -> int:
    program = shutil.which("pip-audit")
    if program is None:
        print("pip-audit is not installed; give OSV's advisories on PyPI: --advisories PLACE", file=sys.stderr)
        return 2
    command = [program, "--disable-pip", "--require-hashes", *(part for name in LOCKS for part in ("-r", name))]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Whether a locked package has a published vulnerability.")
    parser.add_argument("--advisories", type=Path, metavar="PLACE", help="a folder or zip of OSV's JSON files")
    place = parser.parse_args(arguments).advisories
    if place is None:
        return _ask_pip_audit()
    try:
        advisories = [advisory for advisory in read(place) if on_pypi(advisory)]
        found = findings(locked(), advisories)
    except UNREADABLE as error:
        print(f"advisories {place} cannot be read ({error}); give a folder or zip of OSV's JSON files", file=sys.stderr)
        return 2
    if not advisories:
        print(f"advisories {place}: none names a package of PyPI; give OSV's advisories on PyPI", file=sys.stderr)
        return 2
    print(
        "\n".join(map(str, found))
        or f"none of {len(locked())} locked packages is affected, of {len(advisories)} advisories"
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
