"""Reads a run's config.yml without trusting it.

nerfstudio dumps its config as YAML with Python tags and loads it with a loader that may import and call anything. Here
tags are honoured only where they name a config dataclass, an enum or a class of nerfstudio's, torch.optim's or our own,
or a pathlib path; nothing else is imported, constructed or called.
"""

from __future__ import annotations

import dataclasses
import enum
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from nerfstudio.configs.base_config import PrintableConfig
from nerfstudio.engine.trainer import TrainerConfig

from macro_splat.compat import old_runs
from macro_splat.data.datamanager import MacroDataManagerConfig
from macro_splat.errors import MacroSplatError
from macro_splat.model.macro_splat_model import MacroSplatModelConfig
from macro_splat.pipeline import MacroSplatPipelineConfig
from macro_splat.training.record import read_record
from macro_splat.training.trainer import MacroSplatTrainerConfig
from macro_splat.utils.messages import brief, printable, reason, shorten
from macro_splat.utils.safe_yaml import PlainLoader, read_yaml_bytes

METHOD = "macro-splat"
_PACKAGES = ("nerfstudio", "macro_splat", "torch.optim")
_PATHS = ("Path", "PosixPath", "WindowsPath", "PurePath", "PurePosixPath", "PureWindowsPath")
_PREFIX = "tag:yaml.org,2002:python/"


def read_config(path: Path) -> TrainerConfig:
    """The config that a `macro-splat` training wrote.

    Raises:
        MacroSplatError: the file cannot be read, is broken, belongs to another method or to another version, or asks
            for something that no config of ours holds.
    """
    try:
        text = read_yaml_bytes(path).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise MacroSplatError(f"{path} cannot be read ({reason(error)}); give the folder of another run") from error
    try:
        root = _ConfigLoader(text).get_single_node()
    except Exception as error:  # as below
        raise MacroSplatError(f"{path} is broken: {reason(error, 160)}; restore it, or train again") from error
    return construct_config(root, path)


def construct_config(root: yaml.Node | None, path: Path) -> TrainerConfig:
    """As `read_config`, of a document that is parsed already; messages name the path."""
    try:
        method = method_name(root)
        if method != METHOD:
            what = (
                "is no config of a training"
                if method is None
                else f"belongs to the method {shorten(printable(method))}"
            )
            raise MacroSplatError(f"{path} {what}; give the folder of a {METHOD} run")
        config = _ConfigLoader("").construct_document(root)
    except MacroSplatError:
        raise
    except _RefusedError as error:
        raise MacroSplatError(
            f"{path}: {reason(error, 300)}; it is broken or of another version{_made_by(path.parent)}: train again"
        ) from error
    except Exception as error:  # the parser raises many kinds of errors, and all of them mean that the file is broken
        raise MacroSplatError(f"{path} is broken: {reason(error, 160)}; restore it, or train again") from error
    if not _is_ours(config):
        raise MacroSplatError(f"{path} is broken: it describes no {METHOD} training; restore it, or train again")
    return config


def _made_by(folder: Path) -> str:
    """Return which version made the run in a folder, as far as its record tells, in words that go behind "version"."""
    record = read_record(folder)
    version = None if record is None else record["versions"].get("macro-splat")
    return "" if version is None else f" (macro-splat {shorten(printable(version), 20)} made it)"


def _is_ours(config: Any) -> bool:
    """Whether what a run is made of is all of our classes."""
    if not isinstance(config, MacroSplatTrainerConfig) or not isinstance(config.pipeline, MacroSplatPipelineConfig):
        return False
    pipeline = config.pipeline
    ours = isinstance(pipeline.datamanager, MacroDataManagerConfig)
    return ours and isinstance(pipeline.model, MacroSplatModelConfig)


class _RefusedError(Exception):
    """The file asks for something that is not on the list."""


class _ConfigLoader(PlainLoader):
    """Plain values and the few Python tags of a config."""


def method_name(root: yaml.Node | None) -> str | None:
    """Of which method a config is, None: of none. Constructs nothing: its classes may not even be installed."""
    if not isinstance(root, yaml.MappingNode):
        return None
    for key, value in root.value:
        if key.value == "method_name" and isinstance(value, yaml.ScalarNode):
            return str(value.value)
    return None


def _find_class(name: str) -> type:
    """The class of this dotted name, if it is in one of the admitted packages."""
    name = old_runs.CLASSES.get(name, name)
    module_name, _, class_name = name.rpartition(".")
    admitted = any(module_name == package or module_name.startswith(f"{package}.") for package in _PACKAGES)
    if not admitted or not all(part.isidentifier() for part in name.split(".")):
        raise _RefusedError(f"it asks for {name[:80]!r}, which no config holds")
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError) as error:
        raise _RefusedError(f"there is no {name[:80]!r}") from error
    if not isinstance(found, type) or found.__module__ != module_name:
        raise _RefusedError(f"it asks for {name[:80]!r}, which is no class of that module")
    return found


def _tuple(loader: Any, node: yaml.Node) -> tuple:
    return tuple(loader.construct_sequence(node, deep=True))


def _class(loader: Any, name: str, node: yaml.Node) -> type:
    return _find_class(name)


def _config(loader: Any, name: str, node: yaml.Node) -> Iterator[Any]:
    """A config dataclass with its fields; those that the file lacks get their defaults."""
    kind = _find_class(name)
    ours = kind.__module__.startswith("macro_splat.") and kind.__name__.endswith("Config")
    if not (dataclasses.is_dataclass(kind) and (ours or issubclass(kind, PrintableConfig))):
        raise _RefusedError(f"it asks for an object of {name[:80]!r}, which is no config")
    config: Any = kind.__new__(kind)
    yield config  # before its fields are made: they may refer to it
    values = {
        old_runs.OPTIONS.get((kind.__name__, key), key): value
        for key, value in loader.construct_mapping(node, deep=True).items()
    }
    fields = {field.name: field for field in dataclasses.fields(kind)}
    unknown = [key for key in values if key not in fields]
    if unknown:
        raise _RefusedError(f"{kind.__name__} has no option {brief(unknown[0])}")
    for field in fields.values():
        if field.name in values:
            value = values[field.name]
        elif field.default is not dataclasses.MISSING:
            value = field.default
        elif field.default_factory is not dataclasses.MISSING:
            value = field.default_factory()
        else:
            raise _RefusedError(f"{kind.__name__} lacks its option {field.name!r}")
        if field.name == "_target":
            own = field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default
            _check_target(kind, value, own)
        object.__setattr__(config, field.name, value)


def _check_target(kind: type, target: Any, own: Any) -> None:
    """What a config sets up is its own class: another one would be called with arguments that the file chooses."""
    if target is not own:
        name = getattr(own, "__name__", "nothing")
        raise _RefusedError(f"{kind.__name__} is to set up {brief(target)} instead of {name}")


def _call(loader: Any, name: str, node: yaml.Node) -> Any:
    """A path, or a member of an enum."""
    module_name, _, class_name = name.rpartition(".")
    arguments = loader.construct_sequence(node, deep=True)
    if module_name in ("pathlib", "pathlib._local") and class_name in _PATHS:
        if not all(isinstance(part, str) for part in arguments):
            raise _RefusedError("a path is made of something else than text")
        return Path(*arguments)
    kind = _find_class(name)
    if not issubclass(kind, enum.Enum) or len(arguments) != 1:
        raise _RefusedError(f"it calls {name[:80]!r}, which is neither a path nor an enum")
    try:
        return kind(arguments[0])
    except ValueError as error:
        raise _RefusedError(str(error)) from error


def _refuse(loader: Any, suffix: str, node: yaml.Node) -> Any:
    raise _RefusedError(f"it asks for {node.tag[:80]!r}, which no config holds")


_ConfigLoader.add_constructor(f"{_PREFIX}tuple", _tuple)
_ConfigLoader.add_multi_constructor(f"{_PREFIX}name:", _class)
_ConfigLoader.add_multi_constructor(f"{_PREFIX}object:", _config)
_ConfigLoader.add_multi_constructor(f"{_PREFIX}object/apply:", _call)
_ConfigLoader.add_multi_constructor("!", _refuse)
_ConfigLoader.add_multi_constructor(_PREFIX, _refuse)
