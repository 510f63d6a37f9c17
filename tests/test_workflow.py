"""The workflow as a user runs it: one whole run of a tiny study, and what then does and does not run again."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from privrad.report.figures import FIGURES

ROOT = Path(__file__).parents[1]
BUDGET = "{epsilon: 3, delta: 1e-3}"
SHOWN = {"figures": 1, "report": 1, "internal": 1}
MEASURED = {"evaluate": 1, **SHOWN}


class Workspace:
    """A copy of the project with a tiny study as its config.yaml."""

    def __init__(self, folder: Path, *, study: str = "tiny.yaml") -> None:
        self.folder = folder
        self.study = folder / "config.yaml"
        self.original = (ROOT / "tests" / study).read_text()

    def fill(self) -> None:
        for name in ("src", "workflow", "profiles"):
            shutil.copytree(ROOT / name, self.folder / name, ignore=shutil.ignore_patterns("*.pyc"))
        shutil.copy(ROOT / "Snakefile", self.folder)
        (self.folder / "tests").mkdir()
        self.study.write_text(self.original)

    def snakemake(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"PYTHONPATH": str(self.folder / "src"), "PRIVRAD_KEYS": str(self.folder / "keys")}
        command = [sys.executable, "-m", "snakemake", "--cores", "2", *arguments]
        return subprocess.run(
            command, cwd=self.folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    def privrad(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"PYTHONPATH": str(self.folder / "src"), "PRIVRAD_KEYS": str(self.folder / "keys")}
        command = [sys.executable, "-m", "privrad.cli", *arguments]
        return subprocess.run(command, cwd=self.folder, env=environment, text=True, capture_output=True)

    def planned(self, *targets: str) -> dict[str, int]:
        """How many jobs of each rule a dry run plans."""
        run = self.snakemake("--dry-run", *targets)
        assert run.returncode == 0, run.stdout
        if "Nothing to be done" in run.stdout:
            return {}
        table = run.stdout[run.stdout.rindex("Job stats:") :]
        return {
            name: int(count)
            for name, count in re.findall(r"^(\w+) +(\d+)$", table, re.M)
            if name not in ("all", "total")
        }

    def edit(self, file: str, old: str, new: str) -> None:
        path = self.folder / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("tiny"))
    workspace.fill()
    run = workspace.snakemake()
    assert run.returncode == 0, run.stdout
    return workspace


@pytest.fixture(autouse=True)
def restored(request: pytest.FixtureRequest) -> None:
    if "workspace" in request.fixturenames:
        workspace = request.getfixturevalue("workspace")
        workspace.study.write_text(workspace.original)


def test_a_run_ends_in_one_self_contained_report(workspace: Workspace) -> None:
    page = (workspace.folder / "results/tiny/report.html").read_text()
    assert "cardiomegaly" in page.lower()
    assert not re.search(r"""(?:src|href)=["'](?:https?:)?//""", page)


def test_the_figures_can_be_made_alone(workspace: Workspace) -> None:
    drawn = workspace.folder / "results/tiny/chest/figures/figure-2.svg"
    drawn.unlink()
    assert workspace.planned("figures") == {"figures": 1}
    assert workspace.snakemake("figures").returncode == 0
    assert "<svg" in drawn.read_text()


def test_the_workflow_draws_all_figures_that_there_are(workspace: Workspace) -> None:
    folder = workspace.folder / "results/tiny/chest/figures"
    assert {path.stem.removesuffix("-narrow") for path in folder.iterdir()} == {figure.key for figure in FIGURES}


def test_a_second_run_does_nothing(workspace: Workspace) -> None:
    assert workspace.planned() == {}


def test_an_arm_leaves_a_model_an_account_and_a_certificate(workspace: Workspace) -> None:
    folder = workspace.folder / "results/tiny/chest/finetune/eps-2/seed-0"
    assert sorted(path.name for path in folder.iterdir()) == ["certificate.json", "model.safetensors", "training.json"]


def test_progress_is_in_the_log(workspace: Workspace) -> None:
    log = (workspace.folder / "logs/tiny/chest/pretrain/mish.log").read_text()
    assert re.search(r"\d+ in \d+:\d\d", log)


def test_a_new_epsilon_trains_only_that_one(workspace: Workspace) -> None:
    workspace.edit("config.yaml", "budgets: [2, inf]", "budgets: [2, 5, inf]")
    assert workspace.planned() == {"reserve": 1, "finetune": 1, "predict": 1, **MEASURED}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("physical_batch: 32", "physical_batch: 8"),
        ("physical_batch: 32", "physical_batch: 32, processes: 2, checkpoint_minutes: 0"),
        ("seed: 7", "seed: 7\nledger: elsewhere/ledger.jsonl"),
        ("    budgets:", "    spend: true\n    budgets:"),
    ],
    ids=["batch", "processes", "ledger", "spend"],
)
def test_a_changed_key_that_no_result_depends_on_runs_nothing(workspace: Workspace, old: str, new: str) -> None:
    workspace.edit("config.yaml", old, new)
    assert workspace.planned() == {}


def test_a_changed_budget_of_a_cohort_trains_nothing(workspace: Workspace) -> None:
    workspace.edit("config.yaml", "id: tiny_private", f"id: tiny_private\n        budget: {BUDGET}")
    assert workspace.planned() == SHOWN


def test_a_study_that_moved_to_another_file_is_the_same_study(workspace: Workspace) -> None:
    moved = workspace.folder / "our study.yaml"
    moved.write_text(workspace.original)
    assert workspace.planned("--configfile", str(moved)) == {}


def test_a_changed_delta_spares_what_does_not_depend_on_it(workspace: Workspace) -> None:
    workspace.edit("config.yaml", "delta: 1e-3", "delta: 1e-4")
    assert workspace.planned() == {"reserve": 1, "finetune": 1, "predict": 1, **MEASURED}


def test_changed_redraws_evaluate_again_and_train_nothing(workspace: Workspace) -> None:
    workspace.edit("config.yaml", "redraws: 50", "redraws: 60")
    assert workspace.planned() == MEASURED


def test_an_edited_module_reruns_what_depends_on_it_and_a_test_nothing(workspace: Workspace) -> None:
    (workspace.folder / "tests/test_new.py").write_text("def test_nothing():\n    assert 1 + 1 == 2\n")
    assert workspace.planned() == {}
    module = workspace.folder / "src/privrad/training/augment.py"
    text = module.read_text()
    try:
        module.write_text(text + "\n# edited\n")
        planned = workspace.planned()
    finally:
        module.write_text(text)
    assert planned["pretrain"] == 2
    assert planned["finetune"] == planned["reserve"] == 4
    assert not set(planned) & {"phantom", "ingest", "split", "prepare"}


def test_every_training_is_in_the_ledger_and_every_certificate_recomputes(workspace: Workspace) -> None:
    shown = workspace.privrad("ledger", "show", "--json")
    assert {run["label"]: run["charged"] for run in json.loads(shown.stdout)["tiny_private"]["runs"]} == {
        "tiny/chest/eps-2/seed-0": "unprotected: seeded noise",
        "tiny/chest/eps-inf-matched/seed-0": "unprotected: without privacy",
        "tiny/chest/eps-inf/seed-0": "unprotected: without privacy",
    }
    verified = workspace.privrad("verify", "results/tiny", "--study", "config.yaml", "--json")
    checks = json.loads(verified.stdout)["checks"]
    assert [check for check in checks if not check["holds"]] == []
    assert verified.returncode == 0
    assert len({check["file"] for check in checks}) >= 4


class Released(Workspace):
    """A workspace whose private model may leave: its noise is for release and its cohort has a budget."""

    model = "results/tiny/chest/finetune/eps-2/seed-0/model.safetensors"

    def outputs(self) -> dict[str, bytes]:
        """The files of the private model, by name."""
        return {path.name: path.read_bytes() for path in (self.folder / self.model).parent.iterdir()}

    def ledger(self) -> list[str]:
        """The kinds of the ledger's entries."""
        lines = (self.folder / "work/ledger.jsonl").read_text().splitlines()
        return [json.loads(line)["kind"] for line in lines]


@pytest.fixture(scope="module")
def trained(workspace: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Released:
    released = Released(tmp_path_factory.mktemp("released") / "tiny")
    workspace.study.write_text(workspace.original)
    shutil.copytree(workspace.folder, released.folder)
    released.edit("config.yaml", "noise: reproducible", "noise: release")
    released.edit("config.yaml", "id: tiny_private", f"id: tiny_private\n        budget: {BUDGET}")
    released.original = released.study.read_text()
    run = released.snakemake(released.model)
    assert run.returncode == 0, run.stdout
    assert "declare" in released.ledger()
    return released


@pytest.fixture
def released(trained: Released) -> Iterator[Released]:
    """The trained workspace, put back as it was afterwards."""
    kept = {name: (trained.folder / name).read_bytes() for name in ("config.yaml", "work/ledger.jsonl")}
    outputs = trained.outputs()
    yield trained
    trained.study.write_bytes(kept["config.yaml"])
    assert (trained.folder / "work/ledger.jsonl").read_bytes() == kept["work/ledger.jsonl"]
    assert trained.outputs() == outputs


def test_an_edited_engine_never_retrains_a_model_for_release(trained: Released, tmp_path: Path) -> None:
    edited = Released(tmp_path / "edited")
    shutil.copytree(trained.folder, edited.folder)
    assert '"noise": "release"' in edited.outputs()["certificate.json"].decode()
    edited.edit("src/privrad/privacy/plan.py", "from __future__", "# edited\nfrom __future__")
    (edited.folder / "src/privrad/privacy/added.py").write_text("FACT = 1\n")
    edited.edit(
        "src/privrad/privacy/mechanism.py", "import torch\n", "import torch\nfrom privrad.privacy import added\n"
    )
    assert not set(edited.planned(edited.model)) & {"reserve", "finetune"}


def test_a_refused_training_deletes_nothing_of_the_one_before(released: Released) -> None:
    released.edit("config.yaml", "steps: 3", "steps: 4")
    run = released.snakemake(released.model)
    assert run.returncode != 0
    assert "Traceback" not in run.stdout
    assert "tiny/chest/eps-2/seed-0 was charged before" in run.stdout
    assert "settings" in run.stdout
    assert "spend: [eps-2/seed-0]" in run.stdout


def test_a_deleted_model_comes_back_without_a_training(released: Released) -> None:
    (released.folder / released.model).unlink()
    run = released.snakemake(released.model)
    assert run.returncode == 0, run.stdout


def test_a_training_beyond_the_budget_is_refused_and_names_it(released: Released) -> None:
    released.edit("config.yaml", "budgets: [2, inf]", "budgets: [2, 2.9]")
    run = released.snakemake(released.model.replace("eps-2", "eps-2.9"))
    assert run.returncode != 0
    assert "Traceback" not in run.stdout
    assert "above its budget of 3" in run.stdout


def test_a_training_is_paid_again_only_where_the_study_says_so(trained: Released, tmp_path: Path) -> None:
    again = Released(tmp_path / "again")
    shutil.copytree(trained.folder, again.folder)
    again.edit("config.yaml", "steps: 3", "steps: 4")
    again.edit("config.yaml", "    budgets:", "    spend: [eps-2/seed-0]\n    budgets:")
    again.edit("config.yaml", "epsilon: 3,", "epsilon: 30,")
    before = again.outputs()
    run = again.snakemake(again.model)
    assert run.returncode == 0, run.stdout
    assert again.outputs()["model.safetensors"] != before["model.safetensors"]
    assert again.ledger().count("reserve") == trained.ledger().count("reserve") + 1


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("delta: 1e-3", "delta: 0.5", ["experiments.chest.privacy", "delta 0.5", "1/population"]),
        ("steps: 3", "steps: 0", ["experiments.chest.privacy.steps = 0", "greater than or equal to 1"]),
        ("width: 8", "widht: 8", ["experiments.chest.model.widht", "unknown key", "width"]),
        ("budgets: [2, inf]", "budgets: [-2, inf]", ["experiments.chest.budgets.0 = -2", "greater than 0"]),
        ("seed: 7", "seed: 7\nseed: 8", ["'seed' stands twice"]),
    ],
)
def test_a_wrong_config_is_refused_before_the_first_job(
    workspace: Workspace, old: str, new: str, said: list[str]
) -> None:
    workspace.edit("config.yaml", old, new)
    run = workspace.snakemake()
    assert run.returncode != 0
    assert "Traceback" not in run.stdout
    assert "rule " not in run.stdout
    for words in said:
        assert words in run.stdout


def test_one_config_on_the_command_line_is_refused(workspace: Workspace) -> None:
    run = workspace.snakemake("--dry-run", "--config", "seed=8")
    assert run.returncode != 0
    assert "edit the study file instead" in run.stdout


def test_snakemakes_own_report_works(workspace: Workspace) -> None:
    run = workspace.snakemake("--report", "snakemake-report.zip")
    assert run.returncode == 0, run.stdout
    assert (workspace.folder / "snakemake-report.zip").stat().st_size > 10_000
