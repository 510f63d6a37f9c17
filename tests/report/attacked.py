"""Small cells of drawn cohorts, and which of them an attack on what is released exposes."""

from __future__ import annotations

from collections.abc import Sequence

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
    """Every count below the minimum, negatives too, and all that it might be."""
    found: Targets = {}
    metrics = tables.measurements.metrics
    for row in metrics[metrics["finding"] != "mean"].to_dict("records"):
        for column, positive in COUNTS:
            if 0 < row[column] < minimum:
                unit = "patients" if column.endswith("patients") else "images"
                name = lp_attack.of_cell(row["group_by"], row["group"], row["finding"] if positive else "", unit)
                found[name] = (1, minimum - 1)
        if 0 < row["images"] < row["positives"] + minimum:
            found[lp_attack.of_cell(row["group_by"], row["group"], row["finding"], "negatives")] = (0, minimum - 1)
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


def negatives(tables: Tables, *, minimum: int) -> dict[lp_attack.Name, bool]:
    """Of every group and finding, whether those without it are below the minimum."""
    metrics = tables.measurements.metrics
    return {
        lp_attack.of_cell(row["group_by"], row["group"], row["finding"], "negatives"): (
            row["images"] - row["positives"] < minimum
        )
        for row in metrics[metrics["finding"] != "mean"].to_dict("records")
    }


def readers(tables: Tables, *, minimum: int) -> list[lp_attack.Reader]:
    """Attackers of all kinds of knowledge, the one who knows most first."""
    known = negatives(tables, minimum=minimum)
    kinds: tuple[lp_attack.Nobody, ...] = ("small", "crossed", "anywhere")
    return [lp_attack.Reader(held, nobody) for held in (known, {}) for nobody in kinds]


def exposed(
    tables: Tables, released: Tables, *, minimum: int, kinds: Sequence[int] = range(6)
) -> dict[lp_attack.Name, tuple[float, float]]:
    """The small cells that some attacker, of these kinds, bounds more tightly than the texts alone do for the same one.

    What the attacker who knows most leaves possible is possible for all.
    """
    counts = small_counts(tables, minimum=minimum)
    wanted = counts | small_calls(tables, minimum=minimum)
    every = readers(tables, minimum=minimum)
    least = lp_attack.learn(released, minimum=minimum, reader=every[0]).reach(wanted) if wanted else {}
    tight = {name: target for name, target in wanted.items() if not spans(least[name], target)}
    asked = {name: target for name, target in tight.items() if name in counts}
    found: Targets = {}
    for kind in kinds if tight else ():
        alone = lp_attack.learn(released, minimum=minimum, reader=every[kind], texts_alone=True).reach(asked)
        limits = {name: both(alone.get(name), target) for name, target in tight.items()}
        left = {name: limit for name, limit in limits.items() if not spans(least[name], limit)}
        reached = lp_attack.learn(released, minimum=minimum, reader=every[kind]).reach(left) if left else {}
        found |= {name: bounds for name, bounds in reached.items() if not spans(bounds, left[name])}
    return found


def both(one: tuple[float, float] | None, other: tuple[float, float]) -> tuple[float, float]:
    """What two bounds leave together."""
    return other if one is None else (max(one[0], other[0]), min(one[1], other[1]))


def spans(found: tuple[float, float], target: tuple[float, float]) -> bool:
    """Whether bounds leave all of a target possible."""
    return found[0] <= target[0] + 1e-5 and found[1] >= target[1] - 1e-5
