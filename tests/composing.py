"""Hydra's composition with its results kept: composing thousands of configs would be half of the tests' time."""

import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import astuple
from pathlib import Path

import pytest
import yaml
from hydra._internal import config_loader_impl
from hydra._internal.config_loader_impl import ConfigLoaderImpl

from runner import config_folders

# Where Hydra looks for configs. Folders of tests, which may change, are beside them; nothing is kept then.
OWN = {("pkg", "hydra.conf"), ("file", str(config_folders.folder())), ("structured", "")}

compose, merge = ConfigLoaderImpl.load_configuration, ConfigLoaderImpl._compose_config_from_defaults_list
find, load = config_loader_impl.create_defaults_list, yaml.load


class Kept:
    """Copies of what a function gave, by key."""

    def __init__(self) -> None:
        self.results: dict[object, bytes] = {}

    def get(self, key: object, make: Callable[[], object]) -> object:
        if key not in self.results:
            self.results[key] = pickle.dumps(make())
        return pickle.loads(self.results[key])


@contextmanager
def composing_once() -> Iterator[None]:
    """Keep every step of a composition by what decides it.

    The whole config is decided by all words, the list of files by the words that choose options, the merged files by
    that list, and the content of a file by its text. What raises an error is not kept.
    """
    configs, lists, merged, files = Kept(), Kept(), Kept(), Kept()

    def compose_once(loader, config_name, overrides, run_mode, **more):
        others = any(word.startswith("hydra.searchpath=") for word in overrides)
        if others or not is_own(loader.repository):
            return compose(loader, config_name, overrides, run_mode, **more)
        key = config_name, tuple(overrides), run_mode, tuple(more.items())
        config = configs.get(key, lambda: compose(loader, config_name, overrides, run_mode, **more))
        config.hydra.runtime.cwd = str(Path.cwd())
        return config

    def find_once(repo, overrides_list, **more):
        if not is_own(repo):
            return find(repo=repo, overrides_list=overrides_list, **more)
        words = [word for word in overrides_list if not word.is_sweep_override()]
        options = [word for word in words if chooses_option(word, repo)]
        key = tuple(word.input_line for word in options), tuple(more.items())
        found = lists.get(key, lambda: find(repo=repo, overrides_list=options, **more))
        found.config_overrides[:] = [word for word in words if word not in options]
        return found

    def merge_once(loader, defaults, repo):
        if not is_own(repo):
            return merge(loader, defaults=defaults, repo=repo)
        return merged.get(tuple(map(astuple, defaults)), lambda: merge(loader, defaults=defaults, repo=repo))

    def load_once(stream, Loader):  # as PyYAML spells it
        text = stream.read() if hasattr(stream, "read") else stream
        if stream is not text:
            stream.seek(0)  # whose errors name the file
        # OmegaConf makes its loader's class anew each time.
        return files.get((Loader.__module__, Loader.__qualname__, text), lambda: load(stream, Loader))

    with steps(compose_once, merge_once, find_once, load_once):
        yield


@contextmanager
def composing_anew() -> Iterator[None]:
    """Hydra's own functions again."""
    with steps(compose, merge, find, load):
        yield


@contextmanager
def steps(compose: Callable, merge: Callable, find: Callable, load: Callable) -> Iterator[None]:
    """Have Hydra take these steps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ConfigLoaderImpl, "load_configuration", compose)
        patch.setattr(ConfigLoaderImpl, "_compose_config_from_defaults_list", merge)
        patch.setattr(config_loader_impl, "create_defaults_list", find)
        patch.setattr(yaml, "load", load)
        yield


def chooses_option(word, repo) -> bool:
    return repo.group_exists(word.key_or_group) and not isinstance(word.value(), dict)


def is_own(repo) -> bool:
    return {(source.scheme(), source.path) for source in repo.get_sources()} == OWN
