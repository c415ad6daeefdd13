"""The learning-rate range: a rate that rises with each update, until the loss blows up.

Source: Smith 2015, Cyclical Learning Rates for Training Neural Networks, section 3.3; the smoothed exponential ramp is
that of fastai's learning-rate finder.
"""

import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from omegaconf import DictConfig, OmegaConf

from runner.check.subject import Subject
from runner.check.verdict import Check, Verdict
from runner.config import has_auto_lr
from runner.data import Data
from runner.errors import UserError
from runner.stages import stage

LOWEST, HIGHEST = 1e-6, 10.0
NUM_UPDATES = 100
SMOOTHING = 0.9  # weight of the past in the running mean of the losses
BLOWN_UP = 4.0  # times the best smoothed loss
FALLEN = 0.1  # share of the whole fall, at which the rate begins to do something
BELOW_BEST = 10  # the suggestion is this many times below the rate of the lowest loss
LEAST_FALL = 0.02  # of the loss at the start, below which nothing was learned
SLACK_LOW, FAR_LOW = 30, 1000  # times below the range: ok to here, and not wrong
SLACK_HIGH = 3  # times above it, where a warm-up or the running mean of the ramp may be the reason


@dataclass(frozen=True)
class LrRange:
    """What a ramp found.

    Args:
        lrs, losses: of each update; `smooth` are the losses smoothed.
        low, suggestion, high: where the loss begins to fall, a rate to begin with, and where the loss is lowest, less
            the lag of the running mean; None where it never falls.
        blown_up: the rate at which the loss was `BLOWN_UP` times its best, or no number; None where it never was.
    """

    lrs: list[float]
    losses: list[float]
    smooth: list[float] = field(default_factory=list)
    low: float | None = None
    suggestion: float | None = None
    high: float | None = None
    blown_up: float | None = None


def check(subject: Subject) -> Iterator[Check]:
    """The range, the rate of the config in it, and a picture."""
    if subject.is_lbfgs:
        yield Check("lr.range", "skipped", "L-BFGS searches the length of its own step")
        return
    found = ramp(subject)
    current = subject.cfg.optimizer.get("lr")
    subject.write("lr.png", draw_range(found, current))
    yield verdict_on(found, float(current) if isinstance(current, int | float) else None)


def ramp(subject: Subject) -> LrRange:
    """Train with a rate that rises from `LOWEST` to `HIGHEST`; groups with rates of their own keep their proportion."""
    training = subject.fresh()
    state = training.state
    schedule: Any = state.schedule
    base = max(schedule.base_lrs) or 1.0
    shares = [lr / base for lr in schedule.base_lrs]
    lrs, losses, smooth = [], [], []
    blown_up = None
    batches = subject.batches()
    for number in range(NUM_UPDATES):
        lr = LOWEST * (HIGHEST / LOWEST) ** (number / (NUM_UPDATES - 1))
        for group, share in zip(state.optimizer.param_groups, shares, strict=True):
            group["lr"] = lr * share
        loss = training.step(state, next(batches))[0].item()
        if not math.isfinite(loss):
            blown_up = lr
            break
        lrs.append(lr)
        losses.append(loss)
        smooth = smoothed(losses)
        if number > 10 and smooth[-1] > BLOWN_UP * min(smooth):
            blown_up = lr
            break
    return read_off(lrs, losses, blown_up)


def smoothed(losses: Sequence[float]) -> list[float]:
    """Running means, corrected for their start at 0.

    >>> smoothed([2.0, 2.0])
    [2.0, 2.0]
    """
    found, mean = [], 0.0
    for number, loss in enumerate(losses, 1):
        mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
        found.append(mean / (1 - SMOOTHING**number))
    return found


def read_off(lrs: Sequence[float], losses: Sequence[float], blown_up: float | None = None) -> LrRange:
    """The range and the suggestion from the losses of a ramp."""
    smooth = smoothed(losses)
    found = LrRange(list(lrs), list(losses), smooth, blown_up=blown_up)
    if not smooth:
        return found
    best = min(range(len(smooth)), key=smooth.__getitem__)
    start = max(smooth[: best + 1])
    fall = start - smooth[best]
    if fall < LEAST_FALL * abs(start):
        return found
    begins = next(place for place in range(best + 1) if smooth[place] <= start - FALLEN * fall and place > 0)
    # The running mean lags behind the rate by the updates that it remembers.
    lag = round(SMOOTHING / (1 - SMOOTHING) / 2)
    high = lrs[max(0, best - lag)]
    low = min(lrs[max(0, begins - lag)], high / BELOW_BEST)
    # A tenth of the rate at which the smoothed loss is lowest, as fastai takes it, and inside the range.
    suggestion = min(max(lrs[best] / BELOW_BEST, low), high)
    return LrRange(list(lrs), list(losses), smooth, low, rounded(suggestion), high, blown_up)


def rounded(value: float) -> float:
    """Two digits that count.

    >>> rounded(0.0012345)
    0.0012
    """
    return float(f"{value:.1e}")


def verdict_on(found: LrRange, current: float | None) -> Check:
    """Of a rate in the range; None for one that is yet to be found."""
    name = "lr.range"
    values = {"suggestion": found.suggestion, "low": found.low, "high": found.high, "blown_up": found.blown_up}
    values |= {"lr": current}
    if found.suggestion is None or found.low is None or found.high is None:
        measured = f"the loss falls at no rate from {LOWEST:g} to {HIGHEST:g}"
        advice = "nothing is learned: see overfit, layers and gradients"
        return Check(name, "wrong", measured, "a rate at which the loss falls", advice, values)
    line = sweep_line(found)
    measured = f"the loss falls from {found.low:.1e} to {found.high:.1e}; suggested: optimizer.lr={found.suggestion:g}"
    if current is None:
        return Check(name, "ok", measured, "a rate at which the loss falls", f"to search: {line}", values)
    measured = f"optimizer.lr={current:g}; {measured}"
    expected = f"{found.low / SLACK_LOW:.1e} to {SLACK_HIGH * found.high:.1e}"
    verdict: Verdict = "ok"
    if current > SLACK_HIGH * found.high or current < found.low / SLACK_LOW:
        ceiling = found.blown_up or math.inf
        verdict = "wrong" if current >= ceiling or current < found.low / FAR_LOW or current > HIGHEST else "warning"
    advice = (
        f"optimizer.lr={found.suggestion:g} (or auto); to search: {line}" if verdict != "ok" else f"to search: {line}"
    )
    return Check(name, verdict, measured, expected, advice, values)


def sweep_line(found: LrRange) -> str:
    """The range as words of `runner sweep`."""
    return f"runner sweep optimizer.lr='loguniform({found.low:.1e},{found.high:.1e})'"


def draw_range(found: LrRange, current: object = None) -> bytes:
    """A PNG of the losses over the rate."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.plot(found.lrs, found.losses, color="#888888", alpha=0.5, linewidth=1, label="loss of the batch")
    axes.plot(found.lrs, found.smooth, color="#0072B2", linewidth=2, label="smoothed")
    if found.low is not None and found.high is not None and found.suggestion is not None:
        axes.axvspan(found.low, found.high, color="#009E73", alpha=0.12, label="range to search")
        axes.axvline(found.suggestion, color="#009E73", linewidth=1.5, label=f"suggested {found.suggestion:g}")
    if isinstance(current, int | float) and LOWEST <= current <= HIGHEST:
        axes.axvline(current, color="#D55E00", linestyle="--", linewidth=1.5, label=f"optimizer.lr={current:g}")
    if found.smooth:
        top = 1.5 * max(found.smooth[: max(1, found.smooth.index(min(found.smooth)) + 1)])
        axes.set_ylim(min(0.0, *found.losses), top)
    axes.set(xscale="log", xlabel="learning rate", ylabel="training loss")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=8)
    file = io.BytesIO()
    figure.savefig(file, dpi=110, format="png")
    return file.getvalue()


def find(cfg: DictConfig, dataset: Data) -> LrRange:
    """The range for a config whose rate is yet to be found.

    Raises:
        UserError: no rate helps, or the optimizer has none to be found.
    """
    subject = Subject(cfg, dataset=dataset)
    if subject.is_lbfgs:
        raise UserError("optimizer.lr: auto: L-BFGS searches the length of its own step; set optimizer.lr=1.0")
    found = ramp(subject)
    if found.suggestion is None:
        raise UserError("optimizer.lr: auto found no rate at which the loss falls; runner check says why; set a number")
    return found


def settled(cfg: DictConfig, dataset: Data) -> tuple[DictConfig, dict[str, Any] | None]:
    """The config with a rate in the place of auto, and what was found; as it is, and None, where it has a rate.

    Raises:
        UserError: as `find`.
    """
    if not has_auto_lr(cfg):
        return cfg, None
    with stage("finding the learning rate"):
        found = find(with_lr(cfg, HIGHEST), dataset)
    assert found.suggestion is not None
    noted = {"lr": found.suggestion, "low": found.low, "high": found.high, "num_updates": len(found.lrs)}
    return with_lr(cfg, found.suggestion), noted


def with_lr(cfg: DictConfig, lr: float) -> DictConfig:
    """The config with that learning rate."""
    changed = cfg.copy()
    OmegaConf.update(changed, "optimizer.lr", lr)
    return changed
