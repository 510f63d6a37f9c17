"""What a cluster needs to know of a job, and what is asked of the cluster before the first. No rules here."""

import shutil
import subprocess


def gpus(processes=1):
    """Resource: a GPU for each process of a training, none where the study computes on the CPU."""
    return 0 if STUDY.performance.device == "cpu" else processes


def require_partitions(jobs):
    """Refuse partitions that the cluster does not have, before hours of preparation lead up to the first job in one."""
    if shutil.which("sinfo") is None:
        raise WorkflowError(
            "no program sinfo here: run Snakemake where jobs are handed in to Slurm (the login node), or without "
            "--workflow-profile profiles/slurm to compute on this machine"
        )
    told = subprocess.run(["sinfo", "--noheader", "--all", "--format=%R"], capture_output=True, text=True)
    if told.returncode != 0:
        raise WorkflowError(f"Slurm does not answer ({told.stderr.strip()}); wait until it does, and run this again")
    rules = {}
    for job in jobs:
        for partition in str(job.resources.get("slurm_partition") or "").split(","):
            rules.setdefault(partition, set()).add(job.rule.name)
    there = set(told.stdout.split())
    for partition in sorted(set(rules) - there - {""}):
        raise WorkflowError(
            f"the cluster has no partition {partition}, which {', '.join(sorted(rules[partition]))} ask for; it has "
            f"{', '.join(sorted(there))}: name one of them as slurm_partition in profiles/slurm/config.yaml"
        )


onstart:
    if workflow.executor_plugin.name == "slurm":
        require_partitions(job for job in workflow.dag.needrun_jobs() if not job.is_local)
