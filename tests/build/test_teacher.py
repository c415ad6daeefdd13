"""A teacher's scores of all images, and its precision."""

from types import SimpleNamespace

import torch
from torch import nn

from runner.build import teacher as module
from runner.data.preprocess import Preprocess
from runner.engine.precision import Precision

CPU = torch.device("cpu")


def preprocess(shift, scale):
    return Preprocess(torch.full((1, 1, 1), shift), torch.full((1, 1, 1), scale))


def teacher(network, own=(0.0, 1.0), students=(0.0, 1.0), precision="fp32"):
    return module.Teacher(network, preprocess(*own), preprocess(*students), Precision(precision, CPU), "digest")


def test_a_teacher_of_the_same_preprocessing_sees_the_very_images():
    images = torch.rand(2, 1, 2, 2)
    same, other = teacher(nn.Flatten(), (0.5, 2.0), (0.5, 2.0)), teacher(nn.Flatten(), (0.5, 2.0), (0.25, 4.0))
    assert same.convert is None
    assert torch.equal(same(images), images.flatten(1))
    # A pixel p is (p - 0.25) * 4 to the student, and (p - 0.5) * 2 to the teacher.
    torch.testing.assert_close(other((images - 0.25) * 4), ((images - 0.5) * 2).flatten(1))
    for own in ((0.5, 2.0), (0.25, 4.0)):
        assert teacher(nn.Flatten(), own, (0.25, 2.0)).convert is not None, "of two that differ in one of both"


def test_a_teacher_does_not_learn_and_says_its_scores_in_single_precision():
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    made = teacher(network, precision="bf16")
    scores = made(torch.rand(2, 1, 2, 2))
    assert (scores.dtype, scores.requires_grad) == (torch.float32, False)
    assert torch.equal(scores, scores.bfloat16().float()), "worked out in bfloat16"
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert made.digest == "digest"


def test_all_images_are_looked_at_in_their_order_as_they_are_without_augmentation():
    pixels = torch.arange(600.0).reshape(600, 1, 1, 1)
    asked = []

    def batches(chunks):
        for indices in chunks:
            asked.append(indices)
            yield pixels[indices], None

    given = SimpleNamespace(
        total_images=600,
        preprocess=lambda images: images + 1,
        plain=lambda images: images * 2,
        loader=SimpleNamespace(batches=batches),
    )
    found = teacher(nn.Flatten()).of_all(given)
    assert torch.equal(found, (pixels * 2 + 1).flatten(1))
    assert [len(indices) for indices in asked] == [256, 256, 88]
    assert torch.equal(torch.cat(asked), torch.arange(600))
