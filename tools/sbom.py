"""Write the bill of materials of what the locks name, as CycloneDX 1.6 in JSON.

    python -m tools.sbom build/sbom.json

Each package has its version, its package URL, the SHA-256 of every file that the lock allows, and the licence that the
installed package states. Same locks and packages, same bytes: no time, no serial number.
"""

from __future__ import annotations

import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

from privrad.files import write_json
from tools.torch_build import hashes, packages

ROOT = Path(__file__).parents[1]
LOCKS = {"requirements.lock": "required", "requirements-cuda.lock": "optional"}
LONGEST = 80
OWNED = "License :: "


def bill(locks: dict[str, str]) -> dict[str, Any]:
    """The bill of materials of locks, by the text of each; the second is needed on a computer with CUDA alone."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    own = {"type": "application", "bom-ref": "privrad", "name": project["name"], "version": project["version"]}
    parts = [
        component(requirement, entry, scope=LOCKS[name])
        for name, lock in locks.items()
        for requirement, entry in packages(lock).items()
    ]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": own | {"licenses": [{"expression": project["license"]}]}},
        "components": sorted(parts, key=lambda part: str(part["purl"])),
    }


def component(requirement: str, entry: str, *, scope: str) -> dict[str, Any]:
    """One package of a lock; without a licence where it is not installed here or states none."""
    name, version = requirement.split("==")
    purl = f"pkg:pypi/{name}@{version}"
    files = [{"alg": "SHA-256", "content": digest} for digest in sorted(hashes(entry))]
    part = {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
    return part | {"scope": scope, "hashes": files} | licences(name)


def licences(name: str) -> dict[str, Any]:
    """What an installed package says of its licence: an expression, else its words for it, else its classifiers."""
    try:
        said = metadata.metadata(name)
    except metadata.PackageNotFoundError:
        return {}
    expression, words = (" ".join((said.get_all(key) or [""])[0].split()) for key in ("License-Expression", "License"))
    if expression:
        return {"licenses": [{"expression": expression}]}
    classed = [each.split(" :: ")[-1] for each in said.get_all("Classifier") or () if each.startswith(OWNED)]
    names = [words] if re.search(r"\w", words) and len(words) <= LONGEST and words != "UNKNOWN" else sorted(classed)
    return {"licenses": [{"license": {"name": each}} for each in names]} if names else {}


def main(out: str) -> None:
    held = bill({name: (ROOT / name).read_text(encoding="utf-8") for name in LOCKS})
    write_json(Path(out), held)
    unknown = [part["name"] for part in held["components"] if part["scope"] == "required" and "licenses" not in part]
    print(f"{out}: {len(held['components'])} packages; no licence is known here of {', '.join(unknown) or 'none'}")


if __name__ == "__main__":
    main(*sys.argv[1:])
