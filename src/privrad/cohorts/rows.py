"""Source rows: what every adapter hands over, and the checks that all cohorts share.

One row an image, all text, plus one int8 column per finding. `reason` is empty for a row that can be used, else the
slug of the first fault found: a row is never taken out, so none is lost.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from privrad import progress

SEXES = {"f": "F", "female": "F", "m": "M", "male": "M"} | dict.fromkeys(("", "u", "unknown", "o", "other"), "U")
FLAGS = {"yes": True, "true": True, "1": True, "y": True, "no": False, "false": False, "0": False, "n": False}
SPLITS = {
    "train": "train",
    "training": "train",
    "validate": "validation",
    "validation": "validation",
    "val": "validation",
    "test": "test",
    "": "",
}
UNKNOWN_AGES = ("", "nan", "na", "n/a", "none", "unknown")
YEARS = {"": 1.0, "+": 1.0, "Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}
OLDEST = 120


def assemble(columns: dict[str, object], *, table: str) -> pd.DataFrame:
    """Source rows from an adapter's columns; those it lacks are filled in.

    Needed: image, patient, file. Filled: person (the patient; given only where a patient id stands for several
    people), study (the image), view, age, sex, bedside, source_split (blank), origin (table and line), reason (blank).
    A value that is missing in a given column is blank.
    """
    rows = pd.DataFrame(columns).astype("str").fillna("")
    for name, default in (("person", "patient"), ("study", "image")):
        if name not in rows:
            rows[name] = rows[default]
    for name in ("view", "age", "sex", "bedside", "source_split", "reason"):
        if name not in rows:
            rows[name] = pd.Series("", index=rows.index, dtype="str")
    rows["origin"] = table + " line " + pd.Series(rows.index + 2, index=rows.index).astype("str")
    return refuse(rows, (rows[["image", "patient", "study", "file"]] == "").any(axis=1), "missing_value")


def refuse(rows: pd.DataFrame, fault: pd.Series, reason: str) -> pd.DataFrame:
    """The rows with `reason` written where `fault` holds and no earlier fault stands."""
    return rows.assign(reason=rows["reason"].mask(fault & (rows["reason"] == ""), reason))


def labelled(rows: pd.DataFrame, words: pd.DataFrame, *, values: Mapping[str, int]) -> pd.DataFrame:
    """The rows with an int8 column for each finding of `words`, by what its words, in lower case, stand for.

    A row with a blank word is refused as missing_value, one with a word that `values` lacks as unknown_label.
    """
    rows = refuse(rows, (words == "").any(axis=1), "missing_value")
    for finding in words.columns.astype(str):
        found = words[finding].str.lower().map(values)
        rows = refuse(rows, found.isna(), "unknown_label")
        rows = rows.assign(**{finding: found.fillna(0).astype("int8")})
    return rows


def frontal(rows: pd.DataFrame, view: pd.Series, *, blank: bool) -> pd.DataFrame:
    """The rows with view PA or AP ("AP Supine" is AP); others are not frontal, nor is a blank one unless `blank`."""
    word = view.str.upper().str.replace(r"[ _-].*$", "", regex=True)
    allowed = ("PA", "AP", "") if blank else ("PA", "AP")
    return refuse(rows.assign(view=word), ~word.isin(allowed), "not_frontal")


def checked(rows: pd.DataFrame, *, root: Path, folders: bool = False) -> pd.DataFrame:
    """The rows after all shared checks, with age in years, sex F, M or U, bedside nullable, source_split ours.

    With `folders` an image may be a folder with files, the slices of a CT scan. The disk is asked last, and only about
    rows without a fault.
    """
    rows = refuse(rows, _two_sexes(rows), "patient_with_two_sexes")
    rows = refuse(rows, rows.duplicated("image"), "duplicate_image")
    rows = _converted(rows)
    file = rows["file"]
    leaves = file.str.contains(r"^/|(?:^|/)\.\.(?:/|$)|\0", regex=True)
    rows = refuse(rows, leaves, "outside_root")
    present, escaping = _on_disk(file[rows["reason"] == ""], root=root, folders=folders)
    rows = refuse(rows, file.isin(escaping), "outside_root")
    missing = [name not in present for name in file]
    return refuse(rows, pd.Series(missing, index=rows.index, dtype="bool"), "missing_file")


def tidy_path(files: pd.Series) -> pd.Series:
    """Relative paths in their shortest form ("./a//b" is "a/b"); a blank one stays blank."""
    rough = files.str.contains(r"(?:^|/)\.{0,2}(?:/|$)", regex=True) & (files != "")
    return files.mask(rough, files[rough].map(posixpath.normpath))


def ages(values: pd.Series) -> tuple[pd.Series, pd.Series]:
    """Ages in years, and which are implausible.

    Reads 58, 57.5, "50+" (50) and DICOM's age string ("058Y", "003M"); a blank or "unknown" one is NaN and no fault.
    """
    codes, distinct = pd.factorize(values)
    words = pd.Series(distinct, dtype="str")
    parts = words.str.upper().str.extract(r"^(-?\d+(?:\.\d+)?)\s*([+YMWD]?)$")
    years = parts[0].astype("float64") * parts[1].map(YEARS).astype("float64")
    unknown = words.str.lower().isin(UNKNOWN_AGES)
    implausible = ~unknown & ~years.between(0, OLDEST)
    each = pd.DataFrame({"years": years, "implausible": implausible}).take(codes).set_axis(values.index)
    return each["years"], each["implausible"]


def _converted(rows: pd.DataFrame) -> pd.DataFrame:
    years, implausible = ages(rows["age"])
    sex = rows["sex"].str.lower().map(SEXES).astype("object")
    word = rows["bedside"].str.lower()
    split = rows["source_split"].str.lower().map(SPLITS).astype("object")
    rows = refuse(rows, implausible, "implausible_age")
    rows = refuse(rows, sex.isna(), "unknown_sex")
    rows = refuse(rows, ~word.isin([*FLAGS, ""]), "unknown_bedside")
    rows = refuse(rows, split.isna(), "unknown_split")
    return rows.assign(
        age=years,
        sex=sex.fillna("U").astype("str"),
        bedside=word.map(FLAGS).astype("boolean"),
        source_split=split.fillna("").astype("str"),
    )


def _two_sexes(rows: pd.DataFrame) -> pd.Series:
    known = rows["sex"].str.lower().map(SEXES)
    known = known.where(known.isin(["F", "M"]) & (rows["person"] != ""))
    return known.groupby(rows["person"]).transform("nunique") > 1


def _on_disk(files: pd.Series, *, root: Path, folders: bool) -> tuple[set[str], set[str]]:
    """Which files are there, and which of them lie outside `root` behind a link; each folder is listed once.

    With `folders` a folder counts as there when it holds a file, and lies outside when any of its files does.
    """
    home = os.path.realpath(root)
    present: set[str] = set()
    escaping: set[str] = set()
    real = {"": home}
    parents = files.str.replace(r"[^/]*$", "", regex=True)
    for parent in progress.track(sorted(parents.unique()), what="folders listed"):
        place = _place(parent.rstrip("/"), real)
        inside = _within(place, home)
        for name, target in _listed(place, folders=folders):
            present.add(parent + name)
            if not inside or (target and not _within(target, home)):
                escaping.add(parent + name)
    if folders:
        for scan in sorted(present.intersection(files) - escaping):
            place = os.path.realpath(os.path.join(home, scan))
            slices = _listed(place, folders=False) if os.path.isdir(place) else [(scan, "")]
            if not slices:
                present.discard(scan)
            if not all(_within(target, home) for _, target in slices if target):
                escaping.add(scan)
    return present, escaping


def _place(folder: str, real: dict[str, str]) -> str:
    """Where a folder really lies; `real` keeps those looked up before, for each costs one question to the disk."""
    if folder not in real:
        above = ""
        for name in folder.split("/"):
            within = f"{above}/{name}".lstrip("/")
            if within not in real:
                place = os.path.join(real[above], name)
                real[within] = os.path.realpath(place) if os.path.islink(place) else place
            above = within
    return real[folder]


def _listed(place: str, *, folders: bool) -> list[tuple[str, str]]:
    """The files in a folder, where wanted the folders too, and where each link leads; none where it cannot be read."""
    try:
        with os.scandir(place) as entries:
            found = [(entry.name, entry.path, entry.is_symlink()) for entry in entries if _counts(entry, folders)]
    except OSError:
        return []
    return [(name, os.path.realpath(path) if link else "") for name, path, link in found]


def _counts(entry: os.DirEntry[str], folders: bool) -> bool:
    if entry.is_symlink():  # asks the disk about links alone: the listing tells what all else is
        return os.path.isfile(entry) or (folders and os.path.isdir(entry))
    return entry.is_file() or (folders and entry.is_dir())


def _within(place: str, home: str) -> bool:
    return f"{place}/".startswith(f"{home.rstrip('/')}/")
