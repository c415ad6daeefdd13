"""One image at a time, each augmentation is torchvision's function of the same name."""

import math

import pytest
import torch
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional as tv

from runner.augment import (
    AugMix,
    AutoAugment,
    Crop,
    Flip,
    RandAugment,
    RandomErasing,
    RandomResizedCrop,
    ScaleCrop,
    Translate,
    TrivialAugment,
)
from runner.augment.affine import affine_warp, rotation, scaling, shearing
from runner.augment.color import (
    adjust_brightness,
    adjust_contrast,
    adjust_hue,
    adjust_saturation,
    adjust_sharpness,
)
from runner.augment.operations import ALL_OPS, OPS, operate, posterize, solarize
from runner.augment.policies import policy

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


# Names of ours in torchvision's policies.
THEIRS = {"identity": "Identity", "saturation": "Color", "autocontrast": "AutoContrast"}
THEIRS |= {name: "".join(part.title() for part in name.split("_")) for name in ALL_OPS if name not in THEIRS}


def of_torchvision(picture, name, magnitude):
    """One operation as torchvision's policies apply it, bilinear."""
    return v2.AutoAugment(interpolation=BILINEAR)._apply_image_or_video_transform(
        picture, THEIRS[name], magnitude, interpolation=BILINEAR, fill={}
    )


def spans_of(make, size):
    """torchvision's strengths of each operation, with the sign that a coin gives: name -> (strengths, signed)."""
    space = make._AUGMENTATION_SPACE
    bins = 31 if make is v2.TrivialAugmentWide else 10
    names = {theirs: ours for ours, theirs in THEIRS.items()}
    return {names[name]: (magnitudes(bins, *size), signed) for name, (magnitudes, signed) in space.items()}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("bin_", [0, 1, 13, 30])
@pytest.mark.parametrize("op", OPS)
def test_trivialaugment_is_torchvisions(op, bin_, sign, size):
    magnitudes, signed = spans_of(v2.TrivialAugmentWide, size)[op]
    magnitude = 0.0 if magnitudes is None else float(magnitudes[bin_]) * (sign if signed else 1)
    draws = {"op": torch.tensor([OPS.index(op)]), "bin": torch.tensor([bin_]), "sign": torch.tensor([float(sign)])}
    equal(TrivialAugment().apply(image(size), draws), of_torchvision(image(size), op, magnitude), atol=2e-5)


def test_trivialaugment_has_torchvisions_operations_and_no_other():
    assert spans_of(v2.TrivialAugmentWide, (8, 8)).keys() == set(OPS)
    assert spans_of(v2.AugMix, (8, 8)).keys() == set(OPS) - {"identity"}
    assert spans_of(v2.AutoAugment, (8, 8)).keys() == set(ALL_OPS) - {"identity"}


@pytest.mark.parametrize("name", ["cifar10", "imagenet"])
def test_autoaugments_policies_are_torchvisions(name):
    theirs = v2.AutoAugment(v2.AutoAugmentPolicy(name))._policies
    ours = [tuple((THEIRS[op], chance, strength) for op, chance, strength in pair) for pair in policy(name)]
    assert ours == [tuple((op, chance, strength or 0) for op, chance, strength in pair) for pair in theirs]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("name", ["cifar10", "imagenet"])
def test_autoaugment_is_torchvisions_pair_by_pair(name, sign, size):
    spans = spans_of(v2.AutoAugment, size)
    for pair in policy(name):
        theirs = image(size)
        for op, _, strength in pair:
            magnitudes, signed = spans[op]
            magnitude = 0.0 if magnitudes is None else float(magnitudes[strength]) * (sign if signed else 1)
            theirs = of_torchvision(theirs, op, magnitude)
        draws = {
            "op": torch.tensor([[ALL_OPS.index(op) for op, _, _ in pair]]),
            "bin": torch.tensor([[strength for _, _, strength in pair]]),
            "sign": torch.full((1, 2), float(sign)),
        }
        ours = AutoAugment(name).apply(image(size), draws)
        # A pixel at the edge of a step may fall to either side after the operation before.
        assert ((ours - theirs).abs() < 2e-5).double().mean() > 0.99


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("severity", [3, 10])
def test_augmix_is_torchvisions_for_the_same_draws(size, severity):
    ours = AugMix(severity=severity)
    draws = ours.draw(6, torch.Generator().manual_seed(0))
    pictures = torch.rand(6, 3, *size, generator=torch.Generator().manual_seed(1))
    spans = spans_of(v2.AugMix, size)
    for row, picture in enumerate(pictures):
        weights = draws["weights"][row].tolist()
        theirs = weights[0] * picture
        for chain in range(3):
            changed = picture
            for op, bin_, sign in zip(*(draws[key][row, chain].tolist() for key in ("op", "bin", "sign")), strict=True):
                if ALL_OPS[op] != "identity":
                    magnitudes, signed = spans[ALL_OPS[op]]
                    magnitude = 0.0 if magnitudes is None else float(magnitudes[bin_]) * (sign if signed else 1)
                    changed = of_torchvision(changed, ALL_OPS[op], magnitude)
            theirs = theirs + weights[chain + 1] * changed
        made = ours.apply(pictures[row : row + 1], {key: value[row : row + 1] for key, value in draws.items()})
        assert ((made - theirs).abs() < 2e-5).double().mean() > 0.99


@pytest.mark.parametrize("bits", range(9))
def test_posterize_and_solarize_are_torchvisions_at_every_strength(bits):
    equal(posterize(image(), number(bits)), tv.posterize(image(), bits), atol=0)
    equal(solarize(image(), number(bits / 8)), tv.solarize(image(), bits / 8), atol=0)


def test_operations_of_one_batch_do_not_meet():
    pictures = torch.rand(len(ALL_OPS), 3, 16, 16, generator=torch.Generator().manual_seed(2))
    ops, strength = torch.arange(len(ALL_OPS)), torch.full((len(ALL_OPS),), 0.25)
    together = operate(pictures, ops, strength, "zeros")
    for row in range(len(ALL_OPS)):
        one = slice(row, row + 1)
        equal(together[one], operate(pictures[one], ops[one], strength[one], "zeros"), atol=1e-6)


def box_to_erase(height, width, area, aspect, place):
    """RandomErasing.make_params of torchvision 0.24, told the numbers that it draws; None where none fits."""
    for share, ratio in zip(area, aspect, strict=True):
        h, w = round(math.sqrt(height * width * share * ratio)), round(math.sqrt(height * width * share / ratio))
        if h < height and w < width:
            return [int(place[0] * (height - h + 1)), int(place[1] * (width - w + 1)), h, w]
    return None


@pytest.mark.parametrize("size", [(8, 8), (32, 32), (20, 61)])
def test_random_erasing_takes_torchvisions_boxes_for_the_same_numbers(size):
    ours = RandomErasing(p=1)
    draws = ours.draw(300, torch.Generator().manual_seed(0))
    expected = [
        box_to_erase(*size, *(draws[key][row].tolist() for key in ("area", "aspect", "place"))) for row in range(300)
    ]
    boxes = ours.boxes(*size, draws)
    assert None not in expected
    assert (boxes - torch.tensor(expected)).abs().max() <= 1  # 32 bits may round the other way
    assert (boxes == torch.tensor(expected)).all(1).double().mean() > 0.98
    pictures = torch.rand(300, 3, *size)
    erased = torch.stack(
        [tv.erase(one, *box, torch.zeros(3, 1, 1)) for one, box in zip(pictures, boxes.long().tolist(), strict=True)]
    )
    assert torch.equal(ours.apply(pictures, draws), erased)


def test_random_erasing_leaves_an_image_that_no_box_fits():
    ours = RandomErasing(p=1, min_area=1, max_area=1)
    pictures = torch.rand(20, 1, 8, 8)
    assert torch.equal(ours.apply(pictures, ours.draw(20, torch.Generator().manual_seed(0))), pictures)


def test_random_erasing_draws_as_torchvision_does():
    ours = RandomErasing(p=1)
    made = ours.boxes(32, 48, ours.draw(4000, torch.Generator().manual_seed(0)))
    torch.manual_seed(0)
    theirs, picture = v2.RandomErasing(p=1), torch.zeros(1, 32, 48)
    params = [theirs.make_params([picture]) for _ in range(4000)]
    wanted = torch.tensor([[one[key] for key in "ijhw"] for one in params], dtype=torch.float)
    error = (made.var(0) / 4000 + wanted.var(0) / 4000).sqrt()
    assert ((made.mean(0) - wanted.mean(0)).abs() < 4 * error).all()
    torch.testing.assert_close(made.std(0), wanted.std(0), rtol=0.05, atol=0)


@pytest.mark.parametrize("shape", [(3, 2, 2, 9), (3, 1, 9, 1)])
def test_an_image_that_is_all_rim_is_as_sharp_as_it_was(shape):
    images = torch.rand(shape)
    assert torch.equal(adjust_sharpness(images, torch.tensor([0.0, 1.0, 2.0])), images)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 7])
def test_a_box_is_erased_with_a_color_for_every_channel(channels):
    images = torch.zeros(5, channels, 16, 16)
    erasing = RandomErasing(p=1, min_area=0.2, max_area=0.3, fill="color")
    changed = erasing.apply(images, erasing.draw(5, torch.Generator().manual_seed(0)))
    assert changed.shape == images.shape
    assert all((image != 0).any((1, 2)).all() for image in changed)
