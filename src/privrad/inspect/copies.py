"""The same patient or the same file in two places, as far as tables and bytes tell."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from privrad import files, progress
from privrad.imaging.opening import open_regular
from privrad.imaging.read import Unreadable
from privrad.inspect.seen import Seen
from privrad.inspect.table import Cell, Table, count, counted
from privrad.report import words

MOST_READ = 2**32
"""Bytes read in all to find identical files."""
GLANCE = 4096
"""Bytes read in the middle of each file that has as many bytes as another one."""
SHOWN = 5
ONE, PATIENTS, COHORTS = "of one patient", "of several patients of one cohort", "of several cohorts"


@dataclass(frozen=True)
class Copies:
    """Groups of identical files, and what was not read.

    `found` has a row a file: group, where, cohort, patient and file. `empty` counts files of no bytes, `folders` what
    is not compared, `unread` the files that the bound `most`, in bytes, left out.
    """

    found: pd.DataFrame
    empty: int
    folders: int
    unread: int
    most: int

    @property
    def groups(self) -> dict[str, int]:
        """How many groups of identical files lie in each kind of place."""
        each = self.found.drop_duplicates("group")["where"]
        return {where: int((each == where).sum()) for where in (COHORTS, PATIENTS, ONE)}


def of(cohorts: Sequence[Seen], *, most: int = MOST_READ) -> Copies:
    """Find identical files within and between the cohorts.

    Sizes are compared first, then a glance at the middle of files of one size, then the SHA-256 of those that look
    alike there, the smallest first, until `most` bytes are read. A cohort that several experiments use counts once.
    """
    listed = _files(cohorts)
    folders, empty = listed["size"].isna(), listed["size"] == 0
    sized = listed[~folders & ~empty].sort_values(["size", "path"], kind="stable")
    alike = sized[sized.duplicated("size", keep=False)]
    looks = [_glance(path) for path in progress.track(list(alike["path"]), what="files of one size compared")]
    alike = alike.assign(glance=looks)
    alike = alike[alike.duplicated(["size", "glance"], keep=False) & (alike["glance"] != "")]
    affordable = alike["size"].cumsum() <= most
    hashes = [_hash(path) for path in progress.track(list(alike.loc[affordable, "path"]), what="files hashed")]
    read = alike[affordable].assign(sha256=hashes)
    same = read[read.duplicated("sha256", keep=False) & (read["sha256"] != "")]
    found = same.assign(group=same.groupby("sha256", sort=False).ngroup(), where=_where(same))
    found = found.sort_values(["group", "cohort", "file"], ignore_index=True)
    columns = ["group", "where", "cohort", "patient", "file"]
    return Copies(found[columns], int(empty.sum()), int(folders.sum()), int((~affordable).sum()), most)


def _files(cohorts: Sequence[Seen]) -> pd.DataFrame:
    """Each file once, with its size in bytes; NaN for a folder and for what is gone."""
    parts = []
    for seen in {(seen.cohort.id, seen.root.resolve()): seen for seen in reversed(cohorts)}.values():
        part = pd.DataFrame({"cohort": seen.cohort.id, "patient": seen.taken["patient"], "file": seen.taken["file"]})
        parts.append(part.assign(path=[os.path.join(seen.root, file) for file in part["file"]]))
    listed = pd.concat(parts, ignore_index=True).drop_duplicates(["cohort", "path"], ignore_index=True)
    return listed.assign(size=pd.Series([_size(path) for path in listed["path"]], dtype="float64"))


def _size(path: str) -> float | None:
    try:
        return None if os.path.isdir(path) else os.stat(path).st_size
    except OSError:
        return None


def _glance(path: str) -> str:
    """A hash of a few bytes in the middle; nothing where it cannot be read."""
    try:
        with open_regular(Path(path)) as stream:
            stream.seek(max(0, os.fstat(stream.fileno()).st_size // 2 - GLANCE // 2))
            return hashlib.sha256(stream.read(GLANCE)).hexdigest()
    except (OSError, Unreadable):
        return ""


def _hash(path: str) -> str:
    try:
        return files.sha256(Path(path))
    except OSError:
        return ""


def _where(same: pd.DataFrame) -> pd.Series:
    """Of each file: whether its group lies in several cohorts, with several patients, or with one."""
    several = same.groupby("sha256")["cohort"].transform("nunique") > 1
    people = same.groupby("sha256")["patient"].transform("nunique") > 1
    return pd.Series(ONE, index=same.index, dtype="str").mask(people, PATIENTS).mask(several, COHORTS)


def table(copies: Copies) -> Table:
    """Groups and files by where they lie."""
    numbers = copies.found["where"].value_counts()
    lines = [
        (Cell(where), Cell(count(groups)), Cell(count(int(numbers.get(where, 0)))))
        for where, groups in copies.groups.items()
    ]
    left = []
    if copies.unread:
        most = f"{copies.most / 2**30:.3g} GiB"
        left.append(
            f"{counted(copies.unread, 'files')} were not compared to the end, to read no more than {most} in all."
        )
    if copies.folders:
        left.append(f"{counted(copies.folders, 'folders')} of slices were not compared.")
    return Table("Files with the same bytes", ("identical files", "groups", "files"), lines, remark=" ".join(left))


def examples(copies: Copies) -> Table | None:
    """The first few groups that lie with several patients or in several cohorts."""
    wrong = copies.found[copies.found["where"] != ONE]
    shown = wrong[wrong["group"].isin(wrong["group"].drop_duplicates()[:SHOWN])]
    places = shown[["cohort", "patient", "file"]].astype("str").to_numpy().tolist()
    lines = [[Cell(words.flat(text)) for text in place] for place in places]
    caption = f"The first {SHOWN} groups that cross patients or cohorts"
    return Table(caption, ("cohort", "patient", "file"), lines, numeric=False) if lines else None


def told(copies: Copies) -> list[str]:
    """A sentence for each kind of copy that can spoil a study."""
    groups, said = copies.groups, []
    if groups[PATIENTS]:
        said.append(
            f"{counted(groups[PATIENTS], 'pictures')} stand under several patients, byte for byte: one person under "
            "two ids can come into training and test at once."
        )
    if groups[COHORTS]:
        said.append(
            f"{counted(groups[COHORTS], 'pictures')} stand in several cohorts, byte for byte: what is in the public "
            "cohort has no protection."
        )
    if copies.empty:
        said.append(f"{counted(copies.empty, 'files')} have no bytes at all; copy them again.")
    return said


def shared(cohorts: Sequence[Seen]) -> list[tuple[str, bool]]:
    """A sentence for each two uses of one cohort id on how many patients both have, and whether it is a warning."""
    said = []
    for one, other in itertools.combinations(cohorts, 2):
        if one.cohort.id != other.cohort.id:
            continue
        both = set(one.taken["patient_id"]) & set(other.taken["patient_id"])
        place = f"{one.key} and {other.key} are one cohort, {one.cohort.id}: {counted(len(both), 'patients')} in both"
        torn = 0
        if one.parts is not None and other.parts is not None:
            common = sorted(both)
            torn = int((one.parts.reindex(common).to_numpy() != other.parts.reindex(common).to_numpy()).sum())
        parted = f", of whom {count(torn)} come into another part there" if torn else ""
        said.append((f"{place}{parted}.", torn > 0))
    return said
