"""What TensorBoard's HParams tab compares of a run."""

from collections.abc import Mapping
from typing import Any

# Of its columns, the same for every run, changed or not, so that none has an empty cell.
GROUPS_SHOWN = ("data", "model", "init", "optimizer", "schedule", "loss", "reg", "augment", "average", "tta")
TUNED_GROUPS = ("optimizer", "schedule", "reg")
TUNED_KEYS = ("optimizer.lr", "data.batch_size", "engine.epochs", "seed")
NOT_SHOWN = ("name", "output_dir")
NOT_TUNED = ("log.", "sweep.", "hydra.")


def hparams(leaves: Mapping[str, Any], record: Mapping[str, Any], numbers_as_text: bool = True) -> dict[str, Any]:
    """By name: the options, the numbers that people tune, and what else was said.

    Lists and null are text, which it would leave blank.

    Args:
        leaves: of the config, by dotted key.
        numbers_as_text: of numbers which it would show in other digits than people write, such as 1e-05. Its axes of
            parallel coordinates, though, have a scale for numbers alone.
    """
    choices = record["choices"]
    said = [word.lstrip("+~").partition("=")[0] for word in record["overrides"]]
    tuned = [key for key in leaves if key.partition(".")[0] in TUNED_GROUPS and not key.endswith("._target_")]
    options = {group: choices[group] for group in GROUPS_SHOWN if group in choices}
    told = [key for key in said if not key.startswith(NOT_TUNED)]
    keys = [key for key in [*TUNED_KEYS, *tuned, *told] if key in leaves and key not in {*choices, *NOT_SHOWN}]
    return options | {key: _shown(leaves[key], numbers_as_text) for key in keys}


def _shown(value: Any, numbers_as_text: bool) -> bool | int | float | str:
    if isinstance(value, bool | str):
        return value
    if not isinstance(value, int | float):
        return str(value)
    # TensorBoard shows 1e-05 as 0.000010000, and 123456 as 1.2346e+5.
    is_unlike = 0 < abs(value) < 1e-4 or (isinstance(value, int) and abs(value) >= 10**5)
    return f"{value:.10g}" if is_unlike and numbers_as_text else value
