"""Cohorts: from raw files to a manifest with keyed ids, and a split by patient.

Needs: the folder of each cohort (or a phantom to draw it).
Makes: results/<study>/<experiment>/{ingest,split}/<role>/; paths and rejects in plain text under private/.
"""


rule phantom:
    """Draw a cohort of chest radiographs or abdominal CT scans in the layout of a real one."""
    input:
        code=code("cohorts.phantom"),
    output:
        directory("results/{study}/{experiment}/phantom/{role}"),
    log:
        "logs/{study}/{experiment}/phantom/{role}.log",
    benchmark:
        "benchmarks/{study}/{experiment}/phantom/{role}.tsv"
    params:
        settings=settings("study.seed", "cohorts.{role}.phantom", "cohorts.{role}.layout"),
    shell:
        'privrad phantom --study "$STUDY" --experiment {wildcards.experiment} --role {wildcards.role}'
        " --out {output:q} --log {log:q}"


rule ingest:
    """Read a cohort's tables into one manifest; refuse what cannot be used, with the reason."""
    input:
        code=code("cohorts.ingest"),
        root=cohort_root,
        tables=cohort_tables,
    output:
        manifest="results/{study}/{experiment}/ingest/{role}/manifest.parquet",
        refused="results/{study}/{experiment}/ingest/{role}/refused.csv",
        paths="private/{study}/{experiment}/ingest/{role}/paths.parquet",
        rejects="private/{study}/{experiment}/ingest/{role}/rejects.csv",
    log:
        "logs/{study}/{experiment}/ingest/{role}.log",
    benchmark:
        "benchmarks/{study}/{experiment}/ingest/{role}.tsv"
    params:
        settings=settings("study.seed", "cohorts.{role}", "findings"),
    shell:
        'privrad ingest --study "$STUDY" --experiment {wildcards.experiment} --role {wildcards.role}'
        " --root {input.root:q} --manifest {output.manifest:q} --refused {output.refused:q}"
        " --paths {output.paths:q} --rejects {output.rejects:q} --log {log:q}"


rule split:
    """Assign each patient to training, validation or test."""
    input:
        code=code("cohorts.split"),
        manifest=rules.ingest.output.manifest,
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
        " --manifest {input.manifest:q} --assignment {output.assignment:q} --balance {output.balance:q} --log {log:q}"
