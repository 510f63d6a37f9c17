"""Evaluation: accuracy of every arm, in all and by group, with bootstrap intervals.

Needs: the predictions of all arms and seeds.
Makes: results/<study>/<experiment>/evaluate/.
"""


rule evaluate:
    """Measure accuracy on the test patients, by finding, sex and age."""
    input:
        code=code("evaluation.evaluate"),
        predictions=predictions,
    output:
        metrics="results/{study}/{experiment}/evaluate/metrics.csv",
        differences="results/{study}/{experiment}/evaluate/differences.csv",
        summary="results/{study}/{experiment}/evaluate/summary.json",
    log:
        "logs/{study}/{experiment}/evaluate.log",
    benchmark:
        "benchmarks/{study}/{experiment}/evaluate.tsv"
    params:
        settings=settings("study.seed", "evaluation", "findings"),
        folder=subpath(output.metrics, parent=True),
    shell:
        'privrad evaluate --study "$STUDY" --experiment {wildcards.experiment}'
        " --predictions {input.predictions:q} --out {params.folder:q} --log {log:q}"
