"""Perplexity of every document of a corpus, for plasticity-adjusted sampling."""

from __future__ import annotations

import statistics

from rewards.cache import Cache, key_of
from rl.config.derive import batch_numbers
from rl.config.stages import PerplexityStage
from rl.data.corpus import load_corpus
from rl.driver.document_scores import DocumentScore, is_score, score, scores_file, write_scores
from rl.driver.runtime import Runtime


def run(stage: PerplexityStage, runtime: Runtime) -> None:
    """Score the documents that are not in the cache, and write a file of all scores."""
    tracker, tokens = runtime.tracker, batch_numbers(runtime.config, stage).max_tokens_per_microbatch
    documents = [doc for part in load_corpus(stage.corpus, stage.clean).kept for doc in part]
    cache = Cache(runtime.run_dir / stage.cache)
    weights = runtime.lineage.weights_id()
    keys = [key_of(weights, stage.window, document.text) for document in documents]
    known = cache.get(keys, lambda key, answer: is_score(answer))
    missing = [place for place, key in enumerate(keys) if key not in known]
    with tracker.stage(stage.name, total=len(documents), start=len(documents) - len(missing)):
        with tracker.phase("score"):
            done = len(documents) - len(missing)
            texts = [documents[place].text for place in missing]
            for places, found in score(runtime, texts, stage.window, max_tokens_per_microbatch=tokens):
                for place, one in zip(places, found, strict=True):
                    known[keys[missing[place]]] = answer = {"nll": one.nll, "tokens": one.tokens}
                    cache.put(keys[missing[place]], answer)
                done += len(places)
                tracker.advance(done)
        cache.close()
        scores = [DocumentScore(**known[key]) for key in keys]
        write_scores(scores_file(runtime.run_dir, stage.name), [doc.text for doc in documents], scores)
        whole = DocumentScore(sum(s.nll for s in scores), sum(s.tokens for s in scores))
        figures = {"documents": float(len(scores)), "tokens": float(whole.tokens), "perplexity": whole.perplexity}
        median = statistics.median(s.perplexity for s in scores)
        tracker.log(stage.name, 0, figures | {"perplexity/median": median})
    tracker.console.print(
        f"{stage.name}: {len(documents)} documents, {len(missing)} of them scored now; median perplexity {median:.1f}"
    )
