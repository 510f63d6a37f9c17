"""One cohort as its tables and its folder give it now: rows, refusals and the split that would follow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from privrad import config
from privrad.cohorts import identity, ingest
from privrad.cohorts import split as splits
from privrad.cohorts.tables import CohortError


@dataclass(frozen=True)
class Seen:
    """A cohort of one experiment.

    `rows` has a row an image that its tables name, with `reason` where it is refused; `taken` those that are not, with
    the keyed `patient_id` that ingest will give them. `parts` is the part of each keyed patient, or None where there is
    no split, of which `unsplit` says why.
    """

    name: str
    role: config.Role
    experiment: config.Experiment
    cohort: config.Cohort
    root: Path
    rows: pd.DataFrame
    taken: pd.DataFrame
    parts: pd.Series | None
    unsplit: str

    @property
    def key(self) -> str:
        """What the page calls it by, in links."""
        return f"{self.name}-{self.role}"

    @property
    def findings(self) -> list[str]:
        """The findings of the experiment, in order."""
        return list(self.experiment.findings)

    @property
    def scans(self) -> bool:
        """Whether its images are CT scans."""
        return self.experiment.modality == "ct"

    @property
    def units(self) -> str:
        """What one of its images is called, in the plural."""
        return "scans" if self.scans else "radiographs"


def read(name: str, role: config.Role, experiment: config.Experiment, *, root: Path, key: bytes) -> Seen:
    """Read the tables of a cohort and look for its files, as ingest does; no image is opened, nothing is written.

    Raises CohortError when a table is unusable.
    """
    cohort = experiment.roles[role]
    rows = ingest.checked(ingest.read(cohort, findings=experiment.findings, root=root), cohort=cohort, root=root)
    taken = rows[rows["reason"] == ""].reset_index(drop=True)
    taken = taken.assign(patient_id=identity.keyed_ids(taken["patient"], key=key, kind="patient"))
    parts, unsplit = _parts(taken, getattr(experiment.split, role), key=key)
    return Seen(name, role, experiment, cohort, root, rows, taken, parts, unsplit)


def _parts(taken: pd.DataFrame, split: config.Split, *, key: bytes) -> tuple[pd.Series | None, str]:
    if taken.empty:
        return None, "no image is left to split"
    distinct = taken["patient_id"].drop_duplicates()
    numbers = [identity.fraction(key, "split", patient) for patient in distinct]
    fractions = pd.Series(numbers, index=distinct, dtype="float64")
    if split.by == "hash":
        return splits.by_hash(fractions, split), ""
    try:
        return splits.by_table(taken, fractions, split), ""
    except CohortError as error:
        return None, str(error)
