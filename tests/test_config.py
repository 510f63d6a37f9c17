"""A study that cannot be used is refused with the key as it stands in the file, its value, and what is allowed."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel

from privrad import config
from privrad.config import cohort, training
from privrad.evaluation import groups

ROOT = Path(__file__).parents[1]
Load = Callable[[str, str], config.Study]


@pytest.fixture
def edited(tmp_path: Path) -> Load:
    """Loads the tiny study with one piece of its text replaced."""

    def load(old: str, new: str) -> config.Study:
        text = (ROOT / "tests/tiny.yaml").read_text()
        assert old in text
        (tmp_path / "study.yaml").write_text(text.replace(old, new, 1))
        return config.load(tmp_path / "study.yaml")

    return load


@pytest.fixture
def changed(tmp_path: Path) -> Callable[..., config.Experiment]:
    """Loads the tiny study with some keys of its experiment set or, by None, removed."""

    def load(**keys: Any) -> config.Experiment:
        study = yaml.safe_load((ROOT / "tests/tiny.yaml").read_text())
        chest = study["experiments"]["chest"]
        for path, value in keys.items():
            *outer, last = path.split("__")
            block = chest
            for name in outer:
                block = block[name]
            block[last] = value
            if value is None:
                del block[last]
        (tmp_path / "study.yaml").write_text(json.dumps(study))
        return config.load(tmp_path / "study.yaml").experiments["chest"]

    return load


# fmt: off
REFUSED = [
    # a key that is not there, or should not be
    ("seed: 7", "sede: 7", ["sede: unknown key", "seed", "  seed"]),
    ("width: 8", "widht: 8", ["experiments.chest.model.widht: unknown key", "groups, network, width"]),
    ("steps: 3", "stepz: 3", ["privacy.stepz: unknown key", "expected_batch", "privacy.steps: Field required"]),
    ("threads: 1", "cores: 1",
     ["performance.cores: unknown key", "checkpoint_minutes, device, physical_batch, processes, threads"]),
    # a value of the wrong type or outside its bounds
    ("study: tiny", "study: Tiny Study", ["study = 'Tiny Study'", "should match pattern '^[a-z][a-z0-9_]*$'"]),
    ("seed: 7", "seed: -7", ["seed = -7", "greater than or equal to 0"]),
    ("steps: 3", "steps: many", ["experiments.chest.privacy.steps = 'many'", "valid integer"]),
    ("delta: 1e-3", "delta: 0", ["experiments.chest.privacy.delta = 0", "greater than 0"]),
    ("delta: 1e-3", "delta: .nan", ["experiments.chest.privacy.delta = nan"]),
    ("size: 32, shards: 1", "size: 8, shards: 1", ["experiments.chest.image.size = 8", "greater than or equal to 32"]),
    ("network: resnet9", "network: resnet50",
     ["model.network = 'resnet50'", "'resnet9', 'resnet18', 'resnet34' or 'scale_resnet9'"]),
    ("layout: uka_cxr", "layout: dicomdir", ["cohorts.private.layout = 'dicomdir'", "'uka_cxr'"]),
    ("threads: 1", "processes: 0", ["performance.processes = 0", "greater than or equal to 1"]),
    ("threads: 1", "checkpoint_minutes: -1", ["performance.checkpoint_minutes = -1", "greater than or equal to 0"]),
    ("steps: 3", "steps: 3\n      clipping: ghost", ["privacy.clipping = 'ghost'", "'mixed' or 'opacus'"]),
    ("steps: 3", "steps: 3\n      precision: float16", ["privacy.precision = 'float16'", "'float32' or 'bfloat16'"]),
    ("steps: 3", "steps: 3\n      clipping_norm: 0", ["privacy.clipping_norm = 0", "greater than 0"]),
    ("noise: reproducible", "noise: none", ["privacy.noise = 'none'", "'reproducible' or 'release'"]),
    ("redraws: 50", "redraws: 50, intervals: normal",
     ["evaluation.intervals = 'normal'", "'auto', 'percentile' or 'bca'"]),
    ("redraws: 50", "redraws: 50, threshold: 0.5", ["evaluation.threshold = 0.5", "'youden' or 'youden_test'"]),
    ("redraws: 50", "redraws: 50, specificity: 1", ["evaluation.specificity = 1", "less than 1"]),
    ("redraws: 50", "redraws: 50, specificity: 0.4", ["evaluation.specificity = 0.4", "greater than or equal to 0.5"]),
    ("redraws: 50", "redraws: 50, margin: 0", ["evaluation.margin = 0", "greater than 0"]),
    ("redraws: 50", "redraws: 50, margin: 0.5", ["evaluation.margin = 0.5", "less than 0.5"]),
    ("redraws: 50", "redraws: 50, fairness_difference: 0", ["evaluation.fairness_difference = 0", "greater than 0"]),
    ("redraws: 50", "redraws: 50, fairness_difference: 1", ["evaluation.fairness_difference = 1", "less than 1"]),
    ("redraws: 50", "redraws: 50, intersections: [[sex]]", ["evaluation.intersections.0 = ['sex']", "at least 2"]),
    ("redraws: 50", "redraws: 50, intersections: [[sex, age, site]]", ["evaluation.intersections.0 = ", "at most 2"]),
    ("    budgets:", "    compare: mimic\n    budgets:", ["chest.compare = 'mimic'", "'uka_cxr' or 'pdac'"]),
    ("redraws: 50", "redraws: 5", ["evaluation.redraws = 5", "greater than or equal to 10"]),
    ("images_per_patient: [1, 2], prevalence: *half}", "images_per_patient: [1, 9], prevalence: *half}",
     ["phantom.images_per_patient.1 = 9", "less than or equal to 8"]),
    ("budgets: [2, inf]", "budgets: [0, inf]", ["experiments.chest.budgets.0 = 0", "greater than 0"]),
    ("budgets: [2, inf]", "budgets: []", ["experiments.chest.budgets", "at least 1 item"]),
    ("learning_rate: 1e-3", "learning_rate: fast", ["pretraining.learning_rate = 'fast'", "valid number"]),
    ("seed: 7", "seed: 7\nledger: results/tiny/ledger.jsonl", ["ledger = 'results/tiny/ledger.jsonl'", "not lie in"]),
    ("seed: 7", "seed: 7\nledger: ${NOWHERE_SET}/ledger", ["ledger = ", "NOWHERE_SET is not set"]),
    ("    budgets:", "    spend: [eps-3/seed-0]\n    budgets:",
     ["experiments.chest", "spend names eps-3/seed-0", "eps-2/seed-0"]),
    ("    budgets:", "    spend: [eps-inf/seed-0]\n    budgets:",
     ["spend names eps-inf/seed-0", "it has eps-2/seed-0"]),
    # values that do not go together
    ("groups: 4", "groups: 3", ["experiments.chest.model", "groups 3 must divide width 8"]),
    ("expected_batch: 10", "expected_batch: 31", ["experiments.chest.privacy", "expected_batch 31", "population 30"]),
    ("delta: 1e-3", "delta: 0.04", ["experiments.chest.privacy", "delta 0.04", "1/population = 0.0333"]),
    ("validation: 0.2, test: 0.3", "validation: 0.6, test: 0.4", ["split.private", "must stay below 1"]),
    ("population: 30", "population: 30\n      unit: record", ["experiments.chest.privacy", "max_images_per_patient"]),
    ("population: 30", "population: 30\n      unit: record\n      max_images_per_patient: 2\n      views: 2",
     ["experiments.chest.privacy", "views: 1"]),
    ("budgets: [2, inf]", "budgets: [2, 2.0]", ["experiments.chest", "budgets 2, 2 must not repeat"]),
    ("budgets: [2, inf]", "budgets: [2, 2.0000001]", ["experiments.chest", "budgets 2, 2 must not repeat"]),
    ("findings: [cardiomegaly, pleural_effusion_right, pleural_effusion_left]", "findings: [pleural_effusion_left]",
     ["experiments.chest", "shows pleural_effusion_right", "flip: 0"]),
    ("redraws: 50", "redraws: 50, intersections: [[age, age]]", ["evaluation", "pairs age with itself"]),
    ("redraws: 50", "redraws: 50, intersections: [[sex, age], [age, sex]]", ["evaluation", "names age and sex twice"]),
    ("redraws: 50", "redraws: 50, age_bands: [0, 60, 30]", ["evaluation", "age_bands [0.0, 60.0, 30.0]", "ascending"]),
    ("          cardiomegaly: cardiomegaly\n", "", ["cohorts.private.labels lacks ['cardiomegaly']"]),
    ("id: tiny_private\n        layout: uka_cxr\n        sensitivity: synthetic",
     "id: tiny_private\n        layout: uka_cxr\n        sensitivity: private",
     ["cohorts.private", "a phantom cohort has sensitivity: synthetic"]),
]
# fmt: on


@pytest.mark.parametrize(("old", "new", "said"), REFUSED)
def test_a_wrong_study_is_refused_by_key_and_value(edited: Load, old: str, new: str, said: list[str]) -> None:
    with pytest.raises(config.ConfigError) as refused:
        edited(old, new)
    for words in said:
        assert words in str(refused.value)
    assert "study.yaml" in str(refused.value)


# fmt: off
REFUSED_OF_CT = [
    ("modality: ct", "modality: mr", ["experiments.pancreas.modality = 'mr'", "'radiograph' or 'ct'"]),
    ("modality: ct", "modality: radiograph", ["layout pdac is not for modality: radiograph", "uka_cxr"]),
    ("    modality: ct\n", "", ["layout pdac is not for modality: radiograph", "set modality"]),
    ("layout: pdac", "layout: uka_cxr", ["layout uka_cxr is not for modality: ct", "panorama"]),
    ("network: scale_resnet9", "network: resnet9", ["resnet9 is not for modality: ct", "choose scale_resnet9"]),
    ("size: [32, 32, 16]", "size: 32", ["image: size and window", "[columns, rows, slices]"]),
    (", window: [-150, 250]", "", ["image: size and window", "in Hounsfield units"]),
    ("size: [32, 32, 16], window: [-150, 250]", "size: 32", ["image.size 32", "[columns, rows, slices]"]),
    ("size: [32, 32, 16]", "size: [32, 32, 4]", ["image.size.2 = 4", "greater than or equal to 8"]),
    ("size: [32, 32, 16]", "size: [32, 32]", ["image.size", "Field required"]),
    ("window: [-150, 250]", "window: [250, -150]", ["window [250.0, -150.0]", "the lower one first"]),
    ("window: [-150, 250]", "window: [-2000, 250]", ["image.window.0 = -2000", "greater than or equal to -1024"]),
    (", augmentation: none", "", ["without_privacy.augmentation", "set it to none"]),
    ("age_bands: quartiles", "age_bands: thirds", ["evaluation.age_bands = 'thirds'", "'quartiles'"]),
    ("pretraining: none", "pretraining: {epochs: 1}", ["pretraining.augmentation", "set it to none"]),
]
# fmt: on


@pytest.mark.parametrize(("old", "new", "said"), REFUSED_OF_CT)
def test_a_wrong_study_of_scans_is_refused_by_key_and_value(
    tmp_path: Path, old: str, new: str, said: list[str]
) -> None:
    whole = (ROOT / "tests/tiny_ct.yaml").read_text()
    assert whole.count(old) == 1
    (tmp_path / "study.yaml").write_text(whole.replace(old, new))
    with pytest.raises(config.ConfigError) as refused:
        config.load(tmp_path / "study.yaml")
    for words in said:
        assert words in str(refused.value)


def test_every_layout_is_of_one_modality() -> None:
    listed = [layout for layouts in cohort.LAYOUTS.values() for layout in layouts]
    assert sorted(listed) == sorted(get_args(config.Cohort.model_fields["layout"].annotation))
    networks = [network for known in training.NETWORKS.values() for network in known]
    assert sorted(networks) == sorted(get_args(config.Model.model_fields["network"].annotation))


def test_scans_are_learned_by_one_activation() -> None:
    arms = config.load(ROOT / "tests/tiny_ct.yaml").experiments["pancreas"].arms
    assert {arm.activation for arm in arms.values()} == {"mish"}
    assert config.load(ROOT / "tests/tiny.yaml").experiments["chest"].arms["eps-inf"].activation == "relu"


OUT_OF_BOUNDS = "width: 2, groups: 0}\n    pretraining: {learning_rate: 2"


def test_every_fault_is_named_at_once(edited: Load) -> None:
    with pytest.raises(config.ConfigError) as refused:
        edited("width: 8, groups: 4}\n    pretraining: {learning_rate: 1e-3", OUT_OF_BOUNDS)
    faults = str(refused.value).splitlines()[1:]
    assert [fault.split(" = ")[0].strip() for fault in faults] == [
        "experiments.chest.model.width",
        "experiments.chest.model.groups",
        "experiments.chest.pretraining.learning_rate",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("study: [", "is not YAML"),
        ("- a\n- b\n", "must hold keys and values"),
        ("", "must hold keys and values"),
        ("study: a\nseed: 1\nseed: 2\n", "key 'seed' stands twice in the block at line 1"),
        ("study: !!python/object/apply:os.getcwd []\n", "is not YAML"),
        ("study: a\n", "seed: Field required"),
    ],
)
def test_a_file_that_is_no_study_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "study.yaml").write_text(text)
    with pytest.raises(config.ConfigError, match=said):
        config.load(tmp_path / "study.yaml")


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_bytes(b"study: \xff\xfe\n")
    with pytest.raises(config.ConfigError, match="is not YAML"):
        config.load(tmp_path / "study.yaml")


def test_a_missing_study_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(config.ConfigError, match=r"nowhere\.yaml: No such file"):
        config.load(tmp_path / "nowhere.yaml")


def test_a_root_may_name_an_environment_variable(
    changed: Callable[..., config.Experiment], monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = {"cohorts__private__phantom": None, "cohorts__private__sensitivity": "public"}
    monkeypatch.setenv("HOSPITAL", "/data/hospital")
    experiment = changed(**keys, cohorts__private__root="${HOSPITAL}/chest")
    assert experiment.cohorts.private.root == Path("/data/hospital/chest")
    monkeypatch.delenv("HOSPITAL")
    with pytest.raises(config.ConfigError, match=r"cohorts\.private\.root = .*HOSPITAL is not set"):
        changed(**keys, cohorts__private__root="${HOSPITAL}/chest")


BUDGET = {"epsilon": 8, "delta": 1e-3}


def given_to(role: str, *, sensitivity: str) -> dict[str, Any]:
    """The keys that put a folder in the place of a phantom."""
    values: dict[str, Any] = {"phantom": None, "root": "/data", "sensitivity": sensitivity}
    values |= {"budget": BUDGET} if sensitivity == "private" else {}
    return {f"cohorts__{role}__{key}": value for key, value in values.items()}


def test_a_private_cohort_takes_no_noise_that_can_be_subtracted(changed: Callable[..., config.Experiment]) -> None:
    keys = given_to("private", sensitivity="private") | {"budgets": [2]}
    assert changed(**keys, privacy__noise="release").privacy.noise == "release"
    with pytest.raises(config.ConfigError, match="a private cohort needs release"):
        changed(**keys, privacy__noise="reproducible")


def test_a_private_cohort_shows_no_counts_of_single_patients(changed: Callable[..., config.Experiment]) -> None:
    keys = given_to("private", sensitivity="private") | {"budgets": [2], "privacy__noise": "release"}
    assert changed(**keys, evaluation__minimum_cell=5).evaluation.minimum_cell == 5
    with pytest.raises(config.ConfigError, match="minimum_cell 4 would let counts of single patients"):
        changed(**keys, evaluation__minimum_cell=4)


def test_a_private_cohort_trains_without_privacy_only_on_request(changed: Callable[..., config.Experiment]) -> None:
    keys = given_to("private", sensitivity="private") | {"privacy__noise": "release"}
    with pytest.raises(config.ConfigError, match="allow_unprotected: true"):
        changed(**keys)
    assert "eps-inf" in changed(**keys, allow_unprotected=True).arms


def test_a_private_cohort_has_a_budget_per_patient_unless_it_says_otherwise(
    changed: Callable[..., config.Experiment],
) -> None:
    keys = given_to("private", sensitivity="private") | {"budgets": [2], "privacy__noise": "release"}
    assert changed(**keys).cohorts.private.budget == config.Budget(epsilon=8, delta=1e-3, unit="patient")
    del keys["cohorts__private__budget"]
    with pytest.raises(config.ConfigError, match=r"cohorts\.private.*: private needs a budget .* such as budget: {"):
        changed(**keys)


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        ({"epsilon": 0}, r"private\.budget\.epsilon = 0: .* greater than 0"),
        ({"delta": 1}, r"private\.budget\.delta = 1: .* less than 1"),
        ({"unit": "image"}, r"private\.budget\.unit = 'image': .* 'patient' or 'record'"),
        ({"delta": 0.5}, r"private\.budget\.delta 0\.5 must be below 1/privacy\.population = "),
        ({"unit": "record"}, r"budget\.unit: record cannot be charged with privacy\.unit: patient"),
        ({"epsilon": 1.5}, r"budgets: 2 exceeds cohorts\.private\.budget\.epsilon 1\.5"),
    ],
)
def test_a_budget_is_checked(changed: Callable[..., config.Experiment], budget: dict[str, Any], said: str) -> None:
    with pytest.raises(config.ConfigError, match=said):
        changed(cohorts__private__budget=BUDGET | budget)


def test_a_budget_at_a_larger_delta_is_left_to_the_ledger(changed: Callable[..., config.Experiment]) -> None:
    assert changed(cohorts__private__budget={"epsilon": 1.99, "delta": 2e-3}).budgets == (2.0, math.inf)


def test_a_budget_per_record_takes_runs_per_record(changed: Callable[..., config.Experiment]) -> None:
    budget = BUDGET | {"unit": "record"}
    experiment = changed(cohorts__private__budget=budget, privacy__unit="record", privacy__max_images_per_patient=2)
    assert experiment.cohorts.private.budget == config.Budget(epsilon=8, delta=1e-3, unit="record")


def test_a_budget_of_the_public_cohort_is_refused(changed: Callable[..., config.Experiment]) -> None:
    with pytest.raises(config.ConfigError, match=r"cohorts\.public takes no budget"):
        changed(cohorts__public__budget=BUDGET)


def test_one_cohort_has_one_budget_in_all_experiments(tmp_path: Path) -> None:
    study = yaml.safe_load((ROOT / "tests/tiny.yaml").read_text())
    study["experiments"]["again"] = again = json.loads(json.dumps(study["experiments"]["chest"]))
    (tmp_path / "study.yaml").write_text(json.dumps(study))
    assert set(config.load(tmp_path / "study.yaml").experiments) == {"chest", "again"}
    again["cohorts"]["private"]["budget"] = BUDGET
    (tmp_path / "study.yaml").write_text(json.dumps(study))
    with pytest.raises(
        config.ConfigError, match=r"cohort tiny_private .* in experiments\.again\.cohorts\.private than"
    ):
        config.load(tmp_path / "study.yaml")


def test_spending_again_is_granted_run_by_run_or_to_all(changed: Callable[..., config.Experiment]) -> None:
    def granted(spend: object) -> list[str]:
        experiment = changed(budgets=[2, 5], seeds=[0, 1], spend=spend)
        arms = [arm for arm in experiment.arms.values() if arm.recipe == "private"]
        return [f"{arm.name}/seed-{seed}" for arm in arms for seed in (0, 1) if experiment.spends(arm, seed=seed)]

    assert granted(False) == []
    assert granted(["eps-2/seed-1", "eps-5/seed-0"]) == ["eps-2/seed-1", "eps-5/seed-0"]
    assert len(granted(True)) == 4


def test_the_ledgers_path_may_name_an_environment_variable(edited: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    assert edited("seed: 7", "seed: 7").ledger == Path("work/ledger.jsonl")
    monkeypatch.setenv("HOSPITAL", "/shared")
    assert edited("seed: 7", "seed: 7\nledger: ${HOSPITAL}/ledger.jsonl").ledger == Path("/shared/ledger.jsonl")


def test_a_cohort_has_one_source(changed: Callable[..., config.Experiment]) -> None:
    with pytest.raises(config.ConfigError, match=r"either root .* or phantom"):
        changed(cohorts__private__root="/data")


def test_pretraining_on_a_private_cohort_is_refused(changed: Callable[..., config.Experiment]) -> None:
    keys = given_to("public", sensitivity="private")
    with pytest.raises(config.ConfigError, match="pretraining protects nobody"):
        changed(**keys)


def test_without_a_public_cohort_nothing_may_lean_on_it(changed: Callable[..., config.Experiment]) -> None:
    with pytest.raises(config.ConfigError, match=r"pretraining needs cohorts\.public"):
        changed(cohorts__public=None)
    with pytest.raises(config.ConfigError, match=r"positive_weights: public needs cohorts\.public"):
        changed(cohorts__public=None, pretraining="none")
    experiment = changed(cohorts__public=None, pretraining="none", training__positive_weights="none")
    assert list(experiment.roles) == ["private"]


def test_constant_weights_name_each_finding_once(changed: Callable[..., config.Experiment]) -> None:
    with pytest.raises(config.ConfigError, match="must name each finding once; at fault: "):
        changed(training__positive_weights={"cardiomegaly": 2.0})


def test_each_budget_is_an_arm_and_without_privacy_there_are_two_beside_epsilon_0(
    changed: Callable[..., config.Experiment],
) -> None:
    arms = changed(budgets=["inf", 7.89, 0.29]).arms
    assert {name: (arm.epsilon, arm.recipe, arm.activation) for name, arm in arms.items()} == {
        "eps-0": (0.0, "none", "mish"),
        "eps-0.29": (0.29, "private", "mish"),
        "eps-7.89": (7.89, "private", "mish"),
        "eps-inf-matched": (math.inf, "matched", "mish"),
        "eps-inf": (math.inf, "without_privacy", "relu"),
    }
    assert list(arms) == ["eps-0", "eps-0.29", "eps-7.89", "eps-inf-matched", "eps-inf"]


def test_relu_is_pretrained_only_where_an_arm_needs_it(changed: Callable[..., config.Experiment]) -> None:
    assert changed(budgets=[2]).activations == ("mish",)
    assert changed(budgets=[2, "inf"]).activations == ("mish", "relu")


def test_an_arm_depends_on_what_its_training_uses_alone(changed: Callable[..., config.Experiment]) -> None:
    before, after = changed(), changed(privacy__delta=1e-4, budgets=[2, 5, "inf"], evaluation__redraws=70)
    same = {name for name, arm in before.arms.items() if before.settings(arm) == after.settings(after.arms[name])}
    assert same == {"eps-0", "eps-inf-matched", "eps-inf"}


@pytest.mark.parametrize(
    ("layout", "sensitivity", "may"),
    [
        ("nih_cxr14", "public", True),
        ("mimic_cxr_jpg", "public", False),
        ("mimic_cxr_jpg", "synthetic", True),
        ("nih_cxr14", "private", False),
    ],
)
def test_pictures_under_a_signed_agreement_may_not_leave(layout: str, sensitivity: str, may: bool) -> None:
    phantom = {"phantom": {"patients": 5, "style": "public"}} if sensitivity == "synthetic" else {"root": "/data"}
    budget = {"budget": {"epsilon": 1, "delta": 1e-6}} if sensitivity == "private" else {}
    cohort = config.Cohort.model_validate(
        {"id": "cohort", "layout": layout, "sensitivity": sensitivity, "labels": {}, **phantom, **budget}
    )
    assert cohort.redistributable is may


def test_a_study_cannot_be_changed_after_it_was_checked(edited: Load) -> None:
    study = edited("seed: 7", "seed: 8")
    with pytest.raises(ValueError, match="frozen"):
        study.seed = 9


def test_an_evaluation_has_defaults_and_takes_what_is_given(changed: Callable[..., config.Experiment]) -> None:
    default = changed()
    assert default.compare is None
    assert default.evaluation.model_dump() == {
        **{"redraws": 50, "resample": "patient", "confidence": 0.95, "intervals": "auto"},
        **{"threshold": "youden", "specificity": 0.9, "margin": 0.02, "age_bands": (0, 30, 60, 70, 80, 100)},
        **{"intersections": (("sex", "age"),), "fairness_difference": 0.12, "minimum_cell": 10},
    }
    given = {"intervals": "bca", "threshold": "youden_test", "specificity": 0.95, "margin": 0.01}
    given |= {"intersections": [["sex", "site"], ["age", "bedside"]], "fairness_difference": 0.05}
    keys = {f"evaluation__{key}": value for key, value in given.items()}
    taken = changed(compare="pdac", **keys)
    assert taken.compare == "pdac"
    assert json.loads(taken.evaluation.model_dump_json()).items() >= given.items()
    assert changed(evaluation__intersections=[]).evaluation.intersections == ()


def test_the_pair_that_may_lack_its_columns_is_the_default() -> None:
    assert config.Evaluation().intersections == groups.DEFAULT_INTERSECTIONS


def keys(model: type[BaseModel]) -> set[str]:
    """The keys of a model and of all models within it."""
    found, waiting = set(model.model_fields), [field.annotation for field in model.model_fields.values()]
    while waiting:
        annotation = waiting.pop()
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            found |= keys(annotation)
        waiting.extend(get_args(annotation))
    return found


def test_the_guide_explains_every_key() -> None:
    table = (ROOT / "docs/guide.md").read_text().split("## Every key of a study")[1]
    assert keys(config.Study) - set(re.findall(r"`(\w+)`", table)) == set()


def test_a_mirrored_image_shows_a_finding_on_its_other_side() -> None:
    shown = {
        finding: config.mirrored(finding) for finding in ("effusion_left", "effusion_right", "cardiomegaly", "left")
    }
    assert list(shown.values()) == ["effusion_right", "effusion_left", "cardiomegaly", "left"]
