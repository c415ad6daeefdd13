"""Streams of random numbers, each by a seed of its own."""

from itertools import islice

import pytest
import torch

from runner.seeds import sobol_points, uniform_points


@pytest.mark.parametrize("points", [uniform_points, sobol_points])
def test_points_are_those_of_their_seed_whatever_else_is_drawn(points):
    first, again = points(3, seed=5), points(3, seed=5)
    found = []
    for _ in range(100):  # Sobol points come 64 at a time
        found.append(next(first))
        torch.rand(7)
    assert found == list(islice(again, 100))
    assert found != list(islice(points(3, seed=6), 100))
    cube = torch.tensor(found, dtype=torch.float64)
    assert cube.shape == (100, 3)
    assert ((cube >= 0) & (cube < 1)).all()
    assert cube.mean(0).tolist() == pytest.approx([0.5] * 3, abs=0.12)  # 4 standard errors of uniform ones
    assert len(set(map(tuple, found))) == 100


def test_uniform_points_have_all_bits_of_a_double():
    (point,) = islice(uniform_points(50, seed=0), 1)
    assert any(value != torch.tensor(value, dtype=torch.float32).item() for value in point)
