"""Open-i, the chest radiographs of Indiana University: reports as XML, with the headings that they were indexed by."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pandas as pd

from privrad import config
from privrad.cohorts import rows, small_files, tables

REPORTS = ("ecgen-radiology", "NLMCXR_reports/ecgen-radiology")
PICTURES = ("NLMCXR_png", "images", "images/images_normalized", "")
PROJECTIONS = "indiana_projections.csv"
TERMS = {"major": ("major",), "automatic": ("automatic",), "both": ("major", "automatic")}
UNINDEXED = frozenset({"", "no indexing"})
NOTHING: Mapping[str, frozenset[str]] = {"major": frozenset(), "automatic": frozenset()}
LONGEST = 1_048_576  # bytes of a report; the published ones have a few thousand
LATERAL = re.compile(r"\blat(eral)?\b", re.IGNORECASE)
FRONTAL = re.compile(r"\b(PA|AP|frontal)\b", re.IGNORECASE)
NAME = re.compile(r"(\d+)(?:_\d+)?_(IM-[\w-]+)")


@dataclass(frozen=True)
class Picture:
    """A picture as its report names it, with the report's headings by who gave them.

    `file` is blank, or the report itself, in whose place this stands as nobody could read it.
    """

    name: str
    patient: str
    caption: str
    headings: Mapping[str, frozenset[str]]
    file: str = ""


class _Plain(ET.TreeBuilder):
    """Builds the tree of a document without a document type, and so without entities that grow or reach out."""

    def doctype(self, name: str, pubid: str, system: str) -> None:
        raise ValueError("a report declares no document type")


def read(cohort: config.Cohort, *, findings: Sequence[str], root: Path) -> pd.DataFrame:
    """Source rows of the pictures that the reports `ecgen-radiology/*.xml` name; one each.

    `cohort.labels` gives the MeSH heading of each finding, or several with "|" between them; what follows a slash
    ("Cardiomegaly/mild") does not count. `columns.terms` says whose headings: major (the default), given by people;
    automatic, by a program; or both. A report that nobody indexed has an unknown label; one larger than 1 MiB, of no
    XML, or with a document type is not read. The patient is the report ("uId"). Frontal is what
    `indiana_projections.csv` says; without that table, a picture whose caption names a frontal view and no lateral.
    """
    tables.mapped(cohort, defaults={}, required=(), beside=("terms",))
    terms = cohort.columns.get("terms", "major")
    if terms not in TERMS:
        raise tables.CohortError(f"cohort {cohort.id}: columns.terms = {terms!r}; write one of {', '.join(TERMS)}")
    pictures = [picture for file in _files(root) for picture in _report(root, file)]
    places = {_key(PurePosixPath(file).name): file for file in reversed(_found(root))}
    parts: dict[str, object] = {
        "image": [picture.name for picture in pictures],
        "patient": [picture.patient for picture in pictures],
        "study": [picture.patient for picture in pictures],
        "file": [
            picture.file or places.get(_key(picture.name), f"{PICTURES[0]}/{picture.name}.png") for picture in pictures
        ],
    }
    texts = {name: pd.Series(values, dtype="str") for name, values in parts.items()}
    found = rows.assemble(texts | {"file": rows.tidy_path(texts["file"])}, table=REPORTS[0])
    found = rows.frontal(found, _views(pictures, root=root), blank=True)
    faults = {
        "unreadable_report": [bool(picture.file) for picture in pictures],
        "unknown_label": [picture.headings["major"] <= UNINDEXED for picture in pictures],
    }
    for reason, fault in faults.items():
        found = rows.refuse(found, pd.Series(fault, index=found.index, dtype="bool"), reason)
    headings = [frozenset[str]().union(*(picture.headings[by] for by in TERMS[terms])) for picture in pictures]
    return _labelled(found, headings, cohort=cohort, findings=findings)


def _files(root: Path) -> list[str]:
    files = small_files.places(root, REPORTS, endings=(".xml",))
    if not files:
        raise tables.CohortError(
            f"{root} has no report: unpack NLMCXR_reports.tgz there, so that its XML files lie in {REPORTS[0]}"
        )
    return files


def _found(root: Path) -> list[str]:
    return small_files.places(root, PICTURES, endings=(".png",))


def _report(root: Path, file: str) -> list[Picture]:
    """The pictures that a report names; of one that cannot be read, the report itself in their place."""
    content = small_files.read(root / file, within=root, most=LONGEST)
    try:
        return parse(content or b"")
    except (ET.ParseError, ValueError, LookupError):
        return [Picture(file, file, "", NOTHING, file)]


def parse(content: bytes) -> list[Picture]:
    """The pictures that a report in XML names, none where it names none.

    Raises ParseError where it is no XML, and ValueError or LookupError where it has a document type or an encoding that
    nobody knows.
    """
    parser = ET.XMLParser(target=_Plain())
    parser.feed(content)
    report: ET.Element = parser.close()
    uid = report.find("uId")
    patient = uid.get("id", "").strip() if uid is not None else ""
    headings = {
        by: frozenset((node.text or "").partition("/")[0].strip().lower() for node in report.iterfind(f".//MeSH/{by}"))
        for by in NOTHING
    }
    return [
        Picture(node.get("id", "").strip(), patient, node.findtext("caption") or "", headings)
        for node in report.iterfind(".//parentImage")
    ]


def _key(name: str) -> str:
    """What the names of a picture share: CXR1_1_IM-0001-3001, in the reports, and 1_IM-0001-3001.dcm.png elsewhere."""
    match = NAME.search(name)
    return "_".join(match.groups()) if match else name.partition(".")[0]


def _views(pictures: Sequence[Picture], *, root: Path) -> pd.Series:
    """PA, AP or, of a frontal picture of which nobody says it, blank; "lateral" for any other.

    Raises CohortError where neither table nor captions tell any frontal picture from a lateral one.
    """
    frontal = _projections(root)
    told = [
        _view(picture, frontal=None if frontal is None else frontal.get(_key(picture.name), False))
        for picture in pictures
    ]
    readable = {view for view, picture in zip(told, pictures, strict=True) if not picture.file}
    if frontal is None and readable == {"lateral"}:
        raise tables.CohortError(
            f"{root} has no {PROJECTIONS}, and no caption tells a frontal picture from a lateral one; put the table "
            "there (columns uid, filename, projection)"
        )
    return pd.Series(told, dtype="str")


def _view(picture: Picture, *, frontal: bool | None) -> str:
    if picture.file:
        return ""
    named = {word.upper() for word in FRONTAL.findall(picture.caption)}
    if frontal is None:
        frontal = bool(named) and not LATERAL.search(picture.caption)
    exact = named & {"PA", "AP"}
    return (exact.pop() if len(exact) == 1 else "") if frontal else "lateral"


def _projections(root: Path) -> dict[str, bool] | None:
    """Which pictures are frontal, by key; None where the table is not there."""
    if not (root / PROJECTIONS).exists():
        return None
    table = tables.read(root, PROJECTIONS, columns={"file": "filename", "projection": "projection"})
    return dict(zip(table["file"].map(_key), table["projection"].str.lower() == "frontal", strict=True))


def _labelled(
    found: pd.DataFrame, headings: Sequence[frozenset[str]], *, cohort: config.Cohort, findings: Sequence[str]
) -> pd.DataFrame:
    common = Counter(heading for each in headings for heading in each - {""})
    for finding in findings:
        wanted = {heading.strip().lower() for heading in cohort.labels[finding].split("|")} - {""}
        if common and not wanted & set(common):
            raise tables.CohortError(
                f"cohort {cohort.id}: labels.{finding} = {cohort.labels[finding]!r} is a heading of no report; among "
                f"their headings are {', '.join(heading for heading, _ in common.most_common(20))}"
            )
        held = pd.Series([bool(wanted & each) for each in headings], index=found.index, dtype="bool")
        found = found.assign(**{finding: held.astype("int8")})
    return found
