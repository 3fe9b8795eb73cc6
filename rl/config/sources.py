"""Where the options of configuration groups come from: our folder, folders of the user, and single files.

``curriculum=legal`` is a file of our folder, or of a folder that Hydra's ``--config-dir`` or ``hydra.searchpath`` adds;
``curriculum=./mine.yaml`` is the file itself. Hydra gets such a file from its store of configurations, under its
absolute path, so that the command line which it writes down and hands to the jobs of a sweep still names it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import regex

from rl.config.quoting import choices, quoted, unquoted
from rl.errors import UserError

CONF = Path(__file__).resolve().parents[1] / "conf"
"""Our folder of configuration groups."""
SUFFIXES = (".yaml", ".yml")
REQUIRED = {"curriculum": ("name", "stages"), "recipe": ("name", "steps")}
"""Keys that a file of a group must have."""
ADDITIONAL = "hydra.searchpath"
"""Hydra's key of further folders of groups."""
FLAGS = ("--config-dir", "-cd")
"""Hydra's options that add such a folder."""
GUIDE = "docs/guides/own-project.md"
_PACKAGE = regex.compile(r"(?:#.*\n|\s)*?#\s*@package\s+(\S+)")

Options = dict[str, dict[str, Path]]
"""The file of each option of each group."""


def groups(folders: Sequence[Path] = ()) -> Options:
    """Configuration groups with the options of our folder and of ``folders``.

    Raises:
        UserError: if two files give one option, of which Hydra would take the first without a word.
    """
    found: Options = {}
    for folder in (CONF, *folders):
        for group in sorted(path for path in folder.iterdir() if path.is_dir()):
            if folder is not CONF and not any(group.rglob("*.yaml")):
                continue
            options = found.setdefault(group.name, {})
            for file in sorted(group.rglob("*.yaml")):
                name = str(file.relative_to(group).with_suffix(""))
                if name in options:
                    raise UserError(f"{group.name}={name} is both {options[name]} and {file}; give yours another name")
                options[name] = file
    return found


def apart(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Of a command line the words that add a folder (``--config-dir=…``), which Hydra takes only before others, and
    the others."""
    folders, others, words = [], [], iter(argv)
    for word in words:
        flag, mark, value = word.partition("=")
        if flag in FLAGS:
            folders.append(f"{FLAGS[0]}={value if mark else next(words, '')}")
        else:
            others.append(word)
    return folders, others


def folders_added(argv: Sequence[str]) -> list[Path]:
    """The folders that ``--config-dir`` and ``hydra.searchpath`` add.

    Raises:
        UserError: if one does not exist.
    """
    folders, others = apart(argv)
    found = [_folder(word.partition("=")[2], FLAGS[0]) for word in folders]
    for key, _, value in (word.partition("=") for word in others):
        if key.lstrip("+") == ADDITIONAL:
            found += [_folder(item, ADDITIONAL) for item in items(value)]
    return found


def search_path(folders: Iterable[str]) -> str:
    """A value of ``hydra.searchpath`` as Hydra takes it: a list, paths absolute and in quotes where necessary."""
    items = (item if item.startswith("pkg://") else f"file://{_folder(item, ADDITIONAL)}" for item in folders)
    return f"[{','.join(map(quoted, items))}]"


def items(value: str) -> Iterator[str]:
    """The folders in a value of ``hydra.searchpath``."""
    text = value.strip()
    inner = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    return (unquoted(item.strip()) for item in choices(inner) if item.strip())


def _folder(text: str, where: str) -> Path:
    scheme, mark, rest = text.partition("://")
    if mark and scheme == "pkg":
        try:
            spec = find_spec(rest.replace("/", "."))
        except (ImportError, ValueError):
            spec = None
        place = next(iter(spec.submodule_search_locations or ()), None) if spec else None
        if place is None:
            raise UserError(f"{where}: there is no package {rest}")
        return Path(place)
    if (mark and scheme != "file") or "${" in text:
        raise UserError(f"{where} takes folders, file://FOLDER or pkg://PACKAGE; {text} is none of them")
    folder = Path(rest if mark else text).expanduser().absolute()
    if not text or not folder.is_dir():
        raise UserError(f"{where}: there is no folder {folder}{_near(folder, Path.is_dir)}")
    return folder


def chosen(group: str, text: str, options: Options) -> str:
    """The name by which Hydra knows an option: one of the group, or the absolute path of a file, which it then has.

    Raises:
        UserError: if there is none, or the file is not one of this group.
    """
    known = options[group]
    name = text if text in known else text.removesuffix(".yaml")
    if name in known:
        if name != text and Path(text).is_file() and Path(text).resolve() != known[name].resolve():
            raise UserError(f"{group}={text} is a file here and an option of Themis; write ./{text}, or {name}")
        if not known[name].is_relative_to(CONF):
            _read(group, known[name])
        return name
    if not is_path(text):
        file = next((f"{text}{suffix}" for suffix in SUFFIXES if Path(f"{text}{suffix}").is_file()), None)
        raise UserError(f"{_unknown(group, text, known)}{f' The file here is {group}=./{file}' if file else ''}")
    path = Path(text).expanduser().absolute()
    if path.is_dir():
        inside = [one.name for one in sorted(path.iterdir()) if one.suffix in SUFFIXES]
        raise UserError(f"{group}={text} is a folder; give a file of it{f', such as {inside[0]}' if inside else ''}")
    if not path.is_file():
        raise UserError(f"{group}={text}: there is no such file{_near(path, Path.is_file)}")
    if path.suffix not in SUFFIXES:
        raise UserError(f"{group}={text} is no YAML file by its name; its name must end with .yaml")
    _store(group, path)
    return str(path)


def is_path(text: str) -> bool:
    """Whether an option is meant as the path of a file."""
    return "/" in text or text.endswith(SUFFIXES)


def absolute(word: str, options: Options) -> str:
    """A word of the command line with its relative paths of configuration files and folders made absolute."""
    key, mark, value = word.partition("=")
    bare = key.lstrip("+")
    if bare == ADDITIONAL:
        return f"{key}={search_path(items(value))}"
    if bare not in options or not mark:
        return word
    names = [unquoted(choice.strip()) for choice in choices(value)]
    return f"{key}={','.join(quoted(chosen(bare, name, options)) for name in names)}"


def read_for(argv: Sequence[str], options: Options) -> list[str]:
    """Files and folders of the user from which a command line takes configuration (absolute paths)."""
    found = [str(folder) for folder in folders_added(argv)]
    for key, _, value in (word.lstrip("+").partition("=") for word in argv):
        names = [unquoted(choice.strip()) for choice in choices(value)] if key in options else []
        found += [
            str(Path(name).expanduser().absolute()) for name in names if name not in options[key] and is_path(name)
        ]
    return found


def _unknown(group: str, name: str, known: Sequence[str] | dict[str, Path]) -> str:
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    if near:
        return f"{group}={name} is not among the options of {group}; did you mean {near[0]}?"
    return f"{group}={name} is not among the options of {group}: {', '.join(known)}; a file of yours is ./FILE.yaml"


def _near(path: Path, is_one: Any) -> str:
    """A hint at the file or folder with the nearest name."""
    beside = path.parent
    if not beside.is_dir():
        return f"; there is no folder {beside} either"
    names = [one.name for one in beside.iterdir() if is_one(one)]
    near = get_close_matches(path.name, names, n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else ""


def _store(group: str, path: Path) -> None:
    """Give a file to Hydra as an option of a group, under its absolute path."""
    from hydra.core.config_store import ConfigStore

    node, package = _read(group, path)
    folder, stem = path.parent, path.name.removesuffix(".yaml")
    ConfigStore.instance().store(stem, node, f"{group}{folder}".rstrip("/"), package, provider="file")


def _read(group: str, path: Path) -> tuple[Any, str]:
    """What a file of a group holds, and where in the configuration that goes.

    Raises:
        UserError: if it can't be read, or is not of this group.
    """
    from omegaconf import DictConfig, OmegaConf
    from yaml import YAMLError

    try:
        text = path.read_text(encoding="utf-8")
        node = OmegaConf.load(path) if text.strip() else OmegaConf.create()
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8 text; save it as UTF-8") from None
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        at = f":{mark.line + 1}" if mark else ""
        raise UserError(f"{path}{at} is not valid YAML: {getattr(error, 'problem', None) or error}") from None
    except OSError as error:  # OmegaConf's error about a text or a number alone is one too
        raise UserError(f"{path} can't be read: {error.strerror or 'it holds no keys'}") from None
    header = _PACKAGE.match(text)
    package = header[1].replace("_group_", group) if header else group
    content = node if isinstance(node, DictConfig) else None
    if content is not None and package == "_global_" and group in REQUIRED:
        inner = OmegaConf.to_container(content).get(group)
        content = OmegaConf.create(inner) if isinstance(inner, dict) else OmegaConf.create()
    keys = None if content is None else [str(key) for key in content]
    if problem := _no_file_of(group, keys):
        raise UserError(f"{path} is no {group}: {problem}; {GUIDE} shows one")
    return node, package


def _no_file_of(group: str, keys: list[str] | None) -> str:
    """Why a file with these keys is not one of a group; empty if it is."""
    if keys is None:
        return "it holds a list, not keys"
    for needed in REQUIRED.get(group, ()):
        if needed not in keys:
            if group in keys:
                return f"its keys stand below {group}:, which is left out, or the first line is # @package _global_"
            near = get_close_matches(needed, keys, n=1, cutoff=0.6)
            has = f"did you mean it by {near[0]}?" if near else f"its keys are {', '.join(keys) or 'none'}"
            return f"it has no {needed} ({has})"
    return ""
