"""privrad: from raw images to a report on accuracy, fairness and privacy.

One study file is loaded, `config.yaml` or the one given by --configfile, and never merged with another.
"""

import re

from snakemake.utils import min_version

min_version("9.0")


container: "privrad.sif"


include: "workflow/study.smk"
include: "workflow/cluster.smk"
include: "workflow/rules/provenance.smk"
include: "workflow/rules/cohorts.smk"
include: "workflow/rules/prepare.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/report.smk"


wildcard_constraints:
    study=STUDY.study,
    experiment="|".join(STUDY.experiments),
    role="public|private",
    activation="mish|relu",
    arm="|".join(map(re.escape, ARMS)),
    seed=r"\d+",
    shard=r"\d+",


localrules:
    all,
    locations,
    provenance,
    reservations,


rule all:
    default_target: True
    input:
        whole(),
