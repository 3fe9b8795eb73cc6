"""Checks of data against the tokenizer, and of the judge's server, before any actor starts."""

import itertools
import os
from typing import Any

from curricula.prompts import Prompt
from curricula.records import is_file, read_prompts
from curricula.tasks import make_prompts
from rl.config.derive import wants_judge
from rl.config.schema import RunConfig
from rl.config.stages import EvaluateStage, GRPOStage, MidTrainingStage, PerplexityStage, SFTStage
from rl.corpus import load_corpus
from rl.demonstrations import demonstrations
from rl.errors import UserError
from rl.evaluation.stage import read_benchmarks
from rl.models.chat import render_demonstration, render_prompt
from rl.models.template import for_stage

PROBED = 100
"""Generated questions of each task that are looked at."""


def require_prompts_fit(config: RunConfig, tokenizer: Any) -> None:
    """Read every data file and measure prompts and demonstrations.

    Raises:
        UserError: if a prompt or a demonstration is longer than its stage allows, or a benchmark can't be read.
        DataError: if a data file is missing, malformed or empty.
    """
    for stage in config.curriculum.stages:
        where = f"stage {stage.name}"
        tokenizer = for_stage(tokenizer, config, stage)
        if isinstance(stage, MidTrainingStage | PerplexityStage):
            load_corpus(stage.corpus, stage.clean)
        elif isinstance(stage, SFTStage):
            for prompt in itertools.chain(*demonstrations(stage, config.seed)):
                ids, _ = render_demonstration(tokenizer, prompt)
                _require(
                    len(ids), config.model.max_length, f"{where}: the demonstration of {prompt.uid}", "model.max_length"
                )
        elif isinstance(stage, GRPOStage):
            for prompt in itertools.chain(*(_questions(source, config.seed) for source in stage.sources)):
                length = len(render_prompt(tokenizer, prompt.messages))
                what = f"{where}: prompt {prompt.uid} (task {prompt.task})"
                _require(length, stage.max_prompt_tokens, what, "max_prompt_tokens")
        elif isinstance(stage, EvaluateStage):
            read_benchmarks(stage)
            limit = config.model.max_length - stage.sampling.max_tokens
            for prompt in read_prompts(stage.data) if stage.data else ():
                length = len(render_prompt(tokenizer, prompt.messages))
                _require(length, limit, f"{where}: prompt {prompt.uid}", "model.max_length less sampling.max_tokens")


def _questions(source: str, seed: int) -> list[Prompt]:
    return read_prompts(source) if is_file(source) else make_prompts(source, "train", PROBED, seed, fewer_ok=True)


def require_judge(config: RunConfig) -> None:
    """Ask the judge's server for its models, where a stage needs one.

    Raises:
        UserError: if it does not answer, refuses the key, or does not serve ``judge.model``.
    """
    judge = config.judge
    if judge.kind != "llm" or judge.base_url is None or not wants_judge(config):
        return
    import openai

    key = os.environ.get(judge.api_key_env) or "none"
    try:
        with openai.OpenAI(base_url=judge.base_url, api_key=key, timeout=10, max_retries=1) as client:
            served = [model.id for model in client.models.list()]
    except openai.AuthenticationError:
        raise UserError(f"the judge at {judge.base_url} refused the key in {judge.api_key_env}") from None
    except (openai.OpenAIError, ValueError) as error:
        raise UserError(
            f"the judge at judge.base_url={judge.base_url} does not answer: {error}; start it, mend it, or use "
            f"judge.kind=statute"
        ) from None
    if judge.model not in served:
        raise UserError(f"the judge at {judge.base_url} serves {', '.join(served)} and not judge.model={judge.model}")


def _require(length: int, limit: int, what: str, key: str) -> None:
    if length > limit:
        raise UserError(f"{what} has {length} tokens, more than {key}={limit}; raise the limit or take it out")
