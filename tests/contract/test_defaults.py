"""Defaults that are written in a YAML file and at an argument are the same in both places."""

import inspect
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from runner import config

# Presets, of which a class knows nothing: experiments, and the sweeps that give a space.
PRESETS = ("experiment", "sweep")
# Any other app that is swept gives its own rounds.
UNLIKE = {
    "runner.sweep.settings.SweepSettings": {"rounds", "conditional"},
    "runner.log.settings.LogSettings": {"observers"},  # of log=mlflow and its like
}
FILES = [
    path
    for path in sorted(config.folder().glob("**/*.yaml"))
    if not path.name.startswith("_") and (path.parent.name not in PRESETS or path.stem == "default")
]


def loaded(path: Path) -> dict[str, Any]:
    """A file's keys, with those of the files that it begins with."""
    content = OmegaConf.load(path)
    below = [word for word in content.pop("defaults", []) if isinstance(word, str) and word != "_self_"]
    shared = [OmegaConf.load(path.with_name(f"{word}.yaml")) for word in below]
    return OmegaConf.to_container(OmegaConf.merge(*shared, content))


def nodes(path: Path) -> dict[str, dict[str, Any]]:
    """What a file says of each class or function that it names."""
    content = loaded(path)
    inner = {key: node for key, node in content.items() if isinstance(node, dict)}
    lists = {key: items for key, items in content.items() if isinstance(items, list)}
    inner |= {
        f"{key}.{at}": item for key, items in lists.items() for at, item in enumerate(items) if isinstance(item, dict)
    }
    return {key: node for key, node in {path.parent.name: content, **inner}.items() if "_target_" in node}


NODES = [pytest.param(node, id=f"{path.stem}/{key}") for path in FILES for key, node in nodes(path).items()]


def plain(value: Any) -> Any:
    """Lists as tuples; numbers to the digits that a YAML file gives of a fraction such as 256 / 224."""
    if isinstance(value, list | tuple):
        return tuple(map(plain, value))
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return pytest.approx(value, rel=1e-5) if is_number else value


def defaults(target: str) -> dict[str, Any]:
    parameters = inspect.signature(config.resolve(target, "_target_")).parameters.values()
    return {parameter.name: parameter.default for parameter in parameters if parameter.default is not parameter.empty}


def test_every_group_has_its_files_looked_at():
    groups = {path.name for path in config.folder().iterdir() if path.is_dir() and not path.name.startswith("_")}
    assert {path.parent.name for path in FILES} >= groups - {"experiment", "hydra"}
    assert len(NODES) > 80


@pytest.mark.parametrize("node", NODES)
def test_a_default_is_the_same_in_the_yaml_file_and_at_the_argument(node):
    at_arguments = defaults(node["_target_"])
    compared = at_arguments.keys() - UNLIKE.get(node["_target_"], set())
    written = {key: value for key, value in node.items() if key in compared and value != "???"}
    assert {key: plain(value) for key, value in written.items()} == {key: plain(at_arguments[key]) for key in written}


@pytest.mark.parametrize("node", NODES)
def test_every_argument_with_a_default_stands_in_the_yaml_file(node):
    lacking = defaults(node["_target_"]).keys() - node.keys() - config.checking.INJECTED
    assert not lacking
