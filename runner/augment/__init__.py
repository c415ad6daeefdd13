"""Augmentations: each word of the group is a class here; all promise what `Augmentation` says."""

from runner.augment.augmentation import Augmentation, Draws, Pipeline
from runner.augment.geometry import Crop, Flip

__all__ = ["Augmentation", "Crop", "Draws", "Flip", "Pipeline"]
