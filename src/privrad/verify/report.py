"""What a report's page says, held against the files that its numbers name.

The page is taken as its text stands in the HTML, without a browser. Elements with `data-column` are numbers; what they
inherit from elements around them is written in docs/verify.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

from privrad import config, files
from privrad.verify import shown, sources
from privrad.verify.check import Check
from privrad.verify.read import VerifyError
from privrad.verify.sources import STUDY, Sources

PAGE = "report.html"
FREE = frozenset(("svg", "code", "pre", "script", "style", "title", "head"))
"""Elements whose digits are none of the study's numbers: drawings, names, the study file, and what is not shown."""
VOID = frozenset(("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"))
NEAREST = ("data-file", "data-column", "data-form", "data-kind")
SPOKEN = frozenset(("title", "aria-label", "aria-description", "alt", "placeholder", "value", "aria-valuetext"))
NUMERAL = re.compile(r"\d+(?:[.,]\d+)*")
DIGEST = re.compile(r"[0-9a-f]{64}")
LEFT_OUT = "(left out)"
MOST_LOOSE = 20
PRINTED = frozenset(("epsilon", "theirs", "theirs_sd"))
"""What figures/published.csv repeats of a publication, whose rows say nothing of the study's own patients."""


@dataclass
class _Element:
    """An open element: what numbers in it inherit, and its text when it is a number, a cell or code."""

    tag: str
    said: Mapping[str, str]
    row: str
    own: Mapping[str, str]
    line: int
    text: list[str] = field(default_factory=list)
    codes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Number:
    """A number of the page: its text and the place that it names."""

    text: str
    file: str
    row: str
    column: str
    form: str
    kind: str
    line: int


@dataclass(frozen=True)
class Loose:
    """Text with digits that names no place."""

    text: str
    line: int


class Page(HTMLParser):
    """The numbers of a page, its loose digits, the files that it names with their hashes, and its preformatted text."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.numbers: list[Number] = []
        self.loose: list[Loose] = []
        self.spoken: list[Loose] = []
        self.said: set[str] = set()
        self.hashes: dict[str, str] = {}
        self.unhashed: set[str] = set()
        self.preformatted: list[str] = []
        self._open: list[_Element] = []
        self.feed(text)
        self.close()
        while self._open:
            self._leave()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        own = {name: value or "" for name, value in attrs}
        around = self._open[-1] if self._open else None
        said = {**(around.said if around else {}), **{name: own[name] for name in NEAREST if name in own}}
        row = ";".join(filter(None, [around.row if around else "", own.get("data-row", "")]))
        element = _Element(tag, said, row, own, self.getpos()[0])
        self._told(own, element)
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self._leave()

    def handle_endtag(self, tag: str) -> None:
        if any(element.tag == tag for element in self._open):
            while self._leave() != tag:
                pass

    def handle_data(self, data: str) -> None:
        for element in self._open:
            if element.tag in ("code", "pre") or _numbers(element):
                element.text.append(data)
        if any("data-said" in each.own for each in self._open):
            self.said.update(NUMERAL.findall(data))
        covered = any(_numbers(each) or each.tag in FREE or "data-said" in each.own for each in self._open)
        if not covered and any(map(str.isnumeric, data)):
            self.loose.append(Loose(" ".join(data.split()), self.getpos()[0]))

    def _told(self, own: Mapping[str, str], element: _Element) -> None:
        free = element.tag in FREE or any(each.tag in FREE for each in self._open)
        covered = free or "data-said" in own or any("data-said" in each.own for each in self._open)
        if not covered and element.tag != "meta":
            told = (own[name] for name in SPOKEN & own.keys() if own[name] not in (element.said.get("data-file"),))
            self.spoken += [Loose(text, element.line) for text in told if NUMERAL.search(text)]

    def _leave(self) -> str:
        element = self._open.pop()
        text = "".join(element.text)
        if _numbers(element):
            names = (element.said.get(name, "") for name in NEAREST)
            file, column, form, kind = names
            self.numbers.append(Number(text.strip(), file, element.row, column, form, kind, element.line))
        if element.tag == "pre":
            self.preformatted.append(text)
        if element.tag == "code":
            row = next((each for each in reversed(self._open) if each.tag == "tr"), None)
            if row is not None:
                row.codes.append(text.strip())
        if element.tag == "tr" and len(element.codes) == 2:
            if DIGEST.fullmatch(element.codes[1]):
                self.hashes[element.codes[0]] = element.codes[1]
            elif element.codes[1] == "withheld":
                self.unhashed.add(element.codes[0])
        return element.tag


def checks(
    results: Path, *, page: Path, name: str, study: config.Study | None, study_text: str = ""
) -> Iterator[Check]:
    """Every check of one page of a study; `name` is how the page is told.

    Each number is looked up, written again and compared; digits that name no place are faults, and so are files whose
    hash is not the one stated, or that numbers name and the page has no hash of.
    """
    try:
        read = Page(page.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        yield Check(what="a page", file=name, said=None, found=str(error), holds=False)
        return
    held = Sources(results, study=study)
    holding = 0
    for number in read.numbers:
        fault = _number(number, held)
        holding += fault is None
        if fault is not None:
            what = f"line {number.line}, {number.column} of {number.file} {number.row}".strip()
            yield Check(what=what, file=name, said=number.text, found=fault, holds=False)
    if holding:
        yield Check(what="numbers", file=name, said=holding, found=holding, holds=True, count=holding)
    yield from _digits(read, name=name)
    yield from _files(read, held, name=name)
    if study_text:
        yield _study(read, study_text, name=name)


def _numbers(element: _Element) -> bool:
    return "data-column" in element.own or element.tag == "data"


def _number(number: Number, held: Sources) -> str | None:
    """What is found where a number is not as it says; None where it is."""
    try:
        row = sources.parts(number.row)
        if number.column.startswith(("/", sources.COMPUTED)):
            row = []
        value = held.value(file=number.file, row=row, column=number.column, form=number.form)
        silent = value in shown.HIDDEN or shown.absent(value)
        expected = (value or shown.DASH) if silent else shown.written(value, form=number.form)
        kind = _kind(number, held)
        if kind is not None and number.kind != kind:
            return f"kind {kind}, not {number.kind}"
    except (VerifyError, ValueError, TypeError, LookupError) as error:
        return str(error)
    if number.text == expected:
        return None
    few = held.minimum(number.file)
    if shown.stands_for(number.text, value, form=number.form, minimum=few, hides=held.hides(number.file)):
        return None
    return expected


def _kind(number: Number, held: Sources) -> str | None:
    """What protects a number: `epsilon`, `suppressed` or `public`; None where the study is not known."""
    if number.file == STUDY:
        return "public"
    hides = held.hides(number.file)
    if hides is None:
        return None
    in_plan = "finetune" in Path(number.file).parts[1:2] and number.column != "/model/weights_sha256"
    printed = Path(number.file).parts[1:] == ("figures", "published.csv") and number.column in PRINTED
    if not hides or in_plan or printed or "pretrain" in Path(number.file).parts[1:2]:
        return "public"
    if "finetune" in Path(number.file).parts[1:2]:
        protected = Path(number.file).parts[2] not in ("eps-inf", "eps-inf-matched")
        return "epsilon" if protected else "suppressed"
    return "suppressed"


def _digits(read: Page, *, name: str) -> Iterator[Check]:
    """Every digit of the text stands in a number, or where it can be none; what attributes say stands there, too."""
    for loose in read.loose[:MOST_LOOSE]:
        yield Check(what=f"line {loose.line}, digits", file=name, said=loose.text, found="no file named", holds=False)
    seen = read.said | {numeral for number in read.numbers for numeral in NUMERAL.findall(number.text)}
    for spoken in read.spoken:
        unseen = [numeral for numeral in NUMERAL.findall(spoken.text) if numeral not in seen]
        if unseen:
            found = f"{', '.join(unseen)} nowhere in the text"
            yield Check(what=f"line {spoken.line}, an attribute", file=name, said=spoken.text, found=found, holds=False)
    if not read.loose:
        yield Check(what="digits outside of numbers", file=name, said=0, found=0, holds=True)


def _files(read: Page, held: Sources, *, name: str) -> Iterator[Check]:
    """The files are those whose hashes the page states; it states that of each file that a number names.

    Of a file that holds facts about private patients it states none: hidden counts could be tried out against it.
    """
    for file, digest in read.hashes.items():
        try:
            found = files.sha256(held.path(file))
        except (VerifyError, OSError) as error:
            found = str(error)
        found = "a hash that has to be withheld" if _of_patients(file, held) else found
        yield Check(what=f"SHA-256 of {file}", file=name, said=digest, found=found, holds=digest == found)
    named = {number.file for number in read.numbers if not number.column.startswith(sources.COMPUTED)} - {STUDY, ""}
    withheld = {file for file in read.unhashed if _of_patients(file, held) is not False}
    for file in sorted(named - read.hashes.keys() - withheld):
        yield Check(what=f"SHA-256 of {file}", file=name, said=None, found="a file that numbers name", holds=False)


def _of_patients(file: str, held: Sources) -> bool | None:
    """Whether a file holds facts about patients of a private cohort; None where the study is not known."""
    path = Path(file)
    keyed = path.name == "certificate.json" or "pretrain" in path.parts[1:2] or "public" in path.parts[2:3]
    hides = held.hides(file)
    return None if hides is None else hides and not keyed


def _study(read: Page, study_text: str, *, name: str) -> Check:
    """The study file stands in the page as it is, but for folders of private cohorts."""
    lines = study_text.strip().splitlines()
    for text in read.preformatted:
        said = text.strip().splitlines()
        if len(said) == len(lines) and all(a == b or LEFT_OUT in a for a, b in zip(said, lines, strict=True)):
            return Check(what="the study file", file=name, said="as it is", found="as it is", holds=True)
    return Check(what="the study file", file=name, said="another", found="not that in the page", holds=False)
