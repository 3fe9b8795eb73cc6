"""The command-line options that name a served judge."""

from __future__ import annotations

import argparse
import os

from rewards.judge.client import JudgeSettings

KEY_ENV = "JUDGE_API_KEY"
"""Environment variable of the judge's key."""


def add_judge(parser: argparse._ActionsContainer, use: str, model: str | None = None) -> None:
    """Add ``--judge``, ``--judge-model`` and ``--judge-guided``.

    Args:
        parser: a parser, or a group of one.
        use: what the judge does in this command; completes "OpenAI-compatible server that …".
        model: name of the served model if none is given.
    """
    parser.add_argument("--judge", "--judge-url", metavar="URL", help=f"OpenAI-compatible server that {use}")
    parser.add_argument("--judge-model", metavar="NAME", default=model, help=f"its model (key: {KEY_ENV})")
    parser.add_argument(
        "--judge-guided", "--guided", choices=("json", "choice", "off"), default="json", help="(%(default)s)"
    )


def judge_settings(chosen: argparse.Namespace) -> JudgeSettings | None:
    """Settings of the judge that the options name, with its key from the environment; None if they name none."""
    if not chosen.judge or not chosen.judge_model:
        return None
    return JudgeSettings(chosen.judge, chosen.judge_model, os.environ.get(KEY_ENV), guided=chosen.judge_guided)
