"""What was renamed in version 0.2: each old word is answered in one line with the new one."""

import fnmatch
from collections.abc import Mapping

GROUPS = {"views": "tta"}
OPTIONS = {
    "views=noisy": "tta=mc_dropout",
    "views=mirror_translate": "tta=flip_translate",
    "tta=noisy": "tta=mc_dropout",
    "tta=mirror_translate": "tta=flip_translate",
    "model=zoo": "model=torchvision",
    "schedule=every": "schedule=step schedule.step_epochs=8 schedule.gamma=0.96",
    "hydra/sweeper=coarse_to_fine": "hydra/sweeper=runner",
}
KEYS = {
    "views.*": "tta.*",
    "tta.enlarge": "tta.scale",
    "model.era": "model.variant",
    "model.dropout_aux": "model.aux_dropout",
    "data.route": "data.loading",
    "data.resident_limit_mb": "data.in_memory_limit_mib",
    "optimizer.groups": "optimizer.param_groups",
    "schedule.k": "schedule.decay_rate",
    "schedule.rise": "schedule.pct_start (one_cycle) or schedule.peak_fraction (triangle)",
    "engine.clip_norm": "engine.clip_grad_norm",
    "engine.threads": "engine.num_threads",
    "augment.crop.mode": "augment.crop.padding_mode",
    "augment.*.padding": "augment.*.padding_mode",
    "reg.*.where": "reg.*.layers",
    "sweep.draw": "sweep.sampler",
    "sweep.under": "sweep.conditional",
    "sweep.stack": "sweep.vectorize",
    "sweep.keep": "sweep.elite_fraction",
    "sweep.shrink": "sweep.max_shrink",
    "sweep.explore": "sweep.explore_fraction",
    "sweep.halving": "sweep.pruner=halving",
    "sweep.finals": "sweep.num_finalists",
    "sweep.final_seeds": "sweep.num_final_seeds",
    "sweep.workers": "sweep.num_workers",
}
VALUES = {
    "data.loading=resident": "in_memory",
    "augment.crop.padding_mode=constant": "zeros",
    "reg.*.layers=channels": "conv",
    "sweep.strategy=together": "narrow",
}
PARAM_GROUP_KEYS = {"match": "params", "until_epochs": "freeze_after_epochs"}
FLAGS = {"--search": "--include-search-trials", "--checkpoint": "--weights"}
COLUMNS = {
    "deviation": "std",
    "low": "ci_low",
    "high": "ci_high",
    "p": "p_value",
    "mark": "verdict",
    "so_far": "interim",
}
NAMES = {  # of Python: classes, methods, functions
    "Regulariser": "Regularizer",
    "soften": "transform_targets",
    "constrain": "project_weights",
    "Views": "TTA",
    "Noisy": "MCDropout",
    "MirrorTranslate": "FlipTranslate",
    "fit_to_images": "init_from_data",
    "summarise": "print_summary",
    "views": "tta",
    "regularisers": "regularizers",
    "stack": "vectorize",
}


def new_key(key: str) -> str | None:
    """What a config key is called now; None where it was not renamed.

    >>> new_key("reg.dropout.where"), new_key("views.pixels"), new_key("seed")
    ('reg.dropout.layers', 'tta.pixels', None)
    """
    new = _lookup(KEYS, key)
    if new is not None and (again := _lookup(KEYS, new)) is not None:  # a key of a group that was renamed too
        return again
    return new


def new_option(group: str, option: str) -> str | None:
    """What is chosen now in place of GROUP=OPTION; None where it was not renamed."""
    found = OPTIONS.get(f"{group}={option}")
    return found or (f"{GROUPS[group]}={option}" if group in GROUPS else None)


def new_value(key: str, value: object) -> str | None:
    """What a value of a key is called now; None where it was not renamed."""
    return _lookup(VALUES, f"{key}={value}")


def hint(table: Mapping[str, str], old: str) -> str:
    """`"; it is now NEW"` for an old word of a table, else nothing."""
    return f"; it is now {table[old]}" if old in table else ""


def _lookup(table: Mapping[str, str], old: str) -> str | None:
    """The new word, with what a `*` stands for in the old one put in its place."""
    for pattern, new in table.items():
        if "*" not in pattern:
            if pattern == old:
                return new
        elif fnmatch.fnmatchcase(old, pattern):
            before, _, after = pattern.partition("*")
            return new.replace("*", old[len(before) : len(old) - len(after)])
    return None
