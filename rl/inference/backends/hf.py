"""Transformers in this process: for models that vLLM does not know, and for checking it."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any

from rl.driver.stream import stable_seed
from rl.errors import UserError
from rl.inference.backend import Answer, Ask, Messages
from rl.inference.backends.conversation import Chat, longest, require_model


class TransformersBackend:
    """Answers by ``generate`` of transformers, in batches of prompts of about one length.

    Greedy answers do not depend on the batch but for rounding. Sampled ones do: a run that was interrupted goes on with
    others than an unbroken one would have drawn.
    """

    def __init__(
        self,
        model: str,
        max_length: int | None = None,
        threads: int = 1,
        batch_size: int = 16,
        trust_remote_code: bool = False,
        chat_template_kwargs: Mapping[str, Any] | None = None,
        date: datetime.date | None = None,
    ) -> None:
        """Load the model, on a GPU if there is one. Raises UserError if it can't be loaded."""
        import torch
        from transformers import AutoModelForCausalLM, GenerationConfig

        require_model(model)
        self.chat = Chat(model, trust_remote_code, chat_template_kwargs, date)
        self.max_length = longest(model, trust_remote_code, max_length)
        self.batch_size = batch_size
        on_gpu = torch.cuda.is_available()
        if not on_gpu:
            torch.set_num_threads(threads)
        try:
            loaded = AutoModelForCausalLM.from_pretrained(
                model,
                dtype=torch.bfloat16 if on_gpu else torch.float32,
                trust_remote_code=trust_remote_code,
                use_safetensors=True,
            )
        except (OSError, ValueError) as error:
            raise UserError(f"transformers can't load {model}: {str(error).splitlines()[0]}") from None
        self.model: Any = loaded.to("cuda" if on_gpu else "cpu").eval()
        # What the folder's generation_config.json sets would else apply to whatever a call does not name: penalties,
        # n-grams that may not come again, a forced token.
        tokenizer, self.stops = self.chat.tokenizer, self.chat.stops()
        self.pad = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
        self.model.generation_config = GenerationConfig(eos_token_id=self.stops, pad_token_id=self.pad)

    def generate(self, asks: Sequence[Ask], done: Callable[[Ask, list[Answer]], None]) -> None:
        """Complete all, in batches of equal sampling and of prompts of about one length, longest first."""
        prompts = {ask.key: self._prompt(ask) for ask in asks}

        def sampling(ask: Ask) -> tuple[float, ...]:
            return ask.temperature, ask.top_p, ask.max_tokens, ask.samples, ask.seed

        for _, group in groupby(sorted(asks, key=sampling), sampling):
            some = sorted(group, key=lambda ask: len(prompts[ask.key]), reverse=True)
            size = max(1, self.batch_size // some[0].samples)
            for start in range(0, len(some), size):
                batch = some[start : start + size]
                for ask, answers in zip(batch, self._complete(batch, prompts), strict=True):
                    done(ask, answers)

    def _prompt(self, ask: Ask) -> list[int]:
        ids = self.chat.encode(ask.messages)
        if len(ids) >= self.max_length:
            raise UserError(
                f"{ask.key} has {len(ids)} tokens, and the model takes {self.max_length} with the answer; raise "
                f"--max-length or leave it out"
            )
        return ids

    def _complete(self, batch: Sequence[Ask], prompts: dict[str, list[int]]) -> list[list[Answer]]:
        import torch

        ask, rows = batch[0], [prompts[one.key] for one in batch]
        width = max(map(len, rows))
        ids = torch.tensor([[self.pad] * (width - len(row)) + row for row in rows], device=self.model.device)
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows], device=self.model.device)
        sampled = ask.temperature > 0
        torch.manual_seed(stable_seed(ask.seed, ask.key))
        limit = min(ask.max_tokens, self.max_length - width)
        with torch.inference_mode():
            found = self.model.generate(
                input_ids=ids,
                attention_mask=mask,
                do_sample=sampled,
                temperature=ask.temperature if sampled else None,
                top_p=ask.top_p if sampled else None,
                top_k=0 if sampled else None,
                num_return_sequences=ask.samples if sampled else 1,
                max_new_tokens=limit,
            )
        written = found[:, width:].tolist()
        each = ask.samples if sampled else 1
        answers = [self._answer(rows[place // each], one, limit) for place, one in enumerate(written)]
        return [answers[place * each : (place + 1) * each] * (ask.samples // each) for place in range(len(batch))]

    def _answer(self, prompt: list[int], written: list[int], limit: int) -> Answer:
        end = next((place for place, token in enumerate(written) if token in self.stops), None)
        ids = written if end is None else written[: end + 1]
        return self.chat.answer(prompt, ids, truncated=end is None and len(written) >= limit)

    def count_tokens(self, messages: Messages) -> int:
        """Tokens of the prompt."""
        return len(self.chat.encode(messages))

    def close(self) -> None:
        """Let go of the model."""
        self.model = None
