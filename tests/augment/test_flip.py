"""Alternating flips: which side of each image an epoch shows."""

import pytest
import torch

import runner
from runner import build

WORDS = ["data=synthetic", "data.num_images=70", "data.image_size=6", "data.batch_size=16", "engine.device=cpu"]
WORDS += ["model=linear", "data.preprocess=none", "augment=flip", "augment.flip.alternate=true"]


def batches(*words):
    return build.training(runner.compose([*WORDS, *words])).train


def sides(train, epoch):
    """Whether each image of the split is mirrored in that epoch: 1 or 0, -1 where it is left out."""
    pixels = train.loader.pixels / 255
    images = torch.cat([images for images, _ in train.epoch(epoch)])
    found = torch.full((len(pixels),), -1)
    for index, image in zip(train.order(epoch).tolist(), images, strict=True):
        plain, mirrored = (torch.allclose(image, pixel, atol=1e-6) for pixel in (pixels[index], pixels[index].flip(-1)))
        assert plain != mirrored
        found[index] = int(mirrored)
    return found


def test_an_image_is_turned_around_from_every_epoch_to_the_next():
    train = batches()
    first = sides(train, 0)
    assert 0.2 < first.double().mean() < 0.8
    assert not torch.equal(train.order(0), train.order(1))
    for epoch in (1, 2, 5, 8):
        assert torch.equal(sides(train, epoch), first if epoch % 2 == 0 else 1 - first)


def test_it_holds_where_an_epoch_leaves_images_out():
    train = batches("data.drop_last=true", "engine.limit_batches=2")
    first, third, fourth = sides(train, 0), sides(train, 2), sides(train, 3)
    both = (first >= 0) & (third >= 0)
    assert torch.equal(first[both], third[both])
    both = (first >= 0) & (fourth >= 0)
    assert both.any()
    assert torch.equal(1 - first[both], fourth[both])


def test_the_seed_and_p_decide_the_first_epoch():
    assert torch.equal(sides(batches(), 0), sides(batches(), 0))
    assert not torch.equal(sides(batches(), 0), sides(batches("seed=1"), 0))
    assert not sides(batches("augment.flip.p=0"), 0).any()
    assert sides(batches("augment.flip.p=0"), 1).all()


@pytest.mark.parametrize("epoch", [0, 3])
def test_a_batch_is_the_same_alone_and_by_either_way_of_loading(epoch):
    words = ["augment=[flip,crop]", "augment.crop.padding=1"]
    train, other = batches(*words), batches(*words, "data.loading=workers", "data.num_workers=0")
    whole = [images for images, _ in train.epoch(epoch)]
    (last,) = [images for images, _ in train.epoch(epoch, start=len(whole) - 1)]
    assert torch.equal(last, whole[-1])
    assert torch.equal(torch.cat(whole), torch.cat([images for images, _ in other.epoch(epoch)]))
