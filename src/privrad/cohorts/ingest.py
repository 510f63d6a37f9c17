"""Ingest: a cohort's own tables in, one manifest with keyed ids out, and what was refused."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from privrad import config, files
from privrad.cohorts import (
    covid_cxr,
    identity,
    mimic_cxr_jpg,
    msd_pancreas,
    nih_cxr14,
    panorama,
    pdac,
    same_scan,
    uka_cxr,
)
from privrad.cohorts import manifest as manifests
from privrad.cohorts import rows as source
from privrad.cohorts.tables import CohortError
from privrad.config.cohort import LAYOUTS

ADAPTERS: dict[str, Callable[..., pd.DataFrame]] = {
    "mimic_cxr_jpg": mimic_cxr_jpg.read,
    "uka_cxr": uka_cxr.read,
    "nih_cxr14": nih_cxr14.read,
    "covid_cxr": covid_cxr.read,
    "pdac": pdac.read,
    "panorama": panorama.read,
    "msd_pancreas": msd_pancreas.read,
}
log = logging.getLogger("privrad")


def run(
    cohort: config.Cohort,
    *,
    findings: Sequence[str],
    root: Path,
    key: bytes,
    manifest: Path,
    paths: Path,
    refused: Path,
    rejects: Path,
) -> None:
    """Read the cohort in `root` and write its manifest, its plain paths, and what was refused.

    `manifest` and `refused` hold keyed ids and counts only; `paths` and `rejects` hold plain ids and file names.
    Raises CohortError, and writes nothing, when a table is unusable or no image is left.
    """
    if not root.is_dir():
        raise CohortError(f"cohort {cohort.id}: folder {root} is missing; correct cohorts.*.root in the study file")
    manifests.schema(findings)
    rows = ADAPTERS[cohort.layout](cohort, findings=findings, root=root)
    scans = cohort.layout in LAYOUTS["ct"]
    rows = source.checked(rows, root=root, folders=scans)
    rows = same_scan.refused(rows, root=root) if scans else rows
    counts = manifests.refused(rows)
    taken = rows[rows["reason"] == ""]
    if taken.empty:
        raise CohortError(_nothing_left(cohort, counts))
    table, plain = _keyed(taken, cohort=cohort, findings=findings, key=key)
    manifests.write(manifest, table, findings=findings)
    manifests.write_parquet(paths, plain, mode=files.PRIVATE)
    manifests.write_csv(refused, counts)
    manifests.write_csv(rejects, manifests.rejects(rows), mode=files.PRIVATE)
    log.info("%s: %d images of %d patients taken", cohort.id, len(table), table["patient_id"].nunique())
    for reason, count in counts.itertuples(index=False):
        log.info("%s: %d refused as %s. %s", cohort.id, count, reason, manifests.REMEDIES[reason])


def _keyed(
    taken: pd.DataFrame, *, cohort: config.Cohort, findings: Sequence[str], key: bytes
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The manifest and the plain paths, both in the order of the keyed image ids."""
    for kind in manifests.IDS:
        taken = taken.assign(**{f"{kind}_id": identity.keyed_ids(taken[kind], key=key, kind=kind)})
    taken = taken.assign(site=cohort.id).astype({"site": "str"}).sort_values("image_id", ignore_index=True)
    plain = taken.rename(columns={"file": "path", "patient": "source_patient", "study": "source_study"})
    columns = list(manifests.schema(findings).columns)
    return taken[columns], plain[["image_id", "path", "source_patient", "source_study"]]


def _nothing_left(cohort: config.Cohort, counts: pd.DataFrame) -> str:
    told = [f"{count} {reason}: {manifests.REMEDIES[reason]}" for reason, count in counts.itertuples(index=False)]
    return f"cohort {cohort.id}: no image is left to use. {' '.join(told)}"
