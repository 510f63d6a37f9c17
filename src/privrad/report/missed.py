"""Images that a model got wrong, with their pictures and paths, for a page that stays in the hospital."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from privrad.report import modality, number, pictures, tables, words
from privrad.report.account import Account, ReportError
from privrad.report.pictures import Missed
from privrad.report.tables import Text

UNPROTECTED = "eps-inf"


@dataclass(frozen=True)
class Case:
    """One image that a model got wrong for one finding: overlooked, or called without being there."""

    finding: str
    image_id: str
    label: int
    score: float
    threshold: float

    @property
    def overlooked(self) -> bool:
        """Whether the finding is there and was not called."""
        return self.label == 1


def cases(predictions: pd.DataFrame, *, thresholds: Mapping[str, float], count: int) -> list[Case]:
    """The most confident errors of one model on test images, for each finding of `thresholds` in its order.

    First up to `count` overlooked ones, the lowest score first, then up to `count` wrongly called ones, the highest
    first; each of another patient, equal scores in the order of image_id. `score >= threshold` is called positive; a
    finding whose threshold is NaN has none. `predictions` is long, as `privrad predict` writes it.
    """
    found: list[Case] = []
    test = predictions[predictions["split"] == "test"].sort_values("image_id", kind="stable")
    for finding, threshold in thresholds.items():
        rows = test[test["finding"] == finding]
        wrong = rows[(rows["score"] >= threshold) != (rows["label"] == 1)]
        wrong = wrong if math.isfinite(threshold) else wrong.head(0)
        for label, ascending in ((1, True), (0, False)):
            held = wrong[wrong["label"] == label].sort_values("score", ascending=ascending, kind="stable")
            for row in held.drop_duplicates("patient_id").head(count).to_dict("records"):
                found.append(Case(finding, str(row["image_id"]), label, float(row["score"]), threshold))
    return found


def arms(account: Account) -> list[str]:
    """The arms whose errors are shown: the private one with the largest epsilon, and the paper's without privacy."""
    held = account.experiment.arms
    private = [name for name in tables.arms(account) if held[name].recipe == "private"]
    return [*private[-1:], *[UNPROTECTED] * (UNPROTECTED in held)]


def of(account: Account, *, predictions: Path, count: int = 2) -> list[Missed]:
    """The errors of some models as the page shows them, up to `count` of each finding and kind, first seed.

    `predictions` is the folder of the predict step, `<arm>/seed-<seed>/predictions.parquet` below it. The pictures are
    the prepared ones, of a private cohort too: the page must not leave the hospital.
    Raises ReportError when a file is missing, or an image has no path or picture; Unreadable for a scan that cannot be
    opened any more.
    """
    cohort = next(cohort for cohort in account.cohorts if cohort.role == "private")
    manifest, paths = _read(cohort.manifest).set_index("image_id"), _read(cohort.paths).set_index("image_id")["path"]
    rows = {image_id: row for row, image_id in enumerate(cohort.prepared.image_ids)}
    seed = account.experiment.seeds[0]
    found: list[Missed] = []
    for name in arms(account):
        path = predictions / name / f"seed-{seed}" / "predictions.parquet"
        for case in cases(_read(path), thresholds=thresholds(account, name, seed=seed), count=count):
            if not all(case.image_id in known for known in (rows, manifest.index, paths.index)):
                raise ReportError(f"{path} has image {case.image_id}, which the cohort lacks; run snakemake again")
            facts = manifest.loc[case.image_id].to_dict() | {"path": paths.at[case.image_id]}
            shown = cohort.prepared.take([rows[case.image_id]])[0]
            picture = pictures.prepared(cohort, shown, path=str(facts["path"]), image_id=case.image_id)
            caption = words.finding(case.finding) + (" overlooked" if case.overlooked else " called, not there")
            found.append(Missed(picture, (number.said(caption),), _told(account, name, case, facts=facts)))
    return found


def thresholds(account: Account, name: str, *, seed: int) -> dict[str, float]:
    """The cut-off of each finding that the study calls by, NaN where none could be chosen."""
    held = account.measured.thresholds
    held = held[(held["arm"] == name) & (held["seed"] == seed)]
    chosen = held[held["rule"] == account.experiment.evaluation.threshold].set_index("finding")["threshold"]
    return {finding: float(chosen.get(finding, math.nan)) for finding in account.experiment.findings}


def _told(account: Account, name: str, case: Case, *, facts: Mapping[Any, Any]) -> list[Text]:
    score, threshold = (number.said(words.auroc(value)) for value in (case.score, case.threshold))
    return [
        (*tables.arm(account, name), ": score ", score, ", threshold ", threshold),
        (number.said(_person(facts)),),
        (number.said(_labels(facts, findings=account.experiment.findings)),),
        (f"{modality.of(account.experiment).unit.capitalize()} ", _code(case.image_id)),
        ("File ", _code(str(facts["path"]))),
    ]


def _person(facts: Mapping[Any, Any]) -> str:
    """Sex, age, view and bedside, each where it is known."""
    about = [words.group("sex", str(facts["sex"]))] * (facts["sex"] in ("F", "M"))
    about += [f"{facts['age']:.0f} years"] * bool(pd.notna(facts["age"]))
    about += [str(facts["view"])] * bool(facts["view"])
    if "bedside" in facts and pd.notna(facts["bedside"]):
        about.append(words.group("bedside", str(bool(facts["bedside"]))))
    return words.sentence(", ".join(about)) if about else "Nothing is known of the patient."


def _labels(facts: Mapping[Any, Any], *, findings: Sequence[str]) -> str:
    labelled = [words.inside(finding) for finding in findings if facts[finding] == 1]
    return f"Labelled with {words.listed(labelled)}." if labelled else "Labelled with no finding."


def _code(text: str) -> Markup:
    return Markup("<code>{}</code>").format(text)


def _read(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except FileNotFoundError:
        raise ReportError(
            f"{path} is missing; make it with `snakemake`, which runs the steps before the report"
        ) from None
    except (OSError, ValueError) as error:
        raise ReportError(f"{path} cannot be read ({error}); delete it and run snakemake again") from None
