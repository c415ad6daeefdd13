"""The loss before any update, against what it is when the scores say nothing.

B images, K classes.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from runner.check.subject import Subject, loss_of, same_noise
from runner.check.verdict import Check, Verdict
from runner.loss import BinaryCrossEntropy, CrossEntropy, Distillation, Focal, Hinge

NUM_IMAGES = 256
NEAR, FAR = 0.5, 3.0  # how far from the formula it may be, as a share of it: ok, and not wrong
DROWNED = 10  # times the loss of the data, from which on a penalty is all that is learned
FORMULAS: dict[type, str] = {
    CrossEntropy: "ln K",
    Distillation: "ln K",
    Hinge: "(K - 1) * margin",
    BinaryCrossEntropy: "ln 2 for each class",
    Focal: "(1 - 1/K)^gamma ln K",
}


def check(subject: Subject) -> Iterator[Check]:
    """The loss of the data, and what the penalties add to it."""
    network = subject.fresh().state.network
    images, labels = subject.plain_batch(NUM_IMAGES)
    num_classes = len(subject.dataset.class_names)
    with torch.no_grad(), same_noise(subject.device), subject.training.state.precision.autocast():
        measured = _main_loss(network, subject.criterion, images, labels)
        penalties = getattr(subject.training.step, "penalties", ())
        parameters = dict(network.named_parameters())
        penalty = sum(one(parameters).item() for one in penalties)
    expected = of_no_answer(subject.criterion, labels, num_classes)
    yield at_start(measured, expected, FORMULAS.get(type(subject.criterion), "the loss of equal scores"))
    if penalties:
        yield of_penalty(measured, penalty)


def _main_loss(network: nn.Module, criterion: Callable[..., Tensor], images: Tensor, labels: Tensor) -> float:
    """Without that of auxiliary classifiers, which the formula does not count."""
    with_auxiliary = getattr(network, "aux_weight", None)
    if with_auxiliary is None:
        return loss_of(network, criterion, images, labels).item()
    output = network(images)
    return criterion(output if isinstance(output, Tensor) else output[0], labels).item()


def of_no_answer(criterion: Callable[..., Tensor], labels_B: Tensor, num_classes: int) -> float:
    """The loss of scores that are the same for all classes."""
    zeros = torch.zeros(len(labels_B), num_classes, device=labels_B.device)
    with torch.no_grad():
        return criterion(zeros, labels_B).item()


def at_start(measured: float, expected: float, formula: str) -> Check:
    """The loss at random weights, held against the formula."""
    values = {"loss": measured, "formula": expected}
    text, wanted = f"{measured:.3f}", f"near {expected:.3f} ({formula})"
    distance = abs(measured - expected) / max(abs(expected), 1e-12)
    if distance <= NEAR:
        return Check("loss.start", "ok", text, wanted, "", values)
    advice = "smaller weights at the start (init=auto, init=he), or data.preprocess=standardize"
    if measured < expected:
        advice = "the network knows the answer before it is trained: look for a leak, or for loaded weights"
    verdict: Verdict = "warning" if distance <= FAR else "wrong"
    return Check("loss.start", verdict, text, wanted, advice, values)  # NaN is wrong


def of_penalty(loss: float, penalty: float) -> Check:
    """What regularization adds to the loss."""
    measured = f"{loss:.3f} rises by {penalty:.3g} to {loss + penalty:.3f}"
    values = {"penalty": penalty}
    expected = f"a rise, of less than {DROWNED} times the loss"
    if not penalty > 0:
        return Check("loss.penalty", "wrong", measured, expected, "the penalty does nothing: look at reg", values)
    if penalty > DROWNED * loss:
        return Check("loss.penalty", "warning", measured, expected, "a smaller strength in reg", values)
    return Check("loss.penalty", "ok", measured, expected, "", values)
