"""Points of a space: by a Sobol sequence, at random, or on a grid."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

from runner import seeds
from runner.sweep.space.space import Categorical, Interval, Point, Space

Sampler = Literal["sobol", "random", "grid"]


def sample(space: Space, sampler: Sampler, seed: int, num_points: int) -> Iterator[Point]:
    """Different points of the space, a stream to take as many from as there are.

    `num_points` is how many will be taken at least: it sizes a grid. The first ones are the same for any number.
    Grid: evenly spaced values of each interval, both bounds among them, at most `num_points` points in all.
    """
    if sampler == "grid" or space.size <= num_points:
        points = _grid(space, num_points)
    else:
        draw = seeds.sobol_points if sampler == "sobol" else seeds.uniform_points
        points = map(space.at, itertools.islice(draw(len(space.dimensions), seed), 20 * num_points + 1000))
    seen = set()
    for point in points:
        if (identity := tuple(point.items())) not in seen:
            seen.add(identity)
            yield point


def _grid(space: Space, num_points: int) -> Iterator[Point]:
    """All options, and as many values of each interval as the number of points allows, but at least one."""
    intervals = [dim for dim in space.dimensions.values() if isinstance(dim, Interval)]
    combinations = math.prod(len(dim.options) for dim in space.dimensions.values() if isinstance(dim, Categorical))
    num_levels = max(1, math.floor((num_points / combinations) ** (1 / len(intervals)) + 1e-9)) if intervals else 1
    axes = [
        list(dimension.options) if isinstance(dimension, Categorical) else _levels(dimension, num_levels)
        for dimension in space.dimensions.values()
    ]
    return (space.point(dict(zip(space.dimensions, values, strict=True))) for values in itertools.product(*axes))


def _levels(interval: Interval, number: int) -> list[str]:
    """So many values of an interval, from bound to bound; where it may be 0, that is one of them."""
    if interval.zero and number > 1:
        return ["0", *_levels(replace(interval, zero=0.0), number - 1)]
    within = replace(interval, zero=0.0)
    return [within.at(place / (number - 1)) for place in range(number)] if number > 1 else [within.at(0.5)]
