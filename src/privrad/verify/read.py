"""What is verified: the folder of one training, as it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from privrad import files
from privrad.privacy.ledger import Entry

RECIPES = {"private": "private", "matched": "unprotected", "without_privacy": "unprotected", "none": "untrained"}
RELATIVE = 1e-6
"""How far a number that was computed may lie from the same number computed again."""
Statement = tuple[str, Any, Any]
"""What is stated, as it is said, and as it is found."""


class VerifyError(ValueError):
    """A folder or file that nothing can be verified from; the message says what to give."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """One training: its folder, its certificate, and the ledger's entries where a ledger was given.

    `place` is (study, experiment, arm, seed folder), or None for a folder outside of a study's results.
    """

    folder: Path
    certificate: Mapping[str, Any]
    place: tuple[str, str, str, str] | None = None
    entries: tuple[Entry, ...] | None = None

    @property
    def kind(self) -> str:
        """What the recipe makes of the certificate: private, unprotected or untrained."""
        return RECIPES[self.certificate["model"]["recipe"]]

    @property
    def released(self) -> bool:
        """Whether its noise is of a key that was drawn, so that its epsilon counts."""
        return self.kind == "private" and self.certificate["noise"] == "release"

    @property
    def run(self) -> dict[str, Any]:
        """The numbers of a private run, as accountants take them."""
        return {name: self.certificate[name] for name in ("noise_multiplier", "sample_rate", "steps")}


def content(path: Path) -> dict[str, Any]:
    """The keys and values of a JSON file; VerifyError where it cannot be read."""
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise VerifyError(f"{path.name} cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError):
        raise VerifyError(f"{path.name} is not JSON: it was cut short or changed") from None
    if not isinstance(held, dict):
        raise VerifyError(f"{path.name} is not what privrad wrote")
    return held


def file_hash(path: Path) -> str:
    """The SHA-256 of a file; VerifyError where it cannot be read."""
    try:
        return files.sha256(path)
    except OSError as error:
        raise VerifyError(f"{path.name} cannot be read ({error.strerror})") from None


def architecture(path: Path) -> Any:
    """The architecture that a weights file says it is for.

    safetensors opens with the length of its JSON header in 8 bytes, little-endian. Raises VerifyError, OSError,
    KeyError or ValueError for a file that is not one that privrad wrote.
    """
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if length > path.stat().st_size:
            raise VerifyError(f"{path.name} is not a safetensors file")
        return json.loads(json.loads(stream.read(length))["__metadata__"]["privrad"])
