"""Cohorts: from raw files to a manifest with keyed ids.

Needs: the folder of each cohort (or a phantom to draw it).
Makes: results/<study>/<experiment>/ingest/<role>/; paths and rejects in plain text under private/, which may
come and go without anything else being made again.
"""


rule phantom:
    """Draw a cohort of chest radiographs or abdominal CT scans in the layout of a real one."""
    input:
        code=code("phantom"),
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
        code=code("ingest"),
        root=cohort_root,
        tables=cohort_tables,
    output:
        manifest="results/{study}/{experiment}/ingest/{role}/manifest.parquet",
        refused="results/{study}/{experiment}/ingest/{role}/refused.csv",
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
        " --rejects {output.rejects:q} --log {log:q}"


rule locate:
    """Write where each image of the manifest lies, in plain text, for the house alone."""
    input:
        code=code("locate"),
        root=cohort_root,
        tables=cohort_tables,
        manifest=rules.ingest.output.manifest,
    output:
        "private/{study}/{experiment}/locate/{role}/paths.parquet",
    log:
        "logs/{study}/{experiment}/locate/{role}.log",
    benchmark:
        "benchmarks/{study}/{experiment}/locate/{role}.tsv"
    params:
        settings=settings("study.seed", "cohorts.{role}", "findings"),
    shell:
        'privrad locate --study "$STUDY" --experiment {wildcards.experiment} --role {wildcards.role}'
        " --root {input.root:q} --manifest {input.manifest:q} --out {output:q} --log {log:q}"


rule locations:
    """Write where the images of all cohorts lie."""
    input:
        located(),
