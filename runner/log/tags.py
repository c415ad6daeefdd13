"""Names in TensorBoard, which sorts them as text: accuracy and loss first, then lr, speed, train and weights."""

from collections import Counter

from torch import nn

KINDS = {nn.Conv2d: "conv", nn.Linear: "linear", nn.BatchNorm2d: "norm", nn.BatchNorm1d: "norm", nn.PReLU: "prelu"}


def tag_of(metric: str) -> str:
    """The tag of a metric of metrics.jsonl.

    >>> tag_of("val/accuracy"), tag_of("lr"), tag_of("images_per_second")
    ('accuracy/val', 'lr', 'speed/images_per_second')
    """
    split, _, what = metric.partition("/")
    if what:
        return f"{what}/{split}"
    return f"speed/{metric}" if metric.endswith("_per_second") else metric


def layer_names(network: nn.Module) -> dict[str, str]:
    """A name for each parameter that says its kind of layer where the network has only a number for it.

    >>> list(layer_names(nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3))).values())
    ['conv1.weight', 'conv1.bias', 'conv2.weight', 'conv2.bias']
    """
    names, counts = {}, Counter[str]()
    for path, layer in network.named_modules():
        shown = path
        if path.rpartition(".")[2].isdecimal() and next(layer.parameters(recurse=False), None) is not None:
            kind = next((name for cls, name in KINDS.items() if isinstance(layer, cls)), type(layer).__name__.lower())
            counts[kind] += 1
            shown = ".".join([*(part for part in path.split(".") if not part.isdecimal()), f"{kind}{counts[kind]}"])
        for name, _ in layer.named_parameters(recurse=False):
            names[f"{path}.{name}".lstrip(".")] = f"{shown}.{name}".lstrip(".")
    return names
