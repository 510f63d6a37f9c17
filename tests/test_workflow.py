"""The workflow as a user runs it: one whole run of a tiny study, and what then does and does not run again."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


class Workspace:
    """A copy of the project with the tiny study as its config.yaml."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.study = folder / "config.yaml"
        self.original = (ROOT / "tests" / "tiny.yaml").read_text()

    def fill(self) -> None:
        for name in ("src", "workflow", "profiles"):
            shutil.copytree(ROOT / name, self.folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "Snakefile", self.folder)
        (self.folder / "tests").mkdir()
        self.study.write_text(self.original)

    def snakemake(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"PYTHONPATH": str(self.folder / "src"), "PRIVRAD_KEYS": str(self.folder / "keys")}
        command = [sys.executable, "-m", "snakemake", "--cores", "2", *arguments]
        return subprocess.run(
            command, cwd=self.folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

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
    assert workspace.planned() == {"finetune": 1, "predict": 1, "evaluate": 1, "report": 1}


def test_a_changed_performance_key_runs_nothing(workspace: Workspace) -> None:
    workspace.edit("config.yaml", "physical_batch: 32", "physical_batch: 8")
    assert workspace.planned() == {}


def test_a_study_that_moved_to_another_file_is_the_same_study(workspace: Workspace) -> None:
    moved = workspace.folder / "our study.yaml"
    moved.write_text(workspace.original)
    assert workspace.planned("--configfile", str(moved)) == {}


def test_a_changed_delta_spares_what_does_not_depend_on_it(workspace: Workspace) -> None:
    workspace.edit("config.yaml", "delta: 1e-3", "delta: 1e-4")
    assert workspace.planned() == {"finetune": 1, "predict": 1, "evaluate": 1, "report": 1}


def test_changed_redraws_evaluate_again_and_train_nothing(workspace: Workspace) -> None:
    workspace.edit("config.yaml", "redraws: 50", "redraws: 60")
    assert workspace.planned() == {"evaluate": 1, "report": 1}


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
    assert planned["finetune"] == 4
    assert not set(planned) & {"phantom", "ingest", "split", "prepare"}


def test_an_edited_engine_never_retrains_a_model_for_release(workspace: Workspace, tmp_path: Path) -> None:
    released = Workspace(tmp_path / "released")
    shutil.copytree(workspace.folder, released.folder)
    released.edit("config.yaml", "noise: reproducible", "noise: release")
    model = "results/tiny/chest/finetune/eps-2/seed-0/model.safetensors"
    run = released.snakemake(model)
    assert run.returncode == 0, run.stdout
    assert '"noise": "release"' in (released.folder / model).with_name("certificate.json").read_text()
    released.edit("src/privrad/privacy/plan.py", "from __future__", "# edited\nfrom __future__")
    (released.folder / "src/privrad/privacy/added.py").write_text("FACT = 1\n")
    released.edit(
        "src/privrad/privacy/mechanism.py", "import torch\n", "import torch\nfrom privrad.privacy import added\n"
    )
    assert "finetune" not in released.planned(model)


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


def test_lint_is_clean(workspace: Workspace) -> None:
    run = workspace.snakemake("--lint")
    assert run.returncode == 0, run.stdout
