"""Manifests for KubeRay (1.5.1 or newer): a RayJob that runs the run, or a RayCluster that waits for jobs."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import PurePosixPath
from typing import Any, Literal

import yaml

from cluster.errors import ClusterError
from cluster.launch.job import Job, Launch, stop_environment

IMAGE_FOLDER = "/opt/themis"
"""The checkout in our images."""
USER = 1000
"""Number of the user in our images, who is not root."""
HEAD = {"cpu": "4", "memory": "16Gi"}
"""What the head's pod gets: Ray's services and the driver, which holds no tensors of the model's size."""
TRIES = 3
"""How often a job that failed is tried again, on a new Ray. Each try resumes."""


def launch(
    job: Job,
    *,
    image: str | None = None,
    claim: str = "themis",
    mount: str = "/shared",
    secret: str | None = None,
    namespace: str | None = None,
    kind: Literal["RayJob", "RayCluster"] = "RayJob",
) -> Launch:
    """The manifest of a run.

    Args:
        job: the run.
        image: image of Themis that the cluster can pull; None is ours.
        claim: a PersistentVolumeClaim that several pods may write (ReadWriteMany), with run folder and models.
        mount: where pods see it.
        secret: Secret of which every key becomes an environment variable (``WANDB_API_KEY``, ``JUDGE_API_KEY``).
        namespace: Kubernetes namespace; None is that of the context.
        kind: ``RayJob`` runs the run and ends; ``RayCluster`` stays.

    Raises:
        ClusterError: if run folder, model or data are not on the claim, or the mount is no absolute path.
    """
    if not mount.startswith("/"):
        raise ClusterError(f"--mount {mount} is no absolute path; give the folder at which pods see the claim {claim}")
    for path in (job.run_dir, *job.folders):
        if not PurePosixPath(path).is_relative_to(mount):
            raise ClusterError(
                f"{path} is not below {mount}, where pods see the claim {claim}; put it there, or give --mount"
            )
    cluster = _cluster(job, image or job.image, claim, mount, secret)
    spec = cluster if kind == "RayCluster" else _job_spec(job, cluster)
    metadata = {"name": job.name} | ({"namespace": namespace} if namespace else {})
    manifest = {"apiVersion": "ray.io/v1", "kind": kind, "metadata": metadata, "spec": spec}
    then = f"kubectl get {kind.lower()} {job.name}" + (f" --namespace {namespace}" if namespace else "")
    return Launch(("kubectl", "apply", "--filename", "FILE"), f"{kind.lower()}.yaml", dump(manifest), then)


def dump(values: dict[str, Any]) -> str:
    """YAML in the order in which it was written, without anchors."""
    return yaml.safe_dump(json.loads(json.dumps(values)), sort_keys=False, allow_unicode=True, width=120)


def _job_spec(job: Job, cluster: dict[str, Any]) -> dict[str, Any]:
    return {
        "entrypoint": job.shell("python", "auto", IMAGE_FOLDER),
        "submissionMode": "HTTPMode",  # K8sJobMode would hand the entrypoint to a shell twice
        "runtimeEnvYAML": dump(stop_environment(job)),
        "backoffLimit": TRIES,
        "shutdownAfterJobFinishes": True,
        "ttlSecondsAfterFinished": 600,
        "rayClusterSpec": cluster,
    }


def _cluster(job: Job, image: str, claim: str, mount: str, secret: str | None) -> dict[str, Any]:
    worker = {"cpu": str(job.cpus), "memory": f"{job.memory_gb}Gi"}
    if job.gpus:
        worker["nvidia.com/gpu"] = str(job.gpus)
    ports = {"gcs-server": 6379, "dashboard": 8265, "metrics": 8080}

    def pod(resources: dict[str, str], shm_gb: int, **more: Any) -> dict[str, Any]:
        container = {
            "name": "ray",
            "image": image,
            "resources": {"limits": resources, "requests": resources},
            "volumeMounts": [{"name": "shared", "mountPath": mount}, {"name": "shm", "mountPath": "/dev/shm"}],
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
            **({"envFrom": [{"secretRef": {"name": secret}}]} if secret else {}),
            **more,
        }
        volumes = [
            {"name": "shared", "persistentVolumeClaim": {"claimName": claim}},
            {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": f"{shm_gb}Gi"}},
        ]
        user = {"runAsNonRoot": True, "runAsUser": USER, "runAsGroup": USER, "fsGroup": USER}
        return {"spec": {"securityContext": user, "containers": [container], "volumes": volumes}}

    return {
        "rayVersion": version("ray"),
        "authOptions": {"mode": "token"},
        "headGroupSpec": {
            "rayStartParams": {"num-cpus": "0", "dashboard-host": "0.0.0.0"},
            "template": pod(HEAD, 8, ports=[{"name": name, "containerPort": port} for name, port in ports.items()]),
        },
        "workerGroupSpecs": [
            {
                "groupName": "nodes",
                "replicas": job.nodes,
                "minReplicas": job.nodes,
                "maxReplicas": job.nodes,
                "rayStartParams": {},
                "template": pod(worker, max(1, job.memory_gb // 2)),
            }
        ],
    }
