"""The training engine against a bare PyTorch loop and transformers, at world size 1 and 2, on real gloo ranks."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from rl.config.algorithm import AlgorithmConfig
from rl.config.stages import OptimConfig
from rl.samples import packed_batch
from tests.rl.ranks import on_ranks, policy_examples, ragged

OPTIM = OptimConfig(lr=1e-3, schedule="cosine", warmup_steps=2, weight_decay=0.01)
STEPS = 3
LIMIT = {"max_tokens_per_microbatch": 256}


def train(actor, batch, algorithm=None, budget=256, steps=STEPS, longest=40):
    actor.begin_stage(OPTIM, 10)
    limits = {"max_tokens_per_microbatch": budget, "max_completion_tokens": longest}
    return [actor.update(batch, algorithm, **limits) for _ in range(steps)]


def log_probs(actor, batch, budget):
    return actor.log_probs(batch, max_tokens_per_microbatch=budget)


def bare_loop(model_path, batch):
    """The same training with nothing but transformers and torch: one row at a time, mean over all target tokens."""
    from transformers import AutoModelForCausalLM

    from rl.algorithms.schedules import lr_factor

    model = AutoModelForCausalLM.from_pretrained(model_path, dtype=torch.float32).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=OPTIM.lr, betas=OPTIM.betas, weight_decay=OPTIM.weight_decay)
    found = []
    for step in range(STEPS):
        optimizer.param_groups[0]["lr"] = OPTIM.lr * lr_factor(step, 10, OPTIM)
        total = 0.0
        for row in range(len(batch)):
            span = slice(batch.offsets[row], batch.offsets[row + 1])
            ids = torch.from_numpy(batch.input_ids[span])[None]
            mask = torch.from_numpy(batch.loss_mask[span])[1:]
            logits = model(input_ids=ids).logits[0, :-1]
            loss = (
                torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="none")[mask].sum() / batch.num_targets
            )
            loss.backward()
            total += loss.item()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), OPTIM.clip_grad).item()
        optimizer.step()
        optimizer.zero_grad()
        found.append((total, norm))
    return found


@pytest.mark.parametrize("world_size", [1, 2])
def test_training_equals_a_bare_loop(models, world_size):
    batch = ragged()
    expected = bare_loop(models["tied"], batch)
    for metrics in on_ranks(train, models["tied"], world_size, batch):
        for (loss, norm), step in zip(expected, metrics, strict=True):
            assert step["loss"] == pytest.approx(loss, abs=1e-5)
            assert step["grad_norm"] == pytest.approx(norm, rel=1e-4)


def first_gradient(actor, batch, algorithm):
    """Metrics and gradient of one update that moves nothing, and the log-probs of all rows of this rank."""
    actor.begin_stage(OptimConfig(lr=1e-30, clip_grad=1e9), 10)
    found = {}

    def keep(*_):
        found.update({name: p.grad.full_tensor().numpy().copy() for name, p in actor.engine.module.named_parameters()})

    actor.engine.optimizer.register_step_pre_hook(keep)
    metrics = actor.update(batch, algorithm, max_tokens_per_microbatch=128, max_completion_tokens=32)
    return metrics, found, actor.log_probs(batch, max_tokens_per_microbatch=128)


def bare_policy_gradient(model_path, batch, aggregation):
    """The policy gradient at ratio 1 from transformers and torch, row by row, with group advantages by hand."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(model_path, dtype=torch.float32).train()
    rows = range(len(batch))
    spans = [slice(batch.offsets[row], batch.offsets[row + 1]) for row in rows]
    counted = sum(bool(batch.loss_mask[span].any()) for span in spans)
    for row, span in zip(rows, spans, strict=True):
        of_group = batch.rewards[batch.groups == batch.groups[row]]
        advantage = float((batch.rewards[row] - of_group.mean()) / (of_group.std(ddof=1) + 1e-6))
        ids, mask = torch.from_numpy(batch.input_ids[span]), torch.from_numpy(batch.loss_mask[span])[1:]
        log_probs = (model(input_ids=ids[None]).logits[0, :-1] / batch.temperature).log_softmax(-1)
        taken = log_probs.gather(-1, ids[1:, None])[:, 0][mask]
        divisor = {
            "token-mean": batch.num_targets,
            "seq-mean-token-mean": counted * max(1, len(taken)),
            "seq-mean-token-sum-norm": counted * 32,
        }[aggregation]
        (-advantage * taken.sum() / divisor).backward()
    return {name: p.grad.numpy() for name, p in model.named_parameters()}


@pytest.mark.parametrize("world_size", [1, 2])
@pytest.mark.parametrize("aggregation", ["token-mean", "seq-mean-token-mean", "seq-mean-token-sum-norm"])
def test_the_gradient_leaves_out_tokens_that_are_not_trained(models, aggregation, world_size):
    batch = policy_examples(untrained=True)
    algorithm = AlgorithmConfig(old_log_probs="recompute", aggregation=aggregation)
    expected = bare_policy_gradient(models["tied"], batch, aggregation)
    for _, gradient, (rows, log_probs) in on_ranks(first_gradient, models["tied"], world_size, batch, algorithm):
        assert gradient.keys() == expected.keys()
        for name, values in expected.items():
            assert np.abs(gradient[name] - values).max() < 1e-4 * np.abs(values).max(), name
        mask = batch.select(rows).loss_mask
        assert (log_probs[~mask] == 0).all() and (log_probs[mask] < 0).all()


def test_log_probs_equal_transformers(models):
    from transformers import AutoModelForCausalLM

    batch = ragged()
    (rows, values), *_ = on_ranks(log_probs, models["untied"], 1, batch, 256)
    model = AutoModelForCausalLM.from_pretrained(models["untied"], dtype=torch.float32).eval()
    assert rows == list(range(len(batch)))
    for row in rows:
        span = slice(batch.offsets[row], batch.offsets[row + 1])
        ids = torch.from_numpy(batch.input_ids[span])
        with torch.no_grad():
            reference = (
                model(input_ids=ids[None]).logits[0, :-1].log_softmax(-1).gather(-1, ids[1:, None])[:, 0].numpy()
            )
        mask = batch.loss_mask[span]
        assert np.abs(values[span][mask] - reference[mask[1:]]).max() < 1e-5
        assert (values[span][~mask] == 0).all()


@pytest.mark.parametrize(
    "algorithm",
    [
        AlgorithmConfig(kl_coef=0.1, entropy_coef=0.01),
        AlgorithmConfig(aggregation="seq-mean-token-mean", kl_coef=0.1, kl_estimator="k1"),
        AlgorithmConfig(aggregation="seq-mean-token-sum", normalise_std=False, kl_coef=0.1, kl_estimator="k2"),
    ],
)
def test_the_policy_update_does_not_depend_on_microbatches_or_ranks(models, algorithm):
    batch = policy_examples()
    assert batch.prompt_lengths.min() > 0
    whole = on_ranks(train, models["tied"], 1, batch, algorithm, 4096)[0]
    for world_size, budget in ((1, 64), (2, 256)):
        cut = on_ranks(train, models["tied"], world_size, batch, algorithm, budget)[0]
        for left, right in zip(whole, cut, strict=True):
            assert left.keys() == right.keys()
            for name in ("loss", "policy_loss", "grad_norm", "kl", "entropy", "ratio", "log_prob_difference"):
                assert left[name] == pytest.approx(right[name], rel=2e-5, abs=2e-6), name


def train_shared_and_alone(actor, batch, algorithm):
    """Log-probs and updates of groups with one shared prompt in the row, and of the same rows with a prompt each."""
    alone = replace(batch, prompt_lengths=np.zeros(len(batch), dtype=np.int64))
    found = [actor.log_probs(b, max_tokens_per_microbatch=4096)[1] for b in (batch, alone)]
    metrics = []
    for b in (batch, alone):
        actor.begin_stage(OptimConfig(lr=1e-12), 10)
        metrics.append(actor.update(b, algorithm, max_tokens_per_microbatch=4096))
    return found, metrics


@pytest.mark.parametrize("embeddings", ["tied", "untied"])
def test_a_shared_prompt_changes_nothing(models, embeddings):
    algorithm = AlgorithmConfig(entropy_coef=0.01)
    (shared, alone), metrics = on_ranks(train_shared_and_alone, models[embeddings], 1, policy_examples(), algorithm)[0]
    assert np.abs(shared - alone).max() < 1e-5 and np.abs(shared).max() > 1
    for name, value in metrics[0].items():
        assert value == pytest.approx(metrics[1][name], rel=1e-5, abs=1e-7), name


def accumulate_in_parts(actor, batch, algorithm):
    actor.begin_stage(OPTIM, 10)
    for group in (2, 0, 1):
        part = batch.select(np.flatnonzero(batch.groups == group))
        actor.accumulate(part, algorithm, max_tokens_per_microbatch=128, max_completion_tokens=32)
    return actor.step()


def test_groups_that_come_one_by_one_make_the_same_update(models):
    batch, algorithm = policy_examples(), AlgorithmConfig(preset="dr_grpo", kl_coef=0.1)
    parts = on_ranks(accumulate_in_parts, models["tied"], 2, batch, algorithm)[0]
    whole = on_ranks(train, models["tied"], 1, batch, algorithm, 4096, 1, 32)[0][0]
    assert parts.keys() == whole.keys()
    for name, value in whole.items():
        assert parts[name] == pytest.approx(value, rel=1e-5, abs=1e-6), name


def test_packed_documents_do_not_see_each_other(models):
    batch = ragged(rows=6)
    rows, segments = [], []
    for pair in range(3):
        row, segment = [], []
        for document in (2 * pair, 2 * pair + 1):
            ids = batch.input_ids[batch.offsets[document] : batch.offsets[document + 1]].tolist()
            row += ids
            segment += [document] * len(ids)
        rows.append(row)
        segments.append(segment)
    packed = packed_batch(rows, segments)
    single = replace(batch, loss_mask=batch.position_ids > 0)
    assert packed.num_targets == single.num_targets
    (_, together), (_, apart) = (on_ranks(log_probs, models["tied"], 1, b, 4096)[0] for b in (packed, single))
    assert np.abs(together - apart).max() < 1e-5


def save_and_go_on(actor, batch, folder):
    metrics = train(actor, batch, steps=2)
    actor.save(folder)
    return metrics, [actor.update(batch, None, **LIMIT) for _ in range(2)]


def resume(actor, batch, folder):
    actor.begin_stage(OPTIM, 10)
    actor.load(folder, weights_only=False)
    return [actor.update(batch, None, **LIMIT) for _ in range(2)]


@pytest.mark.parametrize("lora_rank", [0, 4])
def test_resume_is_bit_identical_and_reshards(models, tmp_path, lora_rank):
    batch, folder = ragged(), str(tmp_path / "engine")
    _, straight = on_ranks(save_and_go_on, models["tied"], 1, batch, folder, lora_rank=lora_rank)[0]
    assert not list((tmp_path / "engine").rglob("*.metadata")), "no pickled metadata"
    assert on_ranks(resume, models["tied"], 1, batch, folder, lora_rank=lora_rank)[0] == straight
    for left, right in zip(
        on_ranks(resume, models["tied"], 2, batch, folder, lora_rank=lora_rank)[0], straight, strict=True
    ):
        assert left["loss"] == pytest.approx(right["loss"], abs=1e-5)


def train_then_export(actor, batch, folder):
    train(actor, batch)
    actor.export(folder)
    return actor.log_probs(batch, **LIMIT)[1], actor.log_probs(batch, **LIMIT, adapter=False)[1]


def test_lora_trains_the_adapter_alone_and_merges_on_export(models, tmp_path):
    batch = ragged()
    before = on_ranks(log_probs, models["tied"], 1, batch, 256)[0][1]
    with_adapter, without = on_ranks(train_then_export, models["tied"], 1, batch, str(tmp_path / "hf"), lora_rank=4)[0]
    merged = on_ranks(log_probs, tmp_path / "hf", 1, batch, 256)[0][1]
    assert np.abs(without - before).max() < 1e-5, "with the adapter off the policy is the reference"
    assert np.abs(with_adapter - before).max() > 1e-3
    assert np.abs(merged - with_adapter).max() < 1e-5


def gradients(actor, batch):
    actor.begin_stage(OptimConfig(lr=1e-3), 10)
    return [actor.update(batch, AlgorithmConfig(), max_tokens_per_microbatch=8192)["grad_norm"] for _ in range(6)]


def test_updates_on_two_threads_are_bit_identical(models):
    """The batch is large enough for torch to use both threads, and many completions share a prompt."""
    batch = policy_examples(seed=3, groups=24, samples=8)
    found = [on_ranks(gradients, models["tied"], 1, batch, threads=2)[0] for _ in range(4)]
    assert all(again == found[0] for again in found[1:])


def test_an_offloaded_optimizer_makes_the_same_updates(models):
    batch = ragged()
    kept = on_ranks(train, models["tied"], 1, batch)[0]
    assert on_ranks(train, models["tied"], 1, batch, offload_optimizer=True, gradient_checkpointing=True)[0] == kept


def nan_update(actor, batch):
    before = actor.log_probs(batch, **LIMIT)[1]
    actor.begin_stage(OPTIM, 10)
    broken_loss = batch.with_field("rollout_log_probs", np.where(batch.loss_mask, np.nan, 0.0))
    broken_gradient = replace(batch, rewards=np.full(len(batch), np.nan, dtype=np.float32))
    norms = [actor.update(b, AlgorithmConfig(), **LIMIT)["grad_norm"] for b in (broken_loss, broken_gradient)]
    return norms, np.array_equal(before, actor.log_probs(batch, **LIMIT)[1])


def test_a_non_finite_gradient_leaves_the_weights_alone(models):
    norms, unchanged = on_ranks(nan_update, models["tied"], 1, policy_examples())[0]
    assert not any(math.isfinite(norm) for norm in norms) and unchanged
