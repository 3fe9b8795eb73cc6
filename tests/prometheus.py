"""A Prometheus of a test's own, on loopback, that scrapes what Ray says is to be scraped."""

import json
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from rl.actors.process_group import free_port

PATIENCE_S = 300


def missing() -> bool:
    """Whether there is no Prometheus on this machine."""
    return not (shutil.which("prometheus") and shutil.which("promtool"))


needs_prometheus = pytest.mark.skipif(missing(), reason="no prometheus and promtool; Debian's package is prometheus")


class Prometheus:
    """A running Prometheus."""

    def __init__(self, port: int, began: float) -> None:
        self.port, self.began = port, began

    def get(self, path: str, **query: Any) -> Any:
        """The data of an answer of its API."""
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=30) as answer:
            return json.load(answer)["data"]

    def seen(self, expr: str) -> list[dict[str, str]]:
        """Labels of the series that an expression has given at any time since the start, with a number."""
        found = self.get("query_range", query=expr, start=self.began, end=time.time(), step=1)["result"]
        return [one["metric"] for one in found if any(value != "NaN" for _, value in one["values"])]


@contextmanager
def scraping(targets: Path, folder: Path, rules: Path) -> Iterator[Prometheus]:
    """A Prometheus that reads its targets from a file, which may come later."""
    config = folder / "prometheus.yml"
    config.write_text(
        f"global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}\n"
        f"rule_files: ['{rules}']\n"
        f"scrape_configs: [{{job_name: ray, file_sd_configs: [{{files: ['{targets}'], refresh_interval: 1s}}]}}]\n"
    )
    port, began = free_port("127.0.0.1"), time.time()
    command = [
        "prometheus",
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "prometheus.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        prometheus = Prometheus(port, began)
        try:
            until(lambda: _answers(prometheus), "Prometheus does not start", process)
            yield prometheus
        finally:
            process.kill()
            process.wait()


def until(happened: Any, what: str, process: subprocess.Popen | None = None) -> None:
    """Wait until something is the case."""
    deadline = time.monotonic() + PATIENCE_S
    while not happened():
        assert process is None or process.poll() is None, what
        assert time.monotonic() < deadline, what
        time.sleep(0.2)


def _answers(prometheus: Prometheus) -> bool:
    try:
        return bool(prometheus.get("status/buildinfo"))
    except OSError:
        return False
