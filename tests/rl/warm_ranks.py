"""What every rank of the tests needs, imported once for all of them (:mod:`tests.rl.forks`)."""

from rl.models.lean import import_transformers

import_transformers()

from transformers import AutoModelForCausalLM, Qwen3ForCausalLM  # noqa: E402

import rl.engines.fsdp  # noqa: E402
import rl.engines.megatron.engine  # noqa: E402

__all__ = ["AutoModelForCausalLM", "Qwen3ForCausalLM", "rl"]
