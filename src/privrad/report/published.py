"""The published results of the study that privrad repeats, and a study's own beside them.

Source: Tayebi Arasteh, Ziller, et al., Communications Medicine 4:46 (2024), doi 10.1038/s43856-024-00462-6; the files
are described in resources/published/README.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from privrad.report import spreadsheet
from privrad.report.figures import publication, saving
from privrad.report.figures.axis import first_seeds
from privrad.report.figures.declared import Figured
from privrad.report.figures.rows import SHOWN, of_metric, several
from privrad.report.measurements import Measurements

Dataset = Literal["uka_cxr", "pdac"]
PARITY = "statistical_parity_difference"
NOTE = (
    "The cohorts differ: other patients, other devices, other readers and other frequencies of the findings. Whether "
    "both depend on the privacy budget in the same way can be compared; how high either lies cannot."
)
SPREADS: Mapping[Dataset, str] = {
    "uka_cxr": "The published spread is over redraws and findings together, as our pooled one.",
    "pdac": "The published spread is over repeated trainings, as ours where there are several.",
}
NAMED = {"total": ("all", "all"), "male": ("sex", "M"), "female": ("sex", "F")}
COLUMNS = {
    "results": ("dataset", "metric", "epsilon", "group", "mean_pct", "sd_pct"),
    "counts": ("dataset", "split", "what", "group", "n"),
    "statistics": ("dataset", "statistic", "value", "about"),
}
COMPARED = (
    *("dataset", "metric", "finding", "epsilon", "group", "ours_group", "trainings", "ours", "ours_low", "ours_high"),
    *("ours_sampling_sd", "ours_pooled_sd", "ours_training_sd", "theirs", "theirs_sd", "difference", "ours_shown"),
)


class PublishedError(ValueError):
    """A file of published results that cannot be used; the message names it, the rows and what is allowed."""


@dataclass(frozen=True)
class Published:
    """The three tables, as printed: percentages in percent, an unprinted number has no row."""

    results: pd.DataFrame
    counts: pd.DataFrame
    statistics: pd.DataFrame


def read(folder: Path) -> Published:
    """Read and check the tables; raises PublishedError naming the file and its rows at fault."""
    tables = {name: _table(folder / f"{name}.csv", COLUMNS[name]) for name in COLUMNS}
    results, counts = tables["results"], tables["counts"]
    of_area = results["metric"] == "auroc"
    wrong = {
        "results": {
            "metric must be auroc or " + PARITY: ~results["metric"].isin(("auroc", PARITY)),
            "epsilon must be above 0": ~(results["epsilon"] > 0),
            "an AUROC must lie in 0 to 100 %": of_area & ~results["mean_pct"].between(0, 100),
            "a difference must lie in -100 to 100 %": ~of_area & ~results["mean_pct"].between(-100, 100),
            "sd_pct must be 0 or more": ~(results["sd_pct"] >= 0),
            "a number may stand once": results.duplicated(["dataset", "metric", "epsilon", "group"]),
        },
        "counts": {
            "n must be a whole number, 0 or more": ~(counts["n"] >= 0) | (counts["n"] % 1 != 0),
            "a count may stand once": counts.duplicated(["dataset", "split", "what", "group"]),
        },
        "statistics": {"value must be a finite number": ~np.isfinite(tables["statistics"]["value"])},
    }
    for name, table in tables.items():
        datasets = {f"dataset must be one of {', '.join(get_args(Dataset))}": ~table["dataset"].isin(get_args(Dataset))}
        for rule, rows in (datasets | wrong[name]).items():
            if rows.any():
                lines = ", ".join(str(line + 2) for line in np.flatnonzero(rows)[:5])
                raise PublishedError(f"{folder / name}.csv: {rule}; correct line {lines}")
    return Published(**tables)


def _table(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    if not path.is_file():
        raise PublishedError(f"{path} is missing; it is part of privrad's source, in resources/published")
    numbers: dict[str, Any] = dict.fromkeys(("epsilon", "mean_pct", "sd_pct", "value", "n"), float)
    try:
        table = pd.read_csv(path, dtype={name: numbers.get(name, str) for name in columns})
    except ValueError as error:
        raise PublishedError(f"{path} is not a table of published results ({error}); restore it") from None
    if list(table.columns) != list(columns):
        raise PublishedError(f"{path} has the columns {', '.join(table.columns)}; it must have {', '.join(columns)}")
    return table


def run(published: Published, *, out: Path) -> None:
    """Redraw the AUROC panels of Figures 2, 4 and 5, and Table 1, from the published numbers alone.

    Writes figure-2a, figure-4a, figure-5a and table-1 as SVG, PDF and CSV into `out`, and statistics.csv.
    """
    areas = published.results[published.results["metric"] == "auroc"]
    for key, groups in publication.PANELS.items():
        chosen = areas[areas["group"].isin(groups)]
        saving.files_of(publication.areas(chosen, width=saving.WIDE), chosen, out=out, key=key)
    table = pd.concat([published.counts, published.results])
    saving.files_of(
        publication.table(published.counts, published.results, width=saving.WIDE), table, out=out, key="table-1"
    )
    spreadsheet.write(statistics(published), out / "statistics.csv")


def statistics(published: Published) -> pd.DataFrame:
    """The published statistics, each with the number that the published results give for it, or why they give none.

    Only the correlation of parity with epsilon can be had: of men's differences over the finite budgets, from rounded
    means. Those by finding need AUROCs by finding, the tests need the scores.
    """
    table = published.statistics.copy()
    parity = published.results[(published.results["metric"] == PARITY) & (published.results["group"] == "male")]
    parity = parity[np.isfinite(parity["epsilon"])]
    again, why = [], []
    for row in table.to_dict("records"):
        mine = parity[parity["dataset"] == row["dataset"]]
        ours = row["statistic"] == "pearson_r" and "parity" in row["about"] and len(mine) > 2
        again.append(float(np.corrcoef(mine["epsilon"], mine["mean_pct"])[0, 1]) if ours else math.nan)
        why.append("men, finite epsilons, from rounded means" if ours else "needs numbers that are not in Table 1")
    stated = table["statistic"] == "delta"
    return table.assign(recomputed=again, how=np.where(stated, "a setting, not a result", why))


def compare(measured: Measurements, published: Published, *, dataset: Dataset) -> pd.DataFrame:
    """A study's AUROC and accuracy difference, averaged over findings, beside the published ones; all in 0 to 1.

    Rows are those where group and epsilon match: everyone, the sexes, age bands of the same limits, and quarters of
    age by their order where ours are four (`ours_group` has our limits; theirs are not printed). Of chest radiographs
    ours is the first training, as theirs; of CT the mean over trainings, as theirs, with their standard deviation and
    no interval. `difference` is ours less theirs; NaN where ours is hidden or was not estimable.
    """
    theirs = published.results[published.results["dataset"] == dataset]
    parity = _by_group(measured.fairness, "accuracy_difference")
    sources = {"auroc": _by_group(measured.metrics, "auroc"), PARITY: parity}
    quarters = _quarters(measured.metrics)
    rows = []
    for row in theirs.to_dict("records"):
        group = NAMED.get(row["group"]) or ("age", quarters.get(row["group"], row["group"]))
        mine = sources[row["metric"]].get(group, measured.metrics.iloc[:0])
        mine = mine[np.isclose(mine["epsilon"].astype(float), row["epsilon"])]
        if len(mine):
            rows.append(_beside(mine if dataset == "pdac" else first_seeds(mine), row))
    return pd.DataFrame(rows, columns=list(COMPARED))


def _by_group(table: pd.DataFrame, metric: str) -> dict[Any, pd.DataFrame]:
    """The rows of a metric averaged over findings, but for the matched recipe's, by `(group_by, group)`."""
    mine = of_metric(table[(table["finding"] == "mean") & (table["arm"] != "eps-inf-matched")], metric)
    return dict(iter(mine.groupby(["group_by", "group"], sort=False)))


def _quarters(metrics: pd.DataFrame) -> dict[str, str]:
    """Our four quarters of age by the published names, from the youngest; none where the bands are others.

    The last quarter has no end, which bands of given limits always have.
    """
    ages = metrics.loc[(metrics["group_by"] == "age") & metrics["group"].str.startswith("["), "group"].unique()
    bands = sorted(map(str, ages), key=lambda band: float(band[1:].split(",")[0]))
    if len(bands) != len(publication.QUARTERS) or not bands[-1].endswith(",inf)"):
        return {}
    return dict(zip(publication.QUARTERS, bands, strict=True))


def _beside(mine: pd.DataFrame, theirs: Mapping[Any, Any]) -> dict[str, Any]:
    one = len(mine) == 1
    held = mine.iloc[0]
    ours, their = float(mine["value"].mean(skipna=False)), theirs["mean_pct"] / 100
    return {
        **{name: theirs[name] for name in ("dataset", "metric", "epsilon", "group")},
        "finding": "mean",
        "ours_group": str(held["group"]),
        "trainings": len(mine),
        "ours": ours,
        "ours_low": float(held["low"]) if one else math.nan,
        "ours_high": float(held["high"]) if one else math.nan,
        "ours_sampling_sd": float(mine["sd"].mean()) if "sd" in mine else math.nan,
        "ours_pooled_sd": float(mine["pooled_sd"].mean()) if "pooled_sd" in mine else math.nan,
        "ours_training_sd": math.nan if one else float(mine["value"].std()),
        "theirs": their,
        "theirs_sd": theirs["sd_pct"] / 100,
        "difference": ours - their,
        "ours_shown": str(held.get(f"value{SHOWN}", "") or ""),
    }


def figured(published: Published, *, dataset: Dataset) -> Figured:
    """The figure "published" of a study held against `dataset`: ours beside theirs, by group."""

    def compared(measured: Measurements) -> pd.DataFrame:
        return compare(measured, published, dataset=dataset)

    return Figured(
        key="published",
        title="Ours beside the published results",
        paper="",
        kind="figure",
        caption=lambda measured: (
            f"AUROC{', averaged over findings,' * several(measured)} by group. {NOTE} {SPREADS[dataset]}"
        ),
        draw=lambda measured, *, width: publication.beside(compared(measured), averaged=several(measured), width=width),
        data=compared,
        missing="No privacy budget and group of this study is among the published ones, or ours cannot be shown.",
        tabled=True,
    )
