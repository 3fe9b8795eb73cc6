"""transformers without what it imports only because it is installed."""

import sys
from typing import Any, cast


def import_transformers() -> None:
    """Import what every model and tokenizer needs of transformers, in a process where nothing has yet.

    transformers then does not see scikit-learn, of which it uses one function, in speculative decoding. Importing it,
    with SciPy and pandas, takes a third of the time. Other modules can import it afterwards.
    """
    if "sklearn" in sys.modules:
        return
    sys.modules["sklearn"] = cast(Any, None)
    try:
        from transformers import AutoTokenizer  # noqa: F401
    finally:
        del sys.modules["sklearn"]
