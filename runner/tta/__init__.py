"""Test-time augmentation: each word of the group is a class here; scores are means over changed copies of an image."""

from typing import Any

from runner import renamed
from runner.tta.tta import TTA, Flip, FlipTranslate, MCDropout, MultiScale, Single, TenCrop


def __getattr__(name: str) -> Any:
    raise AttributeError(f"{__name__} has no {name}{renamed.hint(renamed.NAMES, name)}")
