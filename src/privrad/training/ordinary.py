"""Training without privacy: shuffled epochs, or the private run's own batches without clipping and noise."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from privrad.config import Privacy, Recipe
from privrad.models.pixels import normalise
from privrad.privacy.randomness import stream_key
from privrad.privacy.sampling import Integers, PoissonSampler, ViewSampler
from privrad.progress import track
from privrad.training import augment
from privrad.training.data import Part
from privrad.training.loss import Loss
from privrad.training.state import State


def optimiser(model: nn.Module, *, learning_rate: float) -> torch.optim.NAdam:
    """NAdam with its usual moments, over all trainable parameters."""
    return torch.optim.NAdam([value for value in model.parameters() if value.requires_grad], lr=learning_rate)


def fit(
    model: nn.Module,
    part: Part,
    *,
    findings: Sequence[str],
    recipe: Recipe,
    loss: Loss,
    seeds: Sequence[int],
    state: State,
    device: torch.device,
    physical_batch: int,
    what: str,
) -> list[float]:
    """Train for `recipe.epochs` shuffled passes and give the mean loss of each; the weights are those of the last step.

    The batches and views of an epoch follow from `seeds` and its number alone, so that `state` can resume anywhere.
    Raises ValueError where a loss is not finite.
    """
    partners = augment.partners(findings) if recipe.augmentation and recipe.augmentation.flip else range(len(findings))
    steps = optimiser(model, learning_rate=recipe.learning_rate)
    model.train()
    done, facts = state.restore(model, steps)
    totals: list[float] = facts.get("totals", [0.0] * recipe.epochs)
    count = recipe.epochs * math.ceil(len(part) / recipe.batch)
    batches = _batches(len(part), recipe, seeds, start=done)
    for step, epoch, batch, views in track(batches, what=f"{what}, steps", total=count - done):

        def inputs(
            begin: int, end: int, batch: Integers = batch, views: augment.Views | None = views
        ) -> tuple[Tensor, Tensor]:
            pixels, labels = _on(device, part, batch[begin:end])
            if views is not None:
                pixels, labels = augment.apply(pixels, labels, views=views.part(begin, end), partners=partners)
            return normalise(pixels), labels

        totals[epoch] += _step(
            model, steps, inputs, len(batch), divisor=len(batch), loss=loss, physical_batch=physical_batch
        )
        if not math.isfinite(totals[epoch]):
            raise ValueError(f"{what}: the loss of epoch {epoch + 1} is not finite; lower the learning rate")
        state.keep(step + 1, model, steps, facts={"totals": totals})
    return [total / len(part) for total in totals]


def _batches(
    images: int, recipe: Recipe, seeds: Sequence[int], *, start: int
) -> Iterator[tuple[int, int, Integers, augment.Views | None]]:
    """The number, the epoch, the images and their views of every step from `start` on."""
    each = math.ceil(images / recipe.batch)
    for epoch in range(start // each, recipe.epochs):
        generator = np.random.default_rng([*seeds, epoch])
        order = generator.permutation(images)
        for place in range(each):
            batch = order[place * recipe.batch : (place + 1) * recipe.batch]
            random = recipe.augmentation
            views = augment.draw(len(batch), augmentation=random, generator=generator) if random else None
            if epoch * each + place >= start:
                yield epoch * each + place, epoch, batch, views


def fit_matched(
    model: nn.Module,
    part: Part,
    *,
    privacy: Privacy,
    run_key: bytes,
    learning_rate: float,
    loss: Loss,
    state: State,
    device: torch.device,
    physical_batch: int,
) -> list[float]:
    """Train as a private run does, on Poisson batches divided by the expected batch, but without clipping and noise.

    Gives each step's sum of losses over the expected number of images. Raises ValueError where a loss is not finite.
    """
    units = part.units(privacy.unit)
    rate = privacy.expected_batch / privacy.population
    batches = PoissonSampler(key=stream_key(run_key, "batch"), sample_rate=rate, units=len(units))
    choices = ViewSampler(key=stream_key(run_key, "views"), views=privacy.views, images=units)
    steps = optimiser(model, learning_rate=learning_rate)
    model.train()
    done, facts = state.restore(model, steps)
    losses: list[float] = facts.get("losses", [])
    for step in track(range(done, privacy.steps), what="matched training, steps"):
        rows = choices.rows(step, batches.batch(step)).reshape(-1)

        def inputs(begin: int, end: int, rows: Integers = rows) -> tuple[Tensor, Tensor]:
            pixels, labels = _on(device, part, rows[begin:end])
            return normalise(pixels), labels

        divisor = privacy.expected_batch * privacy.views
        total = _step(model, steps, inputs, len(rows), divisor=divisor, loss=loss, physical_batch=physical_batch)
        if not math.isfinite(total):
            raise ValueError(f"matched training: the loss of step {step} is not finite; lower the learning rate")
        losses.append(total / divisor)
        state.keep(step + 1, model, steps, facts={"losses": losses})
    return losses


def _step(
    model: nn.Module,
    steps: torch.optim.Optimizer,
    inputs: Callable[[int, int], tuple[Tensor, Tensor]],
    count: int,
    *,
    divisor: int,
    loss: Loss,
    physical_batch: int,
) -> float:
    """One step on `count` images, a physical batch at a time; the sum of their losses."""
    for group in steps.param_groups:
        for value in group["params"]:
            value.grad = torch.zeros_like(value)
    total = 0.0
    for begin in range(0, count, physical_batch):
        pixels, labels = inputs(begin, min(begin + physical_batch, count))
        summed = loss(model(pixels), labels).sum()
        (summed / divisor).backward()
        total += float(summed.detach())
    steps.step()
    return total


def _on(device: torch.device, part: Part, positions: Integers) -> tuple[Tensor, Tensor]:
    return part.pixels(positions).to(device), part.targets(positions).to(device)
