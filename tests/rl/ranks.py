"""Runs a function on real trainer ranks: one process a rank, gloo between them."""

import gc
import itertools
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

from curricula.prompts import ask
from rl.actors.trainer import TrainerActor, TrainerSpec
from rl.config.schema import ModelConfig, TrainerConfig
from rl.samples import Completion, Group, TokenBatch, policy_batch, supervised_batch
from tests.rl.forks import forks


@dataclass(frozen=True)
class Call:
    """The work of one rank."""

    function: Callable[..., Any]
    model: Path
    world_size: int
    arguments: tuple[Any, ...]
    number: int
    """Of the call."""
    lora_rank: int = 0
    trainer: dict[str, Any] = field(default_factory=dict)


def _serve(rank: int, calls: Any) -> None:
    """One rank: a new actor for every call, in one process."""
    while True:
        call, place = calls.recv()
        try:
            model = ModelConfig(path=str(call.model), max_length=256, lora_rank=call.lora_rank)
            trainer = TrainerConfig(**{"world_size": call.world_size, "threads": 1, **call.trainer})
            shared = str(call.model.parent / f"shared-{call.number}.safetensors")
            actor = TrainerActor(TrainerSpec(model, trainer, str(call.model), "cpu", 0, rank, "shm", shared))
            if rank == 0:
                place = actor.rendezvous("127.0.0.1")
                calls.send(place)
            actor.setup(*place)
            answer = call.function(actor, *call.arguments), None
            del actor
        except BaseException:
            answer = None, traceback.format_exc()
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
            gc.collect()  # groups lie in cycles, and threads of gloo that are left take most of the machine's time
        calls.send(answer)


_numbers = itertools.count()


MOST_THREADS = 80
"""Of a rank that gets further calls. A mixture of experts leaves groups in megatron-core, each with three threads of
gloo, which wake all the time and take it from the tests after it; a new rank costs less."""
_pools: dict[int, list[tuple[Any, Any]]] = {}


def _ranks(world_size: int) -> list[Any]:
    """The pipes to ``world_size`` rank processes, which end with this one."""
    end_ranks()
    pool = _pools.get(world_size)
    if pool is None:
        context, pool = forks(), []
        for rank in range(world_size):
            here, there = context.Pipe()
            process = context.Process(target=_serve, args=(rank, there), daemon=True)
            process.start()
            pool.append((process, here))
        _pools[world_size] = pool
    return [pipe for _, pipe in pool]


def end_ranks() -> None:
    """End the pools whose ranks have too many threads, or of which one has died."""
    for world_size, pool in list(_pools.items()):
        alive = all(process.is_alive() for process, _ in pool)
        if not alive or psutil.Process(pool[0][0].pid).num_threads() > MOST_THREADS:
            for process, _ in pool:
                process.kill()
                process.join()
            del _pools[world_size]


def on_ranks(
    function: Callable[..., Any], model: Path, world_size: int, *arguments: Any, lora_rank: int = 0, **trainer: Any
) -> list[Any]:
    """What ``function(actor, *arguments)`` returns on each rank; further keywords are keys of the trainer."""
    pipes, call = _ranks(world_size), Call(function, model, world_size, arguments, next(_numbers), lora_rank, trainer)
    pipes[0].send((call, None))
    assert pipes[0].poll(240), "the first rank did not answer"
    place = pipes[0].recv()
    assert place[0], place[1]
    for pipe in pipes[1:]:
        pipe.send((call, place))
    found = []
    for pipe in pipes:
        assert pipe.poll(240), "a rank did not answer"
        found.append(pipe.recv())
    for _, error in found:
        assert error is None, error
    return [value for value, _ in found]


def ragged(seed: int = 0, rows: int = 13, vocabulary: int = 1400) -> TokenBatch:
    """Random token sequences of different lengths, with a prompt of five tokens each."""
    rng = np.random.default_rng(seed)
    return supervised_batch(
        [(rng.integers(10, vocabulary, size=n).tolist(), 5) for n in rng.integers(8, 60, size=rows)]
    )


def policy_examples(seed: int = 0, groups: int = 3, samples: int = 4, untrained: bool = False) -> TokenBatch:
    """Groups of ragged completions with rewards, and sampler log-probs off the policy's, so that ratios clip.

    With ``untrained`` some tokens are not trained: a span inside each completion, the first and the last token of some,
    and all of the second.
    """
    rng = np.random.default_rng(seed)
    found = []
    for number in range(groups):
        completions = [
            Completion(rng.integers(10, 1400, size=n), rng.normal(-7.3, 0.3, size=n).astype(np.float32), "", "stop", 1)
            for n in rng.integers(3, 40, size=samples)
        ]
        if untrained:
            completions = [replace(c, trained=_trained(len(c.token_ids), i)) for i, c in enumerate(completions)]
        prompt = rng.integers(10, 1400, size=rng.integers(4, 20)).tolist()
        found.append(Group(str(number), ask("t", "q", "a"), prompt, completions, rewards=rng.random(samples).tolist()))
    batch = policy_batch(found, temperature=0.8)
    return batch.with_field("ref_log_probs", batch.fields["rollout_log_probs"] + 0.1 * batch.loss_mask)


def _trained(length: int, number: int) -> np.ndarray:
    """bool [length]: a span in the middle is not trained; neither are the first token, all, or the last, by number."""
    trained = np.ones(length, dtype=bool)
    trained[length // 4 : length // 2] = False
    trained[[slice(0, 1), slice(0, length), slice(length - 1, length), slice(0, 0)][number % 4]] = False
    return trained
