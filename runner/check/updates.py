"""How far an update moves the weights, and whether training and evaluation mode agree.

B images, K classes.
"""

import math
from collections.abc import Iterator, Mapping
from itertools import islice
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from runner.check.subject import Subject, outputs, silence
from runner.check.verdict import Check, Verdict, listed
from runner.model.summary import parameter_names

WARM_UPDATES, MEASURED_UPDATES = 15, 5
GOOD = (1e-4, 1e-2)  # around the lectures' 1e-3 (CS231n, Neural Networks 3)
POSSIBLE = (1e-6, 0.3)  # beyond which nothing is learned, or everything forgotten
NORM_IMAGES = 2048  # that batch normalization sees, at most, before the modes are compared
MAX_BATCHES = 40
COMPARED = 256  # images
NEAR, FAR = 0.3, 1.0  # relative distance of the scores in the two modes: ok, and not wrong


def check(subject: Subject) -> Iterator[Check]:
    """Ratios by layer in a few updates, then the modes at the weights of the start."""
    if subject.is_lbfgs:
        yield Check("updates.ratio", "skipped", "L-BFGS searches the length of its own step")
    else:
        yield verdict_on(ratios(subject))
    yield from _modes(subject)


def ratios(subject: Subject) -> dict[str, float]:
    """Of each weight: the norm of an update over that of the weight, the median of a few updates, at the base rate."""
    training = subject.fresh()
    state = training.state
    shown = parameter_names(state.network)
    weights = {
        shown[name]: parameter
        for name, parameter in state.network.named_parameters()
        if parameter.ndim > 1 and parameter.requires_grad
    }
    found: dict[str, list[float]] = {name: [] for name in weights}
    for number, batch in enumerate(islice(subject.batches(), WARM_UPDATES + MEASURED_UPDATES)):
        if number < WARM_UPDATES:
            training.step(state, batch)
            continue
        before = {name: weight.detach().clone() for name, weight in weights.items()}
        training.step(state, batch)
        # Schedules begin below the base rate where they warm up.
        schedule: Any = state.schedule
        scales = [base / used for base, used in zip(schedule.base_lrs, schedule.used_lrs, strict=True) if used]
        scale = max(scales, default=1.0)
        for name, weight in weights.items():
            found[name].append(scale * ratio(before[name], weight.detach()))
    return {name: median(values) for name, values in found.items() if values}


def ratio(before: Tensor, after: Tensor) -> float:
    """`|after - before| / |before|`.

    >>> ratio(torch.tensor([3.0, 4.0]), torch.tensor([3.0, 4.005]))  # doctest: +ELLIPSIS
    0.00100...
    """
    return ((after - before).norm() / before.norm().clamp(min=1e-12)).item()


def verdict_on(found: Mapping[str, float]) -> Check:
    """Of the ratios by weight."""
    if not found:
        return Check("updates.ratio", "skipped", "the network has no weights that are trained")
    values = {"ratios": dict(found)}
    expected = f"near 1e-3: from {GOOD[0]:g} to {GOOD[1]:g}"
    finite = all(math.isfinite(value) for value in found.values())
    middle = median(found.values()) if finite else math.nan
    low, high = min(found, key=found.__getitem__), max(found, key=found.__getitem__)
    measured = f"median {middle:.1e}, from {found[low]:.1e} ({low}) to {found[high]:.1e} ({high})"
    if not finite:
        return Check("updates.ratio", "wrong", "the weights became NaN", expected, "a lower optimizer.lr", values)
    if GOOD[0] <= middle <= GOOD[1]:
        verdict: Verdict = "ok"
    else:
        verdict = "warning" if POSSIBLE[0] <= middle <= POSSIBLE[1] else "wrong"
    advice = ""
    if verdict != "ok":
        advice = f"a {'higher' if middle < GOOD[0] else 'lower'} optimizer.lr; runner check --only lr suggests one"
    still = [name for name, value in found.items() if value == 0]
    if still:
        verdict, advice = "wrong", f"{listed(still)} never moves: see gradients and layers"
    return Check("updates.ratio", verdict, measured, expected, advice, values)


def _modes(subject: Subject) -> Iterator[Check]:
    training = subject.fresh()
    network = training.state.network
    images, _ = subject.plain_batch(256)
    yield fixed_in_evaluation(network, images)
    training = subject.fresh()
    chunks = (batch[0] for batch in islice(subject.batches(), MAX_BATCHES))
    yield norms_agree(training.state.network, chunks)
    subject.rebuild()


@torch.no_grad()
def fixed_in_evaluation(network: nn.Module, images: Tensor) -> Check:
    """Whether the same images get the same scores twice in evaluation mode."""
    network.eval()
    one, two = outputs(network, images)[0], outputs(network, images)[0]
    network.train()
    differing = (one != two).any(1).double().mean().item()
    expected = "the same scores twice"
    if differing:
        measured = f"{differing:.0%} of images get other scores the second time"
        advice = "noise is left on in evaluation mode: use nn.Dropout, or F.dropout(x, p, self.training)"
        return Check("updates.evaluation", "wrong", measured, expected, advice)
    return Check("updates.evaluation", "ok", "the same scores twice in evaluation mode", expected)


@torch.no_grad()
def norms_agree(network: nn.Module, chunks: Iterator[Tensor]) -> Check:
    """Whether the scores are alike in both modes, after batch normalization has seen those images. Dropout is off.

    They are compared on the last of the images, which have the size and the augmentation of the others.
    """
    name = "updates.modes"
    norms = [layer for layer in network.modules() if isinstance(layer, _NormBase) and layer.track_running_stats]
    if not norms:
        return Check(name, "skipped", "no layer keeps running statistics")
    silence(network)
    network.train()
    seen, latest = 0, []
    for chunk in chunks:
        network(chunk)
        seen += len(chunk)
        latest.append(chunk)
        if seen >= NORM_IMAGES:
            break
    alike = [chunk for chunk in latest if chunk.shape[1:] == latest[-1].shape[1:]]
    images = torch.cat(alike[-max(1, COMPARED // len(alike[0])) :])
    trained = outputs(network, images)[0].float()
    network.eval()
    evaluated = outputs(network, images)[0].float()
    network.train()
    distance = ((trained - evaluated).norm() / trained.norm().clamp(min=1e-12)).item()
    measured = f"scores differ by {distance:.1%} between the modes, after {seen:,} images"
    expected = f"under {NEAR:.0%}"
    verdict: Verdict = "ok" if distance <= NEAR else "warning" if distance <= FAR else "wrong"
    advice = "running statistics lag behind: a larger data.batch_size, or a larger momentum of the normalization"
    return Check(name, verdict, measured, expected, "" if verdict == "ok" else advice, {"distance": distance})
