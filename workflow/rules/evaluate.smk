"""Evaluation: how accurate and how fair every arm is, with intervals, and what privacy costs.

Needs: the predictions of all arms and seeds.
Makes: results/<study>/<experiment>/evaluate/.
"""


rule evaluate:
    """Measure accuracy on the test patients, by finding and by group, and how sure that is."""
    input:
        code=code("evaluate"),
        predictions=predictions,
    output:
        expand(
            "results/{{study}}/{{experiment}}/evaluate/{table}",
            table=EVALUATED,
        ),
    log:
        "logs/{study}/{experiment}/evaluate.log",
    benchmark:
        "benchmarks/{study}/{experiment}/evaluate.tsv"
    threads: 8
    params:
        settings=settings("study.seed", "evaluation", "findings"),
        folder=subpath(output[0], parent=True),
    shell:
        'privrad evaluate --study "$STUDY" --experiment {wildcards.experiment}'
        " --predictions {input.predictions:q} --threads {threads} --out {params.folder:q} --log {log:q}"
