"""Configs: composed from groups, checked against constructors, and what of a stored one may change."""

from runner.config.checking import bounds, check, check_sweep, is_plain, parameters_of, renamed_or_nearest, resolve
from runner.config.composing import (
    LIST_GROUPS,
    add_user_folder,
    choices,
    compose,
    compose_with_choices,
    explain,
    flatten,
    folder,
    search_path_override,
    user_folders,
    visible,
)
from runner.config.stored import FREE_KEYS, identity, is_free, with_overrides

__all__ = [
    "FREE_KEYS",
    "LIST_GROUPS",
    "add_user_folder",
    "bounds",
    "check",
    "check_sweep",
    "choices",
    "compose",
    "compose_with_choices",
    "explain",
    "flatten",
    "folder",
    "identity",
    "is_free",
    "is_plain",
    "parameters_of",
    "renamed_or_nearest",
    "resolve",
    "search_path_override",
    "user_folders",
    "visible",
    "with_overrides",
]
