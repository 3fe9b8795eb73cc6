"""From Hydra's composition and the command line to a validated :class:`RunConfig`, with errors that name the fix."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import regex
from pydantic import BaseModel, ValidationError

from rl.config.algorithm import AlgorithmConfig
from rl.config.quoting import choices, is_multirun, quoted, text_value, unquoted
from rl.config.resolvers import register
from rl.config.schema import RunConfig
from rl.config.sources import ADDITIONAL, CONF, Options, apart, chosen, folders_added, groups, items, search_path
from rl.config.stages import GRPOStage, OptimConfig, SamplingConfig
from rl.config.synthesis import SynthesisConfig
from rl.errors import UserError

Config = TypeVar("Config", bound=BaseModel)

FOLDERS = ("hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir")
"""Hydra's own keys that hold paths. They can't be swept."""

register()  # before Hydra resolves anything


SYNTHESIS = ("recipe", "teacher")
"""Groups of a synthesis. The others are those of a run."""
ADDED = ("curriculum", "layout", "recipe")
"""Our groups of which nothing is selected by default; Hydra wants a ``+`` before them, and none before the others."""


def schema_keys(model: type[BaseModel] = RunConfig, prefix: str = "") -> dict[str, bool]:
    """Dotted keys of the schema below the stages; True where a key holds further keys of any name (a dict)."""
    keys: dict[str, bool] = {}
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            keys |= schema_keys(kind, f"{prefix}{name}.")
        else:
            keys[prefix + name] = "dict" in str(kind)
    return keys


def text_keys(model: type[BaseModel] = RunConfig, prefix: str = "") -> dict[str, bool]:
    """Dotted keys of the schema that hold text; True where a key may be empty (null)."""
    keys: dict[str, bool] = {}
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            keys |= text_keys(kind, f"{prefix}{name}.")
        elif _present(kind) is str:
            keys[prefix + name] = kind is not str
    return keys


def accept_overrides(argv: Sequence[str], model: type[BaseModel] = RunConfig) -> list[str]:
    """The command line with every override in a form that Hydra takes; ``model`` is the schema of the command.

    Hydra wants a ``+`` before keys that no YAML file mentions, and before groups that nothing is selected of. Here the
    schema says what exists: a known key and a group need no prefix, an unknown one is an error. It also says which keys
    hold text: their values are quoted where necessary. A layout goes last, because among groups that are added the last
    one wins, and a curriculum has a layout of its own. An option may be the path of a file (:mod:`rl.config.sources`).

    Raises:
        UserError: for an unknown key, group or option; it names the nearest. For a file or folder that can't be used.
            For a sweep with one run folder.
    """
    known, texts = schema_keys(model), text_keys(model)
    options = options_of(argv, model)
    sweep = is_multirun(argv)
    folders, others = apart(argv)
    accepted = [_accept(argument, known, options, texts, sweep) for argument in others]
    if sweep:
        if _named("hydra.run.dir", accepted):
            raise UserError(
                "run_dir is the folder of one run, and those of a sweep (-m) each have one of their own below "
                "hydra.sweep.dir; give hydra.sweep.dir=FOLDER instead"
            )
        accepted += _folders_of_choices(accepted)
    if any(word.lower() == "++plan=true" for word in accepted) and not _named("hydra.output_subdir", accepted):
        accepted.append("hydra.output_subdir=null")  # a plan writes nothing
    return [*folders, *sorted(accepted, key=lambda argument: argument.startswith("+layout="))]


def _folders_of_choices(accepted: Sequence[str]) -> list[str]:
    """The folders of a sweep over curricula, whose usual folder is named by the one curriculum: nothing for others."""
    for group in ("curriculum", "recipe"):
        given = [word.partition("=")[2] for word in accepted if word.lstrip("+").startswith(f"{group}=")]
        if given and len(list(choices(given[-1]))) > 1:
            names = f"${{{group}.name}},${{hydra.job.override_dirname}}"
            words = {"hydra.sweep.dir": f"runs/{group}-sweep", "hydra.sweep.subdir": f"'${{folder_of:{names}}}'"}
            return [f"{key}={value}" for key, value in words.items() if not _named(key, accepted)]
    return []


def _named(key: str, words: Sequence[str]) -> bool:
    return any(word.lstrip("+").startswith(f"{key}=") for word in words)


def options_of(argv: Sequence[str], model: type[BaseModel] = RunConfig) -> Options:
    """The configuration groups of a command and their options, with those of the folders that the command line adds."""
    found = groups(folders_added(argv))
    return {name: options for name, options in found.items() if (name in SYNTHESIS) != (model is RunConfig)}


def _accept(argument: str, known: dict[str, bool], options: Options, texts: dict[str, bool], sweep: bool) -> str:
    if argument.startswith("-") or "=" not in argument:
        return argument
    key, value = argument.split("=", 1)
    bare = key.lstrip("+~")
    if bare in FOLDERS:
        return f"{key}={quoted(value)}"
    if bare == ADDITIONAL:
        return f"{bare}={search_path(items(value))}"
    if bare.startswith("hydra"):
        return argument
    if bare == "run_dir":  # the configuration's run_dir is Hydra's output folder
        return f"hydra.run.dir={quoted(value)}"
    if bare in options:
        names = (unquoted(choice.strip()) for choice in choices(value))
        picked = ",".join(quoted(chosen(bare, name, options)) for name in names)
        return f"{_sign(key, bare)}{bare}={picked}"
    if bare.startswith("curriculum.") and bare != "curriculum.name":
        raise UserError(
            f"{bare} can't be set on the command line: stages are a list. Copy a file of {CONF / 'curriculum'} into "
            f"your folder, change the stage there and select it with curriculum=./FILE.yaml"
        )
    if bare.startswith("recipe.") and bare != "recipe.name":
        raise UserError(
            f"{bare} can't be set on the command line: steps are a list. Copy a file of {CONF / 'recipe'} into your "
            f"folder, change the step there and select it with recipe=./FILE.yaml"
        )
    inside_dict = any(is_dict and bare.startswith(f"{name}.") for name, is_dict in known.items())
    if bare not in known and not inside_dict:
        raise UserError(_unknown(bare, [*known, *options]))
    if bare in texts:
        value = text_value(value, texts[bare], sweep)
    return f"++{bare}={value}"


def _sign(key: str, group: str) -> str:
    """What Hydra wants before a group, whatever was typed; ``~`` takes it out of the configuration."""
    if key.startswith("~"):
        return "~"
    return "+" if group in ADDED or not (CONF / group).is_dir() else ""


OF_STAGES = {"learning_rate": "optim.lr"} | {
    name: f"{part}{name}"
    for part, model in (
        ("", GRPOStage),
        ("optim.", OptimConfig),
        ("sampling.", SamplingConfig),
        ("algorithm.", AlgorithmConfig),
    )
    for name in model.model_fields
}
"""Keys of a stage by their last word, and the word that many know one by."""


def _unknown(key: str, known: Sequence[str]) -> str:
    last = key.rpartition(".")[2]
    if (of_stage := OF_STAGES.get(last)) and last not in known:
        said = f"{key} is not among the configuration keys: {of_stage} is a key of a stage"
        return f"{said}; set it in the curriculum's file"
    near = [last] if last in known else get_close_matches(key, known, n=1, cutoff=0.5)
    if near:
        return f"{key} is not among the configuration keys; did you mean {near[0]}?"
    return f"{key} is not among the configuration keys: {', '.join(known[:20])}, …"


def none_selected(group: str, argv: Sequence[str] = ()) -> UserError:
    """The error of a command without a curriculum or a recipe, or with one that has no name."""
    if any(word.lstrip("+").startswith(f"{group}=") for word in argv):
        return UserError(f"the {group} has no name, which its run folder is named by; add name: NAME to its file")
    return UserError(
        f"no {group} is selected; add +{group}=NAME with NAME one of {', '.join(groups()[group])}, or the path of a "
        f"file of yours, such as +{group}=./mine.yaml"
    )


def load(composed: Any) -> RunConfig:
    """Validate what Hydra composed for a run. Raises as :func:`validated`."""
    return validated(composed, RunConfig)


def load_synthesis(composed: Any) -> SynthesisConfig:
    """Validate what Hydra composed for a synthesis. Raises as :func:`validated`."""
    return validated(composed, SynthesisConfig)


def validated(composed: Any, model: type[Config]) -> Config:
    """Validate what Hydra composed (a DictConfig or a plain dict) by the schema of a command.

    Raises:
        UserError: one line for each problem, with its dotted path.
    """
    from omegaconf import DictConfig, OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    if isinstance(composed, DictConfig) and OmegaConf.is_missing(composed, "data_from"):
        raise UserError(
            "this curriculum reads the files of a synthesis; add data_from=FOLDER, the run_dir of python -m "
            "rl.synthesize +recipe=lead"
        )
    try:
        values = OmegaConf.to_container(composed, resolve=True) if isinstance(composed, DictConfig) else dict(composed)
    except OmegaConfBaseException as error:
        raise UserError(f"the configuration can't be resolved: {error.full_key}: {error.msg}") from None
    if isinstance(composed, DictConfig) and (missing := sorted(OmegaConf.missing_keys(composed))):
        keys = " and ".join(f"{key}=…" for key in missing)
        raise UserError(f"{', '.join(missing)}: a file of this configuration leaves this open (???); add {keys}")
    if model is RunConfig and "curriculum" not in values:
        raise none_selected("curriculum")
    if model is SynthesisConfig and "recipe" not in values:
        raise none_selected("recipe")
    try:
        return model.model_validate(values)
    except ValidationError as error:
        found = error.errors()
        lines = [_problem(problem, model) for problem in found if not _follows(problem, found)]
        raise UserError("the configuration is not valid:\n  " + "\n  ".join(lines)) from None


def _follows(problem: Any, found: Sequence[Any]) -> bool:
    """Whether a list seems too short only because an element of it has a problem of its own."""
    place = problem["loc"]
    inside = any(len(one["loc"]) > len(place) and one["loc"][: len(place)] == place for one in found)
    return problem["type"] == "too_short" and inside


def _problem(problem: Any, model: type[BaseModel]) -> str:
    path = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "union_tag_invalid":
        tag, names = problem["ctx"]["tag"], regex.findall(r"'(\w+)'", problem["ctx"]["expected_tags"])
        what = f"{path}: {problem['ctx']['discriminator'].strip(chr(39))} is {tag!r}"
        near = get_close_matches(tag, names, n=1, cutoff=0.5)
        return f"{what}; did you mean {near[0]}?" if near else f"{what}; known: {', '.join(names)}"
    if problem["type"] == "extra_forbidden":
        names = _fields_beside(problem["loc"], model)
        near = get_close_matches(str(problem["loc"][-1]), names, n=1, cutoff=0.4)
        return f"{path}: no such key" + (f"; did you mean {near[0]}?" if near else f"; known: {', '.join(names)}")
    if problem["type"] == "missing":
        return f"{path}: no value is given; add {path}=…"
    given = "" if problem["type"] == "value_error" else f" (given: {problem['input']!r})"
    return f"{path}: {problem['msg'].removeprefix('Value error, ')}{given}"


def _fields_beside(location: tuple[Any, ...], model: Any) -> list[str]:
    """Field names of the model in which an unknown key was found."""
    for name in location[:-1]:
        if get_origin(model) is dict:  # its keys are free; what they hold is a model
            model = get_args(model)[1]
        elif get_origin(model) is tuple:  # a list of models
            model = get_args(model)[0]
        elif name in getattr(model, "model_fields", {}):
            model = _present(model.model_fields[name].annotation)
        elif tagged := _tagged(model, name):
            model = tagged
        else:
            break
    return list(getattr(model, "model_fields", {}))


def _tagged(model: Any, tag: Any) -> Any:
    """The model of a discriminated union that has this tag; None if there is none."""
    union = get_args(model)[0] if get_origin(model) is Annotated else model
    for one in get_args(union):
        fields = getattr(one, "model_fields", {}).values()
        if any(get_origin(field.annotation) is Literal and tag in get_args(field.annotation) for field in fields):
            return one
    return None


def _present(kind: Any) -> Any:
    """The type of a field that may be empty, without None."""
    parts = get_args(kind) if get_origin(kind) in (Union, UnionType) else ()
    return next((part for part in parts if part is not type(None)), kind)
