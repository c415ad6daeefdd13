"""What a batch does in each layer at the start: dead and saturated units, and trends from layer to layer."""

import io
import math
from collections.abc import Iterator, Sequence

import torch

from runner.check.subject import Subject, loss_of, same_noise
from runner.check.verdict import Check, Verdict, listed
from runner.model.activity import Activity, observed

NUM_IMAGES = 128
NUM_KEPT = 4000  # values of a layer in a histogram
MANY, NEARLY_ALL = 0.4, 0.9  # share of dead or saturated units: a warning, and wrong
TREND, COLLAPSE = 1e-2, 1e-4  # from one end of the network to the other: a warning, and wrong
LEAST_LAYERS = 3  # from which on there is a trend
MOST_DRAWN = 12


def check(subject: Subject) -> Iterator[Check]:
    """One batch forward and backward in training mode."""
    state = subject.fresh().state
    images, labels = subject.plain_batch(NUM_IMAGES)
    with same_noise(subject.device), observed(state.network, True, NUM_KEPT) as found:
        loss_of(state.network, subject.criterion, images, labels).backward()
    state.optimizer.zero_grad()
    layers = list(found.values())
    if not layers:
        yield Check("layers.dead", "skipped", "no convolution, linear layer or activation of torch's is in the network")
        return
    subject.write("layers.png", draw_layers(layers))
    yield dead(layers)
    yield saturated(layers)
    yield trend(
        "layers.forward",
        "the standard deviation of the output",
        [(one.name, one.std) for one in layers if one.is_weighted],
    )
    flow = [(one.name, one.gradient_norm) for one in layers if one.is_weighted and one.gradient_norm is not None]
    # From the scores back to the images.
    yield trend("layers.backward", "the gradient's norm", [(name, norm) for name, norm in reversed(flow)])


def dead(layers: Sequence[Activity]) -> Check:
    """Units of rectifying layers that give 0 for every image."""
    return _share(
        "layers.dead",
        "dead units",
        [(one.name, one.dead) for one in layers if one.dead is not None],
        "a lower optimizer.lr, init=he, model.activation=leaky_relu, or a normalization (model.norm=batch)",
    )


def saturated(layers: Sequence[Activity]) -> Check:
    """Outputs of sigmoids and tanhs at the ends of their range."""
    return _share(
        "layers.saturated",
        "saturated outputs",
        [(one.name, one.saturated) for one in layers if one.saturated is not None],
        "smaller weights (init=xavier), model.activation=relu, or a normalization (model.norm=batch)",
    )


def _share(name: str, what: str, shares: Sequence[tuple[str, float]], advice: str) -> Check:
    if not shares:
        return Check(name, "skipped", "no layer of this network can have them")
    layer, most = max(shares, key=lambda pair: pair[1])
    bad = [layer for layer, share in shares if share >= MANY]
    measured = (
        f"at most {most:.0%} {what} ({layer})" if not bad else f"{most:.0%} {what} in {layer}; many in {listed(bad)}"
    )
    verdict: Verdict = "wrong" if most >= NEARLY_ALL else "warning" if bad else "ok"
    expected = f"under {MANY:.0%} in each layer"
    return Check(name, verdict, measured, expected, advice if bad else "", {"shares": dict(shares)})


def trend(name: str, what: str, sizes: Sequence[tuple[str, float]]) -> Check:
    """Whether a size vanishes or explodes from the first layer of the list to the last."""
    if len(sizes) < LEAST_LAYERS:
        return Check(name, "skipped", f"fewer than {LEAST_LAYERS} layers have no trend")
    inside = sizes[1:] if name.endswith("backward") else sizes[:-1]  # the scores, whose size is the loss's affair
    (first_name, first), (last_name, last) = inside[0], inside[-1]
    values = {"sizes": dict(sizes)}
    expected = f"within a factor of {1 / TREND:g}"
    measured = f"{what} goes from {first:.2g} ({first_name}) to {last:.2g} ({last_name})"
    smallest, largest = min(size for _, size in inside), max(size for _, size in inside)
    if not math.isfinite(largest) or not all(math.isfinite(size) for _, size in inside):
        return Check(name, "wrong", measured, expected, "it explodes: smaller weights at the start (init=he)", values)
    if smallest == 0:
        zero = [layer for layer, size in inside if size == 0]
        measured = f"{what} is 0 in {listed(zero)}"
        # A branch that begins at 0, as in residual networks, lets nothing through before the first update.
        verdict: Verdict = "wrong" if len(zero) == len(inside) else "warning"
        advice = "init=auto: weights of zero, or dead units, let nothing through (a branch may begin at 0 on purpose)"
        return Check(name, verdict, measured, expected, advice, values)
    ratio = last / first
    if TREND <= ratio <= 1 / TREND:
        return Check(name, "ok", measured, expected, "", values)
    verdict = "warning" if COLLAPSE <= ratio <= 1 / COLLAPSE else "wrong"
    advice = "it vanishes" if ratio < 1 else "it explodes"
    advice += ": model.activation=relu with init=he, a normalization, residual connections, or fewer layers"
    return Check(name, verdict, measured, expected, advice, values)


def draw_layers(layers: Sequence[Activity]) -> bytes:
    """A PNG of histograms, a column for each layer: outputs above, gradients by them below."""
    from matplotlib.figure import Figure

    shown = list(layers)
    if len(shown) > MOST_DRAWN:
        step = (len(shown) - 1) / (MOST_DRAWN - 1)
        shown = [shown[round(number * step)] for number in range(MOST_DRAWN)]
    figure = Figure(figsize=(1.6 * len(shown) + 0.6, 4.4), layout="constrained")
    panels = figure.subplots(2, len(shown), squeeze=False)
    for column, one in enumerate(shown):
        for row, (values, color) in enumerate(((one.values, "#0072B2"), (one.gradients, "#D55E00"))):
            axes = panels[row][column]
            finite = values[torch.isfinite(values)].numpy()
            if len(finite):
                axes.hist(finite, bins=40, color=color)
            axes.set_yticks([])
            axes.tick_params(axis="x", labelsize=6)
            axes.locator_params(axis="x", nbins=3)
            axes.ticklabel_format(axis="x", style="sci", scilimits=(-2, 3))
            axes.xaxis.get_offset_text().set_fontsize(6)
        dead_units = "" if one.dead is None else f"\ndead {one.dead:.0%}"
        at_end = "" if one.saturated is None else f"\nsaturated {one.saturated:.0%}"
        panels[0][column].set_title(
            f"{one.name}\nmean {one.mean:.2g}, std {one.std:.2g}{dead_units}{at_end}", fontsize=7
        )
        norm = "" if one.gradient_norm is None else f"norm {one.gradient_norm:.2g}"
        panels[1][column].set_title(norm, fontsize=7)
    panels[0][0].set_ylabel("output", fontsize=8)
    panels[1][0].set_ylabel("gradient", fontsize=8)
    file = io.BytesIO()
    figure.savefig(file, dpi=110, format="png")
    return file.getvalue()
