"""What commands share: errors as sentences, exit codes, the dispatch by name."""

import sys

import pytest

from curricula.command import command, dispatch, resumable
from curricula.errors import DataError


@pytest.mark.parametrize("message", ["[/b] is no markup", "a.jsonl:3: :smile: " + "long " * 40])
def test_an_error_of_the_command_is_one_sentence_and_exit_code_2(capsys, message):
    @command(DataError)
    def main():
        raise DataError(message)

    assert main() == 2
    captured = capsys.readouterr()
    assert captured.err == f"error: {message}\n" and captured.out == ""


def test_other_errors_and_results_pass_through():
    @command(DataError)
    def main(code):
        if code is None:
            raise KeyError("a bug")
        return code

    assert main(7) == 7 and main.__name__ == "main"
    with pytest.raises(KeyError):
        main(None)


def test_an_interrupt_says_how_to_go_on(capsys, tmp_path):
    @command(DataError)
    def main(out):
        with resumable(out):
            raise KeyboardInterrupt

    assert main(tmp_path) == main(None) == 130
    assert capsys.readouterr().err.splitlines() == [
        f"interrupted; the same command goes on from what {tmp_path} holds", "interrupted",
    ]  # fmt: skip


def test_a_name_chooses_the_module_whose_main_runs(monkeypatch, tmp_path, capsys):
    (tmp_path / "named_command.py").write_text("def main(argv):\n    print(argv)\n    return 5\n")
    monkeypatch.syspath_prepend(tmp_path)
    modules, prepared = {"named": "named_command", "other": "missing_module"}, []
    assert dispatch("python -m x", modules, ["named", "--a", "b"], lambda: prepared.append(1)) == 5
    assert dispatch("python -m x", modules, ["--named"], lambda: None) == 5
    assert prepared == [1] and capsys.readouterr().out == "['--a', 'b']\n[]\n" and "missing_module" not in sys.modules
    assert dispatch("python -m x", modules, ["unknown"]) == dispatch("python -m x", modules, []) == 2
    assert capsys.readouterr().err == "usage: python -m x {named,other} …\n" * 2
    assert dispatch("python -m x", modules, ["--help"]) == 0 and "usage" in capsys.readouterr().out
