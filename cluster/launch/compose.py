"""A compose file for one machine: the run in an image of ours, Prometheus, and Grafana with our board.

Ray listens on loopback, and so do the endpoints of its metrics. So the three containers share one network namespace,
Grafana's, which stays when the run has ended; its port is the only one that is published, on this machine's loopback.
Prometheus finds the endpoints in Ray's temporary folder, a volume that the run and it share.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from cluster.errors import ClusterError
from cluster.launch.docker import SECRETS, mounts
from cluster.launch.job import Job, Launch, require_one_node

PROMETHEUS, GRAFANA = "prom/prometheus:v3.5.0", "grafana/grafana:12.1.0"
PASSWORD = "GF_SECURITY_ADMIN_PASSWORD"
"""The variable with the password of Grafana's user admin. Compose fills it in; the file holds its name alone."""
FILES = Path(__file__).resolve().parents[1] / "grafana"
CONFINED = {"cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"]}


def launch(job: Job, *, image: str | None = None, port: str = "3000") -> Launch:
    """The compose file, and the command that starts it.

    Args:
        job: the run.
        image: the image of the run; None is ours.
        port: port of Grafana on this machine's loopback.

    Raises:
        ClusterError: if the run needs more than one node, or the port is none that a user may take.
    """
    require_one_node(job, "compose")
    if not (port.isascii() and port.isdecimal() and 1024 <= int(port) <= 65535):
        raise ClusterError(f"--port {port} is no port between 1024 and 65535; leave it out for 3000")
    services = {"run": _run(job, image or job.image), "prometheus": _prometheus(), "grafana": _grafana(port)}
    content = {"name": job.name, "services": services, "volumes": {"ray": {}, "figures": {}, "grafana": {}}}
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)
    command = ("docker", "compose", "--file", "FILE", "up", "--detach")
    then = (
        f"http://127.0.0.1:{port} is Grafana, user admin; docker compose --file FILE logs --follow run; stop run ends "
        f"the run alone, down all three, and the same command resumes it"
    )
    return Launch(command, "compose.yaml", text, then)


def _run(job: Job, image: str) -> dict[str, Any]:
    gpus = {"driver": "nvidia", "count": job.gpus, "capabilities": ["gpu"]}
    binds = [_bind(source, target, writable) for source, target, writable in mounts(job)]
    return {
        "image": _plain(image),
        "command": ["python", *map(_plain, job.words), "cluster.address=local"],
        "network_mode": "service:grafana",
        "init": True,
        "user": f"{os.getuid()}:{os.getgid()}",
        **CONFINED,
        "cpus": job.cpus,
        "mem_limit": f"{job.memory_gb}g",
        "shm_size": f"{max(1, job.memory_gb // 2)}g",
        "stop_grace_period": f"{job.stop_s}s",
        "environment": list(SECRETS),
        "volumes": [*binds, "ray:/tmp/ray"],
        **({"deploy": {"resources": {"reservations": {"devices": [gpus]}}}} if job.gpus else {}),
    }


def _prometheus() -> dict[str, Any]:
    return {
        "image": PROMETHEUS,
        "command": [
            "--config.file=/etc/prometheus/prometheus.yaml",
            "--storage.tsdb.path=/prometheus",
            "--web.listen-address=127.0.0.1:9090",
        ],
        "network_mode": "service:grafana",
        "depends_on": ["run"],  # whose image says who may write in the volume: it must be the first to have it
        **CONFINED,
        "volumes": [
            _bind(FILES / "prometheus.yaml", "/etc/prometheus/prometheus.yaml"),
            _bind(FILES / "alerts.yaml", "/etc/prometheus/alerts.yaml"),
            "ray:/tmp/ray:ro",
            "figures:/prometheus",
        ],
    }


def _grafana(port: str) -> dict[str, Any]:
    provisioning, board = "/etc/grafana/provisioning", "/etc/grafana/boards/themis.json"
    return {
        "image": GRAFANA,
        "ports": [f"127.0.0.1:{_plain(port)}:3000"],
        **CONFINED,
        "environment": {
            PASSWORD: f"${{{PASSWORD}:?give a password for Grafana's user admin in this variable}}",
            "GF_ANALYTICS_REPORTING_ENABLED": "false",
            "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
            "GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH": board,
        },
        "volumes": [
            _bind(FILES / "datasource.yaml", f"{provisioning}/datasources/themis.yaml"),
            _bind(FILES / "boards.yaml", f"{provisioning}/dashboards/themis.yaml"),
            _bind(FILES / "themis.json", board),
            "grafana:/var/lib/grafana",
        ],
    }


def _bind(source: Path, target: str | Path, writable: bool = False) -> dict[str, Any]:
    found = {"type": "bind", "source": _plain(str(source)), "target": _plain(str(target))}
    return found | ({} if writable else {"read_only": True})


def _plain(text: str) -> str:
    """A text in which compose fills in nothing."""
    return text.replace("$", "$$")
