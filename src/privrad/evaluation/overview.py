"""overview.json: the chief numbers by name, for who compares one version of a study with another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def overview(summary: Mapping[str, Any]) -> dict[str, dict[str, dict[str, float | None]]]:
    """From summary.json, by arm and seed: the mean AUROC with its interval, and that of the group served worst.

    None stands for what could not be estimated.
    """
    found: dict[str, dict[str, dict[str, float | None]]] = {}
    for model in summary["models"]:
        mean, worst = model["mean_auroc"], model["worst_group"] or {}
        found.setdefault(model["arm"], {})[f"seed-{model['seed']}"] = {
            "auroc": mean["value"],
            "auroc_low": mean["low"],
            "auroc_high": mean["high"],
            "worst_group_auroc": worst.get("value"),
        }
    return found
