"""Which trials may train together as one batched network, from their configs alone. No torch."""

import fnmatch
import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from omegaconf import DictConfig

from runner.config import LIST_GROUPS, flatten
from runner.errors import CannotVectorize

# Numbers that vectorized trials may differ in: none of them decides the shape of a tensor or the length of a run.
# A duration may be text, as '5%'.
NUMBERS = (
    "optimizer.lr",
    "optimizer.momentum",
    "optimizer.betas",
    "optimizer.alpha",
    "optimizer.eps",
    "optimizer.weight_decay",
    "optimizer.adamw_lr_scale",
    "optimizer.momentum_decay",
    "optimizer.layer_decay",
    "optimizer.sam",
    "init.*",
    "schedule.*",
    "loss.*",
    "average.*",
    "augment.*",
    "reg.*",
    "model.dropout",
    "model.aux_dropout",
)
# Numbers that do decide a shape, or how often: of a picture that augmentation cuts from, its size.
SHAPING = (
    *("reg.fractional_max_pool.*", "augment.*.num_ops", "augment.augmix.width", "augment.augmix.depth"),
    *("augment.scale_crop.max_scale", "augment.*.picture_scale"),
    *("loss.class_weights", "loss.target_threshold"),
)
# Of transfer: those whose blocks learn from the start and are the same for all trials.
ALIKE_TRANSFERS = tuple(f"runner.transfer.{name}" for name in ("Whole", "Head", "LastBlocks", "All", "Features"))
Config = DictConfig | Mapping[str, Any]
OWN = ("name", "output_dir", "seed")  # keys that every trial may have for itself


def shape_of(cfg: Config) -> tuple[tuple[str, str], ...]:
    """What must be equal among vectorized trials: each key and its value; of a number that may differ, its presence."""
    values = [(key, _shape(key, value)) for key, value in sorted(flatten(cfg).items()) if key not in OWN]
    orders = [(group, repr(list(cfg[group]))) for group in LIST_GROUPS]
    return (*values, *orders)


def signature(cfg: Config) -> str | None:
    """A name for the shape, short enough to write down; None where trials of this config cannot be vectorized."""
    return None if reason_against(cfg) else hashlib.sha256(repr(shape_of(cfg)).encode()).hexdigest()[:16]


def reason_against(cfg: Config) -> str | None:
    """Why trials of this config can only train one by one, as far as the config tells; None if nothing does."""
    target = str(cfg["optimizer"].get("_target_"))
    if target == "runner.optimizer.lbfgs":
        return "optimizer=lbfgs cannot be vectorized: it evaluates the loss as often as each trial needs"
    if cfg["engine"].get("max_time") is not None:
        return "engine.max_time cannot be vectorized: each trial has the time for itself"
    if (cfg.get("transfer") or {}).get("_target_", ALIKE_TRANSFERS[0]) not in ALIKE_TRANSFERS:
        return "transfer=auto and gradual cannot be vectorized: what learns may differ between trials and epochs"
    if cfg["engine"]["precision"] == "fp16":
        return "engine.precision=fp16 cannot be vectorized: all gradients are scaled by one number"
    return None


def check_alike(cfgs: Sequence[DictConfig]) -> None:
    """Refuse trials that cannot train together.

    Raises:
        CannotVectorize: naming the key.
    """
    for cfg in cfgs:
        reason = reason_against(cfg)
        if reason:
            raise CannotVectorize(reason)
    shapes = [dict(shape_of(cfg)) for cfg in cfgs]
    for shape in shapes[1:]:
        for key in sorted({*shapes[0], *shape}):
            if shapes[0].get(key) != shape.get(key):
                raise CannotVectorize(f"{key}: vectorized trials must have the same value")


def _shape(key: str, value: Any) -> str:
    if key == "optimizer.param_groups":
        return repr([_without_numbers(group) for group in value])
    if _may_differ(key):
        return repr(_without_numbers(value, duration=key.startswith(("schedule.", "average."))))
    return repr(value)


@cache
def _may_differ(key: str) -> bool:
    """Whether the numbers of a key may differ among vectorized trials."""
    named = any(fnmatch.fnmatchcase(key, pattern) for pattern in NUMBERS)
    return named and not any(fnmatch.fnmatchcase(key, pattern) for pattern in SHAPING)


def _without_numbers(value: Any, duration: bool = False) -> Any:
    """The same nested data with a 0 for every number; a duration's text is a number."""
    if isinstance(value, Mapping):
        return {str(key): _without_numbers(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_numbers(item, duration) for item in value]
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    is_length = duration and isinstance(value, str) and value[:1].isdigit()
    return 0 if is_number or is_length else value
