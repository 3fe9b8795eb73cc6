"""On Ray Data a recipe gives the files of a run in one process, byte for byte, and goes on from those of either."""

from rich.console import Console

from rl.config.synthesis import SynthesisConfig
from rl.synthesis.run import synthesize
from tests.rl.synthesis.runs import JUDGMENTS, config, files, options, require_sums
from tools.scripted_server import Server
from tools.scripted_teacher import reply


def test_a_recipe_on_ray_gives_the_same_files_and_resumes(ray_cluster, tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    for name in ("theft.txt", "loan.txt"):
        (source / name).write_bytes((JUDGMENTS / name).read_bytes())
    (source / "menu.txt").write_text("红烧肉的做法：先焯水，再炒糖色，最后小火慢炖一小时。", encoding="utf-8")

    def run(name, url, runner):
        values = config(*options(tmp_path / name, url, source, f"runner={runner}")).model_dump()
        names = [step["step"] for step in values["recipe"]["steps"]]
        values["recipe"]["steps"] = [*values["recipe"]["steps"][: names.index("question") + 1], {"step": "copies"}]
        return synthesize(SynthesisConfig.model_validate(values), Console(quiet=True))

    with Server(reply) as server:
        run("local", server.url, "local")
        asked = len(server.asked)
        results = run("ray", server.url, "ray")
        assert len(server.asked) == 2 * asked
        assert files(tmp_path / "ray") == files(tmp_path / "local")
        answers = sorted((tmp_path / "local" / "answers").iterdir())
        lines = answers[-1].read_bytes().splitlines(keepends=True)
        answers[-1].write_bytes(b"".join(lines[:2]))  # as after a kill
        run("local", server.url, "ray")
        assert len(server.asked) == 2 * asked + len(lines) - 2, "only what is missing is asked"
    assert files(tmp_path / "local") == files(tmp_path / "ray")
    require_sums(results)
    (lost,) = [one for result in results for one in result.outcomes if result.name == "segment" and one.fate != "kept"]
    assert lost.reason == "no judgment"
