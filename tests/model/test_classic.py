"""AlexNet, ZFNet and VGG: the layers of their papers, and torchvision's network where it has one."""

import pytest
import torch
import torchvision.models
from torch import nn

from runner.errors import UserError
from runner.model import NIN, alexnet, vgg, zfnet
from runner.model.blocks import ResponseNorm


def layers(network: nn.Module) -> str:
    """The layers in order, without what does not change the numbers."""
    return (str(network.features) + str(network.classifier)).replace("inplace=True", "")


def shapes(network: nn.Module) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in network.state_dict().items()}


def on_meta(make, *args, **keys):
    with torch.device("meta"):
        return make(*args, **keys)


def test_alexnet_of_2014_is_torchvision_s():
    ours = on_meta(alexnet, 3, 224, 1000)
    theirs = on_meta(torchvision.models.alexnet)
    assert layers(ours) == layers(theirs)
    assert shapes(ours) == shapes(theirs)


@pytest.mark.parametrize("depth", [11, 13, 16, 19])
@pytest.mark.parametrize("norm", ["none", "batch"])
def test_vgg_is_torchvision_s(depth, norm):
    ours = on_meta(vgg, 3, 224, 1000, depth=depth, norm=norm)
    theirs = on_meta(getattr(torchvision.models, f"vgg{depth}" + ("_bn" if norm == "batch" else "")))
    assert layers(ours) == layers(theirs)
    assert shapes(ours) == shapes(theirs)


def test_alexnet_of_2012_normalizes_twice_and_2014_never():
    def norms(variant):
        network = on_meta(alexnet, 3, 224, 10, variant=variant)
        return [layer for layer in network.modules() if isinstance(layer, ResponseNorm)]

    assert len(norms(2012)) == 2
    assert all(isinstance(layer, nn.LocalResponseNorm) for layer in norms(2012))
    assert not norms(2014)


def convolutions(network: nn.Module) -> list[tuple[int, int, int]]:
    found = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    return [(conv.out_channels, conv.kernel_size[0], conv.stride[0]) for conv in found]


def test_alexnet_of_2012_has_the_paper_s_convolutions():
    expected = [(96, 11, 4), (256, 5, 1), (384, 3, 1), (384, 3, 1), (256, 3, 1)]
    assert convolutions(on_meta(alexnet, 3, 224, 1000, variant=2012)) == expected


def test_zfnet_has_the_lecture_s_convolutions():
    expected = [(96, 7, 2), (256, 5, 2), (512, 3, 1), (1024, 3, 1), (512, 3, 1)]
    assert convolutions(on_meta(zfnet, 3, 224, 1000)) == expected


def sizes_of_maps(network: nn.Module, image_size: int, kinds: tuple[type, ...]) -> list[int]:
    seen: list[int] = []
    for layer in network.modules():
        if isinstance(layer, kinds):
            layer.register_forward_hook(lambda _layer, _args, y: seen.append(y.shape[-1]))
    network(torch.zeros(2, 3, image_size, image_size, device="meta"))
    return seen


def test_maps_have_the_papers_sizes():
    kinds = (nn.Conv2d, nn.MaxPool2d)
    assert sizes_of_maps(on_meta(alexnet, 3, 224, 10, variant=2012), 224, kinds) == [55, 27, 27, 13, 13, 13, 13, 6]
    assert sizes_of_maps(on_meta(zfnet, 3, 224, 10), 224, kinds) == [110, 55, 26, 13, 13, 13, 13, 6]
    assert sizes_of_maps(on_meta(vgg, 3, 224, 10), 224, (nn.MaxPool2d,)) == [112, 56, 28, 14, 7]
    assert sizes_of_maps(on_meta(vgg, 3, 32, 10), 32, (nn.MaxPool2d,)) == [16, 8, 4, 2]


@pytest.mark.parametrize(("make", "smallest"), [(alexnet, 63), (zfnet, 47)])
def test_the_smallest_image_of_the_imagenet_stem_is_truly_the_smallest(make, smallest):
    for size in (smallest, smallest + 1):
        network = on_meta(make, 3, size, 10, stem="imagenet")
        assert network(torch.zeros(2, 3, size, size, device="meta")).shape == (2, 10)
    with pytest.raises(UserError, match=f"^data.image_size: .* {smallest} pixels or more"):
        make(3, smallest - 1, 10, stem="imagenet")
    network = on_meta(make, 3, smallest, 10, stem="imagenet")
    with pytest.raises(RuntimeError):
        network(torch.zeros(2, 3, smallest - 1, smallest - 1, device="meta"))


@pytest.mark.parametrize(
    ("make", "features"),
    [
        # Pooled three times, to 28 / 8 rounded up, or 32 / 8; at most to 6 by 6.
        (alexnet, {8: 256, 28: 256 * 16, 32: 256 * 16, 64: 256 * 36, 224: 256 * 36}),
        (zfnet, {8: 512, 28: 512 * 16, 32: 512 * 16, 64: 512 * 36, 224: 512 * 36}),
        # Halved while there are 4 pixels or more, at most five times; above 64 pixels pooled to 7 by 7.
        (vgg, {8: 512 * 4, 28: 512 * 9, 32: 512 * 4, 64: 512 * 4, 65: 512 * 49, 224: 512 * 49}),
    ],
)
def test_the_first_fully_connected_layer_sees_the_map_as_it_is_or_of_the_published_size(make, features):
    seen = {}
    for size in features:
        linear = next(layer for layer in on_meta(make, 3, size, 10).modules() if isinstance(layer, nn.Linear))
        seen[size] = linear.in_features
    assert seen == features


@pytest.mark.parametrize("make", [alexnet, zfnet, vgg])
def test_dropout_has_the_chosen_rate_on_two_layers(make):
    for rate in (0.0, 0.3):
        network = on_meta(make, 3, 32, 10, dropout=rate)
        assert [layer.p for layer in network.modules() if isinstance(layer, nn.Dropout)] == [rate, rate]


def test_dropout_follows_the_hidden_layers_in_2012_and_precedes_them_in_2014():
    def order(network):
        return [type(layer).__name__ for layer in network.classifier]

    follows = ["Linear", "ReLU", "Dropout", "Linear", "ReLU", "Dropout", "Linear"]
    assert order(on_meta(alexnet, 3, 32, 10, variant=2012)) == follows
    assert order(on_meta(zfnet, 3, 32, 10)) == follows
    assert order(on_meta(alexnet, 3, 32, 10)) == ["Dropout", "Linear", "ReLU", "Dropout", "Linear", "ReLU", "Linear"]


@pytest.mark.parametrize("make", [alexnet, zfnet, vgg])
def test_width_scales_every_hidden_channel(make):
    whole, half = (on_meta(make, 3, 32, 10, width=width) for width in (1.0, 0.5))

    def outputs(network):
        return [layer.weight.shape[0] for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]

    assert [2 * n for n in outputs(half)[:-1]] == outputs(whole)[:-1]
    assert outputs(half)[-1] == 10


def test_two_columns_meet_where_the_papers_do():
    # Figure 2 of the paper: a column's maps in the second, fourth and fifth layer depend on its own maps alone.
    network = alexnet(3, 32, 10, variant=2012, groups=2, width=1 / 16)
    groups = [layer.groups for layer in network.features if isinstance(layer, nn.Conv2d)]
    assert groups == [1, 2, 1, 2, 2]


@pytest.mark.parametrize(("order", "first"), [("norm_pool", ResponseNorm), ("pool_norm", nn.MaxPool2d)])
def test_normalization_stands_where_it_was_asked_for(order, first):
    network = alexnet(3, 224, 10, variant=2012, width=1 / 16, order=order)
    kinds = [type(layer) for layer in network.features]
    assert [kind for kind in kinds if kind in (ResponseNorm, nn.MaxPool2d)][::2][:2] == [first, first]
    assert network(torch.zeros(1, 3, 224, 224)).shape == (1, 10)


def test_nin_has_the_layers_that_its_authors_published():
    # Their files for Caffe: a convolution and 1x1 ones on each pixel, and 3x3 poolings of stride 2 between the stages.
    small = [(192, 5, 1), (160, 1, 1), (96, 1, 1), *[(192, 5, 1), (192, 1, 1), (192, 1, 1)], (192, 3, 1), (192, 1, 1)]
    large = [(96, 11, 4), *[(96, 1, 1)] * 2, (256, 5, 1), *[(256, 1, 1)] * 2, (384, 3, 1), *[(384, 1, 1)] * 2]
    assert convolutions(on_meta(NIN, 3, 32, 10)) == [*small, (10, 1, 1)]
    assert convolutions(on_meta(NIN, 3, 224, 1000)) == [*large, (1024, 3, 1), (1024, 1, 1), (1000, 1, 1)]
    pools = {
        size: [
            type(layer).__name__ for layer in on_meta(NIN, 3, size, 10).modules() if "Pool2d" in type(layer).__name__
        ]
        for size in (32, 224)
    }
    assert pools[32][:2] == ["MaxPool2d", "AvgPool2d"]
    assert pools[224][:3] == ["MaxPool2d"] * 3
    drops = {
        size: [
            type(layer).__name__
            for layer in on_meta(NIN, 3, size, 10).features
            if isinstance(layer, nn.Dropout | nn.MaxPool2d | nn.AvgPool2d)
        ]
        for size in (32, 224)
    }
    assert drops[32] == ["MaxPool2d", "Dropout", "AvgPool2d", "Dropout"], "after each stage but the last"
    assert drops[224] == ["MaxPool2d", "MaxPool2d", "MaxPool2d", "Dropout"], "before the last stage"
