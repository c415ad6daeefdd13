"""TrivialAugment, AutoAugment and AugMix: operations of `runner.augment.operations`, chosen in three ways.

B images, C channels, H by W pixels. torchvision's classes of these names choose once for a whole batch; here every
image has its own choice. Ranges of the strengths are theirs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from torch import Tensor

from runner.augment.affine import PaddingMode
from runner.augment.augmentation import Augmentation, Draws
from runner.augment.color import check_channels
from runner.augment.operations import ALL_OPS, BLENDS, OPS, operate, strengths
from runner.constraints import Bounds, Fraction, NonNegativeInt, Positive, PositiveInt

TRIVIAL_BINS = 31
BINS = 10


def _coins(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """-1 or 1."""
    return torch.randint(0, 2, shape, generator=generator) * 2.0 - 1


def _identity_unless(chosen: Tensor, op: Tensor) -> Tensor:
    return torch.where(chosen, op, ALL_OPS.index("identity"))


@dataclass
class TrivialAugment(Augmentation):
    """Changes each image by one operation of `OPS` at one of 31 strengths, both drawn uniformly.

    The strongest: shear by a slope of 0.99, translate by 32 pixels, rotate by 135 degrees, blend by 0.99, posterize to
    2 bits, solarize above 0. There is nothing to tune. Source: Mueller and Hutter 2021, TrivialAugment, the wide space,
    with torchvision's TrivialAugmentWide.
    """

    p: Fraction = 1.0
    padding_mode: PaddingMode = "zeros"

    def check(self, image_shape: tuple[int, int, int]) -> None:
        check_channels("trivialaugment", image_shape[0])

    def draw(self, num_images: int, generator: torch.Generator) -> Draws:
        op = torch.randint(0, len(OPS), (num_images,), generator=generator)
        return {
            "op": _identity_unless(torch.rand(num_images, generator=generator) < self.p, op),
            "bin": torch.randint(0, TRIVIAL_BINS, (num_images,), generator=generator),
            "sign": _coins((num_images,), generator),
        }

    def apply(self, images_BCHW: Tensor, draws: Draws) -> Tensor:
        strongest = {"shear_x": 0.99, "shear_y": 0.99, "translate_x": 32.0, "translate_y": 32.0, "rotate": 135.0}
        spans = {name: torch.linspace(0, most, TRIVIAL_BINS) for name, most in (strongest | _blends(0.99)).items()}
        spans["posterize"] = (8 - torch.arange(TRIVIAL_BINS) / ((TRIVIAL_BINS - 1) / 6)).round()
        spans["solarize"] = torch.linspace(1, 0, TRIVIAL_BINS)
        strength_B = strengths(spans, draws["op"], draws["bin"], draws["sign"])
        return operate(images_BCHW, draws["op"], strength_B, self.padding_mode)


def _blends(most: float) -> dict[str, float]:
    return dict.fromkeys(BLENDS, most)


def _spans(H: int, W: int, translation: float, lowest_bits: int) -> Mapping[str, Tensor]:
    """Ten strengths of each operation, to a translation by that share of the side, and from so many bits less 4."""
    strongest = {"shear_x": 0.3, "shear_y": 0.3, "translate_x": translation * W, "translate_y": translation * H}
    strongest |= {"rotate": 30.0} | _blends(0.9)
    spans = {name: torch.linspace(0, most, BINS) for name, most in strongest.items()}
    spans["posterize"] = (lowest_bits + 4 - torch.arange(BINS) / ((BINS - 1) / 4)).round()
    spans["solarize"] = torch.linspace(1, 0, BINS)
    return spans


# Tables 7 and 9 of the paper: in each line two operations, each with its probability and its strength of 0 to 9.
POLICIES = {
    "cifar10": """
        invert 0.1 0, contrast 0.2 6
        rotate 0.7 2, translate_x 0.3 9
        sharpness 0.8 1, sharpness 0.9 3
        shear_y 0.5 8, translate_y 0.7 9
        autocontrast 0.5 0, equalize 0.9 0
        shear_y 0.2 7, posterize 0.3 7
        saturation 0.4 3, brightness 0.6 7
        sharpness 0.3 9, brightness 0.7 9
        equalize 0.6 0, equalize 0.5 0
        contrast 0.6 7, sharpness 0.6 5
        saturation 0.7 7, translate_x 0.5 8
        equalize 0.3 0, autocontrast 0.4 0
        translate_y 0.4 3, sharpness 0.2 6
        brightness 0.9 6, saturation 0.2 8
        solarize 0.5 2, invert 0.0 0
        equalize 0.2 0, autocontrast 0.6 0
        equalize 0.2 0, equalize 0.6 0
        saturation 0.9 9, equalize 0.6 0
        autocontrast 0.8 0, solarize 0.2 8
        brightness 0.1 3, saturation 0.7 0
        solarize 0.4 5, autocontrast 0.9 0
        translate_y 0.9 9, translate_y 0.7 9
        autocontrast 0.9 0, solarize 0.8 3
        equalize 0.8 0, invert 0.1 0
        translate_y 0.7 9, autocontrast 0.9 0
    """,
    "imagenet": """
        posterize 0.4 8, rotate 0.6 9
        solarize 0.6 5, autocontrast 0.6 0
        equalize 0.8 0, equalize 0.6 0
        posterize 0.6 7, posterize 0.6 6
        equalize 0.4 0, solarize 0.2 4
        equalize 0.4 0, rotate 0.8 8
        solarize 0.6 3, equalize 0.6 0
        posterize 0.8 5, equalize 1.0 0
        rotate 0.2 3, solarize 0.6 8
        equalize 0.6 0, posterize 0.4 6
        rotate 0.8 8, saturation 0.4 0
        rotate 0.4 9, equalize 0.6 0
        equalize 0.0 0, equalize 0.8 0
        invert 0.6 0, equalize 1.0 0
        saturation 0.6 4, contrast 1.0 8
        rotate 0.8 8, saturation 1.0 2
        saturation 0.8 8, solarize 0.8 7
        sharpness 0.4 7, invert 0.6 0
        shear_x 0.6 5, equalize 1.0 0
        saturation 0.4 0, equalize 0.6 0
        equalize 0.4 0, solarize 0.2 4
        solarize 0.6 5, autocontrast 0.6 0
        invert 0.6 0, equalize 1.0 0
        saturation 0.6 4, contrast 1.0 8
        equalize 0.8 0, equalize 0.6 0
    """,
}


def policy(name: str) -> list[list[tuple[str, float, int]]]:
    """The pairs of operations of a published policy, each with its probability and its strength."""
    lines = [line.split(",") for line in POLICIES[name].strip().splitlines()]
    words = [[part.split() for part in line] for line in lines]
    return [[(op, float(chance), int(strength)) for op, chance, strength in pair] for pair in words]


@dataclass
class AutoAugment(Augmentation):
    """Changes each image by one of the 25 pairs of operations that were found best for a data set.

    Each operation of the pair happens with its probability, at its strength, either way by a coin.
    Source: Cubuk et al. 2019, AutoAugment, with torchvision's ranges.
    """

    policy: Literal["cifar10", "imagenet"] = "cifar10"
    p: Fraction = 1.0
    padding_mode: PaddingMode = "zeros"

    def check(self, image_shape: tuple[int, int, int]) -> None:
        check_channels("autoaugment", image_shape[0])

    def draw(self, num_images: int, generator: torch.Generator) -> Draws:
        pairs = policy(self.policy)
        pair = torch.randint(0, len(pairs), (num_images,), generator=generator)
        ops, chances, bins = (
            torch.tensor([[convert(part) for part in line] for line in pairs])[pair]
            for convert in (lambda part: ALL_OPS.index(part[0]), lambda part: part[1], lambda part: part[2])
        )
        happens = torch.rand(num_images, 2, generator=generator) < chances
        happens &= torch.rand(num_images, 1, generator=generator) < self.p
        return {"op": _identity_unless(happens, ops), "bin": bins, "sign": _coins((num_images, 2), generator)}

    def apply(self, images_BCHW: Tensor, draws: Draws) -> Tensor:
        H, W = images_BCHW.shape[-2:]
        spans = _spans(H, W, translation=150 / 331, lowest_bits=4)
        for op_B, bin_B, sign_B in zip(*(draws[key].unbind(1) for key in ("op", "bin", "sign")), strict=True):
            images_BCHW = operate(images_BCHW, op_B, strengths(spans, op_B, bin_B, sign_B), self.padding_mode)
        return images_BCHW


MAX_DEPTH = 3
# Those of AugMix: all but the identity.
MIXED_OPS = OPS[1:]


@dataclass
class AugMix(Augmentation):
    """Mixes each image with `width` chains of operations of itself: `m0 x + m1 sum_i w_i chain_i(x)`.

    m and w are drawn from Dirichlet distributions of all `alpha`. A chain has `depth` operations, or 1 to 3 for 0; each
    has one of the `severity` lowest of ten strengths. All operations are used, as in torchvision: the paper leaves
    brightness, saturation, contrast and sharpness out where robustness to these is measured; and its consistency loss
    is no part of this. Source: Hendrycks et al. 2020, AugMix, algorithm 1.
    """

    severity: Annotated[int, Bounds(1, BINS)] = 3
    width: PositiveInt = 3
    depth: NonNegativeInt = 0
    alpha: Positive = 1.0
    p: Fraction = 1.0
    padding_mode: PaddingMode = "zeros"

    def check(self, image_shape: tuple[int, int, int]) -> None:
        check_channels("augmix", image_shape[0])

    def draw(self, num_images: int, generator: torch.Generator) -> Draws:
        longest = self.depth or MAX_DEPTH
        shape = (num_images, self.width, longest)
        # torch's own sampler takes no generator, so numpy's does it.
        rng = np.random.default_rng(int(torch.randint(0, 2**62, (), generator=generator)))
        shares = rng.dirichlet([self.alpha] * 2, num_images)
        weights = rng.dirichlet([self.alpha] * self.width, num_images) * shares[:, 1:]
        depth = torch.randint(1, longest + 1, (num_images, self.width, 1), generator=generator)
        if self.depth:
            depth = torch.full_like(depth, self.depth)
        op = torch.randint(1, 1 + len(MIXED_OPS), shape, generator=generator)
        draws = {
            "op": _identity_unless(torch.arange(longest) < depth, op),
            "bin": torch.randint(0, self.severity, shape, generator=generator),
            "sign": _coins(shape, generator),
            "weights": torch.from_numpy(np.concatenate([shares[:, :1], weights], axis=1)).float(),
        }
        changed = torch.rand(num_images, 1, generator=generator) < self.p
        whole = torch.tensor([1.0] + [0.0] * self.width)
        return draws | {"weights": torch.where(changed, draws["weights"], whole)}

    def apply(self, images_BCHW: Tensor, draws: Draws) -> Tensor:
        H, W = images_BCHW.shape[-2:]
        spans = _spans(H, W, translation=1 / 3, lowest_bits=0)
        weights = draws["weights"][:, :, None, None, None]
        mixed = weights[:, 0] * images_BCHW
        for chain in range(draws["op"].shape[1]):
            changed = images_BCHW
            steps = (draws[key][:, chain].unbind(1) for key in ("op", "bin", "sign"))
            for op_B, bin_B, sign_B in zip(*steps, strict=True):
                changed = operate(changed, op_B, strengths(spans, op_B, bin_B, sign_B), self.padding_mode)
            mixed = mixed + weights[:, chain + 1] * changed
        return mixed.clamp_(0, 1)
