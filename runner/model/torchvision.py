"""Every classifier of torchvision, by its name there."""

from functools import partial
from typing import Any

import torch
from torch import nn
from torch.func import functional_call

from runner.errors import UserError, did_you_mean

# Made for one size of images, which their constructors take under this name.
SIZED = {"vit": "image_size", "maxvit": "input_size"}


def torchvision(
    in_channels: int,
    image_size: int,
    num_classes: int,
    name: str = "efficientnet_b0",
) -> nn.Module:
    """The classifier `name` of torchvision.models, new. `runner.build.pretrained` gives it trained weights.

    Images of other than 3 channels get a new first convolution. GoogLeNet and Inception-v3 come without their
    auxiliary classifiers: use model=googlenet and model=inception_v3 for those.

    Raises:
        UserError: there is no such network, or the images do not suit it.
    """
    import torchvision.models

    names = torchvision.models.list_models(module=torchvision.models)
    if name not in names:
        raise UserError(f"model.name: torchvision has no classifier '{name}'{did_you_mean(name, names)}")
    try:
        network = _untrained(name, in_channels, image_size, num_classes)
        _probe(network, in_channels, image_size)
    except (RuntimeError, ValueError, AssertionError) as error:
        smallest = torchvision.models.get_model_weights(name).DEFAULT.meta["min_size"][0]
        reason = (str(error).splitlines() or ["they do not fit"])[0].rstrip(".!")
        sizes = f"{smallest} or a size that suits" if name.partition("_")[0] in SIZED else f"{smallest} or more"
        raise UserError(
            f"data.image_size: {name} cannot take images of {image_size} pixels ({reason}); it is made for {sizes}"
        ) from error
    return network


def _untrained(name: str, in_channels: int, image_size: int, num_classes: int) -> nn.Module:
    import torchvision.models

    options: dict[str, Any] = {}
    family = name.partition("_")[0]
    if family in SIZED:
        options[SIZED[family]] = image_size if family == "vit" else (image_size, image_size)
    if name in ("googlenet", "inception_v3"):
        options |= {"aux_logits": False, "init_weights": False}
    network: nn.Module = torchvision.models.get_model(name, weights=None, num_classes=num_classes, **options)
    if in_channels != 3:
        path = next(path for path, layer in network.named_modules() if isinstance(layer, nn.Conv2d))
        first: Any = network.get_submodule(path)
        new = partial(nn.Conv2d, in_channels, first.out_channels, first.kernel_size, first.stride, first.padding)
        network.set_submodule(path, new(bias=first.bias is not None))
    return network


def _probe(network: nn.Module, in_channels: int, image_size: int) -> None:
    """Send images of that size through the network's shapes alone, without its numbers."""
    shapes = {name: tensor.to("meta") for name, tensor in (*network.named_parameters(), *network.named_buffers())}
    images = torch.zeros(2, in_channels, image_size, image_size, device="meta")
    with torch.no_grad():
        functional_call(network.eval(), shapes, (images,))
    network.train()
