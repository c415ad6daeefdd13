"""Parameter groups: other settings for the parameters that a pattern matches."""

import fnmatch
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from torch import Tensor, nn

from runner import renamed
from runner.constraints import Bounds, Duration, problem
from runner.decay import is_decayed
from runner.errors import UserError, did_you_mean

ParamGroups = Sequence[Mapping[str, Any]]
LayerDecay = Annotated[float, Bounds(0, 1, low_open=True)] | None

# Attributes of parameters, which a transfer sets: a factor on their learning rate, and the epochs before they learn.
LR_SCALE, START = "lr_scale", "start_epochs"

NORM_LAYERS = (
    *(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm),
    *(nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d, nn.LayerNorm, nn.GroupNorm),
)


def grouped(
    network: nn.Module,
    lr: float,
    param_groups: ParamGroups,
    options: Sequence[str],
    decay_norms_and_biases: bool = False,
    layer_decay: LayerDecay = None,
) -> list[dict[str, Any]]:
    """The trainable parameters as torch's parameter groups; each belongs to the first group that matches it.

    The optimizer's `weight_decay` is for parameters that `is_decayed` names: the others of a group make a group of
    their own, with weight decay 0, unless `decay_norms_and_biases`. That of a group in `param_groups` is for all its
    parameters. With `layer_decay` d, the rate of layer i of L is multiplied by `d^(L - i)`, so that the last has the
    whole rate; each layer of a group makes a group of its own, the last layer first. See `layers_of`. Parameters that
    a transfer has marked with a scale or a start make groups of their own.

    Args:
        param_groups: each a mapping with `params` and what differs: `lr_scale` (a factor of `lr`),
            `freeze_after_epochs` (a duration after which its parameters stay as they are; 0 where `lr_scale` is 0) and
            any of `options`.
            `params` is a shell pattern on parameter names (`fc.*`, `*.bias`), or one of the words `biases` (all),
            `norms` (weights and biases of normalization layers), `norm_biases`.
        options: the optimizer's own keys, such as weight_decay.

    Raises:
        UserError: a pattern matches nothing, a key is no option of the optimizer, or every group freezes.
    """
    trained = {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}
    kinds = _kinds(network)
    made: list[dict[str, Any]] = []
    for number, group in enumerate(param_groups):
        path = f"optimizer.param_groups[{number}]"
        _check_keys(path, group, options)
        pattern = str(group["params"])
        matching = kinds.get(pattern, [name for name in trained if fnmatch.fnmatchcase(name, pattern)])
        names = [name for name in trained if name in matching]
        if not names:
            raise UserError(
                f"{path}.params: '{pattern}' matches no parameter that is not in an earlier group; "
                f"names look like {', '.join(list(trained)[:4])}; kinds are {', '.join(kinds)}"
            )
        scale = group.get("lr_scale", 1.0)
        settings = {key: value for key, value in group.items() if key not in ("params", "lr_scale")}
        if scale == 0:
            settings["freeze_after_epochs"] = 0
        made.append({"params": [trained.pop(name) for name in names], "lr": lr * scale, **settings})
    rest = [{"params": list(trained.values()), "lr": lr}] if trained else []
    if made and not rest and all(group.get("freeze_after_epochs") is not None for group in made):
        raise UserError(
            "optimizer.param_groups: every parameter is in a group with freeze_after_epochs or lr_scale 0; leave one "
            "without"
        )
    groups = rest + made
    if layer_decay is not None:
        layers = [{id(parameter) for parameter in layer} for layer in layers_of(network)]
        groups = [part for group in groups for part in _by_layer(group, layers, layer_decay)]
    groups = [part for group in groups for part in by_transfer(group)]
    return groups if decay_norms_and_biases else [part for group in groups for part in _by_decay(group)]


def layers_of(network: nn.Module) -> list[list[Tensor]]:
    """The parameters of each layer, from the first to the last, in the order in which the network lists them.

    A layer is an entry of the network, or of a sequence or list in it: a convolution, a residual block, a transformer's
    block. An entry without a weight of two dimensions or more, such as a normalization, belongs to the layer before it,
    and to the first one where none is. So do parameters of the network itself, such as a class token, belong to the
    first layer. Source: as timm groups them, after Bao et al. 2021, BEiT.
    """
    entries: list[list[Tensor]] = [list(network.parameters(recurse=False))]
    pending = list(network.children())
    while pending:
        module = pending.pop(0)
        if isinstance(module, nn.Sequential | nn.ModuleList):
            pending[:0] = module.children()
        else:
            entries.append(list(module.parameters()))
    layers: list[list[Tensor]] = []
    waiting: list[Tensor] = []  # of the first layer, before it
    for number, entry in enumerate(entries):
        if number and any(is_decayed(parameter) for parameter in entry):
            layers.append(waiting + entry)
            waiting = []
        elif layers:
            layers[-1] += entry
        else:
            waiting += entry
    return layers or [waiting]


def _by_layer(group: dict[str, Any], layers: Sequence[set[int]], decay: float) -> list[dict[str, Any]]:
    """A group as one for each layer that it has parameters of, the last layer first."""
    parts = []
    for distance, layer in enumerate(reversed(layers)):
        own = [parameter for parameter in group["params"] if id(parameter) in layer]
        if own:
            parts.append(group | {"params": own, "lr": group["lr"] * decay**distance})
    return parts


def by_transfer(group: dict[str, Any]) -> list[dict[str, Any]]:
    """A group as one for each scale and start that its parameters are marked with; those without come first."""
    parts: dict[tuple[float, int], list[Tensor]] = {}
    for parameter in group["params"]:
        mark = (getattr(parameter, LR_SCALE, 1.0), getattr(parameter, START, 0))
        parts.setdefault(mark, []).append(parameter)
    made = []
    for scale, start in sorted(parts, key=lambda mark: (mark[1], -mark[0])):
        part = group | {"params": parts[scale, start], "lr": group["lr"] * scale}
        made.append(part | {"start_after_epochs": start} if start else part)
    return made


def _by_decay(group: dict[str, Any]) -> list[dict[str, Any]]:
    """A group as it is, where it states its weight decay; else in two, of which the second has none."""
    if "weight_decay" in group:
        return [group]
    decayed = [parameter for parameter in group["params"] if is_decayed(parameter)]
    others = [parameter for parameter in group["params"] if not is_decayed(parameter)]
    parts = [group | {"params": decayed}, group | {"params": others, "weight_decay": 0.0}]
    return [part for part in parts if part["params"]]


def _check_keys(path: str, group: Mapping[str, Any], options: Sequence[str]) -> None:
    known = ["params", "lr_scale", "freeze_after_epochs", *options]
    for key in group:
        if key not in known:
            hint = renamed.hint(renamed.PARAM_GROUP_KEYS, str(key)) or did_you_mean(str(key), known)
            raise UserError(f"{path}.{key}: no such key{hint}")
    if "params" not in group:
        raise UserError(f"{path}.params: must be set to a pattern on parameter names, such as '*.bias'")
    scale = group.get("lr_scale", 1.0)
    if isinstance(scale, bool) or not isinstance(scale, int | float) or scale < 0:
        raise UserError(f"{path}.lr_scale: must be a number, at least 0, not {scale!r}")
    wrong = problem(group.get("freeze_after_epochs"), Duration | None)
    if wrong:
        raise UserError(f"{path}.freeze_after_epochs: {wrong}")


def _kinds(network: nn.Module) -> dict[str, set[str]]:
    """Parameter names of each kind."""
    biases, norms = set(), set()
    for path, layer in network.named_modules():
        for name, _ in layer.named_parameters(prefix=path, recurse=False):
            if name.rpartition(".")[2] == "bias":
                biases.add(name)
            if isinstance(layer, NORM_LAYERS):
                norms.add(name)
    return {"biases": biases, "norms": norms, "norm_biases": biases & norms}


def freezing_norms(network: nn.Module, groups: Sequence[Mapping[str, Any]]) -> dict[str, tuple[Any, ...]]:
    """Normalization layers with running statistics whose every trained parameter is in a group that freezes.

    By name, with the `freeze_after_epochs` of its parameters. A layer without parameters is none of these.
    """
    durations = {parameter: group.get("freeze_after_epochs") for group in groups for parameter in group["params"]}
    found = {}
    for path, layer in network.named_modules():
        own = tuple(durations[parameter] for parameter in layer.parameters(recurse=False) if parameter in durations)
        has_statistics = isinstance(layer, NORM_LAYERS) and getattr(layer, "running_mean", None) is not None
        if has_statistics and own and None not in own:
            found[path] = own
    return found


def all_params(groups: Sequence[Mapping[str, Any]]) -> list[Tensor]:
    return [parameter for group in groups for parameter in group["params"]]
