"""Ingest: a cohort's own tables in, one manifest with keyed ids out, and what was refused."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from privrad import config, files
from privrad.cohorts import (
    aiforcovid,
    chexpert,
    covid_cxr,
    identity,
    mimic_cxr_jpg,
    msd_pancreas,
    nih_cxr14,
    openi,
    padchest,
    panorama,
    pdac,
    rsna_pneumonia,
    same_scan,
    tuberculosis,
    uka_cxr,
    vindr_cxr,
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
    "chexpert": chexpert.read,
    "padchest": padchest.read,
    "vindr_cxr": vindr_cxr.read,
    "rsna_pneumonia": rsna_pneumonia.read,
    "openi": openi.read,
    "aiforcovid": aiforcovid.read,
    "shenzhen": tuberculosis.shenzhen,
    "montgomery": tuberculosis.montgomery,
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
    refused: Path,
    rejects: Path,
) -> None:
    """Read the cohort in `root` and write its manifest, and what was refused.

    `manifest` and `refused` hold keyed ids and counts only; `rejects` holds plain ids and file names.
    Raises CohortError, and writes nothing, when a table is unusable or no image is left.
    """
    rows = checked(read(cohort, findings=findings, root=root), cohort=cohort, root=root)
    counts = manifests.refused(rows)
    if (rows["reason"] != "").all():
        raise CohortError(_nothing_left(cohort, counts))
    table = _keyed(rows, cohort=cohort, key=key)[list(manifests.schema(findings).columns)]
    manifests.write(manifest, table, findings=findings)
    manifests.write_csv(refused, counts)
    manifests.write_csv(rejects, manifests.rejects(rows), mode=files.PRIVATE)
    log.info("%s: %d images of %d patients taken", cohort.id, len(table), table["patient_id"].nunique())
    for reason, count in counts.itertuples(index=False):
        log.info("%s: %d refused as %s. %s", cohort.id, count, reason, manifests.REMEDIES[reason])


def read(cohort: config.Cohort, *, findings: Sequence[str], root: Path) -> pd.DataFrame:
    """A row an image that the tables in `root` name, as the cohort's adapter reads it; `reason` says what it faults.

    Raises CohortError when a table is unusable.
    """
    if not root.is_dir():
        raise CohortError(f"cohort {cohort.id}: folder {root} is missing; correct cohorts.*.root in the study file")
    manifests.schema(findings)
    return ADAPTERS[cohort.layout](cohort, findings=findings, root=root)


def checked(rows: pd.DataFrame, *, cohort: config.Cohort, root: Path) -> pd.DataFrame:
    """The rows after all checks; `reason` says why one is refused, if it is."""
    scans = cohort.layout in LAYOUTS["ct"]
    rows = source.checked(rows, root=root, folders=scans)
    return same_scan.refused(rows, root=root) if scans else rows


def _keyed(rows: pd.DataFrame, *, cohort: config.Cohort, key: bytes) -> pd.DataFrame:
    """The rows that are taken, with keyed ids, in the order of the keyed image ids."""
    taken = rows[rows["reason"] == ""]
    for kind in manifests.IDS:
        taken = taken.assign(**{f"{kind}_id": identity.keyed_ids(taken[kind], key=key, kind=kind)})
    return taken.assign(site=cohort.id).astype({"site": "str"}).sort_values("image_id", ignore_index=True)


def _nothing_left(cohort: config.Cohort, counts: pd.DataFrame) -> str:
    told = [f"{count} {reason}: {manifests.REMEDIES[reason]}" for reason, count in counts.itertuples(index=False)]
    return f"cohort {cohort.id}: no image is left to use. {' '.join(told)}"
