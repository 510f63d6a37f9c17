"""Reporting checklists, filled in from the study where it knows, with blanks where only a human can answer.

Sources: Collins et al., TRIPOD+AI, BMJ 2024;385:e078378; Tejani et al., CLAIM 2024 Update, Radiol Artif Intell
2024;6(4):e240300.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files as resources
from typing import Any

import yaml

from privrad.report import markdown, modality, words
from privrad.report.account import Account
from privrad.report.answers import ANSWERS, Answer
from privrad.report.markdown import Paper, Raw
from privrad.report.tables import Table

CHECKLISTS = ("tripod_ai", "claim_2024")
WHOLE_PAGE = ("cards", "reproduce")
PAGE = "../../report.html"


@dataclass(frozen=True)
class Item:
    """One item: what every study `says`, what this one `answers` (by name), and what to `ask`, and `by` whom.

    In `says` and `ask`, {units} and other names of words of the modality stand for these words.
    """

    item: str
    part: str
    topic: str
    section: str = ""
    says: str = ""
    answers: tuple[str, ...] = ()
    by: str = ""
    ask: str = ""

    @property
    def answered(self) -> bool:
        """Whether the study answers it, wholly or in part."""
        return bool(self.says or self.answers)


@dataclass(frozen=True)
class Checklist:
    """A published checklist: its items in order, each topic in words of ours."""

    name: str
    file: str
    source: str
    address: str
    items: tuple[Item, ...]


@dataclass(frozen=True)
class Filled:
    """One item as the page shows it: the answers, and the line for a human, empty where none is needed."""

    item: Item
    answers: Sequence[Raw]
    blank: Raw


def read(name: str) -> Checklist:
    """One of CHECKLISTS."""
    text = (resources("privrad.report") / "checklists" / f"{name}.yaml").read_text(encoding="utf-8")
    held: dict[str, Any] = yaml.safe_load(text)
    items = [Item(**{**item, "answers": tuple(item.get("answers", ()))}) for item in held.pop("items")]
    return Checklist(**held, items=tuple(items))


def of(account: Account, *, study: str) -> list[Paper]:
    """The checklists of one experiment; `account` holds what may be shown and nothing more, `study` is its name."""
    lists = [read(name) for name in CHECKLISTS]
    return [
        Paper(f"{account.name}/checklists/{each.file}.md", f"{each.name}: {account.name}", fill(each, account, study))
        for each in lists
    ]


def fill(checklist: Checklist, account: Account, study: str) -> str:
    """A checklist as Markdown: each item with its place in the report, the study's answer, and the line for a human."""
    return markdown.fill(
        "checklist.md",
        {
            "checklist": checklist,
            "study": study,
            "account": account,
            "items": filled(checklist.items, account),
            "counts": [words.number(count) for count in counted(checklist.items)],
            "address": Raw(f"<{checklist.address}>"),
            "place": lambda item: place(item, account),
        },
    )


def filled(items: Sequence[Item], account: Account) -> list[Filled]:
    """The items with the study's answers; a table that stands in one already is pointed to."""
    made: list[Filled] = []
    first: dict[Raw, str] = {}
    terms = asdict(modality.of(account.experiment))
    for item in items:
        answers = [markdown.escape(item.says.format(**terms))] if item.says else []
        for answer in (answer for name in item.answers for answer in ANSWERS[name](account)):
            said = shown(answer)
            at = first.setdefault(said, item.item) if isinstance(answer, Table) else item.item
            answers += [said if at == item.item else markdown.escape(f"See item {at}.")] if said else []
        blank = markdown.blank(item.by, item.ask.format(**terms)) if item.ask else Raw()
        made.append(Filled(item, list(dict.fromkeys(answers)), blank))
    return made


def shown(answer: Answer) -> Raw:
    """An answer as Markdown; a table without rows is nothing."""
    if isinstance(answer, Table):
        return markdown.table(answer) if answer.rows else Raw()
    return markdown.text(answer)


def place(item: Item, account: Account) -> Raw:
    """A link to the section of the report where an item is answered."""
    anchor = item.section if item.section in WHOLE_PAGE else f"{account.name}-{item.section}"
    said = {"cards": "Model cards", "reproduce": "How to reproduce"}.get(item.section, item.section.capitalize())
    return Raw(f"[Report: {said}]({PAGE}#{anchor})")


def counted(items: Sequence[Item]) -> tuple[int, int, int]:
    """How many items the study answers, answers in part, and leaves to a human."""
    whole = sum(item.answered and not item.ask for item in items)
    part = sum(item.answered and bool(item.ask) for item in items)
    return whole, part, len(items) - whole - part
