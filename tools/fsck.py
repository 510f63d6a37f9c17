"""Compare DVC's cache and the results with the hashes in dvc.lock, name what is damaged, and mend it from the remote.

DVC trusts what it has hashed once: an object of its cache that is read-only, a result whose time and size stand still.
This reads every byte again. Exit status 1: something is damaged and could not be mended.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from privrad import files

ASIDE = Path("work/damaged")
CHANGED = """{inputs} changed since the last save, so these may be newer, not damaged, and stay as they are.
Save them (make save), or take study, code and results back together (git checkout config.yaml src; make pull)."""


@dataclass(frozen=True)
class Cache:
    """DVC's cache: one read-only file an MD5."""

    folder: Path

    def place(self, md5: str) -> Path:
        """Where the object of a hash lies."""
        return self.folder / "files" / "md5" / md5[:2] / md5[2:]

    def damaged(self) -> list[str]:
        """The hashes of the objects whose content has another one."""
        objects = {path.parent.name + path.name: path for path in self.folder.glob("files/md5/??/*")}
        return sorted(md5 for md5, path in objects.items() if _md5(path) != md5.removesuffix(".dir"))

    def listed(self, out: Path, md5: str) -> dict[Path, str]:
        """The files of an output and their hashes; of a folder, as far as its listing is here."""
        if not md5.endswith(".dir"):
            return {out: md5}
        if not self.place(md5).is_file():
            return {}
        return {out / entry["relpath"]: entry["md5"] for entry in json.loads(self.place(md5).read_text())}


def main() -> int:
    """Check, tell and mend, in the project's root."""
    if not Path("dvc.lock").is_file():
        print("error: dvc.lock is missing, so no result was saved yet; run make save first", file=sys.stderr)
        return 1
    cache, outputs = Cache(Path(_said("dvc", "cache", "dir"))), dict(_outputs())
    lost = _mend_cache(cache, outputs)
    kept = {path: md5 for out, md5 in outputs.items() for path, md5 in cache.listed(out, md5).items()}
    differing = [path for path, md5 in kept.items() if path.is_file() and _md5(path) != md5]
    raw = [path for path in differing if "results" not in path.parts[:1]]
    for path in raw:
        print(f"not as added: {path}: newer (then dvc add it again) or damaged (then dvc checkout)", file=sys.stderr)
    left = _mend_results(cache, kept, [path for path in differing if path not in raw]) or bool(raw)
    print(f"Checked {len(kept)} results and all of DVC's cache: {'damage is left' if lost or left else 'whole'}.")
    return 1 if lost or left else 0


def _outputs() -> Iterator[tuple[Path, str]]:
    """Each output that DVC keeps, and its hash: those of the stages, and raw data that was added."""
    stages = yaml.safe_load(Path("dvc.lock").read_text(encoding="utf-8"))["stages"]
    for stage in stages.values():
        yield from ((Path(out["path"]), out["md5"]) for out in stage.get("outs", []))
    for file in sorted(Path().glob("**/*.dvc")):
        if file.is_file():
            held: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
            yield from ((file.parent / out["path"], out["md5"]) for out in held.get("outs", []) if "md5" in out)


def _mend_cache(cache: Cache, outputs: dict[Path, str]) -> bool:
    """Fetch anew what is damaged, or lacking for a result that is here; whether any stays so."""
    damaged = cache.damaged()
    names = {md5: out for out, md5 in outputs.items()}
    whole = {out: md5 for out, md5 in outputs.items() if md5 not in damaged}
    names |= {md5: path for out, of in whole.items() for path, md5 in cache.listed(out, of).items()}
    for md5 in damaged:
        print(f"damaged in the cache: {md5}, which holds {names.get(md5, 'a result of another version')}")
        cache.place(md5).unlink()
    asked = [md5 for md5, path in names.items() if path.exists() and not cache.place(md5).is_file()]
    if asked:
        subprocess.run(["dvc", "fetch", "--quiet"], check=False)
    again = cache.damaged()
    for md5 in again:
        cache.place(md5).unlink()
    left = [md5 for md5 in asked if not cache.place(md5).is_file()]
    for md5 in left:
        why = "the remote's copy is damaged, too" if md5 in again else "the remote has it not, or cannot be reached"
        print(f"not mended: {names[md5]}: {why}; make save keeps a whole result of this name anew", file=sys.stderr)
    if asked:
        print(f"mended in the cache: {len(asked) - len(left)}")
    return bool(left)


def _mend_results(cache: Cache, kept: dict[Path, str], differing: list[Path]) -> bool:
    """Put saved results in the place of damaged ones, which are kept aside; whether any stays as it is."""
    for path in differing:
        print(f"not as saved: {path}")
    if not differing:
        return False
    if inputs := _changed_inputs():
        print(CHANGED.format(inputs=", ".join(inputs)), file=sys.stderr)
        return True
    left = False
    for path in differing:
        saved = cache.place(kept[path])
        if not saved.is_file():
            print(f"not mended: {path}: DVC's cache lacks it; run dvc fetch, then check again", file=sys.stderr)
            left = True
            continue
        _replace(path, saved)
        print(f"mended: {path}; what stood there is in {ASIDE}")
    return left


def _changed_inputs() -> list[str]:
    """What DVC sees changed of what the study is made from: study file, code and raw data, but no result."""
    status: dict[str, list[Any]] = json.loads(_said("dvc", "status", "--json") or "{}")
    told = [entry["changed deps"] for entries in status.values() for entry in entries if "changed deps" in entry]
    return sorted({path for deps in told for path in deps if not path.startswith("results/")})


def _replace(path: Path, saved: Path) -> None:
    """Move a file aside and copy `saved` to its place, with the time that it had."""
    times = path.stat()
    places = (ASIDE / (f"{path}.{number}" if number else path) for number in itertools.count())
    aside = next(place for place in places if not place.exists())
    aside.parent.mkdir(parents=True, exist_ok=True)
    path.replace(aside)
    with files.atomic(path) as temporary:
        shutil.copyfile(saved, temporary)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def _md5(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "md5").hexdigest()


def _said(*command: str) -> str:
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE, check=False)
    if done.returncode:
        sys.exit(f"error: {' '.join(command)} failed; see above")
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
