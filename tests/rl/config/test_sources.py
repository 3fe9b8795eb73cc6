"""Options of configuration groups by name, by path, and from folders of the user."""

import shutil
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig

from rl.config.compose import accept_overrides, load, load_synthesis, none_selected, options_of
from rl.config.derive import check
from rl.config.fingerprint import config_fingerprint
from rl.config.sources import CONF, absolute, read_for
from rl.config.synthesis import SynthesisConfig
from rl.errors import UserError
from rl.sweeps.launcher import folders_of_the_sweep
from rl.sweeps.processes import command

SMOKE = (CONF / "curriculum" / "smoke.yaml").read_text(encoding="utf-8")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a space and Chinese in its name, as the folder of the process."""
    folder = tmp_path / "我 的"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def config(*words):
    """What the command line gives, as Hydra composes it; the options of Hydra's own command become a key."""
    accepted = accept_overrides(words)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return load(compose("config", overrides=[*accepted, "run_dir=runs/test"]))


def test_a_curriculum_by_path_is_the_run_of_its_content(here):
    Path("mine x.yaml").write_text(SMOKE, encoding="utf-8")
    wanted = config_fingerprint(config("+curriculum=smoke"))
    for word in ("+curriculum=./mine x.yaml", "curriculum=mine x.yaml", f"++curriculum={here}/mine x.yaml"):
        assert config_fingerprint(config(word)) == wanted, word
    shutil.move("mine x.yaml", "moved.yml")
    assert config_fingerprint(config("curriculum=./moved.yml")) == wanted
    Path("moved.yml").write_text(SMOKE.replace("steps: 40", "steps: 41"), encoding="utf-8")
    assert config_fingerprint(config("curriculum=./moved.yml")) != wanted


def test_a_file_may_set_more_than_its_stages(here):
    shutil.copy(CONF / "curriculum" / "unilaw.yaml", "mine.yaml")
    assert config("curriculum=./mine.yaml") == config("curriculum=unilaw")
    assert config("curriculum=./mine.yaml", "model=nano").model.name == "nano"


def test_other_groups_by_path(here):
    Path("model.yaml").write_text("name: small\nnano: {layers: 2}\n")
    assert config("curriculum=smoke", "model=./model.yaml").model.nano.layers == 2
    shutil.copy(CONF / "recipe" / "lead.yaml", "recipe.yaml")
    words = accept_overrides(["recipe=./recipe.yaml", "input=x", "teacher.base_url=u"], SynthesisConfig)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        assert load_synthesis(compose("synthesize", overrides=[*words, "run_dir=x"])).recipe.name == "lead"


def test_signs_are_those_that_hydra_wants(here):
    assert accept_overrides(["curriculum=smoke", "+model=nano", "layout=14b_1x8"]) == [
        "+curriculum=smoke", "model=nano", "+layout=14b_1x8"
    ]  # fmt: skip


def test_runs_of_a_sweep_over_curricula_have_folders_of_their_own(here):
    words = ["-m", "curriculum=smoke,legal", "seed=1"]
    once = accept_overrides(words)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        job = [word.replace("smoke,legal", "legal") for word in once if word != "-m"]
        composed = compose("config", overrides=job, return_hydra_config=True)
    assert composed.hydra.sweep.dir == "runs/curriculum-sweep" and accept_overrides(once) == once
    assert composed.hydra.sweep.subdir == "legal,seed=1"
    kept = accept_overrides([*words, "hydra.sweep.dir=mine"])
    assert [word for word in kept if word.startswith("hydra.sweep.dir")] == ["hydra.sweep.dir=mine"]
    assert not any("sweep" in word for word in accept_overrides(["-m", "curriculum=smoke", "seed=1,2"]))


def test_what_is_accepted_is_accepted_again(here):
    """Jobs of a sweep get it, in another process."""
    Path("a,b.yaml").write_text(SMOKE, encoding="utf-8")
    once = accept_overrides(["curriculum='./a,b.yaml'", f"hydra.searchpath=[{here}]"])
    assert once == [f"+curriculum='{here}/a,b.yaml'", f"hydra.searchpath=['file://{here}']"]
    assert accept_overrides(once) == once
    (*_, word, _) = command([once[0]], here)
    assert accept_overrides([word])[0] == once[0]


def test_folders_of_options(here):
    for group, name, text in (("curriculum", "short", SMOKE), ("model", "mine", "name: mine\n")):
        Path("lab", group).mkdir(parents=True)
        Path("lab", group, f"{name}.yaml").write_text(text, encoding="utf-8")
    found = config("hydra.searchpath=[lab]", "curriculum=short", "model=mine")
    assert (found.curriculum.name, found.model.name) == ("smoke", "mine")
    for words in (("--config-dir", "lab"), ("-cd", "lab"), ("--config-dir=lab",)):
        accepted = accept_overrides(["curriculum=short", *words, "seed=1"])
        assert accepted == ["--config-dir=lab", "+curriculum=short", "++seed=1"]  # Hydra takes it only there
    with pytest.raises(UserError, match="curriculum=shrt is not among the options of curriculum; did you mean short"):
        accept_overrides(["curriculum=shrt", "hydra.searchpath=[lab]"])
    with pytest.raises(UserError, match=r"is both .*rl/conf/curriculum/legal.yaml and .*; give yours another name"):
        shutil.copy("lab/curriculum/short.yaml", "lab/curriculum/legal.yaml")
        accept_overrides(["--config-dir=lab", "curriculum=legal"])


def test_a_job_of_a_sweep_finds_the_folders_that_the_sweep_was_given(here):
    Path("lab", "curriculum").mkdir(parents=True)
    Path("lab", "curriculum", "short.yaml").write_text(SMOKE, encoding="utf-8")
    words = accept_overrides(["curriculum=short", "hydra.searchpath=[lab]", "hydra.run.dir=x"])
    with initialize_config_dir(str(CONF), version_base="1.3"):
        composed = compose("config", overrides=words, return_hydra_config=True)
    HydraConfig.instance().set_config(composed)
    assert folders_of_the_sweep() == [f"hydra.searchpath=['file://{here}/lab']"]


def test_a_launched_run_finds_files_from_anywhere(here):
    Path("mine.yaml").write_text(SMOKE, encoding="utf-8")
    Path("lab").mkdir()
    words = ["+curriculum=./mine.yaml", "hydra.searchpath=lab", "seed=3", "model=nano"]
    options = options_of(words)
    assert [absolute(word, options) for word in words] == [
        f"+curriculum='{here}/mine.yaml'", f"hydra.searchpath=['file://{here}/lab']", "seed=3", "model=nano"
    ]  # fmt: skip
    assert read_for(words, options) == [f"{here}/lab", f"{here}/mine.yaml"]


@pytest.mark.parametrize(
    ("words", "text", "said"),
    [
        (["curriculum=./mien.yaml"], SMOKE, "there is no such file; did you mean mine.yaml?"),
        (["curriculum=no/mine.yaml"], SMOKE, "there is no folder .*no either"),
        (["curriculum=./"], SMOKE, "is a folder; give a file of it, such as mine.yaml"),
        (["curriculum=./mine.txt"], SMOKE, "its name must end with .yaml"),
        (["curriculum=./mine.yaml"], "a: [1,\nb: 2\n", r"mine.yaml:\d is not valid YAML"),
        (["curriculum=./mine.yaml"], "name: a\nname: b\n", "mine.yaml:2 is not valid YAML: found duplicate key"),
        (["curriculum=./mine.yaml"], "- name: a\n", "is no curriculum: it holds a list, not keys"),
        (["curriculum=./mine.yaml"], "3\n", "can't be read: it holds no keys"),
        (["curriculum=./mine.yaml"], "", "is no curriculum: it has no name"),
        (["curriculum=./mine.yaml"], "name: a\nstage: []\n", "has no stages .did you mean it by stage?"),
        (["curriculum=./mine.yaml"], "model: {}\nseed: 1\n", "has no name .its keys are model, seed"),
        (["curriculum=./mine.yaml"], "curriculum: {name: a}\n", "first line is # @package _global_"),
        (["curriculum=./mine.yaml"], "# @package _global_\nname: a\n", "is no curriculum: it has no name"),
        (["curriculum=./mine.yaml"], b"name: \xff\n", "is not UTF-8 text"),
        (["curriculum=smoke.yaml"], SMOKE, "is a file here and an option of Themis; write ./smoke.yaml, or smoke"),
        (["curriculum=mine"], SMOKE, "The file here is curriculum=./mine.yaml"),
        (["curriculum=qqqq"], SMOKE, "a file of yours is ./FILE.yaml"),
        (["--config-dir", "labb"], SMOKE, "--config-dir: there is no folder .*labb; did you mean lab?"),
        (["hydra.searchpath=[pkg://no_such.conf]"], SMOKE, "there is no package no_such.conf"),
        (["hydra.searchpath=[http://x]"], SMOKE, "takes folders, file://FOLDER or pkg://PACKAGE; http://x is none"),
    ],
)
def test_what_can_not_be_read_is_a_sentence(here, words, text, said):
    Path("lab").mkdir()
    for name in ("mine.yaml", "mine.txt", "smoke.yaml") if "smoke.yaml" in words[0] else ("mine.yaml", "mine.txt"):
        Path(name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=said) as caught:
        accept_overrides(words)
    assert "\n" not in str(caught.value)


def test_a_curriculum_without_a_name_is_not_a_missing_one():
    assert "no curriculum is selected" in str(none_selected("curriculum", ["seed=1"]))
    assert "has no name" in str(none_selected("curriculum", ["+curriculum=short"]))


def test_a_task_by_module_and_function(here, monkeypatch):
    """In every kind of stage that takes tasks, and known to gates by that name."""
    monkeypatch.syspath_prepend(str(here))
    Path("tasks_of_mine.py").write_text(
        "from curricula.prompts import ask\n"
        "def sums(rng, split):\n"
        "    a = rng.randint(1, 99)\n"
        "    return ask('sums', f'{a}+1?', str(a + 1), 'number', f'{a}+1')\n"
    )
    text = SMOKE.replace("age: 40", '"tasks_of_mine:sums": 40').replace("[age,", '["tasks_of_mine:sums",')
    text = text.replace("{age: 1,", '{"tasks_of_mine:sums": 1,').replace(
        "{metric: truncated,", '{metric: "task/tasks_of_mine:sums/accuracy",'
    )
    Path("mine.yaml").write_text(text, encoding="utf-8")
    check(config("curriculum=./mine.yaml"))
    Path("mine.yaml").write_text(text.replace("mine:sums", "mine:sumz"), encoding="utf-8")
    with pytest.raises(UserError, match=r"did you mean tasks_of_mine:sums\?"):
        check(config("curriculum=./mine.yaml"))
