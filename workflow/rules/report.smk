"""The report: one page that a radiologist, a statistician and a data-protection officer can rely on.

Needs: the evaluation, certificates, manifests, splits and shards of every experiment.
Makes: results/<study>/report.html.
"""


rule report:
    """Write the report."""
    input:
        code=code("report.report"),
        files=reported,
    output:
        report(
            "results/{study}/report.html",
            caption="../captions/report.rst",
            category="Report",
        ),
    log:
        "logs/{study}/report.log",
    benchmark:
        "benchmarks/{study}/report.tsv"
    params:
        settings=STUDY.model_dump_json(
            exclude={"performance": True, "ledger": True, "experiments": {"__all__": {"spend"}}}
        ),
    shell:
        'privrad report --study "$STUDY" --results results/{wildcards.study}'
        " --private private/{wildcards.study} --out {output:q} --log {log:q}"
