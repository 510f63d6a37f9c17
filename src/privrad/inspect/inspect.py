"""Inspect: one page on the cohorts of a study before any training, for the house alone."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

from privrad import config, files
from privrad.cohorts import identity
from privrad.cohorts.tables import CohortError
from privrad.inspect import copies, page
from privrad.inspect.page import CohortPart, Whole
from privrad.inspect.seen import Seen, read

MOST_SAMPLES = 500
SHARED = Path("results")
log = logging.getLogger("privrad")


class UndrawnError(CohortError):
    """A drawn cohort that is not drawn yet."""


def run(
    study: config.Study,
    *,
    study_file: Path,
    experiments: Mapping[str, config.Experiment],
    samples: int,
    results: Path,
    keys: Path,
    sheets: Path,
    out: Path,
) -> int:
    """Write the page on the cohorts of these experiments to `out`; 0, or 1 where a cohort could not be read.

    `results` is the study's results folder, with drawn cohorts and near copies, `keys` the folder of the hospital's
    key, which is made there as ingest does, `sheets` that of the datasheets. At most `samples` pictures of each cohort
    are shown. Raises ValueError, and writes nothing, when no cohort can be shown, `samples` is out of bounds, or `out`
    lies in the folder of results, which is made to be passed on.
    """
    _check(samples, out)
    shown: list[Seen] = []
    faults: list[CohortError] = []
    built: list[CohortPart] = []
    for name, role, experiment in _roles(experiments):
        cohort, near = experiment.roles[role], results / name / "duplicates" / role / "counts.csv"
        root = cohort.root or results / name / "phantom" / role
        try:
            if cohort.root is None and not root.is_dir():
                raise UndrawnError(f"cohort {cohort.id} is not drawn yet; draw it with: {_command(root, study_file)}")
            key = identity.key_for(cohort.sensitivity, seed=study.seed, folder=keys)
            seen = read(name, role, experiment, root=root, key=key)
            made_by = _command(near, study_file)
            part = page.part(seen, sheets=sheets, pictures=samples, near=near, made_by=made_by)
        except CohortError as error:
            faults.append(error)
            built.append(page.absent(name, role, cohort, sheets=sheets, said=str(error)))
        else:
            shown.append(seen)
            built.append(part)
    if not shown:
        raise faults[0]
    text = page.render(study.study, cohorts=built, whole=_whole(shown), study_file=study_file)
    with files.atomic(out, mode=files.PRIVATE) as temporary:
        temporary.write_text(text, encoding="utf-8")
    for fault in faults:
        log.warning("%s", fault)
    log.info("inspect: %s; it must not leave the house", out)
    return int(any(not isinstance(fault, UndrawnError) for fault in faults))


def _check(samples: int, out: Path) -> None:
    if not 0 <= samples <= MOST_SAMPLES:
        raise ValueError(f"--samples {samples} must be 0 to {MOST_SAMPLES} pictures of a cohort")
    if out.resolve().is_relative_to(SHARED.resolve()):
        raise ValueError(
            f"--out {out}: the page has pictures of patients and must not lie in {SHARED}/; give another place"
        )


def _roles(experiments: Mapping[str, config.Experiment]) -> Iterator[tuple[str, config.Role, config.Experiment]]:
    """Each cohort, the public one of an experiment first."""
    for name, experiment in experiments.items():
        for role in sorted(experiment.roles, reverse=True):
            yield name, role, experiment


def _command(target: Path, study_file: Path) -> str:
    """The command that makes a file of the workflow."""
    chosen = "" if study_file == Path("config.yaml") else f" --configfile {shlex.quote(str(study_file))}"
    return f"snakemake --cores all{chosen} {target}"


def _whole(shown: list[Seen]) -> Whole:
    found = copies.of(shown)
    shared = copies.shared(shown)
    examples = copies.examples(found)
    return Whole(
        warnings=[*copies.told(found), *(said for said, wrong in shared if wrong)],
        remarks=[said for said, wrong in shared if not wrong],
        tables=[copies.table(found), *([examples] if examples else [])],
    )
