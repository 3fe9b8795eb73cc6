"""Perplexity of every document of a corpus, for plasticity-adjusted sampling."""

from __future__ import annotations

import statistics
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from rewards.cache import Cache, key_of
from rl.config.derive import batch_numbers
from rl.config.stages import PerplexityStage
from rl.corpus import load_corpus
from rl.errors import UserError
from rl.perplexity import Score, content_key, score
from rl.runtime import Runtime


def run(stage: PerplexityStage, runtime: Runtime) -> None:
    """Score what is not in the cache, and leave a file of all scores."""
    tracker, tokens = runtime.tracker, batch_numbers(runtime.config, stage).max_tokens_per_microbatch
    documents = [doc for part in load_corpus(stage.corpus, stage.clean).kept for doc in part]
    cache = Cache(runtime.run_dir / stage.cache)
    weights = runtime.weights_id()
    keys = [key_of(weights, stage.window, document.text) for document in documents]
    known = cache.get(keys)
    missing = [place for place, key in enumerate(keys) if key not in known]
    with tracker.stage(stage.name, total=len(documents), start=len(documents) - len(missing)):
        with tracker.phase("score"):
            done = len(documents) - len(missing)
            texts = [documents[place].text for place in missing]
            for places, found in score(runtime, texts, stage.window, tokens):
                for place, one in zip(places, found, strict=True):
                    known[keys[missing[place]]] = answer = {"nll": one.nll, "tokens": one.tokens}
                    cache.put(keys[missing[place]], answer)
                done += len(places)
                tracker.advance(done)
        cache.close()
        scores = [Score(**known[key]) for key in keys]
        write_scores(scores_file(runtime.run_dir, stage.name), [doc.text for doc in documents], scores)
        whole = Score(sum(s.nll for s in scores), sum(s.tokens for s in scores))
        figures = {"documents": float(len(scores)), "tokens": float(whole.tokens), "perplexity": whole.perplexity}
        median = statistics.median(s.perplexity for s in scores)
        tracker.log(stage.name, 0, figures | {"perplexity/median": median})
    tracker.console.print(
        f"{stage.name}: {len(documents)} documents, {len(missing)} of them scored now; median perplexity {median:.1f}"
    )


def scores_file(run_dir: Path, stage: str) -> Path:
    """Where the scores of a perplexity stage lie."""
    return run_dir / "perplexity" / f"{stage}.parquet"


def write_scores(path: Path, texts: list[str], scores: list[Score]) -> None:
    """Write one row a document: the hash of its text, and its score."""
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {
        "key": [content_key(text) for text in texts],
        "nll": [score.nll for score in scores],
        "tokens": [score.tokens for score in scores],
    }
    partial = path.with_suffix(".partial")
    pq.write_table(pa.table(columns), partial)
    partial.replace(path)


def read_scores(path: Path) -> dict[str, float]:
    """Perplexity of each document by the hash of its text.

    Raises:
        UserError: if the file is missing or damaged.
    """
    try:
        rows = pq.read_table(path).to_pylist()
    except (FileNotFoundError, pa.ArrowInvalid) as error:
        raise UserError(f"the scores {path} can't be read ({error}); use resume=restart to score anew") from None
    return {row["key"]: Score(row["nll"], row["tokens"]).perplexity for row in rows}
