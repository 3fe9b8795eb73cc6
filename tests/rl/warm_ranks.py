"""What every rank of the tests needs, imported once for all of them (:mod:`tests.rl.forks`)."""

import gc

from rl.models.lean import import_transformers

import_transformers()

from transformers import AutoModelForCausalLM, Qwen3ForCausalLM  # noqa: E402

import rl.engines.fsdp  # noqa: E402
import rl.engines.megatron.engine  # noqa: E402

gc.freeze()  # else each collection in a rank goes through all that is imported, which takes 0.3 s
__all__ = ["AutoModelForCausalLM", "Qwen3ForCausalLM", "rl"]
