"""What decides the results of a run, so that a resume knows whether it is still the same run."""

from __future__ import annotations

from typing import Any

from curricula.records import fingerprint, is_file
from curricula.statutes import load_statutes
from rl.config.parallel import MEGATRON_KEYS
from rl.config.schema import RunConfig
from rl.config.stages import MidTrainingStage, PerplexityStage, PromptedStage

_NO_INFLUENCE = ("run_dir", "resume", "plan", "lang", "data_from", "cluster", "tracker")
_NO_INFLUENCE_INSIDE = {
    "trainer": ("checkpoint_every", "stop_within_s", "keep_last", "timeout_s"),
    "rollout": ("timeout_s", "max_restarts", "verify_sync"),
    "reward": ("timeout_s", "max_restarts", "workers", "processes", "verdict_timeout_s", "memory_mb"),
    "statutes": ("folder",),  # what it holds is part of the data
    "judge": (
        "base_url",
        "api_key_env",
        "concurrency",
        "requests_per_s",
        "timeout_s",
        "retries",
        "batch_timeout_s",
        "start_timeout_s",
        "gpu_memory_utilization",
        "cache",
        "price_in",
        "price_out",
    ),
}


def config_fingerprint(config: RunConfig) -> dict[str, Any]:
    """The configuration without the keys that change no number."""
    values = config.model_dump(mode="json")
    for key in _NO_INFLUENCE:
        values.pop(key)
    for section, keys in _NO_INFLUENCE_INSIDE.items():
        for key in keys:
            values[section].pop(key)
    if config.trainer.engine == "fsdp":  # which has none of them: a run from before they existed is the same run
        for key in MEGATRON_KEYS:
            values["trainer"].pop(key)
    return values


def data_fingerprints(config: RunConfig) -> dict[str, str]:
    """SHA-256 of the statutes and of every data file or folder that the curriculum names."""
    found = {"statutes": load_statutes().fingerprint}
    for path in data_files(config):
        found[path] = fingerprint(path)
    return found


def data_files(config: RunConfig) -> list[str]:
    """Paths of the data files, and folders of corpora, that the curriculum names."""
    paths: list[str] = []
    for stage in config.curriculum.stages:
        if isinstance(stage, MidTrainingStage | PerplexityStage):
            paths += [source.path for source in stage.corpus if source.local]
        elif stage.data:
            paths.append(stage.data)
        if isinstance(stage, PromptedStage):
            paths += [task for task in stage.tasks if is_file(task)]
    return list(dict.fromkeys(paths))


def difference(old: Any, new: Any, path: str = "") -> list[str]:
    """Dotted paths at which two nested values differ, with both values."""
    if isinstance(old, dict) and isinstance(new, dict):
        return [
            line
            for key in sorted(set(old) | set(new))
            for line in difference(old.get(key), new.get(key), f"{path}.{key}" if path else str(key))
        ]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [line for i, pair in enumerate(zip(old, new, strict=True)) for line in difference(*pair, f"{path}[{i}]")]
    return [] if old == new else [f"{path}: was {old}, now {new}"]
