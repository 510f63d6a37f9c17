"""The manifest that every cohort ends in, and the tables of what was refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pandera.pandas as pandera

from privrad import files
from privrad.cohorts.tables import CohortError

VIEWS = ("PA", "AP", "")
SEXES = ("F", "M", "U")
SPLITS = ("", "train", "validation", "test")
IDS = ("patient", "study", "image")
RESERVED = ("all", "mean")

REMEDIES = {
    "missing_file": "Put the image where the table says, with forward slashes and the right case, or remove its row.",
    "outside_root": "Give a path below the cohort's folder; copy images and slices that are linked from elsewhere.",
    "unreadable_report": "Look at the report or reading: a link, too long, or no such file as the layout has.",
    "unknown_label": "Correct the label to one that the layout knows, or remove the row.",
    "missing_value": "Fill in image, patient, study and every finding.",
    "patient_with_two_sexes": "Correct the sex, or tell apart the people who share this patient id.",
    "duplicate_image": "Keep one row of each image, of CT slices one of each series; the first one was taken.",
    "implausible_age": "Write the age in years, 0 to 120, or leave it blank.",
    "unknown_sex": "Write F or M, or leave it blank.",
    "unknown_bedside": "Write yes or no, or leave it blank.",
    "unknown_split": "Write train, validation or test, or leave it blank.",
    "not_frontal": "Nothing: only PA and AP views are taken.",
    "left_out": "Nothing: the study, or who published the image, leaves it out.",
}
NO_FAULT = ("not_frontal", "left_out")


def schema(findings: Sequence[str]) -> pandera.DataFrameSchema:
    """The manifest's columns, in order, with what each may hold.

    Raises CohortError when a finding has the name of a fixed column, or one that the tables of results take.
    """
    keyed = pandera.Check.str_matches(r"^[0-9a-f]{32}$")
    columns = {
        "image_id": pandera.Column("str", [keyed, _ascending()], unique=True),
        "patient_id": pandera.Column("str", keyed),
        "study_id": pandera.Column("str", keyed),
        "view": pandera.Column("str", pandera.Check.isin(VIEWS)),
        "age": pandera.Column("float64", pandera.Check.in_range(0, 120), nullable=True),
        "sex": pandera.Column("str", pandera.Check.isin(SEXES)),
        "bedside": pandera.Column("boolean", nullable=True),
        "site": pandera.Column("str", pandera.Check.str_length(min_value=1)),
        "source_split": pandera.Column("str", pandera.Check.isin(SPLITS)),
    }
    clash = sorted({*columns, *RESERVED} & set(findings))
    if clash:
        taken = ", ".join([*columns, *RESERVED])
        raise CohortError(f"finding {clash[0]} has a name that privrad's tables need; rename it. Taken: {taken}")
    columns |= {finding: pandera.Column("int8", pandera.Check.isin([0, 1])) for finding in findings}
    return pandera.DataFrameSchema(columns, strict=True, ordered=True)


def write(path: Path, manifest: pd.DataFrame, *, findings: Sequence[str]) -> None:
    """Check a manifest against its schema and write it as Parquet; pandera's SchemaError names what does not fit."""
    write_parquet(path, schema(findings).validate(manifest))


def read(path: Path, *, findings: Sequence[str]) -> pd.DataFrame:
    """Read a manifest; CohortError when it is not one with these findings."""
    wanted = schema(findings)
    try:
        table = pd.read_parquet(path)
        if list(table.columns) != list(wanted.columns):
            raise ValueError(f"it has columns {', '.join(table.columns)}, not {', '.join(wanted.columns)}")
        return wanted.validate(table)
    except (pandera.errors.SchemaError, OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise CohortError(f"manifest {path} cannot be used: {reason}. Run ingest again with this study") from None


def write_parquet(path: Path, table: pd.DataFrame, *, mode: int = 0o644) -> None:
    """Write a table without its index, atomically, with the permissions `mode`."""
    with files.atomic(path, mode=mode) as temporary:
        table.to_parquet(temporary, index=False)


def write_csv(path: Path, table: pd.DataFrame, *, mode: int = 0o644) -> None:
    """Write a table without its index as UTF-8, atomically, with permissions `mode`; texts as `files.cell` has them."""
    with files.atomic(path, mode=mode) as temporary:
        table.map(files.cell).to_csv(temporary, index=False, lineterminator="\n", errors="backslashreplace")


def rejects(rows: pd.DataFrame) -> pd.DataFrame:
    """The refused source rows: file (or the table's line, where it names none), reason and remedy.

    What is no fault of the table, such as a view that is not frontal, is only counted.
    """
    refused = rows[~rows["reason"].isin(["", *NO_FAULT])]
    return pd.DataFrame(
        {
            "file": refused["file"].where(refused["file"] != "", refused["origin"]),
            "reason": refused["reason"],
            "remedy": refused["reason"].map(REMEDIES),
        },
        columns=["file", "reason", "remedy"],
    )


def refused(rows: pd.DataFrame) -> pd.DataFrame:
    """How many source rows were not taken, by reason: columns reason and count."""
    counts = rows.loc[rows["reason"] != "", "reason"].value_counts().sort_index()
    return counts.rename_axis("reason").reset_index(name="count")


def _ascending() -> pandera.Check:
    return pandera.Check(lambda ids: bool(ids.is_monotonic_increasing), error="must be sorted")
