"""What every process of a test of kills needs, imported once for all of them."""

import openai.resources.chat
import openai.types.chat

import rl.synthesis.run
from curricula.statutes import load_statutes, use_law
from rl.retrieval.passages import statute_passages
from rl.synthesis.privacy.names import is_word

use_law("2026-01-01")
load_statutes()
statute_passages()
is_word("王法")  # reads jieba's dictionary
__all__ = ["openai", "rl"]
