"""What tells images from others."""

import pytest
import torch

from runner.data.fingerprint import fingerprint, what_changed
from runner.data.source import Images

PIXELS = torch.arange(12, dtype=torch.uint8).reshape(3, 1, 2, 2)
LABELS = torch.tensor([0, 1, 1])


def of(pixels=PIXELS, labels=LABELS, names=("a", "b"), weights=None):
    return fingerprint(names, [Images(pixels, labels, weights=weights)])


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, None),
        ({"labels": torch.tensor([1, 0, 1])}, "the labels changed"),
        ({"weights": torch.tensor([1.0, 2.0, 1.0])}, "the labels changed"),
        ({"names": ("a", "c")}, "the classes changed"),
        ({"pixels": PIXELS + 1}, "the contents of images changed"),
        ({"pixels": PIXELS[:2], "labels": LABELS[:2]}, "the number of images changed (3, now 2)"),
    ],
)
def test_the_first_aspect_that_changed_is_named(changed, said):
    assert what_changed(of(), of(**changed)) == said
