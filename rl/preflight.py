"""Checks of data against the tokenizer, and of the judge's server, before any actor starts."""

import os
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from curricula.errors import together
from curricula.prompts import Prompt
from curricula.records import is_file
from curricula.rows import SHOWN
from curricula.sampler import require_pass_rates
from curricula.tasks import make_prompts
from rewards.cache import Cache
from rewards.judge.client import JudgeSettings
from rewards.judge.prompts import load
from rewards.total import split
from rl.config.derive import reward_sum, task_weights, wants_judge
from rl.config.schema import RunConfig
from rl.config.stages import EvaluateStage, GRPOStage, MidTrainingStage, PerplexityStage, PromptedStage, SFTStage
from rl.data.chosen import Chosen
from rl.data.corpus import load_corpus
from rl.data.demonstrations import demonstrations
from rl.data.lengths import longer, while_read
from rl.data.prompt_files import Look, prompts_of
from rl.errors import UserError
from rl.evaluation.stage import read_benchmarks
from rl.inference.backends.served import asked_models
from rl.models.chat import load_tokenizer
from rl.models.template import for_stage

PROBED = 100
"""Number of generated questions of each task that are checked."""


def require_prompts_fit(
    config: RunConfig, tokenizer: Any | None, console: Console | None = None, *, streams: bool = True
) -> None:
    """Read every data file and measure prompts and demonstrations; the console shows the progress.

    Without a tokenizer, which a plan may not have, files are read and nothing is measured; without ``streams`` corpora
    with a source on the hub are left alone.

    Raises:
        UserError: if a prompt or a demonstration is longer than its stage allows or can't be rendered, or a benchmark
            can't be read.
        DataError: if a data file is missing, malformed or empty.
    """
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    hidden = console is None or not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=hidden) as progress:
        for stage in config.curriculum.stages:
            bar = progress.add_task(f"reading the data of stage {stage.name}", total=None)
            bound = None if tokenizer is None else for_stage(tokenizer, config, stage)
            measure = _Measure(stage.name, bound, partial(progress.update, bar))
            if isinstance(stage, MidTrainingStage | PerplexityStage):
                if streams or not any(source.on_hub for source in stage.corpus):
                    load_corpus(stage.corpus, stage.clean)
            elif isinstance(stage, SFTStage):
                limit = config.model.max_length
                look = measure.look(limit, whole=True)
                given, aside = demonstrations(stage, config.seed, look)
                both = Chosen(given.parts, np.concatenate([given.places, aside.places]))
                measure(both, limit, "model.max_length", demonstrations=True)
            elif isinstance(stage, PromptedStage):
                look = measure.look(stage.max_prompt_tokens, whole=False)
                if isinstance(stage, GRPOStage) and stage.difficulty:
                    for source in filter(is_file, task_weights(config, stage)):
                        require_pass_rates(prompts_of(source, look))
                for source in stage.sources:
                    measure(_questions(source, config.seed, look), stage.max_prompt_tokens, "max_prompt_tokens")
            elif isinstance(stage, EvaluateStage):
                read_benchmarks(stage)
                limit = config.model.max_length - stage.sampling.max_tokens
                if stage.data:
                    measure(prompts_of(stage.data), limit, "model.max_length less sampling.max_tokens")
            progress.remove_task(bar)


@dataclass(frozen=True)
class _Measure:
    """Measures the prompts of a stage."""

    stage: str
    tokenizer: Any | None
    update: Callable[..., None]
    """Updates the progress bar of the stage."""

    def look(self, limit: int, *, whole: bool) -> Look | None:
        """Measures a file while it is read."""
        return None if self.tokenizer is None else while_read(self.tokenizer, limit, whole=whole)

    def __call__(self, prompts: Sequence[Prompt], limit: int, key: str, *, demonstrations: bool = False) -> None:
        if self.tokenizer is None:
            return
        self.update(description=f"measuring the data of stage {self.stage}", total=len(prompts), completed=0)
        try:
            found = longer(self.tokenizer, prompts, limit, whole=demonstrations, progress=self._show)
        except UserError as error:
            raise UserError(f"stage {self.stage}: {error}") from None
        if found:
            what = "the demonstration of " if demonstrations else ""
            problems = [
                f"stage {self.stage}: {what}{prompts[place].name} has {length} tokens, more than {key}={limit}"
                for place, length in found[:SHOWN]
            ]
            listed = together(problems, len(found), len(prompts), "are too long")
            raise UserError(f"{listed}; raise the limit or take {'them' if found[1:] else 'it'} out")

    def _show(self, measured: int) -> None:
        self.update(advance=measured)


def _questions(source: str, seed: int, look: Look | None) -> Sequence[Prompt]:
    return prompts_of(source, look) if is_file(source) else make_prompts(source, "train", PROBED, seed, fewer_ok=True)


def require_caches(config: RunConfig) -> None:
    """Read the run's caches of scores and of the judge's answers.

    Raises:
        DataError: if one is damaged.
    """
    names = {stage.cache for stage in config.curriculum.stages if isinstance(stage, PerplexityStage)}
    if config.judge.kind == "llm" and config.judge.cache is not None and wants_judge(config):
        names.add(config.judge.cache)
    for path in (Path(config.run_dir, name) for name in sorted(names)):
        if path.exists():
            with closing(Cache(path)) as cache:
                cache.check()


def require_judge(config: RunConfig) -> None:
    """If a stage needs a language model as judge, read the judge's prompts and ask its server for its models.

    Raises:
        UserError: if a prompt can't be used, or if the server does not answer, refuses the key, or does not serve
            ``judge.model``.
    """
    judge = config.judge
    if judge.kind != "llm" or not wants_judge(config):
        return
    stages = [stage for stage in config.curriculum.stages if isinstance(stage, PromptedStage)]
    try:
        for name in {name for stage in stages for name in split(reward_sum(config, stage))[1]}:
            load(name, judge.language)
    except ValueError as error:
        raise UserError(str(error)) from None
    if judge.base_url is None:
        if Path(str(judge.model)).is_dir():
            load_tokenizer(str(judge.model))  # the server renders its chat template, and says nothing while it does
        return
    settings = JudgeSettings(judge.base_url, str(judge.model), os.environ.get(judge.api_key_env))
    asked_models(
        settings,
        f"the judge at judge.base_url={judge.base_url}",
        judge.api_key_env,
        "correct it, or use judge.kind=statute",
        "judge.model=",
    )
