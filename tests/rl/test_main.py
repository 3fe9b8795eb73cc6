"""How the command line ends."""

import pytest

from rl.errors import UserError
from rl.main import _exit


def test_an_error_is_shown_as_it_is_written(capsys):
    with pytest.raises(SystemExit, match="2"):
        _exit(UserError("data[0].jsonl:1: [/b] and [red]"))
    assert "error: data[0].jsonl:1: [/b] and [red]" in capsys.readouterr().err
