"""The report: one page on what was trained on what, how accurate, how fair and how private it is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

from privrad import config, files, progress
from privrad.report import account, cards, checklist, figures, leaving, missed, modality, page
from privrad.report import published as publication

LEFT_OUT = "(left out)"
FOLDERS = ("root", "ledger")


def run(
    study: config.Study,
    *,
    study_file: Path,
    results: Path,
    private: Path,
    roots: Mapping[tuple[str, config.Role], Path],
    out: Path,
    internal: bool = False,
    published: Path | None = None,
) -> None:
    """Write the report of a study to `out`, one HTML file that needs nothing from outside.

    `results` and `private` are the study's folders, `roots` the folder of each cohort, by experiment and role; of these
    only cohorts whose pictures may leave are opened, for the sample pictures. Beside it, below `results`, come a card
    of each private model and the filled checklists. An `internal` report must stay in the hospital: it has exact
    counts, pictures of private cohorts and missed cases. `published` has the published results that an experiment with
    `compare` is held against. Same files, same bytes.
    Raises ReportError (a ValueError) when a result is missing or damaged.
    """
    experiments = progress.track(study.experiments.items(), what="report: experiments")
    parts, papers = [], []
    for name, experiment in experiments:
        read = account.read(name, experiment, results=results, private=private, roots=roots)
        cases = missed.of(read, predictions=results / name / "predict") if internal else ()
        beside = _beside(experiment, published)
        if beside and f"{name}/figures/published.csv" not in read.sources:
            raise account.ReportError(
                f"{results / name}/figures/published.csv is missing; make it with `snakemake figures`"
            )
        given = leaving.shown(read, internal=internal)
        drawn = results / name / "figures"
        parts.append(page.part(given, internal=internal, missed=cases, beside=beside, drawn=drawn))
        papers += [] if internal else [*cards.of(given, study=study.study), *checklist.of(given, study=study.study)]
    text = study_file.read_text(encoding="utf-8")
    written = page.render(
        study,
        parts=parts,
        named=_named(study_file),
        variables=_variables(text),
        study_text=text if internal else _without_roots(text, study),
        versions=page.versions_of(parts),
        internal=internal,
        links=[page.Link(paper.title, paper.path) for paper in papers],
    )
    for paper in papers:
        files.write_text(results / paper.path, paper.text)
    with files.atomic(out, mode=files.PRIVATE if internal else 0o644) as temporary:
        temporary.write_text(written, encoding="utf-8")


def figures_of(
    study: config.Study,
    *,
    results: Path,
    private: Path,
    roots: Mapping[tuple[str, config.Role], Path],
    published: Path | None = None,
    threads: int = 1,
) -> None:
    """Write the figures of every experiment, as they may leave, below its `figures/`; arguments as those of `run`.

    `threads` is how many are drawn at once.
    """
    for name, experiment in progress.track(study.experiments.items(), what="figures: experiments"):
        read = account.read(name, experiment, results=results, private=private, roots=roots)
        given, beside = leaving.shown(read, internal=False), _beside(experiment, published)
        out, further = {name: results / name / "figures"}, {name: [beside] if beside else []}
        units = modality.of(experiment).units
        figures.run({name: given.measured}, out=out, further=further, units=units, threads=threads)


def _beside(experiment: config.Experiment, published: Path | None) -> figures.Figured | None:
    """The figure of the published results that an experiment is held against, if it is."""
    if experiment.compare is None or published is None:
        return None
    return publication.figured(publication.read(published), dataset=experiment.compare)


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
    """The study file; where a cohort is private without the folders of this machine, and without remarks."""
    cohorts = [cohort for experiment in study.experiments.values() for cohort in experiment.roles.values()]
    if all(cohort.sensitivity != "private" for cohort in cohorts):
        return text
    study_node = yaml.compose(text)
    places = [(node.start_mark.index, node.end_mark.index) for node in _roots(study_node)] if study_node else []
    for start, end in sorted({*places, *_remarks(text)}, reverse=True):
        text = text[:start] + LEFT_OUT + text[end:]
    for folder in sorted({str(cohort.root) for cohort in cohorts if cohort.root}, key=len, reverse=True):
        text = text.replace(folder, LEFT_OUT)
    return text


def _remarks(text: str) -> list[tuple[int, int]]:
    """Where the remarks of a YAML text stand, behind their #: nobody wrote them for strangers."""
    scalars = []
    for token in yaml.scan(text):
        if isinstance(token, yaml.ScalarToken):
            start = token.start_mark.index
            block = token.style in ("|", ">")  # its first line is a header, which can have a remark
            scalars.append((text.index("\n", start) if block else start, token.end_mark.index))
    found: list[tuple[int, int]] = []
    for match in re.finditer(r"(?<!\S)#", text):
        start, end = match.end(), (text + "\n").index("\n", match.end())
        inside = any(first <= match.start() < last for first, last in scalars)
        if start < end and not inside and (not found or match.start() >= found[-1][1]):
            found.append((start, end))
    return found


def _roots(node: yaml.Node) -> Iterator[yaml.ScalarNode]:
    """The value of each key `root` or `ledger` below a node of the study file."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value in FOLDERS and isinstance(value, yaml.ScalarNode):
                yield value
            yield from _roots(value)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _roots(item)
