"""Test-time views: each word of the group is a class here; scores are averaged over the views of an image."""

from runner.tta.tta import Flip, MirrorTranslate, MultiScale, Noisy, Single, TenCrop, Views

__all__ = ["Flip", "MirrorTranslate", "MultiScale", "Noisy", "Single", "TenCrop", "Views"]
