"""Provenance: which source files each rule's results depend on.

Needs: nothing.
Makes: results/<study>/provenance/<rule>.sha256, as sha256sum takes them.
"""


rule provenance:
    """List the hashes of the source files behind each rule."""
    input:
        sorted({file for rule in provenance.RULES for file in code(rule)}),
    output:
        expand(
            "results/{study}/provenance/{rule}.sha256",
            study=STUDY.study,
            rule=provenance.RULES,
        ),
    log:
        f"logs/{STUDY.study}/provenance.log",
    params:
        folder=subpath(output[0], parent=True),
    shell:
        "privrad provenance --out {params.folder:q} --log {log:q}"
