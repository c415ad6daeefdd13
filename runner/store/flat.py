"""Nested mappings as flat ones: leaf values by dotted key. Lists and empty mappings are leaves."""

from collections.abc import Iterator, Mapping
from typing import Any


def flatten(nested: Mapping[str, Any]) -> dict[str, Any]:
    """The leaves by dotted key.

    >>> flatten({"optimizer": {"lr": 0.1, "betas": [0.9, 0.99]}, "reg": {}})
    {'optimizer.lr': 0.1, 'optimizer.betas': [0.9, 0.99], 'reg': {}}
    """
    return dict(_leaves("", nested))


def unflatten(flat: Mapping[str, Any]) -> dict[str, Any]:
    """The nested mapping of which `flatten` made this one; no key of it may hold a dot."""
    nested: dict[str, Any] = {}
    for dotted, value in flat.items():
        *parents, key = dotted.split(".")
        node = nested
        for parent in parents:
            node = node.setdefault(parent, {})
        node[key] = value
    return nested


def _leaves(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and (value or not path):
        for key, item in value.items():
            yield from _leaves(f"{path}.{key}" if path else str(key), item)
    else:
        yield path, value
