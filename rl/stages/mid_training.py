"""Mid-training: next-token prediction on packed documents, with plasticity-adjusted sampling where asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from curricula.mixture import Cell, Mixture, cell_shares, cells_of
from curricula.pas import BUCKETS, Bucket, Phase, bucket_of, phase_of, phase_shares, quantile_borders
from curricula.records import Document
from curricula.sampler import require_keys
from rl.algorithms.schedules import lr_factor
from rl.config.derive import batch_numbers
from rl.config.stages import MidTrainingStage
from rl.corpus import hold_out, load_corpus, write_card
from rl.errors import UserError
from rl.perplexity import content_key, corpus_perplexity, read_scores, scores_file
from rl.runtime import Runtime
from rl.samples import packed_batch
from rl.steps import StepLoop


def run(stage: MidTrainingStage, runtime: Runtime) -> None:
    """Train on rows of ``sequence_length`` tokens, in which documents don't see each other."""
    batch = batch_numbers(runtime.config, stage)
    corpus = load_corpus(stage.corpus, stage.clean)
    kept, held_out = zip(*(hold_out(documents, stage.held_out) for documents in corpus.kept), strict=True)
    scores = perplexities(stage, kept, runtime) if stage.pas else None
    cells = make_cells(stage, kept, scores)
    mixture = Mixture(
        cells, shares_at(stage, cells, 0), runtime.config.seed, runtime.encode, runtime.tokenizer.eos_token_id
    )
    drawn = Drawn(len(cells))
    for step in StepLoop(stage, runtime, stage.optim, stage.steps, {"mixture": mixture, "drawn": drawn}):
        metrics = {}
        if stage.held_out and step.number % stage.held_out_every == 0:
            with step.phase("held_out"):
                metrics |= measure(stage, held_out, runtime)
        with step.phase("data"):
            before = list(mixture.tokens)
            shares = shares_at(stage, cells, step.number)
            rows, segments = mixture.next_rows(batch.prompts_per_step, stage.sequence_length, shares)
            packed = packed_batch(rows, segments)
            drawn.add(phase_at(stage, step.number), [a - b for a, b in zip(mixture.tokens, before, strict=True)])
        with step.phase("train"):
            metrics |= runtime.trainer.update(packed, None, batch.max_tokens_per_microbatch)
        metrics |= figures(stage, cells, mixture, step.number)
        if step.last:
            if stage.held_out:
                with step.phase("held_out"):
                    metrics |= measure(stage, held_out, runtime)
            write_card(runtime.run_dir, stage, corpus, cells, drawn.by_phase, scores)
        step.finish({**metrics, "tokens": packed.num_targets}, score=-metrics["loss"])


def perplexities(stage: MidTrainingStage, sources: Sequence[Sequence[Document]], runtime: Runtime) -> list[list[float]]:
    """Perplexity of every document of every source, as the stage's perplexity stage found it."""
    assert stage.pas is not None
    known = read_scores(scores_file(runtime.run_dir, stage.pas.scores))
    for source, documents in zip(stage.corpus, sources, strict=True):
        missing = sum(content_key(document.text) not in known for document in documents)
        if missing:
            raise UserError(
                f"stage {stage.name}: {missing} of {len(documents)} documents of {source.path} were not scored by stage "
                f"{stage.pas.scores}; give both stages the same corpus and the same clean"
            )
    return [[known[content_key(document.text)] for document in documents] for documents in sources]


def make_cells(
    stage: MidTrainingStage, sources: Sequence[Sequence[Document]], scores: list[list[float]] | None
) -> list[Cell]:
    """The cells of the mixture: the sources, crossed with the buckets of perplexity under PAS."""
    if stage.pas is None or scores is None:
        return [cell for number, documents in enumerate(sources) for cell in cells_of(number, documents)]
    borders = stage.pas.borders
    if stage.pas.scale == "quantile":
        borders = quantile_borders([one for source in scores for one in source], borders)
    buckets = [[bucket_of(one, borders) for one in source] for source in scores]
    return [cell for number, documents in enumerate(sources) for cell in cells_of(number, documents, buckets[number])]


def phase_at(stage: MidTrainingStage, step: int) -> Phase:
    """The phase of the stage's schedule that a step belongs to; all is one stable phase without such a schedule."""
    if stage.optim.schedule != "wsd":
        return "stable"
    return phase_of(step, stage.steps, stage.optim.warmup_steps, stage.optim.decay_fraction)


def shares_at(stage: MidTrainingStage, cells: Sequence[Cell], step: int) -> list[float]:
    """Share of tokens of each cell at a step."""
    decays = phase_at(stage, step) == "decay"
    weights = [
        source.decay_weight if decays and source.decay_weight is not None else source.weight for source in stage.corpus
    ]
    return cell_shares(cells, weights, bucket_shares(stage, step))


def bucket_shares(stage: MidTrainingStage, step: int) -> dict[Bucket, float] | None:
    """Share of each bucket at a step under PAS; None without."""
    if stage.pas is None:
        return None
    alpha = lr_factor(step, stage.steps, stage.optim)
    return phase_shares(phase_at(stage, step), alpha, stage.pas.weights, stage.pas.strength, stage.pas.decay)


def figures(stage: MidTrainingStage, cells: Sequence[Cell], mixture: Mixture, step: int) -> dict[str, float]:
    """Under PAS the plasticity coefficient, and the asked and the drawn share of each bucket so far."""
    asked = bucket_shares(stage, step)
    if asked is None:
        return {}
    total = sum(mixture.tokens)
    drawn = {b: sum(n for c, n in zip(cells, mixture.tokens, strict=True) if c.bucket == b) / total for b in BUCKETS}
    found = {"alpha": lr_factor(step, stage.steps, stage.optim)}
    return found | {f"share/{b}": asked[b] for b in BUCKETS} | {f"drawn/{b}": drawn[b] for b in BUCKETS}


def measure(stage: MidTrainingStage, held_out: Sequence[Sequence[Document]], runtime: Runtime) -> dict[str, float]:
    """Perplexity of the held-out documents, by kind of source."""
    tokens = batch_numbers(runtime.config, stage).max_tokens_per_microbatch
    found: dict[str, float] = {}
    for kind in dict.fromkeys(source.kind for source in stage.corpus):
        texts = [d.text for s, part in zip(stage.corpus, held_out, strict=True) if s.kind == kind for d in part]
        found[f"perplexity/{kind}"] = corpus_perplexity(runtime, texts, stage.sequence_length, tokens)
    return found


class Drawn:
    """Tokens drawn from each cell in each phase."""

    def __init__(self, cells: int) -> None:
        self.cells = cells
        self.by_phase: dict[Phase, list[int]] = {}
        self.steps: dict[Phase, int] = {}

    def add(self, phase: Phase, tokens: Sequence[int]) -> None:
        """Take note of a step."""
        so_far = self.by_phase.setdefault(phase, [0] * self.cells)
        self.by_phase[phase] = [a + b for a, b in zip(so_far, tokens, strict=True)]
        self.steps[phase] = self.steps.get(phase, 0) + 1

    def state_dict(self) -> dict[str, Any]:
        """State as JSON values."""
        return {"by_phase": {phase: list(tokens) for phase, tokens in self.by_phase.items()}, "steps": dict(self.steps)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a state."""
        require_keys("drawn", state, self.state_dict())
        self.by_phase = {phase: list(tokens) for phase, tokens in state["by_phase"].items()}
        self.steps = dict(state["steps"])
