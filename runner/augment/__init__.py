"""Augmentations: each word of the group is a class here; all promise what `Augmentation` says."""

from runner.augment.augmentation import Augmentation, Draws, Epoch, Pipeline, overrides
from runner.augment.color import ColorJitter, PCAColor
from runner.augment.erasing import RandomErasing
from runner.augment.geometric import Crop, Flip, Lens, RandomResizedCrop, Rotate, ScaleCrop, Shear, Stretch, Translate
from runner.augment.policies import AugMix, AutoAugment, TrivialAugment
from runner.augment.randaugment import RandAugment
