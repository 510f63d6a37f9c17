"""Training: pretrain on the public cohort, fine-tune on the private one once per arm and seed, predict.

Needs: shards, manifests and splits; the ledger that the study names.
Makes: results/<study>/<experiment>/{pretrain/<activation>,{reserve,finetune,predict}/<arm>/seed-<seed>}/; keys,
checkpoints and finished models under work/.
"""


rule pretrain:
    """Train on the public cohort, without privacy."""
    input:
        code=training_code("pretrain"),
        shards=shards("public"),
        manifest="results/{study}/{experiment}/duplicates/public/manifest.parquet",
        assignment="results/{study}/{experiment}/split/public/assignment.parquet",
    output:
        weights="results/{study}/{experiment}/pretrain/{activation}/model.safetensors",
        report="results/{study}/{experiment}/pretrain/{activation}/training.json",
    log:
        "logs/{study}/{experiment}/pretrain/{activation}.log",
    benchmark:
        "benchmarks/{study}/{experiment}/pretrain/{activation}.tsv"
    threads: STUDY.performance.threads
    resources:
        gpu=gpus(),
    params:
        settings=settings("study.seed", "findings", "model", "pretraining"),
        work="work/{study}/{experiment}/pretrain/{activation}",
    shell:
        'privrad pretrain --study "$STUDY" --experiment {wildcards.experiment}'
        " --activation {wildcards.activation} --shards {input.shards:q} --manifest {input.manifest:q}"
        " --assignment {input.assignment:q} --out {output.weights:q} --report {output.report:q}"
        " --work {params.work:q} --log {log:q}"


rule reserve:
    """Enter one training in the ledger, or refuse it, before anything of an earlier one is deleted."""
    input:
        code=training_code("reserve"),
        shards=shards("private"),
        manifest="results/{study}/{experiment}/duplicates/private/manifest.parquet",
        assignment="results/{study}/{experiment}/split/private/assignment.parquet",
        initial=initial_weights,
        public=public_labels,
    output:
        reservation="results/{study}/{experiment}/reserve/{arm}/seed-{seed}/reservation.json",
    log:
        "logs/{study}/{experiment}/reserve/{arm}/seed-{seed}.log",
    benchmark:
        "benchmarks/{study}/{experiment}/reserve/{arm}/seed-{seed}.tsv"
    params:
        settings=arm_settings,
        work="work/{study}/{experiment}/finetune/{arm}/seed-{seed}",
    shell:
        'privrad reserve --study "$STUDY" --experiment {wildcards.experiment} --arm {wildcards.arm}'
        " --seed {wildcards.seed} --shards {input.shards:q} --manifest {input.manifest:q}"
        " --assignment {input.assignment:q} --initial {input.initial:q} --public {input.public:q}"
        " --work {params.work:q} --out {output.reservation:q} --log {log:q}"


rule reservations:
    """Enter all trainings."""
    input:
        [file for name in STUDY.experiments for file in runs_of(name, "reserve", "reservation.json")],


rule finetune:
    """Train on the private cohort at one epsilon and seed."""
    input:
        reservation=rules.reserve.output.reservation,
        shards=shards("private"),
        manifest="results/{study}/{experiment}/duplicates/private/manifest.parquet",
        assignment="results/{study}/{experiment}/split/private/assignment.parquet",
        initial=initial_weights,
        public=public_labels,
    output:
        weights="results/{study}/{experiment}/finetune/{arm}/seed-{seed}/model.safetensors",
        report="results/{study}/{experiment}/finetune/{arm}/seed-{seed}/training.json",
        certificate="results/{study}/{experiment}/finetune/{arm}/seed-{seed}/certificate.json",
    log:
        "logs/{study}/{experiment}/finetune/{arm}/seed-{seed}.log",
    benchmark:
        "benchmarks/{study}/{experiment}/finetune/{arm}/seed-{seed}.tsv"
    threads: STUDY.performance.threads * STUDY.performance.processes
    resources:
        gpu=gpus(STUDY.performance.processes),
    params:
        settings=arm_settings,
        work="work/{study}/{experiment}/finetune/{arm}/seed-{seed}",
    shell:
        'privrad finetune --study "$STUDY" --experiment {wildcards.experiment} --arm {wildcards.arm}'
        " --seed {wildcards.seed} --shards {input.shards:q} --manifest {input.manifest:q}"
        " --assignment {input.assignment:q} --initial {input.initial:q} --public {input.public:q}"
        " --reservation {input.reservation:q} --work {params.work:q}"
        " --out {output.weights:q} --report {output.report:q} --certificate {output.certificate:q} --log {log:q}"


rule predict:
    """Score the validation and test images with one model."""
    input:
        code=code("predict"),
        weights=rules.finetune.output.weights,
        shards=shards("private"),
        manifest="results/{study}/{experiment}/duplicates/private/manifest.parquet",
        assignment="results/{study}/{experiment}/split/private/assignment.parquet",
    output:
        "results/{study}/{experiment}/predict/{arm}/seed-{seed}/predictions.parquet",
    log:
        "logs/{study}/{experiment}/predict/{arm}/seed-{seed}.log",
    benchmark:
        "benchmarks/{study}/{experiment}/predict/{arm}/seed-{seed}.tsv"
    threads: STUDY.performance.threads
    resources:
        gpu=gpus(),
    params:
        settings=settings("findings", "model"),
    shell:
        'privrad predict --study "$STUDY" --experiment {wildcards.experiment} --arm {wildcards.arm}'
        " --seed {wildcards.seed} --weights {input.weights:q} --shards {input.shards:q}"
        " --manifest {input.manifest:q} --assignment {input.assignment:q} --out {output:q} --log {log:q}"
