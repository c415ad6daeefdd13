"""How a sweep searches: the keys of the group `sweep`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from omegaconf import DictConfig, OmegaConf

from runner.constraints import AtLeastOne, Bounds, Fraction, NonNegativeInt, PositiveInt, problem
from runner.errors import UserError, did_you_mean
from runner.sweep.space.sampling import Sampler

ROUND_KEYS = {"trials": PositiveInt, "epochs": int | float | str}


@dataclass(frozen=True)
class RoundPlan:
    """One round to come: so many trials of so many epochs; None where the task knows no epochs."""

    trials: int
    epochs: int | None


@dataclass(frozen=True, kw_only=True)
class SweepSettings:
    """Settings of a sweep; configs/sweep/default.yaml says what each does."""

    space: Sequence[str] = ()
    conditional: Mapping[str, Any] | None = None
    rounds: Sequence[Mapping[str, Any]] = ()
    elite_fraction: Fraction = 0.33
    max_shrink: AtLeastOne = 3.0
    explore_fraction: Fraction = 0.2
    sampler: Sampler = "sobol"
    strategy: Literal["narrow", "coordinate"] = "narrow"
    pruner: Literal["none", "halving"] = "none"
    num_finalists: NonNegativeInt = 2
    num_final_seeds: PositiveInt = 3
    seed: NonNegativeInt = 0
    num_workers: PositiveInt = 1
    vectorize: int | Literal["auto", "off"] = "auto"
    keep_checkpoints: Literal["best", "all", "none"] = "best"
    report: bool | Literal["auto"] = "auto"
    tensorboard: Literal["none", "summary", "all"] = "summary"
    on_error: Literal["continue", "stop"] = "continue"
    max_failures: PositiveInt = 8

    def plan_rounds(self, epochs: int) -> list[RoundPlan]:
        """The rounds of the search, with their epochs as numbers; '25%' is of `epochs`.

        Raises:
            UserError: there is none, or one has another key or a value that makes no sense.
        """
        if not self.rounds:
            raise UserError("sweep.rounds: must have at least one round, such as {trials: 24, epochs: 2}")
        return [_round(f"sweep.rounds[{index}]", entry, epochs) for index, entry in enumerate(self.rounds)]


def read_settings(node: DictConfig) -> SweepSettings:
    """The settings of a `sweep` node that was checked."""
    keys = OmegaConf.to_container(node, resolve=True)
    assert isinstance(keys, dict)
    return SweepSettings(**{str(key): value for key, value in keys.items() if key != "_target_"})


def _round(path: str, entry: Any, epochs: int) -> RoundPlan:
    if not isinstance(entry, Mapping):
        raise UserError(f"{path}: must be like {{trials: 32, epochs: 2}}, not {entry!r}")
    for key in entry:
        if key not in ROUND_KEYS:
            raise UserError(f"{path}.{key}: no such key{did_you_mean(str(key), ROUND_KEYS)}")
    for key in ROUND_KEYS:
        if key not in entry:
            raise UserError(f"{path}.{key}: must be set, as in {{trials: 32, epochs: 2}}")
    if found := problem(entry["trials"], PositiveInt):
        raise UserError(f"{path}.trials: {found}")
    return RoundPlan(entry["trials"], _epochs(f"{path}.epochs", entry["epochs"], epochs))


def _epochs(path: str, value: Any, epochs: int) -> int:
    text = str(value).strip()
    try:
        share = float(text.removesuffix("%")) / 100 if text.endswith("%") else None
        number = float(text) if share is None else max(float(share > 0), round(share * epochs))
    except ValueError:
        number = 0.0
    if number < 1 or number != int(number) or number not in Bounds(1):
        raise UserError(f"{path}: must be a whole number of epochs, at least 1, or like '25%', not {value!r}")
    return int(number)
