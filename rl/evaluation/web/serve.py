"""``python -m rl.evaluate serve``: a web page to run, compare, read and review evaluations.

python -m rl.evaluate serve --runs FOLDER [--models FOLDER] [--root FOLDER] [--host 127.0.0.1 --port 7860] [--lang zh]
"""

from __future__ import annotations

import argparse
import os
import secrets
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from curricula.command import command
from rl.errors import UserError
from rl.evaluation.run_command import ROOT_ENV
from rl.evaluation.web.page_settings import PageSettings
from rl.language import add_lang


@command(UserError)
def main(argv: Sequence[str] | None = None) -> int:
    """0 once it is interrupted, or 2 with a sentence if it can't be started."""
    parser = argparse.ArgumentParser(prog="python -m rl.evaluate serve", description="A web page of evaluations.")
    parser.add_argument("--runs", type=Path, required=True, help="folder of the evaluations; votes are kept there, too")
    parser.add_argument("--models", type=Path, help="folder of the models that may be evaluated")
    parser.add_argument("--root", type=Path, help=f"folder of the benchmarks' data (default: {ROOT_ENV})")
    parser.add_argument(
        "--servers", nargs="+", default=[], metavar="URL", help="servers that are sent the key of the environment"
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s: this machine alone)")
    parser.add_argument("--port", type=int, default=7860, help="(%(default)s)")
    add_lang(parser)
    chosen = parser.parse_args(argv)
    _serve(settings_of(chosen), chosen.host, chosen.port)
    return 0


def settings_of(chosen: argparse.Namespace) -> PageSettings:
    """The settings that the options give.

    Raises:
        UserError: for a folder that does not exist.
    """
    root = chosen.root or (Path(os.environ[ROOT_ENV]) if ROOT_ENV in os.environ else None)
    for name, folder in (("--models", chosen.models), ("--root", root)):
        if folder is not None and not folder.is_dir():
            raise UserError(f"{name} {folder} is not a folder; give one that exists")
    try:
        chosen.runs.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--runs {chosen.runs} can't be made ({error.strerror}); give another folder") from None
    models, root = (folder.resolve() if folder else None for folder in (chosen.models, root))
    return PageSettings(chosen.runs.resolve(), models, root, tuple(chosen.servers), chosen.lang)


def _serve(settings: PageSettings, host: str, port: int) -> None:
    try:
        listening = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except (OSError, OverflowError) as error:
        raise UserError(f"{host}:{port} can't be listened on ({error}); give another --host or --port") from None
    import uvicorn

    from rl.evaluation.web.app import LOOPBACK, application
    from rl.evaluation.web.jobs import Jobs

    jobs = Jobs(settings.runs)
    port = listening.getsockname()[1]
    token = secrets.token_urlsafe(32)
    app = application(settings, jobs, host, port, token)
    print(f"http://{f'[{host}]' if ':' in host else host}:{port}/?token={token}", flush=True)
    if host not in LOOPBACK:
        print(f"{host} is open to others: put a proxy with HTTPS and a login before it", file=sys.stderr, flush=True)
    try:
        uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listening])
    except KeyboardInterrupt:
        pass
    finally:
        jobs.close()
