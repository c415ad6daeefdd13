"""Choices of a config that act in one place: those that are refused, and those that are only said. No torch."""

from collections.abc import Iterator, Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from runner.errors import UserError

Node = Mapping[str, Any]
OWN_DROPOUT = ("dropout", "aux_dropout")  # keys of models that drop the inputs of their fully connected layers
LAYERS = {"linear": "fully connected layers", "conv": "convolutions"}
PENALTIES = ("l2", "elastic_net")  # what shrinks the weights as a weight decay does
DECOUPLED = tuple(f"runner.optimizer.{name}" for name in ("adamw", "lamb", "lion", "muon"))
TORCHVISION = "runner.model.torchvision"
MIXING = ("mixup", "cutmix")


def check_combinations(config: DictConfig) -> None:
    """Refuse choices that would do twice what is meant once; `config` has passed `check`.

    Raises:
        UserError: naming both keys.
    """
    model, reg = _plain(config.model), _plain(config.reg)
    own = _own_dropout(model)
    if own and _acts(reg, "dropout", "linear"):
        rates = " ".join(f"model.{key}={'null' if model[key] is None else model[key]}" for key in own)
        off = " ".join(f"model.{key}=0" for key in own)
        raise UserError(
            f"reg.dropout.p: drops inputs of fully connected layers, as {rates} does already, so they are dropped "
            f"twice; set {off}, or leave reg=dropout out"
        )


def _own_dropout(model: Node) -> list[str]:
    """The keys of a model by which it drops of its own; null is a rate that the network knows."""
    return [key for key in OWN_DROPOUT if key in model and model[key] != 0]


def notes(config: DictConfig) -> list[str]:
    """What is to be said of choices that act in one place, one line each; `config` has passed `check`."""
    model, reg, optimizer = _plain(config.model), _plain(config.reg), _plain(config.optimizer)
    return [*_of_decay(reg, optimizer), *_of_noise(reg, model), *_of_targets(reg), *_of_warmup(config)]


def _of_warmup(config: DictConfig) -> Iterator[str]:
    warmup, epochs = config.schedule.get("warmup_epochs"), config.engine.epochs
    if isinstance(warmup, int | float) and warmup >= epochs > 0:
        yield (
            f"schedule.warmup_epochs={warmup}: the warm-up is as long as the training (engine.epochs={epochs}), so the "
            "rate falls nowhere; lower it, or train longer"
        )


def _of_decay(reg: Node, optimizer: Node) -> Iterator[str]:
    decay = optimizer.get("weight_decay")
    for name in PENALTIES:
        if decay and reg.get(name, {}).get("strength"):
            how = "both shrink the weights"
            if optimizer.get("_target_") in DECOUPLED:
                how += ", the one by the gradient, which the optimizer rescales, the other apart from it"
            yield f"reg.{name}.strength and optimizer.weight_decay={decay}: {how}; set one to 0 to see the other alone"


def _of_noise(reg: Node, model: Node) -> Iterator[str]:
    if _acts(reg, "dropout", "linear") and model.get("_target_") == TORCHVISION:
        yield "reg.dropout.p: takes the place of the dropout that the network has of its own"
    for kind, layers in LAYERS.items():
        noisy = [f"reg.{name}.p" for name in ("dropout", "dropconnect") if _acts(reg, name, kind)]
        if kind == "linear":
            noisy += [f"model.{key}" for key in _own_dropout(model) if noisy]
        if len(noisy) > 1:
            yield f"{' and '.join(noisy)}: draw noise in the same {layers}, and it adds up"


def _of_targets(reg: Node) -> Iterator[str]:
    mixing = [name for name in MIXING if reg.get(name, {}).get("alpha")]
    if len(mixing) > 1:
        yield "reg.mixup and reg.cutmix: mix every batch twice; their papers use one of them"
    if mixing and reg.get("label_smoothing", {}).get("smoothing"):
        yield f"reg.{mixing[0]} and reg.label_smoothing: targets are mixed, then smoothed; both make them softer"


def _acts(reg: Node, name: str, kind: str) -> bool:
    """Whether that noise is chosen for layers of that kind."""
    return name in reg and reg[name].get("layers", "linear") in (kind, "both")


def _plain(node: DictConfig) -> Node:
    plain: Any = OmegaConf.to_container(node, resolve=True)
    return plain
