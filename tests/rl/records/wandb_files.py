"""Reads what wandb wrote offline: LevelDB's log format in blocks of 32 KiB, a protobuf record in each entry."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HEADER, BLOCK, ENTRY = 7, 32768, 7
FULL, FIRST, LAST = 1, 2, 4


def _entries(data: bytes) -> Iterator[bytes]:
    place, whole = HEADER, b""
    while place + ENTRY <= len(data):
        left = BLOCK - place % BLOCK
        if left < ENTRY:
            place += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, place)
        part = data[place + ENTRY : place + ENTRY + length]
        whole = part if kind in (FULL, FIRST) else whole + part
        if kind in (FULL, LAST):
            yield whole
        place += ENTRY + length


def records(run_dir: Path) -> Iterator[Any]:
    """The records of every wandb run of a folder, oldest first."""
    from wandb.proto.wandb_internal_pb2 import Record

    files = sorted(run_dir.glob("wandb/offline-run-*/*.wandb"), key=lambda file: file.stat().st_mtime_ns)
    for file in files:
        for entry in _entries(file.read_bytes()):
            record = Record()
            record.ParseFromString(entry)
            yield record


def history(run_dir: Path) -> list[tuple[int, dict[str, Any]]]:
    """What was logged: (wandb's step, values by key)."""
    return [
        (
            record.history.step.num,
            {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item},
        )
        for record in records(run_dir)
        if record.WhichOneof("record_type") == "history"
    ]


def step_metrics(run_dir: Path) -> dict[str, str]:
    """The step metric of each metric or pattern."""
    found = [record.metric for record in records(run_dir) if record.WhichOneof("record_type") == "metric"]
    return {metric.name or metric.glob_name: metric.step_metric for metric in found}
