"""The report: one page on what was trained on what, how accurate, how fair and how private it is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

from privrad import config, files, progress
from privrad.report import account, page

LEFT_OUT = "(left out)"


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
    text = study_file.read_text(encoding="utf-8")
    written = page.render(
        study,
        parts=parts,
        named=_named(study_file),
        variables=_variables(text),
        study_text=_without_roots(text, study),
        versions=page.versions_of(parts),
    )
    files.write_text(out, written)


def _named(study_file: Path) -> str:
    """The study file's path where it lies below the working folder, else its name: the rest is this machine's."""
    outside = study_file.is_absolute() or ".." in study_file.parts
    return study_file.name if outside else study_file.as_posix()


def _variables(text: str) -> list[str]:
    """The names of the environment variables that the roots in a study file need, such as NAME for ${NAME}."""
    study_node = yaml.compose(text)
    roots = [str(node.value) for node in _roots(study_node)] if study_node else []
    return list(dict.fromkeys(name for root in roots for name in re.findall(r"\$\{(\w+)\}", root)))


def _without_roots(text: str, study: config.Study) -> str:
    """The study file, without the folders of its cohorts where one of them is private."""
    cohorts = [cohort for experiment in study.experiments.values() for cohort in experiment.roles.values()]
    if all(cohort.sensitivity != "private" for cohort in cohorts):
        return text
    study_node = yaml.compose(text)
    roots = [(node.start_mark.index, node.end_mark.index) for node in _roots(study_node)] if study_node else []
    for start, end in sorted(set(roots), reverse=True):
        text = text[:start] + LEFT_OUT + text[end:]
    for folder in sorted({str(cohort.root) for cohort in cohorts if cohort.root}, key=len, reverse=True):
        text = text.replace(folder, LEFT_OUT)
    return text


def _roots(node: yaml.Node) -> Iterator[yaml.ScalarNode]:
    """The value of each key `root` below a node of the study file."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == "root" and isinstance(value, yaml.ScalarNode):
                yield value
            yield from _roots(value)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _roots(item)
