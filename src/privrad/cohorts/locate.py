"""Locate: where each image of a manifest lies, in plain text, for the house alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from privrad import config, files
from privrad.cohorts import identity, ingest
from privrad.cohorts import manifest as manifests
from privrad.cohorts.tables import CohortError

PLAIN = {"file": "path", "patient": "source_patient", "study": "source_study"}


def run(cohort: config.Cohort, *, findings: Sequence[str], root: Path, key: bytes, manifest: Path, out: Path) -> None:
    """Write path, patient and study in plain text beside the keyed id of each image of the manifest.

    Raises CohortError when a table of the cohort in `root` is unusable, or does not name every image of the manifest.
    """
    rows = ingest.read(cohort, findings=findings, root=root).drop_duplicates("image").rename(columns=PLAIN)
    rows = rows.assign(image_id=identity.keyed_ids(rows["image"], key=key, kind="image"))
    wanted = pd.read_parquet(manifest, columns=["image_id"])["image_id"]
    table = rows.loc[rows["image_id"].isin(wanted), ["image_id", *PLAIN.values()]]
    if len(table) < len(wanted):
        raise CohortError(
            f"cohort {cohort.id}: the images in {root} have other ids than those in {manifest}; set PRIVRAD_KEYS to "
            "the folder of keys that it was made with, or run ingest again where images came or went"
        )
    manifests.write_parquet(out, table.sort_values("image_id", ignore_index=True), mode=files.PRIVATE)
