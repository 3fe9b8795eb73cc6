"""Text on the command line arrives as it was typed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from rl import load_config
from rl.config.compose import CONF, accept_overrides, text_keys
from rl.config.quoting import _QUOTES, _parsed, choices, folder_name, quoted
from rl.config.quoting import typed as typed_again

ROOT = Path(__file__).resolve().parents[3]
ODD = ["实验一", "李明", "/data/模型 (v2)", "http://127.0.0.1:8000/v1?a=b&c={d}", "a,b", "123", "1e5", "true", "NaN",
       "nul", "it's", 'say "yes"', "back\\slash", "end\\", "[1, 2]", "{a: 1}", "choice(a,b)", " a ", "", "~x", "a#b",
       "$5",       "a: b", "'half", "=", "：，（）", "two\nlines", "\\'", "a\tb"]  # fmt: skip
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40) | st.text(
    st.sampled_from("a0 ,='\"\\()[]{}:$%@?|~+-./_#&;!*<>李\n\t"), max_size=12
)


def composed(*overrides, multirun=False):
    argv = accept_overrides(["+curriculum=smoke", *overrides, *(["-m"] if multirun else [])])
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", overrides=[one for one in argv if one != "-m"], return_hydra_config=True)


def typed(value):
    """Whether a value is text without a meaning of its own: no interpolation, not in quotes."""
    return "${" not in value and _parsed(value) is not _QUOTES


@pytest.mark.parametrize("value", ODD)
@pytest.mark.parametrize("key", ["model.name", "judge.base_url"])
def test_odd_text_arrives(key, value):
    assert OmegaConf.select(composed(f"{key}={value}"), key) == value


@pytest.mark.parametrize("value", ["10.0.0.1:6379", "a:b", "http://127.0.0.1:80/v1", *ODD])
def test_text_of_a_job_of_a_multirun_arrives_in_a_process_of_its_own(value):
    words = accept_overrides([f"cluster.address={quoted(value)}", "seed=0,1", "-m"])[:-1]
    parsed = OverridesParser.create().parse_overrides(words)
    first, second = BasicSweeper.split_arguments(parsed, None)[0]
    found = composed(*map(typed_again, first))
    assert found.cluster.address == value and found.seed == 0
    assert composed(*map(typed_again, second)).seed == 1


@settings(max_examples=25)
@given(TEXT, st.sampled_from(sorted(text_keys())))
def test_any_text_arrives_in_any_text_key(value, key):
    assume(typed(value) and value.lower() != "null" and key != "run_dir")
    assert OmegaConf.select(composed(f"{key}={value}"), key) == value


@settings(max_examples=25)
@given(TEXT)
def test_any_text_is_a_run_folder(value):
    assume(typed(value))
    assert composed(f"run_dir={value}").hydra.run.dir == value


def test_null_numbers_quotes_and_interpolations():
    found = composed(
        "model.name=null",
        "model.path=null",
        "judge.model='null'",
        "tracker.project=7",
        "run_dir=实验/${model.name}-${seed}",
    )
    assert (found.model.name, found.model.path, found.judge.model, found.tracker.project) == ("null", None, "null", "7")
    assert found.hydra.run.dir == "实验/null-0"
    assert composed("model.name='李 明'").model.name == "李 明"


def test_numbers_stay_numbers_elsewhere():
    found = composed("seed=7", "model.lora_rank=4", "plan=true")
    assert (found.seed, found.model.lora_rank, found.plan) == (7, 4, True)


def swept(argument):
    """The values that Hydra's sweeper makes of an argument in a multirun."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    (accepted,) = (one for one in accept_overrides([argument, "-m"]) if one != "-m")
    override = OverridesParser.create().parse_override(accepted)
    if not override.is_sweep_override():
        return [override.value()]
    return [OverridesParser.create().parse_override(f"k={one}").value() for one in override.sweep_string_iterator()]


def test_commas_separate_choices_only_in_a_sweep():
    assert accept_overrides(["model.path=/a,b"]) == ["++model.path='/a,b'"]
    assert accept_overrides(["seed=1,2", "-m"]) == ["++seed=1,2", "-m"]
    assert swept("model.name=李明,王 芳,3") == ["李明", "王 芳", "3"]
    assert swept("model.path=/a(1,2),'/b,c',/d") == ["/a(1,2)", "/b,c", "/d"]
    assert swept("model.path=/a(,/b") == ["/a(", "/b"]
    assert swept("model.name=choice(a,b)") == ["a", "b"]
    assert swept("judge.base_url=http://h/?a=1,null") == ["http://h/?a=1", None]
    assert swept("model.name=one 'x'") == ["one 'x'"]
    assert swept("model.name=it's,that's") == ["it's", "that's"]


@settings(max_examples=25)
@given(st.lists(TEXT.filter(lambda text: typed(text) and not set(text) & set(",'\"()[]{}")), min_size=2, max_size=4))
def test_any_choices_of_a_sweep_arrive(values):
    assert swept("tracker.project=" + ",".join(values)) == values


@settings(max_examples=200)
@given(TEXT)
def test_choices_and_their_commas_are_the_value(value):
    assert ",".join(choices(value)) == value


def test_folders_of_a_sweep_are_one_level_short_and_distinct():
    assert folder_name("++model.name='李 明',++seed=1") == "model.name=李 明,seed=1"
    assert folder_name("seed=2") == "seed=2"
    assert folder_name(r"++judge.model='a,b',++model.name='it\'s'") == "judge.model=a,b,model.name=it's"
    one, other = folder_name("++model.path=/data/a"), folder_name("++model.path=_data_a")
    assert one.startswith("model.path=_data_a-") and other == "model.path=_data_a"
    long = [folder_name(f"++model.name={'长' * 300}{end}") for end in "ab"]
    assert all(len(name.encode()) <= 255 for name in long) and long[0] != long[1]


def test_a_run_in_a_folder_with_a_chinese_name(tmp_path):
    """Its plan, by the command, is in tests/rl/test_from_python.py."""
    folder = tmp_path / "实验 (一), a=b"
    config = load_config("+curriculum=smoke", f"run_dir={folder}", "model.name=李明")
    assert (config.run_dir, config.model.name) == (str(folder), "李明")


@pytest.mark.parametrize(
    "folder, said", [("/proc/nobody", "No such file"), ("{file}", "exists"), ("{file}/x", "Not a dir")]
)
def test_a_run_folder_that_cannot_be_made_is_a_sentence(tmp_path, folder, said):
    (tmp_path / "文件").write_text("")
    command = [sys.executable, "-m", "rl.main", "+curriculum=smoke", f"run_dir={folder.format(file=tmp_path / '文件')}"]
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 2 and "can't be used: " in done.stderr and said in done.stderr, done.stderr
    assert "Traceback" not in done.stderr and "run_dir=FOLDER" in done.stderr


def test_a_locale_without_chinese_takes_and_keeps_it(tmp_path):
    """In the names of a sweep's folders too."""
    folder = tmp_path / "扫描"
    command = [
        sys.executable,
        "-m",
        "rl.main",
        "-m",  # of a sweep's jobs Hydra writes down what was asked
        "+curriculum=smoke",
        "plan=true",
        "model.name=李明,王 芳",
        f"hydra.sweep.dir={folder}",
        "hydra.output_subdir=hydra",
    ]
    environment = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    asked = {one.name: (one / "hydra" / "overrides.yaml") for one in folder.iterdir() if one.is_dir()}
    assert asked.keys() == {"model.name=李明", "model.name=王 芳"}
    assert "model.name='李明'" in asked["model.name=李明"].read_text(encoding="utf-8")
