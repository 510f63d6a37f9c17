"""Pages in Markdown: text is escaped unless it is said to be Markdown; numbers and tables are those of the report."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import jinja2
from markupsafe import Markup

from privrad.report import words
from privrad.report.number import Number, Piece, Said
from privrad.report.tables import Cell, Table, Text
from privrad.report.words import flat as flat

SPECIAL = re.compile(r"[\\`*_\[\]{}#|~$!@]|:(?=//)")
LISTED = re.compile(r"^(\d+(?=[.)](?: |$))|(?=[-+=](?:[-+= ]|$)))(.)")
ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
BLANK = "____"


class Raw(str):
    """Text that is Markdown already."""

    __slots__ = ()


@dataclass(frozen=True)
class Paper:
    """A page beside the report: its path below the study's results, its title, and its text."""

    path: str
    title: str
    text: str


def escape(text: str) -> Raw:
    """One line of plain text as Markdown that shows it: no markup, HTML, link, mention or list comes of it."""
    marked = SPECIAL.sub(r"\\\g<0>", flat(text))
    for letter, entity in ENTITIES.items():
        marked = marked.replace(letter, entity)
    marked = re.sub(r"\b(www)\.", r"\1\\.", marked, flags=re.IGNORECASE)
    return Raw(LISTED.sub(r"\1\\\2", marked))


def code(text: str) -> Raw:
    """One line set as code."""
    plain = flat(text)
    if not plain or set(plain) & set("`|"):
        return Raw(f"<code>{escape(plain)}</code>")
    return Raw(f"`{plain}`")


def block(text: str, language: str) -> Raw:
    """Several lines set as code."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return Raw(f"{fence}{language}\n{text.strip()}\n{fence}")


def blank(who: str, what: str = "") -> Raw:
    """A line that only a human can fill in."""
    asked = f" ({escape(what)})" if what else ""
    return Raw(f"*To be filled in by {escape(who)}{asked}:* {BLANK}")


def piece(given: object) -> Raw:
    """A piece of the report's text as Markdown.

    Raises TypeError for anything that is no text.
    """
    if isinstance(given, Raw):
        return given
    if isinstance(given, Number | Said):
        return escape(given.text)
    if isinstance(given, Markup):
        return escape(given.striptags())
    if isinstance(given, tuple):
        return text(given)
    if isinstance(given, str):
        left, right = " " * given.startswith(" "), " " * (given.endswith(" ") and bool(given.strip(" ")))
        return Raw(f"{left}{escape(given)}{right}")
    raise TypeError(f"{given!r} is a {type(given).__name__}, no text; say it in words first")


def text(pieces: Text) -> Raw:
    """Pieces of text one after the other, with the spaces between them."""
    return Raw("".join(map(piece, pieces)))


def table(held: Table, *, captioned: bool = True) -> Raw:
    """A table of the report, with its caption and source above it."""
    source = f" From {code(held.source)}." if held.source else ""
    above = f"{text(held.caption)}.{source}\n\n" if captioned else ""
    if not held.rows:
        return Raw(f"{above}None.")
    head = [str(text(cell.text)) for cell in held.head]
    lines: list[list[str]] = [head, ["---"] * len(head), *([_cell(cell) for cell in row] for row in held.rows)]
    return Raw(above + "\n".join(f"| {' | '.join(line)} |" for line in lines))


def _cell(cell: Cell) -> str:
    shown = code("".join(map(_plain, cell.text))) if cell.code else text(cell.text)
    marked = f"**{shown}**" if cell.marked else str(shown)
    return f"{marked} ({text(cell.under)})" if cell.under else marked


def _plain(given: Piece) -> str:
    return given.text if isinstance(given, Number | Said) else str(given)


def fill(template: str, facts: dict[str, Any]) -> str:
    """A template of the package filled in; whatever is not Raw is escaped.

    Raises TypeError where the template shows what is no text.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("privrad.report"),
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
        finalize=lambda given: Raw() if type(given) is jinja2.Undefined else piece(given),  # an `if` without `else`
    )
    environment.filters |= {"code": code, "table": table, "block": block, "listed": words.listed}
    environment.filters |= {"finding": words.finding, "sentence": words.sentence}
    environment.globals |= {"blank": blank}
    return re.sub(r"\n{3,}", "\n\n", environment.get_template(template).render(facts)).strip() + "\n"
