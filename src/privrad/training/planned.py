"""The plans of a study's private runs, and what the ledger charges for them."""

from __future__ import annotations

from privrad import config
from privrad.privacy.ledger import Budget, Charge
from privrad.privacy.plan import Plan
from privrad.training.binding import Job


def plan_of(arm: config.Arm, *, privacy: config.Privacy) -> Plan:
    """The plan of a private arm, with the least noise that keeps its epsilon; ValueError where none can."""
    return Plan.calibrated(epsilon=arm.epsilon, **privacy.model_dump())


def charge_of(job: Job) -> Charge:
    """What the ledger charges for a private run."""
    plan = plan_of(job.recipe, privacy=job.settings.privacy)
    return Charge(
        label=job.label,
        unit=plan.unit,
        noise_multiplier=plan.noise_multiplier,
        sample_rate=plan.sample_rate,
        steps=plan.steps,
        delta=plan.delta,
        max_images_per_patient=plan.max_images_per_patient,
    )


def declared(study: config.Study, *, cohort: str) -> list[Job]:
    """All private runs of a study on one cohort, over all of its experiments: what it charges together."""
    return [
        job
        for name, experiment in study.experiments.items()
        if experiment.cohorts.private.id == cohort
        for arm in experiment.arms
        for seed in experiment.seeds
        if (job := Job(study=study, experiment=name, arm=arm, seed=seed)).for_release
    ]


def budget_of(job: Job) -> Budget:
    """What may be spent on the job's cohort; without a limit, by patients, where the study sets none."""
    cohort = job.settings.cohorts.private
    if cohort.budget is None:
        others = (each.privacy.delta for each in job.study.experiments.values() if each.cohorts.private.id == cohort.id)
        return Budget(cohort=cohort.id, epsilon=float("inf"), delta=min(others))
    return Budget(cohort=cohort.id, **cohort.budget.model_dump())
