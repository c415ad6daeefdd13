"""Augmentations: each word of the group is a class here; all promise what `Augmentation` says."""

from runner.augment.augmentation import Augmentation, Draws, Epoch, Pipeline, overrides
from runner.augment.color import ColorJitter, PCAColor
from runner.augment.geometry import Crop, Flip
from runner.augment.randaugment import RandAugment
from runner.augment.warps import Lens, Rotate, ScaleCrop, Shear, Stretch, Translate

__all__ = [
    "Augmentation",
    "ColorJitter",
    "Crop",
    "Draws",
    "Epoch",
    "Flip",
    "Lens",
    "PCAColor",
    "Pipeline",
    "RandAugment",
    "Rotate",
    "ScaleCrop",
    "Shear",
    "Stretch",
    "Translate",
    "overrides",
]
