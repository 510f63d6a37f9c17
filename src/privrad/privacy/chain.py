"""Hash-chained JSON lines: what a ledger is written in.

Each line holds its index, the hash of the line before it and its own hash, so that an edited, removed, inserted or
swapped line shows. Two things it cannot show: a tail that was lost at a line's end, unless a head seen since is at hand
to compare with; and a rewrite by someone who holds every copy of the file and of its heads. Times are the writer's
clock and prove nothing.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

FORMAT = 1
GENESIS = "0" * 64
HEADER = ("format", "index", "previous", "kind", "time")
RESTORE = (
    "; do not mend it by hand: restore the newest copy of the ledger that `privrad ledger verify` accepts with the "
    "head in the newest certificate, and reserve nothing until then"
)
Record = tuple[str, Mapping[str, Any]]
"""A kind of entry and what it says."""


class LedgerError(ValueError):
    """A ledger that cannot be used or does not allow what was asked; the message says how to mend it."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One line; `index` counts from 0, `time` is UTC in ISO 8601, `hash` is of all the rest."""

    index: int
    previous: str
    kind: str
    time: str
    body: Mapping[str, Any]
    hash: str


def following(entries: Sequence[Entry], records: Sequence[Record]) -> tuple[Entry, ...]:
    """`records` as the entries that come after `entries`, at the present time."""
    new: list[Entry] = []
    time = datetime.now(UTC).isoformat(timespec="seconds")
    for kind, body in records:
        last = new[-1] if new else entries[-1] if entries else None
        index, previous = (last.index + 1, last.hash) if last else (0, GENESIS)
        entry = Entry(index=index, previous=previous, kind=kind, time=time, body=body, hash="")
        new.append(Entry(**{**vars(entry), "hash": _hash(_facts(entry))}))
    return tuple(new)


def lines(entries: Sequence[Entry]) -> bytes:
    """The entries as they stand in the file: canonical JSON, one line each."""
    return b"".join(_line(_facts(entry) | {"hash": entry.hash}) + b"\n" for entry in entries)


def parse(raw: bytes, *, path: Path) -> tuple[Entry, ...]:
    """The entries in the bytes of the ledger at `path`; raises LedgerError where the chain does not hold."""
    *whole, rest = raw.split(b"\n")
    entries: list[Entry] = []
    for number, line in enumerate(whole, start=1):
        entries.append(_entry(line, after=entries[-1] if entries else None, where=f"ledger {path}, line {number}"))
    if rest:
        _refuse_tail(rest, entries, size=len(raw), path=path)
    return tuple(entries)


def _entry(line: bytes, *, after: Entry | None, where: str) -> Entry:
    try:
        facts = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        raise LedgerError(f"{where} is not JSON: it was changed after it was written{RESTORE}") from None
    if not (isinstance(facts, dict) and {*HEADER, "hash"} <= facts.keys()):
        raise LedgerError(f"{where} is no entry of a ledger: it was changed after it was written{RESTORE}")
    if isinstance(facts["format"], int) and facts["format"] > FORMAT:
        raise LedgerError(
            f"{where} has format {facts['format']}, and this privrad reads up to {FORMAT}; "
            "use the version that wrote it, or a newer one"
        )
    own = facts.pop("hash")
    if not _holds(line, facts, own):
        raise LedgerError(f"{where} does not match its own hash: it was changed after it was written{RESTORE}")
    index, previous = (after.index + 1, after.hash) if after else (0, GENESIS)
    if facts["index"] != index or facts["previous"] != previous:
        raise LedgerError(
            f"{where} is entry {facts['index']} after hash {str(facts['previous'])[:12]}, where entry {index} after "
            f"{previous[:12]} is due: lines were removed, inserted or swapped, or two wrote at once on a disk "
            f"without locks{RESTORE}"
        )
    body = {key: value for key, value in facts.items() if key not in HEADER}
    return Entry(index=index, previous=previous, kind=str(facts["kind"]), time=str(facts["time"]), body=body, hash=own)


def _refuse_tail(rest: bytes, entries: Sequence[Entry], *, size: int, path: Path) -> NoReturn:
    where, quoted = f"ledger {path}, line {len(entries) + 1}, the last,", shlex.quote(str(path))
    try:
        _entry(rest, after=entries[-1] if entries else None, where=where)
    except LedgerError:
        raise LedgerError(
            f"{where} was cut short: its writer died, and no run starts before its whole line is on disk. Take the "
            f"{len(rest)} bytes off (truncate -s {size - len(rest)} {quoted}), then have `privrad ledger verify` find "
            "the newest certificate's head"
        ) from None
    raise LedgerError(
        f"{where} is whole but for its line end: its writer died. Add the line end (echo >> {quoted}), so that the "
        "entry counts"
    )


def _facts(entry: Entry) -> dict[str, Any]:
    header = {name: getattr(entry, name) for name in ("index", "previous", "kind", "time")}
    return {**entry.body, **header, "format": FORMAT}


def _line(facts: Mapping[str, Any]) -> bytes:
    """Canonical JSON: sorted keys, no spaces, ASCII, shortest floats."""
    return json.dumps(facts, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def _hash(facts: Mapping[str, Any]) -> str:
    return hashlib.sha256(_line(facts)).hexdigest()


def _holds(line: bytes, facts: Mapping[str, Any], own: object) -> bool:
    """Whether a line is the canonical one of its facts, with their hash; infinities and endless nesting are not."""
    try:
        return own == _hash(facts) and line == _line({**facts, "hash": own}) and facts["format"] == FORMAT
    except (ValueError, RecursionError):
        return False
