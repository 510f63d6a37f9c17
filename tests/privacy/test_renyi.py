"""Rényi divergences against dp-accounting, numerical integration and the plain Gaussian."""

from __future__ import annotations

import math

import numpy as np
import pytest
from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent
from dp_accounting.rdp import RdpAccountant
from scipy.special import logsumexp
from scipy.stats import binom, norm

from privrad.privacy import losses, renyi

WHOLE = [order for order in renyi.ORDERS if order == int(order)]


def divergence(order: float, *, noise: float, rate: float, images: int) -> float:
    """One step's divergence from the two densities, by Gauss-Legendre panels, the larger of both directions."""
    edges = np.arange(-12 * noise - order * images, 12 * noise + order * images, noise)
    nodes, shares = np.polynomial.legendre.leggauss(40)
    y = (edges[:, None] + noise * (nodes + 1) / 2).ravel()
    area = np.tile(shares * noise / 2, len(edges))
    drawn = np.arange(images + 1)
    mixture = logsumexp(norm.logpdf(y[:, None], drawn, noise), b=binom.pmf(drawn, images, rate), axis=1)
    alone = norm.logpdf(y, 0, noise)
    moments = [
        area @ np.exp(order * upper - (order - 1) * lower) for upper, lower in ((mixture, alone), (alone, mixture))
    ]
    return math.log(max(moments)) / (order - 1)


@pytest.mark.parametrize(("noise", "rate"), [(4.4, 1 / 1200), (0.5814, 1 / 1200), (1.2, 0.05), (0.3, 0.01), (20, 0.9)])
def test_one_record_has_dp_accountings_divergences(noise: float, rate: float) -> None:
    accountant = RdpAccountant(WHOLE)
    accountant.compose(PoissonSampledDpEvent(rate, GaussianDpEvent(noise)))
    ours = dict(zip(renyi.ORDERS, renyi.one_step(noise, rate, 1), strict=True))
    assert [ours[order] for order in WHOLE] == pytest.approx(accountant._rdp, rel=1e-6)


@pytest.mark.parametrize(("noise", "rate", "images"), [(1.2, 0.05, 1), (2.0, 0.1, 3), (1.0, 0.7, 2), (0.8, 0.001, 5)])
def test_divergences_are_the_integrals(noise: float, rate: float, images: int) -> None:
    ours = dict(zip(renyi.ORDERS, renyi.one_step(noise, rate, images), strict=True))
    for order in (1.2, 2.5, 6):
        expected = divergence(order, noise=noise, rate=rate, images=images)
        assert ours[order] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("images", [1, 4])
def test_divergences_of_steps_that_draw_everything(images: int) -> None:
    expected = [order * images**2 / (2 * 1.7**2) for order in renyi.ORDERS]
    assert renyi.one_step(1.7, 1.0, images) == pytest.approx(expected)
    assert renyi.one_step(1.7, 1 - 1e-12, images) == pytest.approx(expected, rel=1e-6)


def test_an_order_too_costly_to_integrate_is_bounded() -> None:
    ours = renyi.one_step(0.02, 0.01, 20)
    assert ours[-1] == renyi.ORDERS[-1] * 20**2 / (2 * 0.02**2)
    assert all(
        0 < divergence <= order * 20**2 / (2 * 0.02**2) for order, divergence in zip(renyi.ORDERS, ours, strict=True)
    )


def test_the_odometer_covers_the_loss_of_a_gaussian_mechanism() -> None:
    noise, steps, delta = 3.0, 20, 1e-5
    mean = steps / (2 * noise**2)
    reached = renyi.odometer(((noise, 1.0, 1, steps),), delta=delta)
    assert norm.sf(reached, mean, math.sqrt(2 * mean)) <= delta
    order = 1 + math.sqrt(math.log(len(renyi.ORDERS) / delta) / mean)
    best = order * mean + math.log(len(renyi.ORDERS) / delta) / (order - 1)
    assert best <= reached <= 1.02 * best


def test_the_odometer_holds_when_runs_are_chosen_by_the_losses_so_far() -> None:
    delta, trials, stages = 0.05, 4000, 12
    generator = np.random.default_rng(3)
    loss, count = np.zeros(trials), np.zeros((trials, 2), dtype=int)
    exceeded = np.zeros(trials, dtype=bool)
    noises = np.array([1.0, 4.0])
    tables = np.array([renyi.one_step(noise, 1.0, 1) for noise in noises])
    orders = np.array(renyi.ORDERS)
    for _ in range(stages):
        reached = np.min(count @ tables + math.log(len(orders) / delta) / (orders - 1), axis=1)
        choice = (loss > 0.5 * reached).astype(int)
        mean = 1 / (2 * noises[choice] ** 2)
        loss += generator.normal(mean, np.sqrt(2 * mean))
        count[np.arange(trials), choice] += 1
        reached = np.min(count @ tables + math.log(len(orders) / delta) / (orders - 1), axis=1)
        exceeded |= loss > reached
    assert exceeded.mean() <= delta


def test_the_odometer_adds_up_whatever_the_order() -> None:
    runs = ((1.0, 0.1, 1, 10), (2.0, 0.3, 2, 5), (0.9, 0.01, 1, 100))
    total = renyi.odometer(runs, delta=1e-5)
    assert renyi.odometer(runs[::-1], delta=1e-5) == pytest.approx(total, rel=1e-12)
    assert total > renyi.odometer(runs[:2], delta=1e-5)
    assert renyi.odometer((), delta=1e-5) == 0


@pytest.mark.parametrize("delta", [1e-3, 1e-8])
def test_declared_runs_are_bounded_above_the_pld(delta: float) -> None:
    run = (1.3, 0.1, 2, 50)
    exact = losses.distribution(*run, 5e-3).get_epsilon_for_delta(delta)
    assert exact <= renyi.together((run,), delta=delta) <= 1.25 * exact
    assert renyi.together((run,), delta=delta) <= renyi.odometer((run,), delta=delta)
