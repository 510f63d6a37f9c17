"""Reads a report as a stranger would: its numbers with the places they say they come from, and what else has digits."""

from __future__ import annotations

import json
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pandas as pd

from privrad import config
from privrad.imaging import shards
from privrad.report import words

VOID = frozenset(("meta", "img", "input", "br", "link", "hr"))
SILENT = frozenset(("svg", "code", "pre", "script", "style", "title"))
NAMES = ("file", "row", "column", "form", "kind")


@dataclass(frozen=True)
class Shown:
    """One number: its text and, taken over from the elements around it, where it comes from."""

    text: str
    file: str
    row: dict[str, str]
    column: str
    form: str
    kind: str


class Page(HTMLParser):
    """`numbers` of a page, and `bare` text with digits that is neither a number nor said to be none."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.numbers: list[Shown] = []
        self.bare: list[str] = []
        self.around: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.feed(page)
        assert self.around == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.around.append((tag, {name: value or "" for name, value in attrs}))
        self.text = "" if tag == "data" else self.text

    def handle_data(self, data: str) -> None:
        self.text += data
        kept = any(tag in SILENT or tag == "data" or "data-said" in held for tag, held in self.around)
        if any(letter.isdigit() for letter in data) and not kept:
            self.bare.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        if tag == "data":
            self.numbers.append(self._number())
        assert self.around.pop()[0] == tag

    def _number(self) -> Shown:
        held = [facts for _, facts in self.around]
        nearest = {
            name: next((facts[f"data-{name}"] for facts in held[::-1] if f"data-{name}" in facts), "") for name in NAMES
        }
        parts = [part for facts in held for part in facts.get("data-row", "").split(";") if part]
        row = {key: unquote(value) for key, value in (part.split("=") for part in parts)}
        assert len(row) == len(parts)
        pointed = nearest["column"].startswith(("/", "computed:"))
        return Shown(self.text, nearest["file"], {} if pointed else row, *(nearest[name] for name in NAMES[2:]))


class Files:
    """Looks numbers up in the files of a study."""

    def __init__(self, results: Path, study: config.Study) -> None:
        self.results = results
        self.study = study.model_dump(mode="json")
        self.tables: dict[str, pd.DataFrame] = {}
        self.places: dict[tuple[str, ...], dict[tuple[str, ...], list[int]]] = {}

    def written(self, number: Shown) -> str:
        """How the number of the file is written; nothing where the file has none."""
        value = self.value(number)
        return "" if words.absent(value) else words.written(value, form=number.form)

    def value(self, number: Shown) -> Any:
        """The number in its file."""
        if number.column.startswith("/"):
            return self._pointed(number)
        if number.column.startswith("computed:"):
            return self._computed(number)
        if number.file not in self.tables:
            self.tables[number.file] = pd.read_csv(self.results / number.file, dtype=str, keep_default_na=False)
        table = self.tables[number.file]
        rows = self._rows(number, table)
        assert len(rows), number
        held = [float(value) for value in table[number.column].iloc[rows] if value]
        return None if not held else held[0] if len(rows) == 1 else sum(held)

    def _rows(self, number: Shown, table: pd.DataFrame) -> list[int]:
        """The rows of its table that have the number's keys; they are found once for all numbers with these columns."""
        columns = sorted(number.row)
        at = (number.file, *columns)
        if at not in self.places:
            self.places[at] = {}
            for place, key in enumerate(zip(*(table[column] for column in columns), strict=True)):
                self.places[at].setdefault(key, []).append(place)
        return self.places[at].get(tuple(number.row[column] for column in columns), [])

    def _pointed(self, number: Shown) -> Any:
        value: Any = self.study
        if number.file != "study":
            value = json.loads((self.results / number.file).read_text(encoding="utf-8"))
        for part in number.column.split("/")[1:]:
            part = part.replace("~1", "/").replace("~0", "~")
            value = value[int(part)] if isinstance(value, list) else value[part] if value is not None else None
        return value

    def _computed(self, number: Shown) -> Any:
        folder, what = self.results / number.file, number.column.removeprefix("computed:")
        experiment, step, role = (*number.file.split("/"), "")[:3]
        copies = pd.read_csv(self.results / experiment / "duplicates" / role / "removed.csv")["count"].sum()
        if step == "prepare":
            prepared = shards.open_shards(sorted(folder.glob("*.safetensors")))
            return len(prepared) - copies if what == "prepared" else prepared.refused[what.removeprefix("refused:")]
        assert what == "found"
        balance = pd.read_csv(self.results / experiment / "split" / role / "balance.csv")
        refused = pd.read_csv(folder / "refused.csv")
        return int(balance.loc[balance["column"] == "all", "images"].sum() + refused["count"].sum() + copies)
