"""What an attacker who knows all but one unit can gain at most by telling whether the unit was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

FALSE_POSITIVE_RATES = (0.001, 0.01, 0.1)


@dataclass(frozen=True)
class Attack:
    """Upper bounds on every membership-inference attack.

    `true_positive_rate` by false-positive rate; `membership_advantage` is the largest difference of the two rates.
    """

    true_positive_rate: dict[float, float]
    membership_advantage: float


def bound(distribution: Any | None) -> Attack:
    """The bounds that the delta(epsilon) curve of a privacy-loss distribution implies; 1 where there is none.

    (epsilon, delta) limits the true-positive rate t at the false-positive rate f by t ≤ exp(epsilon) f + delta and by
    1 - f ≤ exp(epsilon) (1 - t) + delta (Kairouz et al. 2015); each bound holds, so the least does. The advantage is
    delta at epsilon 0, the total variation.
    """
    if distribution is None:
        return Attack(true_positive_rate=dict.fromkeys(FALSE_POSITIVE_RATES, 1.0), membership_advantage=1.0)
    top = min(float(distribution.get_epsilon_for_delta(1e-9)), 700.0)
    epsilons = np.concatenate([[0.0], np.geomspace(min(1e-3, top / 10), top, 1000)]) if top > 0 else np.zeros(1)
    deltas = np.clip(distribution.get_delta_for_epsilon(epsilons), 0, 1)
    rates = {}
    for rate in FALSE_POSITIVE_RATES:
        caught = np.minimum(np.exp(epsilons) * rate + deltas, 1 - np.exp(-epsilons) * (1 - rate - deltas))
        rates[rate] = min(1.0, float(caught.min()))
    return Attack(true_positive_rate=rates, membership_advantage=float(deltas[0]))
