"""Saving and loading the state of a sharded model, and exporting its weights, without pickle.

Weights and the optimizer's moments go through torch's distributed checkpoint (DCP) with its safetensors storage: every
rank writes its shards, and a checkpoint can be loaded with another number of ranks. What is not a tensor goes to JSON
beside them. Every function here is a collective.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader, HuggingFaceStorageWriter

from rl.engines.muon import Muon
from rl.errors import UserError
from rl.models.checkpoint_format import CheckpointFormat, Shapes
from rl.models.source import copy_beside_weights
from rl.models.stored import misfit, stored_shapes

EXPORT_BYTES = 4 * 2**30
"""Most bytes of one file of an export: so much of a model is in memory at once."""


@dataclass(frozen=True)
class TrainingState:
    """What a checkpoint is made from: the live objects of an engine."""

    model: torch.nn.Module
    """Its parameters may be sharded (DTensor)."""
    optimizer: torch.optim.Optimizer | None
    """AdamW or Muon; None before the first stage."""
    schedule: torch.optim.lr_scheduler.LambdaLR | None


class _Writer(HuggingFaceStorageWriter):
    """Writes shards. A rank that has no memory left for it says so, in a way that other ranks can be told."""

    def write_data(self, plan: Any, planner: Any) -> Any:
        try:
            return super().write_data(plan, planner)
        except BaseException as error:
            # What safetensors, in Rust, makes of memory that it did not get. It is no Exception and can't be pickled.
            if type(error).__name__ == "PanicException":
                raise MemoryError(f"safetensors: {error}") from None
            raise


def save(state: TrainingState, folder: Path) -> None:
    """Write a state under ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    dcp.save(_tensors(state), storage_writer=_Writer(str(folder), save_distributed=True))
    save_progress(folder, 0 if state.schedule is None else state.schedule.last_epoch)


def save_progress(folder: Path, updates: int) -> None:
    """Write the number of updates made and every rank's random state."""
    rank = dist.get_rank()
    save_file({"torch": torch.get_rng_state()}, folder / f"rng-{rank}.safetensors")
    if rank == 0:
        (folder / "engine.json").write_text(json.dumps({"updates": updates, "world_size": dist.get_world_size()}))
    dist.barrier()


def load_progress(folder: Path) -> int:
    """The number of updates made. With as many ranks as when it was written the random state is restored too."""
    saved = json.loads((folder / "engine.json").read_text())
    if saved["world_size"] == dist.get_world_size():
        torch.set_rng_state(load_file(folder / f"rng-{dist.get_rank()}.safetensors")["torch"])
    return int(saved["updates"])


def require_same_weights(folder: Path, wanted: Shapes) -> Shapes:
    """Check that a checkpoint holds exactly these weights, by the headers of its files.

    Args:
        folder: of the engine's part.
        wanted: names and whole shapes, transformers' in memory.

    Returns:
        Names and shapes of everything in it.

    Raises:
        UserError: if it is of another model.
    """
    held = stored_shapes(sorted(folder.glob("*.safetensors")))
    weights = {name.removeprefix("model."): shape for name, shape in held.items() if name.startswith("model.")}
    others = sorted(weights.keys() - wanted.keys())
    problem = misfit(weights, wanted) or (f"{others[0]} is not in this model" if others else "")
    if problem:
        raise UserError(
            f"the checkpoint {folder} is of another model ({problem}); use the model and adapter that it was written "
            f"with, or another run_dir"
        )
    return held


def has_moments(held: Iterable[str]) -> bool:
    """Whether a checkpoint with these names holds the state of an optimizer: not before the first update."""
    return any(name.startswith("optimizer.") for name in held)


def require_moments(folder: Path, held: Container[str], wanted: Iterable[str]) -> None:
    """Check that a checkpoint holds the state of this optimizer.

    Raises:
        UserError: if it is of another optimizer.
    """
    missing = next((name for name in wanted if name not in held), "")
    if missing:
        raise UserError(
            f"the checkpoint {folder} is of another optimizer ({missing} is missing); use the one that it was written "
            f"with, or another run_dir"
        )


def load(state: TrainingState, folder: Path, *, weights_only: bool) -> None:
    """Read into ``state`` what :func:`save` wrote.

    With ``weights_only`` the optimizer and its schedule stay as they are, as at the start of a new stage.

    Raises:
        UserError: if it is of another model or another optimizer.
    """
    if weights_only:
        state = TrainingState(state.model, None, None)
    elif state.optimizer is not None:
        _make_moments(state.model, state.optimizer)
    tensors = _tensors(state)
    held = require_same_weights(folder, {name: tuple(p.shape) for name, p in state.model.named_parameters()})
    if not has_moments(held):  # nothing was updated before it was written
        tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith("optimizer.")}
    require_moments(folder, held, tensors)
    dcp.load(tensors, storage_reader=HuggingFaceStorageReader(str(folder)))
    if weights_only:
        return
    assert state.optimizer is not None and state.schedule is not None, "begin_stage comes before load"
    updates = load_progress(folder)
    state.schedule.last_epoch = updates
    for group, base, factor in zip(
        state.optimizer.param_groups, state.schedule.base_lrs, state.schedule.lr_lambdas, strict=True
    ):
        group["lr"] = base * factor(updates)


def export(
    weights: Iterator[tuple[str, Tensor]], form: CheckpointFormat, folder: Path, source: str, trust_remote_code: bool
) -> None:
    """Write a Hugging Face folder that transformers and vLLM load. Rank 0 writes, and renames the folder at the end.

    Args:
        weights: (transformers' name, whole tensor), a collective on every rank.
        form: gives them the names and layouts of a checkpoint of this architecture.
        folder: is replaced.
        source: folder whose other files, such as config and tokenizer, are copied; code only where it is trusted.
        trust_remote_code: whether it is.
    """
    if dist.get_rank() != 0:
        for _ in weights:
            pass
    else:
        partial = folder.with_name(folder.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        dtype = _write_weights(form.to_checkpoint(weights), partial)
        copy_beside_weights(source, partial, dtype, with_code=trust_remote_code)
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(partial, folder)
    dist.barrier()


def _write_weights(weights: Iterable[tuple[str, Tensor]], folder: Path) -> str:
    """Write model.safetensors, or several files and their index, as they come; returns the type of the first tensor."""
    files: list[list[str]] = []
    total, dtype = 0, ""
    for tensors in in_files(weights, EXPORT_BYTES):
        dtype = dtype or str(next(iter(tensors.values())).dtype).removeprefix("torch.")
        total += sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
        files.append(list(tensors))
        save_file(tensors, folder / f"{len(files)}.safetensors", metadata={"format": "pt"})
    names = [f"model-{n:05d}-of-{len(files):05d}.safetensors" for n in range(1, len(files) + 1)]
    names = ["model.safetensors"] if len(files) == 1 else names
    for number, name in enumerate(names, 1):
        os.replace(folder / f"{number}.safetensors", folder / name)
    if len(files) > 1:
        where = {weight: name for name, held in zip(names, files, strict=True) for weight in held}
        content = {"metadata": {"total_size": total}, "weight_map": where}
        (folder / "model.safetensors.index.json").write_text(json.dumps(content, indent=2))
    return dtype


def in_files(tensors: Iterable[tuple[str, Tensor]], limit: int) -> Iterator[dict[str, Tensor]]:
    """The tensors, on the CPU, in dicts of at most ``limit`` bytes, or of one tensor."""
    held: dict[str, Tensor] = {}
    size = 0
    for name, tensor in tensors:
        more = tensor.numel() * tensor.element_size()
        if held and size + more > limit:
            yield held
            held, size = {}, 0
        held[name] = tensor.cpu().contiguous()
        size += more
    if held:
        yield held


def _tensors(state: TrainingState) -> dict[str, Tensor]:
    """The live weights and, where the optimizer has them, its moments, under flat names."""
    tensors: dict[str, Tensor] = {}
    for name, parameter in state.model.named_parameters():
        tensors[f"model.{name}"] = parameter.detach()
        for key, value in (state.optimizer.state.get(parameter, {}) if state.optimizer else {}).items():
            tensors[f"optimizer.{key}.{name}"] = value
    return tensors


def _make_moments(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Give a fresh optimizer its state, so that loading has tensors to fill."""
    if isinstance(optimizer, Muon):
        optimizer.materialise()
        return
    for parameter in model.parameters():
        if parameter.requires_grad:
            optimizer.state[parameter] = {
                "step": torch.zeros(()),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }
