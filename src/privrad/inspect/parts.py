"""The split that would follow, and whether the study's declared numbers fit it."""

from __future__ import annotations

from privrad.cohorts.split import PARTS, balance_of
from privrad.inspect.counts import named
from privrad.inspect.seen import Seen
from privrad.inspect.table import Cell, Table, count, counted
from privrad.report import words

SAID = {"train": "training", "validation": "validation", "test": "test"}
FEWEST = 10
"""The positive patients of a finding in a part below which it is told."""
NEAR = (0.8, 1.25)
"""How far the number of training patients may stand from the declared one, as a factor."""


def table(seen: Seen) -> Table | None:
    """Patients and images of each part, in all, by group and positive for each finding; None without a split."""
    if seen.parts is None:
        return None
    balance = balance_of(seen.taken, seen.parts, findings=seen.findings)
    lines = []
    for (column, value), rows in balance.groupby(["column", "value"], sort=False):
        if column in seen.findings or rows["images"].any():
            numbers = rows[["patients", "images"]].to_numpy().tolist()
            cells = [Cell(counted(people, "patients"), counted(images, "images")) for people, images in numbers]
            lines.append((Cell(_name(str(column), str(value))), *cells))
    return Table("The parts that the study's split makes", ("", *[SAID[part] for part in PARTS]), lines)


def _name(column: str, value: str) -> str:
    if column == "all":
        return "all images"
    return words.finding(column) if value == "positive" else named(column, value)


def few(seen: Seen) -> list[str]:
    """A sentence for each part with few positive patients of some findings; of a public cohort only for training."""
    if seen.parts is None:
        return []
    said = []
    part = seen.taken["patient_id"].map(seen.parts)
    for name in PARTS if seen.role == "private" else PARTS[:1]:
        inside = seen.taken[part == name]
        numbers = {each: inside.loc[inside[each] == 1, "patient_id"].nunique() for each in seen.findings}
        scarce = [f"{words.inside(each)} ({number})" for each, number in numbers.items() if number < FEWEST]
        if scarce:
            said.append(
                f"The {SAID[name]} part has fewer than {FEWEST} positive patients of {words.listed(scarce)}: what is "
                "learnt or measured there rests on single people. Give more patients, a larger share, or take the "
                "finding out."
            )
    return said


def units(seen: Seen) -> int:
    """The patients in training, or with `unit: record` their images, as many of each patient as are used."""
    assert seen.parts is not None
    training = seen.parts.index[seen.parts == "train"]
    privacy = seen.experiment.privacy
    if privacy.unit == "patient":
        return len(training)
    each = seen.taken.loc[seen.taken["patient_id"].isin(training), "patient_id"].value_counts()
    return int(each.clip(upper=privacy.max_images_per_patient).sum())


def declared(seen: Seen) -> list[tuple[str, str]]:
    """What the study says of privacy, each with its name, beside what the cohort has."""
    privacy, budget = seen.experiment.privacy, seen.cohort.budget
    unit = f"{privacy.unit}s"
    facts = [("Unit of privacy", privacy.unit), ("Population declared", counted(privacy.population, unit))]
    if seen.parts is not None:
        facts.append(("In training by this split", counted(units(seen), unit)))
    facts += [("Delta", f"{privacy.delta:g}"), ("Epsilons", ", ".join(f"{each:g}" for each in seen.experiment.budgets))]
    limit = f"epsilon {budget.epsilon:g} at delta {budget.delta:g} per {budget.unit}" if budget else "none declared"
    return [*facts, ("Budget of the cohort, for all trainings", limit)]


def unlike(seen: Seen) -> list[str]:
    """A sentence where the declared population or delta does not fit the patients in training."""
    privacy = seen.experiment.privacy
    if seen.parts is None or seen.role != "private" or not (number := units(seen)):
        return []
    said = []
    if not NEAR[0] <= number / privacy.population <= NEAR[1]:
        batch = privacy.expected_batch * number / privacy.population
        said.append(
            f"privacy.population declares {counted(privacy.population, f'{privacy.unit}s')}, and this split leaves "
            f"{count(number)} to train on: a step would take about {batch:.0f} of them, where "
            f"{privacy.expected_batch} are meant. Epsilon holds all the same; declare a round number that is nearer."
        )
    if privacy.delta >= 1 / number:
        said.append(
            f"privacy.delta {privacy.delta:g} is not below 1/{number}, one over the {privacy.unit}s in training: so "
            "large a delta would allow that one of them is given away whole. Lower it."
        )
    return said
