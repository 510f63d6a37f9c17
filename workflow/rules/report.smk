"""What people open: figures and tables, the report that may leave the hospital, and its twin that may not.

Needs: the evaluation, certificates, manifests, splits and shards of every experiment, and the published results.
Makes: results/<study>/<experiment>/{figures,cards,checklists}/, results/<study>/report.html and
private/<study>/internal.html.
"""

# All that a report shows; the other keys of a study say how fast it runs, what may be spent, and where images lie:
# `snakemake --report` copies the parameters of a rule into a page that may be handed on.
ROOTS = {"cohorts": {role: {"root"} for role in ("public", "private")}}
SHOWN = STUDY.model_dump_json(
    exclude={"performance": True, "ledger": True, "experiments": {"__all__": {"spend": True, **ROOTS}}}
)


rule figures:
    """Draw the figures and tables, as SVG and PDF, and write the numbers behind them as CSV."""
    input:
        code=code("figures"),
        files=reported,
        published=PUBLISHED,
    output:
        drawn(),
    log:
        f"logs/{STUDY.study}/figures.log",
    benchmark:
        f"benchmarks/{STUDY.study}/figures.tsv"
    threads: 4
    params:
        settings=SHOWN,
        results=subpath(output[0], ancestor=3),
        private=f"private/{STUDY.study}",
    shell:
        'privrad figures --study "$STUDY" --results {params.results:q} --private {params.private:q}'
        " --threads {threads} --log {log:q}"


rule report:
    """Write the report that may leave the hospital, with its model cards and checklists."""
    input:
        code=code("report"),
        files=reported,
        figures=drawn(),
        published=PUBLISHED,
    output:
        papers(),
        page=report(
            f"results/{STUDY.study}/report.html",
            caption="../captions/report.rst",
            category="Report",
        ),
    log:
        f"logs/{STUDY.study}/report.log",
    benchmark:
        f"benchmarks/{STUDY.study}/report.tsv"
    params:
        settings=SHOWN,
        results=subpath(output.page, parent=True),
        private=f"private/{STUDY.study}",
    shell:
        'privrad report --study "$STUDY" --results {params.results:q} --private {params.private:q}'
        " --out {output.page:q} --log {log:q}"


rule internal:
    """Write the report that must not leave: real pictures, missed cases, exact counts."""
    input:
        code=code("report"),
        files=reported,
        figures=drawn(),
        published=PUBLISHED,
        predictions=[file for name in STUDY.experiments for file in runs_of(name, "predict", "predictions.parquet")],
    output:
        "private/{study}/internal.html",
    log:
        "logs/{study}/internal.log",
    benchmark:
        "benchmarks/{study}/internal.tsv"
    params:
        settings=SHOWN,
    shell:
        'privrad report --internal --study "$STUDY" --results results/{wildcards.study}'
        " --private private/{wildcards.study} --out {output:q} --log {log:q}"
