"""Packed pictures, and squares cut from them: torchvision's resizing and cropping of the same pixels."""

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as tv

from runner.pictures import LONGEST, Packed, as_bytes, cut_boxes, cut_one_by_one, cut_together, lying_size, pack, scaled

SIDE = 40
SIZES = [(40, 40), (40, 53), (60, 40), (40, 80), (71, 40)]  # height, width


def picture(height, width):
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(height * 1000 + width))


def packed(*pictures):
    """Those pictures, and their pixels as 8 bits keep them."""
    whole = [as_uint8(one) for one in pictures]
    rows = [torch.from_numpy(pack(one.permute(1, 2, 0).numpy(), SIDE)) for one in whole]
    return Packed(torch.stack(rows)), whole


def as_uint8(image):
    return (image * 255).round().to(torch.uint8)


def assert_equal_but_for_rounding(ours, theirs):
    assert ours.dtype == theirs.dtype == torch.uint8
    torch.testing.assert_close(ours, theirs, atol=1, rtol=0)


@pytest.fixture(scope="module")
def several():
    return packed(*[picture(*size) for size in SIZES])


def test_a_packed_picture_knows_its_size(several):
    pictures, _ = several
    assert list(zip(pictures.height.tolist(), pictures.width.tolist(), strict=True)) == SIZES


@pytest.mark.parametrize(("height", "width"), [(255, 256), (300, 520), (512, 257)])
def test_a_size_of_more_than_one_byte_is_kept(height, width):
    rows = torch.from_numpy(pack(np.zeros((height, width, 1), dtype=np.uint8), min(height, width)))
    found = Packed(rows[None])
    assert (found.height.item(), found.width.item(), found.short.item()) == (height, width, min(height, width))


@pytest.mark.parametrize("size", [16, 40, 64])
@pytest.mark.parametrize("share", [(0.0, 0.0, 1.0, 1.0), (0.2, 0.1, 0.5, 0.7), (0.75, 0.5, 0.25, 0.5)])
def test_a_box_is_torchvisions_resized_crop(several, size, share):
    pictures, pixels = several
    boxes = [
        [int(s * length) for s, length in zip(share, (*one.shape[1:], *one.shape[1:]), strict=True)] for one in pixels
    ]
    ours = pictures.squares(torch.tensor(boxes), size, inside=True)
    theirs = [tv.resized_crop(one, *box, [size, size], antialias=True) for one, box in zip(pixels, boxes, strict=True)]
    assert torch.equal(ours, torch.stack(theirs))


def test_boxes_cut_together_as_on_a_gpu_are_those_cut_one_by_one(several):
    pictures, pixels = several
    whole = torch.tensor([[0, 0, *one.shape[1:]] for one in pixels])
    inside = whole.float() * torch.tensor([0.4, 0.6, 0.5, 0.3]) + torch.tensor([0.3, 0.7, 0, 0.2])
    cases = [(whole, whole), ((whole + 1).div(2, rounding_mode="floor"),) * 2, (inside, whole), (inside, inside)]
    for box, limits in cases:
        for size in (16, 40, 64):
            given = (pictures.pixels, box, limits, pictures.height > pictures.width, size)
            assert_equal_but_for_rounding(cut_together(*given), cut_one_by_one(*given))


def test_pictures_are_cut_as_well_from_a_list(several):
    pictures, pixels = several
    boxes = torch.tensor([[1, 2, one.shape[1] - 3, one.shape[2] - 2] for one in pixels])
    listed = Packed(list(pictures.pixels))
    assert torch.equal(listed.squares(boxes, 24, inside=True), pictures.squares(boxes, 24, inside=True))


@pytest.mark.parametrize("short", [20, 32, 60])
def test_a_window_is_torchvisions_resize_and_crop(several, short):
    pictures, pixels = several
    boxes, theirs = [], []
    for one in pixels:
        _, H, W = one.shape
        height, width = (round(length * short / SIDE) for length in (H, W))
        large = tv.resize(one / 255, [height, width], antialias=True)
        theirs.append(large[:, height - 16 : height, 2:18])
        rows, columns = H / height, W / width
        boxes.append([(height - 16) * rows, 2 * columns, 16 * rows, 16 * columns])
    ours = pictures.squares(torch.tensor(boxes), 16, inside=False)
    assert_equal_but_for_rounding(ours, as_uint8(torch.stack(theirs)))


@pytest.mark.parametrize("size", [SIDE, 20])
def test_the_center_is_the_square_in_the_middle(several, size):
    pictures, pixels = several
    for ours, one in zip(pictures.center(size), pixels, strict=True):
        top, left = ((length - SIDE) // 2 for length in one.shape[1:])
        theirs = tv.resized_crop(one, top, left, SIDE, SIDE, [size, size], antialias=True)
        assert torch.equal(ours, theirs)


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


def test_a_picture_smaller_than_kept_stays_as_it_is():
    assert lying_size(40, 30, 48) == (40, 30)
    assert lying_size(100, 30, 48) == (LONGEST * 30, 30)
    small = as_uint8(picture(12, 20))
    packed = Packed(torch.from_numpy(pack(small.permute(1, 2, 0).numpy(), SIDE))[None])
    assert (packed.height.item(), packed.width.item(), packed.short.item()) == (12, 20, 12)
    assert torch.equal(packed.squares(torch.tensor([[0, 3, 12, 12]]), 12, inside=True)[0], small[:, :, 3:15])


@pytest.mark.parametrize("level", [0, 1, 128, 255])
def test_a_picture_of_one_level_keeps_it(level):
    """Black and white are whole steps of 8 bits as any other."""
    rows = torch.from_numpy(pack(np.full((40, 53, 3), level, dtype=np.uint8), SIDE))[None]
    whole, box = torch.tensor([[0.0, 0.0, 40.0, 53.0]]), torch.tensor([[3.3, 4.7, 20.1, 30.9]])
    for cut in (cut_together, cut_one_by_one):
        assert (cut(rows, box, whole, torch.tensor([False]), 16) == level).all()


@pytest.mark.parametrize("level", [0.0, 0.25, 1.0])
def test_boxes_of_images_keep_a_level_too(level):
    box = torch.tensor([[1.3, 0.7, 5.1, 6.2]])
    torch.testing.assert_close(cut_boxes(torch.full((1, 3, 8, 8), level), box, (4, 5)), torch.full((1, 3, 4, 5), level))


def test_images_are_drawn_in_whole_levels():
    images = torch.tensor([-0.1, 0.0, 0.5, 1.0, 1.1]).reshape(5, 1, 1, 1)
    assert as_bytes(images).flatten().tolist() == [0, 0, 128, 255, 255]
