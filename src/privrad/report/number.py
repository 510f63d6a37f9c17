"""Numbers of the page, each with the place that it was read from.

A number stands in `<data class="n">`, whose text is what is shown. Five attributes say where it comes from and how it
is written. Each may stand on the number itself or on an element around it (cell, row, body of a table):

- `data-file`: a path below the study's results, or `study`: the study file as loaded, defaults filled in.
- `data-row`: the row of a CSV file, as `key=value` parts joined by `;`. In a value `%`, `;` and `=` are written `%25`,
  `%3B` and `%3D`; an empty value matches an empty cell. Where several rows match, the number is their sum.
- `data-column`: a column of that row; or, beginning with `/`, a JSON pointer into the file; or, beginning with
  `computed:`, a number that stands in no file but follows from some (see COMPUTED). The last two take no row.
- `data-form`: how it is written (see privrad.report.words.written).
- `data-kind`: `epsilon`, `suppressed` or `public` (see KINDS).

Of `data-file`, `data-column`, `data-form` and `data-kind` the nearest counts: the number's own, else that of the first
element around it that has one. The parts of `data-row` of the number and of all elements around it are joined; no key
comes twice. A `title` holds the number's file and nothing else.

Where the file has no value, or it may not be shown, the text is one of NOT_SHOWN, `<minimum` of a count, or `> bound`
or `< bound` of a rate. Digits that are no measured or configured number (names of groups and findings, citations,
constants of the text) stand in an element with `data-said`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from markupsafe import Markup, escape

from privrad.report import words

Kind = Literal["epsilon", "suppressed", "public"]
KINDS: Mapping[Kind, str] = {
    "epsilon": "depends on training patients through a private mechanism alone; its epsilon bounds what it gives away",
    "suppressed": "computed from patients without a guarantee of differential privacy; small counts are suppressed",
    "public": "a setting, a published constant, or computed from public or computer-drawn cohorts alone",
}
COMPUTED: Mapping[str, str] = {
    "found": "accepted images (split/<cohort>/balance.csv, column all), those refused at ingest (refused.csv), those "
    "taken out as copies (duplicates/<cohort>/removed.csv)",
    "prepared": "rows of all shards in prepare/<cohort>/, less the copies (duplicates/<cohort>/removed.csv)",
    "refused:<reason>": "the counts under `refused` in the metadata of all shards in prepare/<cohort>/",
    "composed_epsilon": "all private certificates in finetune/, composed as one privacy-loss distribution",
}
VALUES = ("value", "mean", "ours")
"""The number of a row that its others belong to: they are gone where it is hidden."""
NOT_SHOWN = (words.UNKNOWN, words.WITHHELD, words.TOO_FEW, words.DASH)
KEYS: Mapping[str, tuple[str, ...]] = {
    "metrics.csv": ("arm", "seed", "finding", "group_by", "group", "metric", "rule"),
    "differences.csv": ("arm", "reference", "seed", "finding", "group_by", "group", "metric"),
    "significance.csv": ("arm", "reference", "seed", "finding"),
    "fairness.csv": ("arm", "seed", "finding", "group_by", "group", "metric", "rule"),
    "thresholds.csv": ("arm", "seed", "finding", "rule"),
    "validation.csv": ("arm", "reference", "seed"),
    "seeds.csv": ("arm", "finding", "metric"),
    "correlations.csv": ("statistic", "arm"),
    "published.csv": ("metric", "epsilon", "group"),
    "balance.csv": ("split", "column", "value"),
    "refused.csv": ("reason",),
    "removed.csv": ("reason",),
    "counts.csv": ("kind", "where", "action"),
}
ESCAPED = str.maketrans({"%": "%25", ";": "%3B", "=": "%3D"})
Row = frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Around:
    """What the elements around a number say already."""

    file: str = ""
    form: str = ""
    kind: str = ""
    row: Row = frozenset()


NOTHING = Around()


@dataclass(frozen=True)
class Number:
    """One number as the page shows it."""

    text: str
    file: str
    column: str
    row: Row = frozenset()
    form: str = "number"
    kind: Kind = "public"

    @property
    def takes_row(self) -> bool:
        """Whether its column belongs to a row of a CSV file."""
        return not self.column.startswith(("/", "computed:"))

    def html(self, around: Around = NOTHING) -> Markup:
        """The element, without what the elements `around` it say."""
        own = attributes(Around(self.file, self.form, self.kind, self.row), around=around)
        return Markup(f'<data class="n"{own} data-column="{escape(self.column)}">{escape(self.text)}</data>')

    def __html__(self) -> Markup:
        return self.html()


@dataclass(frozen=True)
class Said:
    """Text whose digits are none of the study's numbers, such as "30 to 59 years"."""

    text: str

    def __html__(self) -> Markup:
        return Markup("<span data-said>{}</span>").format(self.text)


Piece = str | Number | Said | Markup


def said(text: str) -> Piece:
    """Text from data or of the page: marked where it has digits."""
    return Said(text) if any(letter.isdigit() for letter in text) else text


def joined(pieces: Iterable[Piece], around: Around = NOTHING) -> Markup:
    """Pieces of text one after the other."""
    return Markup("").join(piece.html(around) if isinstance(piece, Number) else escape(piece) for piece in pieces)


def shared(numbers: Sequence[Number], *, around: Around = NOTHING) -> Around:
    """What an element around `numbers` can say for them: the most frequent file, form and kind, and all common keys."""
    if len(numbers) < 2:
        return around
    file, form, kind = (
        Counter(getattr(number, name) for number in numbers).most_common(1)[0][0] for name in ("file", "form", "kind")
    )
    rows = [number.row for number in numbers if number.takes_row]
    return Around(file, form, kind, frozenset.intersection(*rows) if rows else around.row)


def attributes(own: Around, *, around: Around) -> Markup:
    """The attributes of an element that says `own`, but for what the elements `around` it say."""
    parts = []
    if own.file != around.file:
        parts += [("data-file", own.file), ("title", own.file)]
    if own.form != around.form:
        parts.append(("data-form", own.form))
    if own.kind != around.kind:
        parts.append(("data-kind", own.kind))
    if keys := sorted(own.row - around.row):
        parts.append(("data-row", ";".join(f"{key}={value.translate(ESCAPED)}" for key, value in keys)))
    return Markup("".join(f' {name}="{escape(value)}"' for name, value in parts))


def row_of(table: str, facts: Mapping[Any, Any]) -> Row:
    """The keys of one row of a CSV file."""
    return frozenset((key, words.plain(facts[key])) for key in KEYS[table] if key in facts)


def of_table(
    folder: str, table: str, facts: Mapping[Any, Any], column: str, *, form: str, kind: Kind, missing: str = words.DASH
) -> Number:
    """A number of a table as it may be shown; `facts` is its row, with the text column where it has one."""
    value = facts.get(column)
    text = hidden(facts, column) or (missing if words.absent(value) else words.written(value, form=form))
    return Number(text, f"{folder}/{table}", column, row_of(table, facts), form, kind)


def hidden(facts: Mapping[Any, Any], column: str) -> str:
    """The text in place of a number that is hidden, itself or gone with its row's; "" where none is.

    What goes with a rate of which a bound is shown has no bound of its own: it is withheld.
    """
    if f"{column}_shown" in facts:
        return str(facts[f"{column}_shown"] or "")
    if not words.absent(facts.get(column)):
        return ""
    text = next(filter(None, (str(facts.get(f"{name}_shown") or "") for name in VALUES)), "")
    return text if text in ("", words.TOO_FEW) else words.WITHHELD


def of_json(file: str, pointer: Sequence[object], value: object, *, form: str = "number", kind: Kind) -> Number:
    """A number of a JSON file, or of the study file, by the keys and places that lead to it."""
    path = "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in pointer)
    return Number(words.written(value, form=form), file, path, form=form, kind=kind)
