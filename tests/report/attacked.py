"""Small cells of drawn cohorts, and which of them an attack on what is released exposes."""

from __future__ import annotations

from privrad.report.release import Tables
from tests.report import drawn_cohort, lp_attack

COUNTS = (("images", False), ("patients", False), ("positives", True), ("positive_patients", True))
Targets = dict[lp_attack.Name, tuple[float, float]]


def nasty(place: int) -> tuple[Tables, int]:
    """A cohort and its minimum: 60 to 400 patients, rare groups and findings, sharp or dull models, some refusals."""
    tables = drawn_cohort.draw(
        place,
        patients=(60, 120, 250, 400)[place % 4],
        rare=(0.08, 0.15, 0.3)[place % 3],
        skill=(0.5, 1.5, 3.0)[place // 2 % 3],
        refused=((), (3,), (3, 12, 40), (1, 2))[place // 2 % 4],
    )
    return tables, (10, 5)[place % 2]


def small_counts(tables: Tables, *, minimum: int) -> Targets:
    """Every count below the minimum, and all that it might be."""
    found: Targets = {}
    metrics = tables.measurements.metrics
    for row in metrics[metrics["finding"] != "mean"].to_dict("records"):
        for column, positive in COUNTS:
            if 0 < row[column] < minimum:
                unit = "patients" if column.endswith("patients") else "images"
                name = lp_attack.of_cell(row["group_by"], row["group"], row["finding"] if positive else "", unit)
                found[name] = (1, minimum - 1)
    for row in tables.balance.to_dict("records"):
        for unit in ("images", "patients"):
            if 0 < row[unit] < minimum and row["column"] in ("all", "sex", "age"):
                found[row["split"], row["column"], row["value"], "", unit] = (1, minimum - 1)
    for row in tables.flow.to_dict("records"):
        if 0 < row["count"] < minimum:
            found["flow", row["step"], row["reason"]] = (1, minimum - 1)
    return found


def small_calls(tables: Tables, *, minimum: int) -> Targets:
    """Every number of called or missed images below the minimum, and all that it might be."""
    found: Targets = {}
    metrics = tables.measurements.metrics
    chosen = metrics[metrics["metric"].isin(["sensitivity", "fpr"]) & ~metrics["finding"].isin(["mean", "any"])]
    for row in chosen.to_dict("records"):
        side = "positive" if row["metric"] == "sensitivity" else "negative"
        of = row["positives"] if side == "positive" else row["images"] - row["positives"]
        run = ("eps-1", 0, row["rule"])
        name = lp_attack.called(run, row["group_by"], row["group"], row["finding"], side)
        count = round(row["value"] * of) if of else 0
        if of >= minimum and 0 < count < minimum:
            found[name] = (1, min(minimum, of) - 1)
        elif of >= minimum and 0 < of - count < minimum:
            found[name] = (max(of - minimum, 0) + 1, of - 1)
    return found


def exposed(tables: Tables, released: Tables, *, minimum: int) -> dict[lp_attack.Name, tuple[float, float]]:
    """The small cells that an attack bounds more tightly than their texts alone do."""
    counts, calls = small_counts(tables, minimum=minimum), small_calls(tables, minimum=minimum)
    wanted = counts | calls
    if not wanted:
        return {}
    reached = lp_attack.learn(released, minimum=minimum).reach(wanted)
    tight = {name: reached[name] for name in wanted if not spans(reached[name], wanted[name])}
    asked = {name: wanted[name] for name in tight if name in counts}
    at_best = lp_attack.learn(released, minimum=minimum, texts_alone=True).reach(asked) if asked else {}
    return {name: found for name, found in tight.items() if not spans(found, both(at_best.get(name), wanted[name]))}


def both(one: tuple[float, float] | None, other: tuple[float, float]) -> tuple[float, float]:
    """What two bounds leave together."""
    return other if one is None else (max(one[0], other[0]), min(one[1], other[1]))


def spans(found: tuple[float, float], target: tuple[float, float]) -> bool:
    """Whether bounds leave all of a target possible."""
    return found[0] <= target[0] + 1e-5 and found[1] >= target[1] - 1e-5
