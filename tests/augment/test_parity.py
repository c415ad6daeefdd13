"""One image at a time, each augmentation is torchvision's function of the same name."""

import math

import pytest
import torch
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as tv

from runner.augment import Crop, Flip, RandAugment, RandomResizedCrop, ScaleCrop, Translate
from runner.augment.affine import affine_warp, rotation, scaling, shearing
from runner.augment.color import adjust_brightness, adjust_contrast, adjust_hue, adjust_saturation
from runner.augment.randaugment import OPS, adjust_sharpness

BILINEAR = InterpolationMode.BILINEAR
SIZES = [(8, 8), (32, 32), (24, 36)]
STRAIGHT = {"angle": 0.0, "scale": 1.0, "interpolation": BILINEAR}


def image(size=(32, 32), channels=3):
    return torch.rand(1, channels, *size, generator=torch.Generator().manual_seed(4))


def equal(ours, theirs, atol=1e-5):
    torch.testing.assert_close(ours, theirs, rtol=0, atol=atol)


def number(value):
    return torch.tensor([float(value)])


def test_flip_is_horizontal_flip():
    assert torch.equal(Flip().apply(image(), {"flip": torch.tensor([True])}), tv.horizontal_flip(image()))


@pytest.mark.parametrize(("mode", "theirs"), [("zeros", "constant"), ("reflect", "reflect")])
def test_crop_is_pad_and_crop(mode, theirs):
    crop = Crop(3, mode)
    crop.check((3, 32, 32))
    ours = crop.apply(image(), {"offset": torch.tensor([[1, 5]])})
    assert torch.equal(ours, tv.crop(tv.pad(image(), [3], padding_mode=theirs), 1, 5, 32, 32))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("degrees", [-45, 0, 10, 90, 170])
def test_rotation_is_rotate(degrees, size):
    equal(affine_warp(image(size), rotation(number(degrees)), "zeros"), tv.rotate(image(size), degrees, BILINEAR))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("x", "y"), [(20, 0), (0, -15), (25, 12)])
def test_shearing_is_affine_shear(x, y, size):
    theirs = tv.affine(image(size), translate=[0, 0], shear=[x, y], **STRAIGHT)
    equal(affine_warp(image(size), shearing(number(x), number(y)), "zeros"), theirs)


@pytest.mark.parametrize("size", SIZES)
def test_scaling_is_affine_scale(size):
    theirs = tv.affine(image(size), 0.0, [0, 0], 1.3, [0.0, 0.0], interpolation=BILINEAR)
    equal(affine_warp(image(size), scaling(number(1.3), number(1.3)), "zeros"), theirs)


@pytest.mark.parametrize("size", SIZES)
def test_translate_is_affine_translate(size):
    H, W = size
    draws = {"shift": torch.tensor([[3.2 / W, -1.8 / H]])}
    theirs = tv.affine(image(size), translate=[3, -2], shear=[0.0, 0.0], **STRAIGHT)
    equal(Translate().apply(image(size), draws), theirs)


def test_reflecting_repeats_the_mirrored_image():
    draws = {"shift": torch.tensor([[0.25, 0.0]])}
    moved = Translate(padding_mode="reflect").apply(image(), draws)
    equal(moved, torch.cat([image()[..., :8].flip(-1), image()[..., :24]], dim=-1))


@pytest.mark.parametrize("corner", [(-1, -1), (1, -1), (1, 1)])
def test_scale_crop_is_resize_and_crop(corner):
    matrix = scaling(number(2), number(2))
    matrix[0, :, 2] = torch.tensor(corner) * (1 - 1 / 2)
    large = tv.resize(image(), [64, 64], antialias=False)
    left, top = (32 if side > 0 else 0 for side in corner)
    equal(ScaleCrop().apply(image(), {"matrix": matrix}), tv.crop(large, top, left, 32, 32))


def box_of_torchvision(height, width, min_area, max_area, area, aspect, place):
    """RandomResizedCrop.get_params of torchvision 0.24, told the numbers that it draws."""
    for share, ratio in zip(area, aspect, strict=True):
        target = height * width * share
        w, h = round(math.sqrt(target * ratio)), round(math.sqrt(target / ratio))
        if 0 < w <= width and 0 < h <= height:
            return [int(place[0] * (height - h + 1)), int(place[1] * (width - w + 1)), h, w]
    w, h = width, height
    if width / height < 3 / 4:
        h = round(width / (3 / 4))
    elif width / height > 4 / 3:
        w = round(height * (4 / 3))
    return [(height - h) // 2, (width - w) // 2, h, w]


@pytest.mark.parametrize("size", [(32, 32), (40, 53), (80, 40), (40, 79)])
@pytest.mark.parametrize("areas", [(0.08, 1.0), (0.9, 1.0), (1.0, 1.0)])
def test_random_resized_crop_takes_torchvisions_boxes_for_the_same_numbers(size, areas):
    ours = RandomResizedCrop(*areas)
    draws = ours.draw(300, torch.Generator().manual_seed(0))
    height, width = (torch.full((300,), length) for length in size)
    expected = [
        box_of_torchvision(*size, *areas, *(draws[key][row].tolist() for key in ("area", "aspect", "place")))
        for row in range(300)
    ]
    boxes = ours.boxes(height, width, draws)
    assert (boxes - torch.tensor(expected)).abs().max() <= 1  # 32 bits may round the other way
    assert (boxes == torch.tensor(expected)).all(1).double().mean() > 0.99


def test_random_resized_crop_draws_as_torchvision_does():
    # Means and deviations of 4000 boxes of each.
    from torchvision.transforms.v2 import RandomResizedCrop as Theirs

    ours = RandomResizedCrop()
    made = ours.boxes(
        torch.full((4000,), 60), torch.full((4000,), 80), ours.draw(4000, torch.Generator().manual_seed(0))
    )
    torch.manual_seed(0)
    theirs, picture = Theirs(32), torch.zeros(1, 60, 80)
    params = [theirs.make_params([picture]) for _ in range(4000)]
    wanted = torch.tensor(
        [[one[key] for key in ("top", "left", "height", "width")] for one in params], dtype=torch.float
    )
    error = (made.var(0) / 4000 + wanted.var(0) / 4000).sqrt()
    assert ((made.mean(0) - wanted.mean(0)).abs() < 4 * error).all()
    torch.testing.assert_close(made.std(0), wanted.std(0), rtol=0.05, atol=0)


def test_random_resized_crop_is_resized_crop():
    ours, pixels = RandomResizedCrop(), torch.rand(6, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    draws = ours.draw(6, torch.Generator().manual_seed(0))
    boxes = ours.boxes(torch.full((6,), 32), torch.full((6,), 32), draws).long().tolist()
    theirs = [tv.resized_crop(one, *box, [32, 32], antialias=True) for one, box in zip(pixels, boxes, strict=True)]
    equal(ours.apply(pixels, draws), torch.stack(theirs))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("factor", [0, 0.4, 1, 1.7])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (adjust_brightness, tv.adjust_brightness),
        (adjust_contrast, tv.adjust_contrast),
        (adjust_saturation, tv.adjust_saturation),
        (adjust_sharpness, tv.adjust_sharpness),
    ],
)
def test_blends_are_torchvisions(ours, theirs, factor, channels):
    equal(ours(image(channels=channels), number(factor)), theirs(image(channels=channels), factor), 1e-6)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("turn", [-0.5, -0.1, 0, 0.3])
def test_hue_is_adjust_hue(turn, channels):
    picture = image(channels=channels)
    picture[..., :4] = 0.5  # gray has no hue
    equal(adjust_hue(picture, number(turn)), tv.adjust_hue(picture, turn))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("op", OPS)
def test_randaugment_is_torchvisions(op, sign, size):
    H, W = size
    picture, part = image(size), sign * 9 / 30
    slope = math.degrees(math.atan(0.3 * part))
    corner = {"center": [0, 0], **STRAIGHT}
    theirs = {
        "identity": lambda: picture,
        "shear_x": lambda: tv.affine(picture, translate=[0, 0], shear=[slope, 0.0], **corner),
        "shear_y": lambda: tv.affine(picture, translate=[0, 0], shear=[0.0, slope], **corner),
        "translate_x": lambda: tv.affine(
            picture, translate=[int(150 / 331 * W * part), 0], shear=[0.0, 0.0], **STRAIGHT
        ),
        "translate_y": lambda: tv.affine(
            picture, translate=[0, int(150 / 331 * H * part)], shear=[0.0, 0.0], **STRAIGHT
        ),
        "rotate": lambda: tv.rotate(picture, 30 * part, BILINEAR),
        "brightness": lambda: tv.adjust_brightness(picture, 1 + 0.9 * part),
        "saturation": lambda: tv.adjust_saturation(picture, 1 + 0.9 * part),
        "contrast": lambda: tv.adjust_contrast(picture, 1 + 0.9 * part),
        "sharpness": lambda: tv.adjust_sharpness(picture, 1 + 0.9 * part),
        "posterize": lambda: tv.posterize(picture, 7),
        "solarize": lambda: tv.solarize(picture, 0.7),
        "autocontrast": lambda: tv.autocontrast(picture),
        "equalize": lambda: tv.equalize(picture),
    }[op]()
    draws = {"op": torch.tensor([[OPS.index(op)]]), "sign": torch.tensor([[float(sign)]])}
    equal(RandAugment(num_ops=1).apply(picture, draws), theirs)
