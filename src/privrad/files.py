"""Atomic writes and hashes: the ground floor."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PRIVATE = 0o600
"""The permissions of a file that holds plain ids, paths or file names: its owner's alone."""
UNPRINTED = (
    "\0-\x1f\x7f-\x9f\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0001\U000e0020-\U000e007f"
)
"""Control and format characters, as part of a regular expression's class; a program may drop them. Source: Unicode."""
CELL = re.compile(rf'((?:^|[;\t\r\n])[\s"{UNPRINTED}]*+)([=+\-@\uff1d\uff0b\uff0d\uff20]?)')
"""Where a spreadsheet begins to read a cell, here or in another language's, and what makes a formula of it."""


@contextmanager
def atomic(path: Path, *, mode: int = 0o644) -> Iterator[Path]:
    """Give a temporary path beside `path`; on success it is synced and renamed to `path`, else removed.

    The file gets the permissions `mode`, whatever the umask; until then its owner alone can read it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.chmod(mode)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write JSON with sorted keys, atomically; NaN and infinity are refused."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def cell(value: object) -> object:
    """A value for a CSV file that people open in a spreadsheet: an apostrophe before what it would take for a formula.

    Numbers stay numbers, negative ones too. A carriage return, which some programs take for the end of a row, becomes
    a space. Source: OWASP, "CSV injection".
    """
    if not isinstance(value, str):
        return value
    marked = CELL.sub(lambda found: f"{found[1]}'{found[2]}" if found[2] else found[1], value)
    return ("'" * value.startswith(("\t", "\r")) + marked).replace("\r", " ")


def sha256(path: Path) -> str:
    """The SHA-256 of a file, as hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
