"""Preparation: from radiographs or CT scans to uint8 shards of one size, without copies, split by patient.

Needs: a manifest, its paths, and the cohort's folder.
Makes: results/<study>/<experiment>/prepare/<role>/shard-<shard>.safetensors, rejects and pictures with text under private/;
results/<study>/<experiment>/{duplicates,split}/<role>/.
"""


rule prepare:
    """Bring the radiographs or CT scans of one shard's patients to one size, as uint8."""
    input:
        code=code("prepare"),
        manifest=rules.ingest.output.manifest,
        paths=ancient(rules.locate.output[0]),
        root=cohort_root,
    output:
        shard="results/{study}/{experiment}/prepare/{role}/shard-{shard}.safetensors",
        rejects="private/{study}/{experiment}/prepare/{role}/shard-{shard}-rejects.csv",
        text="private/{study}/{experiment}/prepare/{role}/shard-{shard}-text.csv",
    log:
        "logs/{study}/{experiment}/prepare/{role}/shard-{shard}.log",
    benchmark:
        "benchmarks/{study}/{experiment}/prepare/{role}/shard-{shard}.tsv"
    params:
        settings=settings("image", "modality", "cohorts.{role}.sensitivity"),
    shell:
        'privrad prepare --study "$STUDY" --experiment {wildcards.experiment} --role {wildcards.role}'
        " --shard {wildcards.shard}"
        " --root {input.root:q} --manifest {input.manifest:q} --paths {input.paths:q}"
        " --out {output.shard:q} --rejects {output.rejects:q} --text {output.text:q} --log {log:q}"


rule duplicates:
    """Find pictures that stand twice; take out copies of public or test images; name the people behind several ids."""
    input:
        code=code("duplicates"),
        manifest=rules.ingest.output.manifest,
        shards=lambda wildcards: shards_of(wildcards.experiment, wildcards.role),
        public_manifest=beside_manifest,
        public_shards=beside_shards,
    output:
        manifest="results/{study}/{experiment}/duplicates/{role}/manifest.parquet",
        identities="results/{study}/{experiment}/duplicates/{role}/identities.parquet",
        found="results/{study}/{experiment}/duplicates/{role}/found.parquet",
        counts="results/{study}/{experiment}/duplicates/{role}/counts.csv",
        removed="results/{study}/{experiment}/duplicates/{role}/removed.csv",
    log:
        "logs/{study}/{experiment}/duplicates/{role}.log",
    benchmark:
        "benchmarks/{study}/{experiment}/duplicates/{role}.tsv"
    threads: 2
    params:
        settings=settings("split.{role}.by", "findings"),
        same_ids=lambda wildcards: experiment_of(wildcards).same_ids,
    shell:
        'privrad duplicates --study "$STUDY" --experiment {wildcards.experiment} --role {wildcards.role}'
        " --manifest {input.manifest:q} --shards {input.shards:q} --public-manifest {input.public_manifest:q}"
        " --public-shards {input.public_shards:q} --kept {output.manifest:q} --identities {output.identities:q}"
        " --found {output.found:q} --counts {output.counts:q} --removed {output.removed:q} --log {log:q}"


rule split:
    """Assign each patient to training, validation or test."""
    input:
        code=code("split"),
        manifest=rules.duplicates.output.manifest,
    output:
        assignment="results/{study}/{experiment}/split/{role}/assignment.parquet",
        balance="results/{study}/{experiment}/split/{role}/balance.csv",
    log:
        "logs/{study}/{experiment}/split/{role}.log",
    benchmark:
        "benchmarks/{study}/{experiment}/split/{role}.tsv"
    params:
        settings=settings("study.seed", "split.{role}", "findings"),
    shell:
        'privrad split --study "$STUDY" --experiment {wildcards.experiment} --role {wildcards.role}'
        " --manifest {input.manifest:q} --assignment {output.assignment:q}"
        " --balance {output.balance:q} --log {log:q}"
