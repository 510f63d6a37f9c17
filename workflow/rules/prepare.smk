"""Preparation: from radiographs or CT scans to uint8 shards of one size.

Needs: a manifest, its paths, and the cohort's folder.
Makes: results/<study>/<experiment>/prepare/<role>/shard-<shard>.safetensors; rejects under private/.
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
    log:
        "logs/{study}/{experiment}/prepare/{role}/shard-{shard}.log",
    benchmark:
        "benchmarks/{study}/{experiment}/prepare/{role}/shard-{shard}.tsv"
    params:
        settings=settings("image", "modality"),
    shell:
        'privrad prepare --study "$STUDY" --experiment {wildcards.experiment} --shard {wildcards.shard}'
        " --root {input.root:q} --manifest {input.manifest:q} --paths {input.paths:q}"
        " --out {output.shard:q} --rejects {output.rejects:q} --log {log:q}"
