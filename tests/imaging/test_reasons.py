"""The reasons for which a CT scan is refused, in the code and in its documentation."""

from __future__ import annotations

import re
from pathlib import Path

import privrad.imaging

ROOT = Path(__file__).parents[2]
CODE = Path(privrad.imaging.__file__).parent
READERS = [
    *("choice", "series", "slices", "elements", "geometry", "hounsfield", "nifti", "ct", "plausible", "prepare"),
    *("opening", "read", "worker"),
]


def test_every_reason_is_documented_and_none_that_is_never_given() -> None:
    section = (ROOT / "docs/ct.md").read_text().split("| reason | when |")[1].split("\n\n")[0]
    documented = {reason for line in section.splitlines() for reason in re.findall(r"`(\w+)`", line.split(" | ")[0])}
    sources = {path.stem: path.read_text() for path in CODE.glob("*.py")}
    given = {
        reason
        for name in READERS
        for reason in re.findall(r"""(?:Unreadable|_BrokenError|_refuse_lean)\(\s*"(\w+)\"""", sources[name])
    }
    assert len(given) > 25
    assert given <= documented
    everything = "".join(sources.values())
    assert {reason for reason in documented if f'"{reason}"' not in everything} == set()
