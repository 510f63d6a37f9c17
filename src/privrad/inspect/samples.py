"""A few images of a cohort, as they are and as the network will see them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from privrad import progress
from privrad.imaging import allowed, elements
from privrad.imaging.opening import open_regular
from privrad.imaging.prepare import locate
from privrad.imaging.quiet import quiet
from privrad.imaging.read import Unreadable, read_radiograph, read_scan
from privrad.imaging.task import Prepared, Task
from privrad.imaging.walk import read_header
from privrad.imaging.worker import Worker
from privrad.inspect.seen import Seen
from privrad.report import cuts, inline, words

LONGEST, WIDEST = 288, 640
INTERPRETATIONS = (
    "MONOCHROME1",
    "MONOCHROME2",
    "RGB",
    "PALETTE COLOR",
    "YBR_FULL",
    "YBR_FULL_422",
    "YBR_ICT",
    "YBR_RCT",
)
COLOURS = {0: "grey", 2: "colour", 3: "palette", 4: "grey with transparency", 6: "colour with transparency"}


@dataclass(frozen=True)
class Sample:
    """One image: data URIs of it as it came and prepared, what it shows, how it is stored; or why it is refused."""

    caption: str
    stored: str = ""
    before: str = ""
    after: str = ""
    refused: str = ""


def of(seen: Seen, *, count: int) -> list[Sample]:
    """Samples of at most `count` patients, the same every time.

    Each is prepared first in a process with bounds of time and memory; what is refused there is never opened here.
    """
    image, trusted = seen.experiment.image, seen.cohort.sensitivity != "private"
    within = seen.root.resolve()
    task = (
        Task(image.size, trusted=trusted) if image.window is None else Task(image.size, image.window, within, trusted)
    )
    chosen = choose(seen.taken, seen.findings, count=count)
    found = []
    with Worker(task) as worker:
        for _, row in progress.track(list(chosen.iterrows()), what=f"{seen.cohort.id}: sample pictures"):
            caption = _caption(row, seen.findings)
            try:
                file = locate(seen.root, row["file"])
                found.append(_sample(file, worker.prepare(file), task, caption=caption))
            except Unreadable as error:
                found.append(Sample(caption, refused=str(error)))
    return found


def choose(taken: pd.DataFrame, findings: Sequence[str], *, count: int) -> pd.DataFrame:
    """Images of different patients: one without a finding, one with little beside each finding, then any.

    What is taken of several is settled by a hash of the image's name, so that it does not follow the order of a table.
    """
    order = pd.util.hash_pandas_object(taken["image"], index=False).sort_values(kind="stable").index
    pool = taken.loc[order].drop_duplicates("patient")
    positives = pool[list(findings)].sum(axis=1).sort_values(kind="stable")
    chosen = list(positives.index[positives == 0][:1])
    for finding in list(findings)[:: max(1, math.ceil(len(findings) / max(count - 1, 1)))]:
        having = positives.index[pool.loc[positives.index, finding] == 1].difference(chosen, sort=False)
        chosen += list(having[:1])
    chosen += list(pool.index.difference(chosen, sort=False)[: max(count - len(chosen), 0)])
    return taken.loc[chosen[:count]]


def _sample(file: Path, prepared: Prepared, task: Task, *, caption: str) -> Sample:
    if task.window is None:
        before = read_radiograph(file, trusted=task.trusted)
        pictures = [inline.png(each, longest=LONGEST) for each in (before, prepared.pixels)]
        stored = f"{before.shape[1]} × {before.shape[0]} pixels, {_format(file)}"
        return Sample(caption, stored, *pictures)
    scan = read_scan(file, within=task.within, trusted=task.trusted)
    shown = cuts.of_scan(scan, window=task.window, beside=prepared.pixels.shape), cuts.middles(prepared.pixels)
    lengths, sides = cuts.lengths(scan), cuts.counts(scan)
    pictures = [inline.exact(cuts.montage(each, lengths=lengths, longest=WIDEST)) for each in shown]
    steps = [length / side for length, side in zip(reversed(lengths), sides, strict=True)]
    stored = f"{' × '.join(map(str, sides))} voxels of {' × '.join(f'{step:.3g}' for step in steps)} mm"
    return Sample(caption, stored, *pictures)


def _format(file: Path) -> str:
    """The file's format, bits and colours, by its header; no text of the file but a word of the standard."""
    with open_regular(file) as stream, quiet():
        head = stream.read(132)
        if head.startswith(b"\x89PNG"):
            return f"PNG, {head[24]} bits, {COLOURS.get(head[25], 'unknown')}"
        if head.startswith(b"\xff\xd8"):
            return "JPEG, 8 bits"
        stream.seek(0)
        header = read_header(stream, allowed.tags(allowed.RADIOGRAPH)).elements
        interpretation = elements.text(header, "PhotometricInterpretation")
        bits = elements.numbers(header, "BitsStored")
    named = interpretation if interpretation in INTERPRETATIONS else "photometric interpretation unknown"
    return f"DICOM, {f'{bits[0]:g}' if bits else 'unknown'} bits, {named}"


def _caption(row: pd.Series[Any], findings: Sequence[str]) -> str:
    positive = words.listed([words.inside(finding) for finding in findings if row[finding] == 1])
    about = [words.group("sex", row["sex"])] * (row["sex"] != "U") + [f"{row['age']:.0f} years"] * bool(row["age"] >= 0)
    about += [row["view"]] * bool(row["view"]) + ["bedside"] * (row["bedside"] is np.True_ or row["bedside"] is True)
    said = positive[:1].upper() + positive[1:] or "None of the findings"
    return f"{said} ({', '.join(about)})" if about else said
