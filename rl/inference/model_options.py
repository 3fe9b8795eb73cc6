"""Command-line options of all commands that ask a model, and the backend that they choose."""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from curricula.statutes.options import use_options
from rl.errors import UserError
from rl.files import read_json
from rl.inference.backend import KEY_ENV, Ask, Backend, Messages
from rl.inference.journal import Opened

MIB = 2**20


class Sized(Backend, Protocol):
    """A backend with a known length."""

    max_length: int | None
    """Longest prompt and completion together (tokens); None where it is not known."""


@dataclass(frozen=True)
class Sampling:
    """How answers are drawn."""

    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 1024
    """Of one answer, thinking included."""
    samples: int = 1
    seed: int = 0

    def ask(self, key: str, messages: Messages) -> Ask:
        """A conversation to complete by this sampling."""
        return Ask(key, messages, self.samples, self.temperature, self.max_tokens, self.top_p, self.seed)


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose a backend."""
    group = parser.add_argument_group("model")
    group.add_argument("--model", help="folder or hub name of a Hugging Face model")
    group.add_argument("--server", metavar="URL", help="OpenAI-compatible server, such as http://127.0.0.1:8000/v1")
    group.add_argument("--served-model", metavar="NAME", help="name of the model on the server")
    group.add_argument("--key-env", default=KEY_ENV, help="environment variable of the server's key (%(default)s)")
    group.add_argument("--tokenizer", metavar="FOLDER", help="tokenizer of the served model, to count tokens exactly")
    group.add_argument("--backend", choices=("vllm", "transformers", "server"), help="default: vllm, or the server")
    group.add_argument("--max-length", type=positive, help="prompt and answer together (tokens); default: the model's")
    group.add_argument("--data-parallel", type=positive, default=1, help="engines (%(default)s)")
    group.add_argument("--tensor-parallel", type=positive, default=1, help="devices of one engine (%(default)s)")
    group.add_argument("--threads", type=positive, default=1, help="threads of one engine on a CPU (%(default)s)")
    group.add_argument("--concurrency", type=positive, default=16, help="requests in flight at a server (%(default)s)")
    group.add_argument("--max-num-seqs", type=positive, default=256, help="sequences at once (%(default)s)")
    group.add_argument("--ray-address", help="a running Ray cluster; default: one on this machine, for this command")
    group.add_argument(
        "--chat-template-kwargs",
        type=json_object,
        metavar="JSON",
        help="variables of the chat template, such as '{\"enable_thinking\": false}'",
    )
    group.add_argument("--trust-remote-code", action="store_true", help="run code from the model's folder")


def add_sampling(parser: argparse.ArgumentParser, several: bool = True) -> None:
    """Add the options of sampling; without ``several`` each question gets one answer."""
    group = parser.add_argument_group("sampling")
    group.add_argument("--temperature", type=float, default=0.0, help="0 is greedy (%(default)s)")
    group.add_argument("--top-p", type=float, default=1.0, help="nucleus mass (%(default)s)")
    group.add_argument(
        "--max-tokens", type=positive, default=1024, help="of an answer, thinking included (%(default)s)"
    )
    if several:
        group.add_argument("--samples", type=positive, default=1, help="answers to each question (%(default)s)")
    else:
        parser.set_defaults(samples=1)
    group.add_argument("--seed", type=int, default=0)


def use_law_of(chosen: argparse.Namespace) -> None:
    """Read the law that ``--as-of`` and ``--laws`` name. A folder that is continued keeps the day of its start.

    Raises:
        DataError: if the day is not a date.
    """
    path = None if chosen.out is None else chosen.out / "manifest.json"
    if chosen.as_of is None and path is not None and path.is_file():
        chosen.as_of = read_json(path, Opened).get("as_of")
    use_options(chosen)


def positive(text: str) -> int:
    """A number that is at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is less than 1")
    return number


def json_object(text: str) -> dict[str, Any]:
    """A JSON object."""
    try:
        found = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text} is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise argparse.ArgumentTypeError(f"{text} is not a JSON object; write it like '{{\"enable_thinking\": false}}'")
    return found


def sampling_of(chosen: argparse.Namespace) -> Sampling:
    """The sampling that the options choose.

    Raises:
        UserError: if its values are impossible or contradict each other.
    """
    if chosen.temperature < 0 or not 0 < chosen.top_p <= 1:
        raise UserError(f"--temperature {chosen.temperature} --top-p {chosen.top_p}: at least 0, and in (0, 1]")
    if chosen.temperature == 0 and chosen.samples > 1:
        raise UserError(f"--samples {chosen.samples} with --temperature 0 gives the same answer every time; raise it")
    return Sampling(chosen.temperature, chosen.top_p, chosen.max_tokens, chosen.samples, chosen.seed)


def kind_of(chosen: argparse.Namespace) -> str:
    """Which backend the options choose.

    Raises:
        UserError: if the options contradict each other.
    """
    kind = chosen.backend or ("server" if chosen.server else "vllm")
    if kind == "server" and not (chosen.server and chosen.served_model):
        raise UserError("a served model needs --server URL and --served-model NAME")
    if kind != "server" and (chosen.server or not chosen.model):
        raise UserError(f"--backend {kind} needs --model FOLDER and no --server")
    return str(kind)


def identity(chosen: argparse.Namespace) -> str:
    """The name of the model: of a served one as it is, else with a digest of its weights."""
    if kind_of(chosen) == "server":
        return str(chosen.served_model)
    folder = Path(chosen.model).expanduser()
    return f"{folder.resolve().name} {weights_digest(folder)}" if folder.is_dir() else str(chosen.model)


def weights_digest(folder: Path) -> str:
    """12 hexadecimal digits that identify a model's folder.

    They depend on the size, the first and the last MiB of each file, because large weights take minutes to read."""
    found = hashlib.sha256()
    for path in sorted(folder.glob("*.json")) + sorted(folder.glob("*.safetensors")) + sorted(folder.glob("*.jinja")):
        size = path.stat().st_size
        found.update(f"{path.name} {size}\n".encode())
        with path.open("rb") as file:
            found.update(file.read(MIB))
            file.seek(max(0, size - MIB))
            found.update(file.read(MIB))
    return found.hexdigest()[:12]


def prompt_room(backend: Sized, max_tokens: int) -> int | None:
    """Most tokens of a prompt that leaves room for an answer of ``max_tokens``, or of half the model's length if that
    is less. None where the length is not known."""
    length = backend.max_length
    return None if length is None else length - min(max_tokens, length // 2)


@contextmanager
def open_backend(
    chosen: argparse.Namespace, date: datetime.date | None = None, keep_refusals: bool = False
) -> Iterator[Sized]:
    """The backend that the options choose, open inside a ``with`` block.

    Args:
        chosen: the options.
        date: the day that the chat template takes for today; None is today.
        keep_refusals: a vLLM engine answers a prompt that is too long with a RefusedAnswer, instead of failing.

    Raises:
        UserError: if the model can't be loaded or the server can't be reached.
        ClusterError: if Ray can't be started or reached, or has too few devices.
    """
    kind = kind_of(chosen)
    backend: Any
    with ExitStack() as stack:
        if kind == "server":
            from rl.inference.backends.served import ServedBackend, settings_of

            settings = settings_of(chosen.server, chosen.served_model, chosen.key_env, chosen.concurrency)
            backend = ServedBackend(settings, chosen.tokenizer, chosen.max_length, chosen.chat_template_kwargs)
        elif kind == "transformers":
            from rl.inference.backends.hf import TransformersBackend

            backend = TransformersBackend(
                chosen.model,
                chosen.max_length,
                chosen.threads,
                trust_remote_code=chosen.trust_remote_code,
                chat_template_kwargs=chosen.chat_template_kwargs,
                date=date,
            )
        else:
            from cluster.ray_cluster import connect
            from rl.inference.backends.engine import EngineBackend, EngineSettings

            cores = None if chosen.ray_address else max(os.cpu_count() or 1, 2 * chosen.data_parallel)
            stack.enter_context(connect(chosen.ray_address, cores, 100, None))
            backend = EngineBackend(
                EngineSettings(
                    model=chosen.model,
                    max_length=chosen.max_length,
                    data_parallel=chosen.data_parallel,
                    tensor_parallel=chosen.tensor_parallel,
                    threads=chosen.threads,
                    max_num_seqs=chosen.max_num_seqs,
                    trust_remote_code=chosen.trust_remote_code,
                    chat_template_kwargs=chosen.chat_template_kwargs,
                    date=date,
                    keep_refusals=keep_refusals,
                )
            )
        stack.callback(backend.close)
        yield backend
