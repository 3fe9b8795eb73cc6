"""Mid-training: next-token prediction on packed documents."""

from curricula.corpora import read_corpus
from curricula.mixture import Mixture, cell_shares, cells_of
from rl.config.derive import batch_numbers
from rl.config.stages import MidTrainingStage
from rl.runtime import Runtime
from rl.samples import packed_batch
from rl.steps import StepLoop


def run(stage: MidTrainingStage, runtime: Runtime) -> None:
    """Train on rows of ``sequence_length`` tokens, in which documents don't see each other."""
    batch = batch_numbers(runtime.config, stage)
    sources = [read_corpus(source.path, source.laws) for source in stage.corpus]
    cells = [cell for number, documents in enumerate(sources) for cell in cells_of(number, documents)]
    mixture = Mixture(
        cells,
        cell_shares(cells, [source.weight for source in stage.corpus]),
        seed=runtime.config.seed,
        encode=runtime.encode,
        eos_id=runtime.tokenizer.eos_token_id,
    )
    for step in StepLoop(stage, runtime, stage.optim, stage.steps, {"mixture": mixture}):
        with step.phase("data"):
            rows, segments = mixture.next_rows(batch.prompts_per_step, stage.sequence_length)
            packed = packed_batch(rows, segments)
        with step.phase("train"):
            metrics = runtime.trainer.update(packed, None, batch.max_tokens_per_microbatch)
        step.finish({**metrics, "tokens": packed.num_targets}, score=-metrics["loss"])
