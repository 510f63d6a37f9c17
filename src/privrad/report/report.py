"""The report: one page on what was trained on what, how accurate, how fair and how private it is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from privrad import config, files, progress
from privrad.report import account, page


def run(
    study: config.Study,
    *,
    study_file: Path,
    results: Path,
    private: Path,
    roots: Mapping[tuple[str, config.Role], Path],
    out: Path,
) -> None:
    """Write the report of a study to `out`, one HTML file that needs nothing from outside.

    `results` and `private` are the study's folders, `roots` the folder of each cohort, by experiment and role; of these
    only cohorts that are public or drawn are opened, for the sample pictures. Same files, same bytes.
    Raises ReportError (a ValueError) when a result is missing or damaged.
    """
    experiments = progress.track(study.experiments.items(), what="report: experiments")
    parts = [
        page.part(account.read(name, experiment, results=results, private=private, roots=roots))
        for name, experiment in experiments
    ]
    text = _without_roots(study_file.read_text(encoding="utf-8"), study)
    versions = page.versions_of(parts)
    files.write_text(
        out, page.render(study, parts=parts, study_name=study_file.name, study_text=text, versions=versions)
    )


def _without_roots(text: str, study: config.Study) -> str:
    """The study file, without the folders of its cohorts where one of them is private."""
    cohorts = [cohort for experiment in study.experiments.values() for cohort in experiment.roles.values()]
    if all(cohort.sensitivity != "private" for cohort in cohorts):
        return text
    return re.sub(r"(\broot:\s*)[^\s,}#][^,}#\n]*", r"\1(left out)", text)
