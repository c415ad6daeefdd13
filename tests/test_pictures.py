"""Packed pictures, and squares cut from them: torchvision's resizing and cropping of the same pixels."""

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as tv

from runner.pictures import LONGEST, Packed, lying_size, pack, scaled

SIDE = 40
SIZES = [(40, 40), (40, 53), (60, 40), (40, 80), (71, 40)]  # height, width


def picture(height, width):
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(height * 1000 + width))


def packed(*pictures):
    """Those pictures, and their pixels as 8 bits keep them."""
    whole = [(one * 255).round().to(torch.uint8) for one in pictures]
    rows = []
    for one in whole:
        standing = one.shape[1] > one.shape[2]
        lying = one.mT if standing else one
        rows.append(torch.from_numpy(pack(np.ascontiguousarray(lying.permute(1, 2, 0).numpy()), SIDE, standing)))
    return Packed(torch.stack(rows)), [one / 255 for one in whole]


@pytest.fixture(scope="module")
def several():
    return packed(*[picture(*size) for size in SIZES])


def test_a_packed_picture_knows_its_size(several):
    pictures, _ = several
    assert list(zip(pictures.height.tolist(), pictures.width.tolist(), strict=True)) == SIZES


@pytest.mark.parametrize("size", [16, 40, 64])
@pytest.mark.parametrize("share", [(0.0, 0.0, 1.0, 1.0), (0.2, 0.1, 0.5, 0.7), (0.75, 0.5, 0.25, 0.5)])
def test_a_box_is_torchvisions_resized_crop(several, size, share):
    pictures, pixels = several
    boxes = [
        [int(s * length) for s, length in zip(share, (*one.shape[1:], *one.shape[1:]), strict=True)] for one in pixels
    ]
    ours = pictures.squares(torch.tensor(boxes), size, inside=True)
    theirs = [tv.resized_crop(one, *box, [size, size], antialias=True) for one, box in zip(pixels, boxes, strict=True)]
    torch.testing.assert_close(ours, torch.stack(theirs), atol=1e-5, rtol=0)


@pytest.mark.parametrize("short", [20, 32, 60])
def test_a_window_is_torchvisions_resize_and_crop(several, short):
    pictures, pixels = several
    boxes, theirs = [], []
    for one in pixels:
        _, H, W = one.shape
        height, width = (round(length * short / SIDE) for length in (H, W))
        large = tv.resize(one, [height, width], antialias=True)
        theirs.append(large[:, height - 16 : height, 2:18])
        rows, columns = H / height, W / width
        boxes.append([(height - 16) * rows, 2 * columns, 16 * rows, 16 * columns])
    ours = pictures.squares(torch.tensor(boxes), 16, inside=False)
    torch.testing.assert_close(ours, torch.stack(theirs), atol=1e-4, rtol=0)


@pytest.mark.parametrize("size", [SIDE, 20])
def test_the_center_is_the_square_in_the_middle(several, size):
    pictures, pixels = several
    for ours, one in zip(pictures.center(size), pixels, strict=True):
        top, left = ((length - SIDE) // 2 for length in one.shape[1:])
        theirs = tv.resized_crop(one, top, left, SIDE, SIDE, [size, size], antialias=True)
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_square_images_are_scaled_as_torchvision_does():
    image = picture(40, 40)[None]
    for size in (13, 40, 70):
        torch.testing.assert_close(
            scaled(image, size), tv.resize(image, [size, size], antialias=True), atol=1e-5, rtol=0
        )


def test_of_a_picture_longer_than_kept_the_middle_stays():
    assert lying_size(400, 300, 48) == (64, 48)
    assert lying_size(300, 400, 48) == (64, 48)
    assert lying_size(500, 100, 48) == (LONGEST * 48, 48)
