"""PadChest: one table of images, with the findings that were read from Spanish reports as a list in each row."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from privrad import config
from privrad.cohorts import rows, tables

TABLE = "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv"
COLUMNS = {
    "image": "ImageID",
    "folder": "ImageDir",
    "study_date": "StudyDate_DICOM",
    "study_id": "StudyID",
    "patient_id": "PatientID",
    "birth": "PatientBirth",
    "sex": "PatientSex_DICOM",
    "view": "Projection",
    "labels": "Labels",
}
REQUIRED = ("image", "folder", "patient_id", "view", "labels")
VIEWS = {"PA": "PA", "AP": "AP", "AP_horizontal": "AP"}
UNUSABLE = frozenset({"exclude", "suboptimal study"})
UNCHANGED = frozenset({"unchanged"})
ITEM = r"'[^'\\]*'|\"[^\"\\]*\""
LIST = re.compile(rf"\[\s*(?:(?:{ITEM})\s*(?:,\s*(?:{ITEM})\s*)*)?\]")
LONGEST = 4000


def read(cohort: config.Cohort, *, findings: Sequence[str], root: Path) -> pd.DataFrame:
    """Source rows of the published table (plain or .gz), or of `columns.table`; one an image.

    `cohort.labels` gives the label of each finding, or several between bars ("atelectasis|laminar atelectasis"), of
    which one is enough; a label that is not in an image's list is taken as negative. Physicians labelled 27 % of the
    reports, a network the others: `MethodLabel` says which and is not used. An image called "exclude" or "suboptimal
    study", or of which only "unchanged" is said, is left out. The projections PA, AP and AP_horizontal (supine) are
    frontal. The age is the year of the study less that of birth. Images lie in the folders that ImageDir numbers, or
    all together in `images` or `images-224`.
    """
    name = cohort.columns.get("table") or (TABLE if (root / TABLE).is_file() else TABLE + ".gz")
    columns = tables.mapped(cohort, defaults=COLUMNS, required=REQUIRED)
    table = tables.read(root, name, columns=columns, hint=f" (columns of cohort {cohort.id})")
    parts: dict[str, object] = {
        "image": table["image"],
        "patient": table["patient_id"],
        "file": rows.tidy_path(_found(table["image"], folder=table["folder"], root=root)),
    }
    parts |= {ours: table[column] for ours, column in (("study", "study_id"), ("sex", "sex")) if column in table}
    if "study_date" in table and "birth" in table:
        parts["age"] = _age(table["study_date"], birth=table["birth"])
    found = rows.assemble(parts, table=name)
    found = rows.frontal(found, table["view"].map(VIEWS).fillna("other"), blank=False)
    return _labelled(found, table["labels"], cohort=cohort, findings=findings)


def listed(text: str) -> frozenset[str] | None:
    """The labels of a list in text form ("['normal', ' COPD signs']"), in lower case; None where it is no such list."""
    if len(text) > LONGEST or not LIST.fullmatch(text):
        return None
    return frozenset(item[1:-1].strip().lower() for item in re.findall(ITEM, text)) - {""}


def _found(image: pd.Series, *, folder: pd.Series, root: Path) -> pd.Series:
    """Where each image lies; one that is nowhere is expected in the folder that its row names."""
    folders = [*root.glob("[0-9]*"), *root.glob("images/[0-9]*"), root / "images", *root.glob("images-*")]
    places: dict[str, str] = {}
    for place in sorted(folders):
        if place.is_dir():
            for entry in place.iterdir():
                places.setdefault(entry.name, entry.relative_to(root).as_posix())
    expected = (folder + "/" + image).mask((folder == "") | (image == ""), "")
    found = [places.get(name, place) for name, place in zip(image, expected, strict=True)]
    return pd.Series(found, index=image.index, dtype="str")


def _age(study_date: pd.Series, *, birth: pd.Series) -> pd.Series:
    year, born = (pd.to_numeric(values, errors="coerce") for values in (study_date.str[:4], birth))
    return (year - born).astype("str")


def _labelled(
    found: pd.DataFrame, written: pd.Series, *, cohort: config.Cohort, findings: Sequence[str]
) -> pd.DataFrame:
    sets = {text: listed(text) for text in written.unique()}
    labels = written.map(lambda text: sets[text] or frozenset())
    unread = {text for text, names in sets.items() if names is None}
    left_out = {text for text, names in sets.items() if names and (names & UNUSABLE or names == UNCHANGED)}
    found = rows.refuse(found, written.isin({"", "nan"}), "missing_value")
    found = rows.refuse(found, written.isin(unread), "unknown_label")
    found = rows.refuse(found, labels.map(len) == 0, "missing_value")
    found = rows.refuse(found, written.isin(left_out), "left_out")
    known = frozenset().union(*labels)
    for finding in findings:
        wanted = frozenset(part.strip().lower() for part in cohort.labels[finding].split("|"))
        unknown = sorted(wanted - known)
        if unknown:
            raise tables.CohortError(
                f"cohort {cohort.id}: labels.{finding} names {', '.join(map(repr, unknown))}, which no image has; "
                f"among the labels are {', '.join(sorted(known)[:20])}"
            )
        found = found.assign(**{finding: labels.map(lambda names, any_of=wanted: bool(names & any_of)).astype("int8")})
    return found
