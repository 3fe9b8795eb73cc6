"""The benchmarks, each on the user's copy of its authors' data."""

from pathlib import Path

from rl.errors import UserError
from rl.evaluation.benchmark import Benchmark
from rl.evaluation.benchmarks import (
    cail2018,
    cail2019,
    casegen,
    disc,
    generic,
    jecqa,
    judge_doc,
    lawbench,
    lexeval,
    stard,
    unilaw,
)

BENCHMARKS: dict[str, Benchmark] = {
    module.BENCHMARK.name: module.BENCHMARK
    for module in (lawbench, lexeval, jecqa, unilaw, disc, cail2018, cail2019, judge_doc, stard, casegen)
}
FOLDERS = {
    "lawbench": ("LawBench",), "lexeval": ("LexEval",), "jecqa": ("JEC-QA", "jec-qa", "JECQA"),
    "unilaw": ("Unilaw-R1", "UnilawR1"), "disc": ("DISC-Law-Eval", "DISC-LawLLM"), "cail2018": ("CAIL2018",),
    "cail2019": ("CAIL2019",), "judge_doc": ("JuDGE",), "stard": ("STARD",), "casegen": ("CaseGen",),
}  # fmt: skip
"""The authors' names of the folder of their data, besides the name of the benchmark."""
ALIASES = {"jecqa": {"0_test": "kd", "1_test": "ca"}, "casegen": {"judgment": "judgement"}}
"""Other names of tasks in files of predictions."""


def find(name: str) -> Benchmark:
    """A benchmark by its name, or by the path of a YAML file that describes one (see generic.py).

    Raises:
        UserError: for an unknown name or a damaged description.
    """
    if name.endswith((".yaml", ".yml")):
        return generic.load(Path(name))
    if name not in BENCHMARKS:
        raise UserError(f"no benchmark {name}; known are {', '.join(BENCHMARKS)}, or a YAML file that describes one")
    return BENCHMARKS[name]


def folder_of(root: Path, benchmark: Benchmark) -> Path:
    """The folder of a benchmark's data below ``root``, by its name or its authors' name for it, if one exists."""
    names = (benchmark.name, *FOLDERS.get(benchmark.name, ()))
    return next((root / name for name in names if (root / name).is_dir()), root / benchmark.name)
