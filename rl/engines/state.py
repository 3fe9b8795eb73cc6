"""Saving, loading and exporting a training engine, without pickle.

Weights and the optimizer's moments go through torch's distributed checkpoint (DCP) with its safetensors storage: every
rank writes its shards, and a checkpoint loads at another world size. What is not a tensor goes to JSON beside them.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from safetensors.torch import load_file, save_file
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader, HuggingFaceStorageWriter

from rl.engines.muon import Muon
from rl.models.source import copy_beside_weights


def save(engine: Any, folder: Path) -> None:
    """Write the engine's state under ``folder`` (a collective)."""
    folder.mkdir(parents=True, exist_ok=True)
    dcp.save(_tensors(engine), storage_writer=HuggingFaceStorageWriter(str(folder), save_distributed=True))
    rank = dist.get_rank()
    save_file({"torch": torch.get_rng_state()}, folder / f"rng-{rank}.safetensors")
    if rank == 0:
        updates = 0 if engine.lr_scheduler is None else engine.lr_scheduler.last_epoch
        (folder / "engine.json").write_text(json.dumps({"updates": updates, "world_size": dist.get_world_size()}))
    dist.barrier()


def load(engine: Any, folder: Path, weights_only: bool) -> None:
    """Read what :func:`save` wrote (a collective), resharding when the world size differs.

    With ``weights_only`` the optimizer and its schedule stay as they are, as at the start of a new stage.
    """
    if not weights_only:
        _materialise_moments(engine)
    tensors = _tensors(engine)
    if weights_only:
        tensors = {name: tensor for name, tensor in tensors.items() if name.startswith("model.")}
    dcp.load(tensors, storage_reader=HuggingFaceStorageReader(str(folder)))
    if weights_only:
        return
    saved = json.loads((folder / "engine.json").read_text())
    engine.lr_scheduler.last_epoch = saved["updates"]
    for group, base, factor in zip(
        engine.optimizer.param_groups, engine.lr_scheduler.base_lrs, engine.lr_scheduler.lr_lambdas, strict=True
    ):
        group["lr"] = base * factor(saved["updates"])
    if saved["world_size"] == dist.get_world_size():
        torch.set_rng_state(load_file(folder / f"rng-{dist.get_rank()}.safetensors")["torch"])


def export(engine: Any, folder: Path, source: str, trust_remote_code: bool) -> None:
    """Write a Hugging Face folder that transformers and vLLM load (a collective; rank 0 writes, in one final move).

    Adapters are merged; names and layouts are those of a checkpoint of this architecture.
    Everything but the weights is what stands beside those of ``source``, code where it is trusted.
    """
    if dist.get_rank() != 0:
        for _ in engine.full_weights():
            pass
    else:
        partial = folder.with_name(folder.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        weights = {
            name: tensor.cpu().contiguous() for name, tensor in engine.format.to_checkpoint(engine.full_weights())
        }
        save_file(weights, partial / "model.safetensors", metadata={"format": "pt"})
        dtype = str(next(iter(weights.values())).dtype).removeprefix("torch.")
        copy_beside_weights(source, partial, dtype, with_code=trust_remote_code)
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(partial, folder)
    dist.barrier()


def _tensors(engine: Any) -> dict[str, torch.Tensor]:
    """Weights and, once the optimizer has them, its moments, under flat names. The tensors are the live ones."""
    tensors: dict[str, torch.Tensor] = {}
    for name, parameter in engine.module.named_parameters():
        tensors[f"model.{name}"] = parameter.detach()
        for key, value in (engine.optimizer.state.get(parameter, {}) if engine.optimizer else {}).items():
            tensors[f"optimizer.{key}.{name}"] = value
    return tensors


def _materialise_moments(engine: Any) -> None:
    """Give a fresh optimizer its state, so that loading has tensors to fill."""
    if isinstance(engine.optimizer, Muon):
        engine.optimizer.materialise()
        return
    for parameter in engine.module.parameters():
        if parameter.requires_grad:
            engine.optimizer.state[parameter] = {
                "step": torch.zeros(()),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }
