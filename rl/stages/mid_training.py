"""Mid-training: next-token prediction on packed documents, on request with plasticity-adjusted sampling."""

from __future__ import annotations

from collections.abc import Sequence

from curricula.card import SourceFacts, TokenLedger, corpus_card
from curricula.meta import meta_counts
from curricula.mixture import Cell, Mixture, cell_shares, cells_of
from curricula.pas import BUCKETS, Bucket, Phase, bucket_of, phase_of, phase_shares, quantile_borders
from curricula.records import Document
from rl.algorithms.schedules import lr_factor
from rl.config.derive import batch_numbers
from rl.config.stages import MidTrainingStage
from rl.data.corpus import Corpus, hold_out, load_corpus
from rl.driver.document_scores import content_key, corpus_perplexity, read_scores, scores_file
from rl.driver.runtime import Runtime
from rl.driver.steps import StepLoop
from rl.errors import UserError
from rl.files import write_json
from rl.samples import packed_batch

Documents = Sequence[Document]


def run(stage: MidTrainingStage, runtime: Runtime) -> None:
    """Train on rows of ``sequence_length`` tokens, in which documents don't attend to each other."""
    batch = batch_numbers(runtime.config, stage)
    corpus = load_corpus(stage.corpus, stage.clean)
    kept, held_out = zip(*(hold_out(documents, stage.held_out) for documents in corpus.kept), strict=True)
    scores = perplexities(stage, kept, runtime) if stage.pas else None
    buckets = make_buckets(stage, scores) if scores else None
    cells = make_cells(kept, buckets)
    mixture = Mixture(
        cells, shares_at(stage, cells, 0), runtime.config.seed, runtime.encode, runtime.tokenizer.eos_token_id
    )
    ledger = TokenLedger()
    for step in StepLoop(stage, runtime, stage.optim, stage.steps, {"mixture": mixture, "ledger": ledger}):
        metrics: dict[str, float] = {}
        if stage.held_out and step.number % stage.held_out_every == 0:
            with step.phase("held_out"):
                metrics |= measure(stage, held_out, runtime)
        with step.phase("data"):
            before = list(mixture.tokens)
            shares = shares_at(stage, cells, step.number)
            rows, segments = mixture.next_rows(batch.prompts_per_step, stage.sequence_length, shares)
            packed = packed_batch(rows, segments)
            ledger.add(shares, before, mixture.tokens, phase_at(stage, step.number))
        with step.phase("train"):
            metrics |= runtime.trainer.update(packed, None, max_tokens_per_microbatch=batch.max_tokens_per_microbatch)
        metrics |= figures(stage, cells, mixture, step.number)
        if step.last:
            if stage.held_out:
                with step.phase("held_out"):
                    metrics |= measure(stage, held_out, runtime)
            flat = None if scores is None else [one for source in scores for one in source]
            card = corpus_card(stage.name, facts(stage, corpus, buckets), cells, ledger, flat)
            write_json(runtime.run_dir / "corpus" / f"{stage.name}.json", card)
        step.finish({**metrics, "tokens": packed.num_targets}, score=-metrics["loss"])


def perplexities(stage: MidTrainingStage, sources: Sequence[Sequence[Document]], runtime: Runtime) -> list[list[float]]:
    """Perplexity of every document of every source, as the stage's perplexity stage found it."""
    assert stage.pas is not None
    known = read_scores(scores_file(runtime.run_dir, stage.pas.scores))
    for source, documents in zip(stage.corpus, sources, strict=True):
        missing = sum(content_key(document.text) not in known for document in documents)
        if missing:
            raise UserError(
                f"stage {stage.name}: {missing} of {len(documents)} documents of {source.path} have no score from "
                f"{stage.pas.scores}; give both stages the same corpus and the same clean"
            )
    return [[known[content_key(document.text)] for document in documents] for documents in sources]


def make_buckets(stage: MidTrainingStage, scores: list[list[float]]) -> list[list[Bucket | None]]:
    """The bucket of every document of every source; None for one that is dropped."""
    assert stage.pas is not None
    borders = stage.pas.borders
    if stage.pas.scale == "quantile":
        borders = quantile_borders([one for source in scores for one in source], borders)
    return [[bucket_of(one, borders) for one in source] for source in scores]


def make_cells(sources: Sequence[Documents], buckets: list[list[Bucket | None]] | None) -> list[Cell]:
    """The cells of the mixture: the sources, with PAS the buckets of each source."""
    return [
        cell
        for number, documents in enumerate(sources)
        for cell in cells_of(number, documents, buckets[number] if buckets else None)
    ]


def facts(stage: MidTrainingStage, corpus: Corpus, buckets: list[list[Bucket | None]] | None) -> list[SourceFacts]:
    """What the card says about every source."""
    return [
        SourceFacts(
            ", ".join(source.laws) or source.path,
            source.kind,
            len(corpus.kept[number]),
            corpus.dropped[number],
            buckets[number] if buckets else None,
            meta_counts(document.meta for document in corpus.kept[number]),
        )
        for number, source in enumerate(stage.corpus)
    ]


def phase_at(stage: MidTrainingStage, step: int) -> Phase | None:
    """The phase of the schedule at a step; None if the schedule has no phases."""
    if stage.optim.schedule != "wsd":
        return None
    return phase_of(step, stage.steps, stage.optim.warmup_steps, stage.optim.decay_fraction)


def shares_at(stage: MidTrainingStage, cells: Sequence[Cell], step: int) -> list[float]:
    """Share of tokens of each cell at a step."""
    decays = phase_at(stage, step) == "decay"
    weights = [
        source.decay_weight if decays and source.decay_weight is not None else source.weight for source in stage.corpus
    ]
    return cell_shares(cells, weights, bucket_shares(stage, step))


def bucket_shares(stage: MidTrainingStage, step: int) -> dict[Bucket, float] | None:
    """Share of each bucket at a step with PAS; None without."""
    if stage.pas is None:
        return None
    alpha = lr_factor(step, stage.steps, stage.optim)
    phase = phase_at(stage, step) or "stable"
    return phase_shares(phase, alpha, stage.pas.weights, stage.pas.strength, stage.pas.decay)


def figures(stage: MidTrainingStage, cells: Sequence[Cell], mixture: Mixture, step: int) -> dict[str, float]:
    """With PAS the plasticity coefficient, and the wanted and the drawn share of each bucket so far."""
    asked = bucket_shares(stage, step)
    if asked is None:
        return {}
    total = sum(mixture.tokens)
    drawn = {b: sum(n for c, n in zip(cells, mixture.tokens, strict=True) if c.bucket == b) / total for b in BUCKETS}
    found = {"alpha": lr_factor(step, stage.steps, stage.optim)}
    return found | {f"share/{b}": asked[b] for b in BUCKETS} | {f"drawn/{b}": drawn[b] for b in BUCKETS}


def measure(stage: MidTrainingStage, held_out: Sequence[Documents], runtime: Runtime) -> dict[str, float]:
    """Perplexity of the held-out documents, by kind of source."""
    tokens = batch_numbers(runtime.config, stage).max_tokens_per_microbatch
    found: dict[str, float] = {}
    for kind in dict.fromkeys(source.kind for source in stage.corpus):
        texts = [d.text for s, part in zip(stage.corpus, held_out, strict=True) if s.kind == kind for d in part]
        if texts:  # a source of one document keeps none aside
            found[f"perplexity/{kind}"] = corpus_perplexity(
                runtime, texts, stage.sequence_length, max_tokens_per_microbatch=tokens
            )
    return found
