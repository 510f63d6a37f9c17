"""Tables of the page: what they are made of, how they are written, and those of data, trainings and files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from privrad.report import modality, number, words
from privrad.report.account import Account, CohortAccount, Model
from privrad.report.number import NOTHING, Around, Number, Piece, Row

PARTS = ("train", "validation", "test")
Text = tuple[Piece, ...]


@dataclass(frozen=True)
class Cell:
    """What stands in one place of a table, with a smaller second line; code is set as such, what is marked in bold."""

    text: Text
    under: Text = ()
    code: bool = False
    marked: bool = False

    @property
    def numbers(self) -> tuple[Number, ...]:
        """Its numbers, in order."""
        return tuple(piece for piece in (*self.text, *self.under) if isinstance(piece, Number))


@dataclass(frozen=True)
class Table:
    """A table: the first cell of a row names it; `source` is the file that the numbers come from."""

    caption: Text
    head: tuple[Cell, ...]
    rows: tuple[tuple[Cell, ...], ...]
    source: str = ""
    numeric: bool = True

    @property
    def body(self) -> Markup:
        """The body of the table, each element saying what the numbers in it have in common."""
        of_body = number.shared([held for row in self.rows for cell in row for held in cell.numbers])
        rows = Markup("\n").join(_row(row, around=of_body) for row in self.rows)
        return Markup("<tbody{}>\n{}\n</tbody>").format(number.attributes(of_body, around=NOTHING), rows)


Given = Piece | Text | Cell


def table(
    caption: Piece | Text,
    head: Sequence[Given],
    rows: Iterable[Sequence[Given]],
    *,
    source: str = "",
    numeric: bool = True,
) -> Table:
    """A table of pieces of text and of cells."""
    cells = tuple(tuple(map(cell, row)) for row in rows)
    return Table(_text(caption), tuple(map(cell, head)), cells, source, numeric)


def cell(given: Given) -> Cell:
    """A piece of text as a cell."""
    return given if isinstance(given, Cell) else Cell(_text(given))


def _text(given: Piece | Text) -> Text:
    pieces = given if isinstance(given, tuple) else (given,)
    return tuple(number.said(piece) if type(piece) is str else piece for piece in pieces)


def _row(row: Sequence[Cell], *, around: Around) -> Markup:
    of_row = number.shared([held for cell in row for held in cell.numbers], around=around)
    cells = Markup("").join(_cell(cell, first=not place, around=of_row) for place, cell in enumerate(row))
    return Markup(f"<tr{number.attributes(of_row, around=around)}>{cells}</tr>")


def _cell(cell: Cell, *, first: bool, around: Around) -> Markup:
    of_cell = number.shared(cell.numbers, around=around)
    text, under = (str(number.joined(pieces, of_cell)) for pieces in (cell.text, cell.under))
    text = f"<code>{text}</code>" if cell.code else text
    under = f"<small>{under}</small>" if under else under
    opening = 'th scope="row"' if first else 'td class="marked"' if cell.marked else "td"
    said = number.attributes(of_cell, around=around)
    return Markup(f"<{opening}{said}>{text}{under}</{opening[:2]}>")


def arm(account: Account, model: Model | str, *, short: bool = False) -> Text:
    """An arm, and its seed where there are several, in words; its epsilon leads to the study file."""
    name = model if isinstance(model, str) else model.arm.name
    found = account.experiment.arms[name]
    seeds = account.experiment.seeds
    seeded: Text = ()
    if isinstance(model, Model) and len(seeds) > 1:
        seeded = (", seed ", _setting(account, ("seeds", seeds.index(model.seed)), model.seed))
    if found.recipe == "matched":
        return ((f"ε{words.NBSP}=", words.NBSP, "∞, matched") if short else ("no privacy, matched recipe",)) + seeded
    if found.recipe == "without_privacy":
        return ((f"ε{words.NBSP}={words.NBSP}∞",) if short else (f"no privacy (ε{words.NBSP}={words.NBSP}∞)",)) + seeded
    if found.recipe == "none":
        zero: Text = (f"ε{words.NBSP}={words.NBSP}", number.Said("0"))
        return zero if short else ("not fine-tuned (", *zero, ")")
    place = account.experiment.budgets.index(found.epsilon)
    return (f"ε{words.NBSP}={words.NBSP}", _setting(account, ("budgets", place), found.epsilon), *seeded)


def _setting(account: Account, pointer: Sequence[object], value: object, form: str = "number") -> Number:
    return setting(account.name, pointer, value, form=form)


def setting(experiment: str, pointer: Sequence[object], value: object, *, form: str = "number") -> Number:
    """A number of the study file, below one experiment."""
    return number.of_json("study", ("experiments", experiment, *pointer), value, form=form, kind="public")


def split(cohort: CohortAccount, *, account: Account) -> Table:
    """Images and patients of each part of one cohort, in all, by sex, by age and positive for each finding."""
    balance = cohort.balance
    filled = balance.groupby(["column", "value"], sort=False)["images"].transform("max") != 0
    known = filled & ~balance["value"].isin(words.UNNAMED)
    filled &= known.groupby(balance["column"]).transform("any")
    held = {(row["split"], row["column"], row["value"]): row for row in balance.to_dict("records")}
    rows: list[list[Given]] = []
    for column, value in dict.fromkeys(zip(balance["column"][filled], balance["value"][filled], strict=True)):
        found = [(held.get((name, column, value)), kind) for name in PARTS for kind in ("patients", "images")]
        rows.append([_named(str(column), str(value)), *(_counted(account, cohort, row, kind) for row, kind in found)])
    kinds = ("patients", modality.of(account.experiment).units)
    head = ["Group", *(f"{part}: {kind}" for part in PARTS for kind in kinds)]
    caption = f"The {cohort.role} cohort by part of the split"
    return table(caption, head, rows, source=f"{account.name}/split/{cohort.role}/balance.csv")


def kind_of(cohort: CohortAccount) -> number.Kind:
    """What protects a count of a cohort."""
    return "suppressed" if cohort.declared.sensitivity == "private" else "public"


def _counted(account: Account, cohort: CohortAccount, row: dict[object, object] | None, column: str) -> Piece:
    if row is None:
        return words.DASH
    folder = f"{account.name}/split/{cohort.role}"
    return number.of_table(
        folder, "balance.csv", row, column, form="count", kind=kind_of(cohort), missing=words.WITHHELD
    )


def _named(column: str, value: str) -> Piece:
    if column == "all":
        return "all"
    if column in ("sex", "age"):
        return number.said(f"{column}: {words.group(column, value)}")
    return number.said(words.finding(column))


def accepted(cohort: CohortAccount, *, account: Account, column: str) -> Number:
    """How many images, or patients, of a cohort were accepted: all parts of the split together."""
    everything = cohort.balance[cohort.balance["column"] == "all"]
    hidden = [text for text in everything.get(f"{column}_shown", []) if text]
    if hidden:
        text = hidden[0] if len(everything) == 1 else words.WITHHELD
    else:
        text = words.number(int(everything[column].sum()))
    row: Row = frozenset({("column", "all")})
    return Number(text, f"{account.name}/split/{cohort.role}/balance.csv", column, row, "count", kind_of(cohort))


def trainings(account: Account) -> Table:
    """What each arm was trained by."""
    rows = [_training(account, model) for model in by_arm(account)]
    head = ("Arm", "Start", "Clipping and noise", "Activation", "Learning rate", "Length", "Augmentation")
    return table(
        f"{'Fine-tuning' if account.experiment.pretraining else 'Training'} on the private cohort",
        [*head, "Weights (SHA-256)"],
        rows,
        source=f"{account.name}/finetune/<arm>/seed-<seed>/certificate.json",
        numeric=False,
    )


def _training(account: Account, model: Model) -> list[Given]:
    experiment, of = account.experiment, model.arm
    start = "pretrained" if experiment.pretraining else "random weights"
    weights = Cell((stated(account, model, ("model", "weights_sha256"), form="hash"),), code=True)
    begin: list[Given] = [arm(account, model), start]
    if of.recipe == "none":
        return [*begin, words.DASH, of.activation, words.DASH, "not fine-tuned", words.DASH, weights]
    if of.recipe == "without_privacy":
        recipe, at = experiment.training.without_privacy, ("training", "without_privacy")
        turned = recipe.augmentation
        views = Cell(("none",))
        if turned:
            flip = _setting(account, (*at, "augmentation", "flip"), turned.flip)
            angle = _setting(account, (*at, "augmentation", "rotation_degrees"), turned.rotation_degrees)
            views = Cell(("flip ", flip), ("rotation ±", angle, "°"))
        length = Cell(
            (_setting(account, (*at, "epochs"), recipe.epochs), " epochs"),
            ("batch ", _setting(account, (*at, "batch"), recipe.batch)),
        )
        rate = _setting(account, (*at, "learning_rate"), recipe.learning_rate)
        return [*begin, "none", of.activation, rate, length, views, weights]
    clipped = Cell(("none",))
    if of.recipe == "private":
        norm = _setting(account, ("privacy", "clipping_norm"), experiment.privacy.clipping_norm)
        clipped = Cell((f"σ{words.NBSP}=", words.NBSP, stated(account, model, ("noise_multiplier",))), ("norm ", norm))
    length = Cell(
        (_setting(account, ("privacy", "steps"), experiment.privacy.steps), " steps"),
        ("expected batch ", _setting(account, ("privacy", "expected_batch"), experiment.privacy.expected_batch)),
    )
    rate = _setting(account, ("training", "learning_rate"), experiment.training.learning_rate)
    return [*begin, clipped, of.activation, rate, length, "none", weights]


def stated(account: Account, model: Model, pointer: Sequence[str], *, form: str = "number") -> Number:
    """A number of a model's certificate; a dash where it states none.

    Only the weights of a private model depend on training patients, through the mechanism; the rest follows from the
    declared plan.
    """
    value: object = model.certificate
    for part in pointer:
        value = value.get(part) if isinstance(value, dict) else None
    file = f"{account.name}/finetune/{model.arm.name}/seed-{model.seed}/certificate.json"
    kind: number.Kind = "public"
    if pointer == ("model", "weights_sha256") and account.tested == "suppressed":
        kind = "epsilon" if model.arm.recipe in ("private", "none") else "suppressed"
    return number.of_json(file, pointer, value, form=form if value is not None else "number", kind=kind)


def by_arm(account: Account) -> list[Model]:
    """The trainings in the order in which the report names their arms."""
    order = {name: place for place, name in enumerate(arms(account))}
    return sorted(account.models, key=lambda model: order[model.arm.name])


def arms(account: Account) -> list[str]:
    """The arms as the report names them: epsilon 0, the budgets, then without privacy, the matched recipe last."""
    found = account.experiment.arms.values()
    return [arm.name for arm in sorted(found, key=lambda arm: (arm.epsilon, arm.recipe == "matched"))]


def sources(account: Account) -> Table:
    """The files that the numbers come from, with their hashes."""
    rows = [[Cell((path,), code=True), Cell((digest,), code=True)] for path, digest in account.sources.items()]
    return table("Files behind the numbers", ("File", "SHA-256"), rows, numeric=False)
