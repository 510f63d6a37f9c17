"""The study as jobs of a real Slurm on this machine: side by side, killed, out of memory, and in no partition."""

from __future__ import annotations

import json
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.slurm.cluster import Slurm
from tests.slurm.submitted import PROFILE, Submitted
from tests.versions.workspace import Workspace

pytestmark = pytest.mark.slurm
STEPS = 120
BUDGET = "{epsilon: 30, delta: 1e-2}"
REPORT = "results/small/report.html"
TRAINING = "small/chest/finetune/eps-8/seed-0"
MODEL = f"results/{TRAINING}/model.safetensors"
RESERVED = "results/small/chest/reserve/eps-8/seed-0/reservation.json"
DRAWN = "results/small/chest/phantom/private"
THROUGH_SLURM = {"SNAKEMAKE_PROFILE": "profiles/slurm"}
TOO_LITTLE = ("--set-resources", "phantom:mem_mb=100 * 40 ** (attempt - 1)")


@dataclass(frozen=True)
class Refusal:
    """How a run ended, what it said and what it left."""

    status: int
    said: str
    left: list[Path]


@dataclass(frozen=True)
class Runs:
    """Runs of one study, beside each other for want of time.

    `whole` went to its report, by `make repro` in the clone `saved`. In `seeded` and `released`, copies of it under
    another noise, a training was killed.
    `small` was refused for its partition, mended, and then had too little memory.
    """

    whole: Submitted
    saved: Workspace
    seeded: Submitted
    released: Submitted
    small: Submitted
    refusal: Refusal


@pytest.fixture(scope="module")
def runs(slurm: Slurm, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    folder = tmp_path_factory.mktemp("runs")
    whole, seeded, released, small = (
        Submitted(folder / name, slurm) for name in ("whole", "seeded", "released", "small")
    )
    saved = whole.fill_with_dvc()
    small.fill()
    refusal = _refused(small)
    whole.edit(PROFILE, "finetune: *training", "finetune: *training\n  reserve: *training")
    with ThreadPoolExecutor() as pool, ExitStack() as stack:
        repro = pool.submit(saved.make, "repro", environment=THROUGH_SLURM)
        running = [(small, stack.enter_context(small.started(DRAWN, *TOO_LITTLE)))]
        whole.wait_for(lambda: repro.done() or [job.state for job in whole.jobs("training")] == ["COMPLETED"] * 2)
        assert not repro.done(), repro.result().stdout
        for copy in (seeded, released):
            shutil.copytree(
                whole.folder, copy.folder, ignore=shutil.ignore_patterns("locks", "incomplete", "slurm_logs", "tmp.*")
            )
            shutil.rmtree((copy.folder / MODEL).parent)
            copy.ungroup()
        released.edit("config.yaml", "noise: reproducible", "noise: release")
        released.edit("config.yaml", "id: small_private", f"id: small_private\n        budget: {BUDGET}")
        running.append((seeded, stack.enter_context(seeded.started(MODEL))))
        reserved = released.snakemake("--force", RESERVED)  # not through Slurm, which saves a wait
        assert reserved.returncode == 0, reserved.stdout
        running.append((released, stack.enter_context(released.started(MODEL))))
        for copy in (seeded, released):
            _kill_midway(copy)
        for study, run in running:
            assert run.wait() == 0, study.said
        assert repro.result().returncode == 0, repro.result().stdout
    return Runs(whole, saved, seeded, released, small, refusal)


def _refused(study: Submitted) -> Refusal:
    """Ask for a partition that is not there; then mend it."""
    study.edit(PROFILE, "slurm_partition: cpu", "slurm_partition: a100")
    status = study.run(DRAWN)
    study.edit(PROFILE, "slurm_partition: a100", "slurm_partition: cpu")
    return Refusal(status, study.said, list(study.folder.glob("results/*")))


def _kill_midway(study: Submitted) -> None:
    """Cancel the job of the training as soon as its first checkpoint is there."""
    checkpoints = study.folder / f"work/{TRAINING}/runs"
    study.wait_for(lambda: bool(list(checkpoints.glob("*/state.safetensors"))))
    (job,) = study.jobs("finetune")
    study.slurm.cancel(job)


def test_the_study_runs_through_slurm_to_its_report(runs: Runs) -> None:
    assert "cardiomegaly" in (runs.whole.folder / REPORT).read_text().lower()
    jobs = runs.whole.jobs()
    assert [job.rule.split("_")[0] for job in jobs] == ["cohorts", *["training"] * 2, "pages"]
    assert {job.state for job in jobs} == {"COMPLETED"}
    assert runs.saved.planned() == {}


def test_trainings_run_side_by_side_each_on_a_gpu_of_its_own(runs: Runs) -> None:
    trainings = one, other = runs.whole.jobs("training")
    assert one.beside(other)
    assert {(job.partition, job.gpus) for job in trainings} == {("gpu", 1)}
    assert {(job.partition, job.gpus) for job in runs.whole.jobs() if job not in trainings} == {("cpu", 0)}


def test_a_training_killed_by_scancel_is_handed_in_again_with_more_memory(runs: Runs) -> None:
    for study in (runs.seeded, runs.released):
        killed, again = study.jobs("finetune")
        assert (killed.state, again.state) == ("CANCELLED", "COMPLETED")
        assert again.megabytes > killed.megabytes


def test_it_goes_on_from_its_checkpoint_to_the_same_bits(runs: Runs) -> None:
    log = (runs.seeded.folder / f"logs/{TRAINING}.log").read_text()
    taken = [int(steps) for steps in re.findall(r"steps: (\d+) in", log)]
    assert len(taken) == 1
    assert 0 < taken[0] < STEPS
    assert (runs.seeded.folder / MODEL).read_bytes() == (runs.whole.folder / MODEL).read_bytes()


def test_it_is_charged_once(runs: Runs) -> None:
    shown = json.loads(runs.released.privrad("ledger", "show", "--json").stdout)["small_private"]
    charged = [run["run_id"] for run in shown["runs"] if run["charged"] == "declared" and run["entered"]]
    assert charged == [run.name for run in (runs.released.folder / f"work/{TRAINING}/runs").iterdir()]
    assert len(charged) == 1


def test_a_job_that_exceeds_its_memory_is_handed_in_again_with_more(runs: Runs) -> None:
    killed, again = runs.small.jobs("phantom")
    assert "memory limit" in killed.output
    assert (killed.megabytes, again.megabytes) == (100, 4000)
    assert again.state == "COMPLETED"


def test_a_partition_that_is_not_there_is_named_before_the_first_job_and_mended_the_study_goes_on(runs: Runs) -> None:
    assert runs.refusal.status != 0
    for words in ("no partition a100, which phantom", "it has cpu, gpu", PROFILE):
        assert words in runs.refusal.said
    assert "Traceback" not in runs.refusal.said
    assert runs.refusal.left == []
    assert (runs.small.folder / DRAWN).is_dir()


def test_dvc_has_it_and_its_own_way_goes_through_slurm_too(runs: Runs) -> None:
    """The last to look at the records of `whole`, to which it adds."""
    before = len(runs.whole.jobs())
    assert runs.saved.changed() == set()
    runs.saved.edit("redraws: 50", "redraws: 60")
    ran = runs.saved.repro("evaluate-chest", environment=THROUGH_SLURM)
    assert ran == ["provenance", "evaluate-chest"]
    assert [job.rule for job in runs.whole.jobs()[before:]] == ["pages_evaluate"]
    assert set(runs.saved.planned()) == {"figures", "report", "internal"}
