"""ViT and ConvNeXt: torchvision's scores with its weights, and images of any size."""

import pytest
import torch
import torch.nn.functional as F
import torchvision.models
from torch import nn
from torchvision.models.convnext import CNBlockConfig

import runner
from runner import decay
from runner.model import ConvNeXt, ViT
from runner.model.convnext import Patches, patch_of
from runner.optimizer import layers_of

NAMES = {
    "patches": "conv_proj",
    "class_token": "class_token",
    "positions": "encoder.pos_embedding",
    "norm": "encoder.ln",
    "head": "heads.head",
}
IN_BLOCK = {"norm1": "ln_1", "norm2": "ln_2", "attention.out": "self_attention.out_proj", "mlp": "mlp"}


def vit_name(ours: str) -> str:
    """torchvision's name of a parameter of ours."""
    if not ours.startswith("blocks."):
        stem, _, rest = ours.partition(".")
        return NAMES[stem] + (f".{rest}" if rest else "")
    _, number, inside = ours.split(".", 2)
    if inside.startswith("attention.qkv"):
        return f"encoder.layers.encoder_layer_{number}.self_attention.in_proj_{inside.rpartition('.')[2]}"
    prefix = next(key for key in IN_BLOCK if inside.startswith(key))
    return f"encoder.layers.encoder_layer_{number}.{IN_BLOCK[prefix]}{inside.removeprefix(prefix)}"


def give(ours: nn.Module, theirs: nn.Module, name_of) -> None:
    """Give each of torchvision's parameters the weights of ours; none is left out."""
    named = dict(theirs.named_parameters())
    with torch.no_grad():
        for name, parameter in ours.named_parameters():
            parameter.normal_(std=0.05)
            other = named.pop(name_of(name))
            other.copy_(parameter.view(other.shape))
    assert not named


@pytest.mark.parametrize(("size", "patch"), [(32, 4), (24, 8)])
def test_vit_gives_torchvisions_scores(size, patch):
    ours = ViT(3, size, 10, patch_size=patch, width=24, depth=3, heads=4)
    keys = {"num_layers": 3, "num_heads": 4, "hidden_dim": 24, "mlp_dim": 96, "num_classes": 10}
    theirs = torchvision.models.VisionTransformer(image_size=size, patch_size=patch, **keys)
    give(ours, theirs, vit_name)
    images = torch.randn(3, 3, size, size)
    torch.testing.assert_close(ours(images), theirs(images), rtol=1e-4, atol=1e-5)


def convnext_name(ours: str) -> str:
    stem, _, rest = ours.partition(".")
    if stem in ("norm", "head"):
        return f"classifier.{0 if stem == 'norm' else 2}.{rest}"
    if stem == "stem":
        return f"features.0.{rest}"
    stage, _, inside = rest.partition(".")
    features = f"features.{int(stage) + 1}"
    if int(stage) % 2:  # patches between the stages
        return f"{features}.{inside}"
    block, _, layer = inside.partition(".")
    if layer == "scale":
        return f"{features}.{block}.layer_scale"
    places = {"depthwise": 0, "norm": 2, "mlp.0": 3, "mlp.2": 5}
    key = next(key for key in places if layer.startswith(key))
    return f"{features}.{block}.block.{places[key]}{layer.removeprefix(key)}"


@pytest.mark.parametrize("size", [32, 64])
def test_convnext_gives_torchvisions_scores(size):
    ours = ConvNeXt(3, size, 10, channels=[8, 12, 16, 20], depths=[1, 2, 2, 1], patch_size=4)
    sizes = [(8, 12, 1), (12, 16, 2), (16, 20, 2), (20, None, 1)]
    theirs = torchvision.models.ConvNeXt([CNBlockConfig(*row) for row in sizes], num_classes=10)
    give(ours, theirs, convnext_name)
    images = torch.randn(3, 3, size, size)
    torch.testing.assert_close(ours(images), theirs(images), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("make", "sides"), [(ViT, {8: 2, 32: 4, 65: 16, 224: 16}), (ConvNeXt, {8: 1, 32: 2, 224: 4})])
def test_patches_follow_the_size_of_the_image(make, sides):
    for size, patch in sides.items():
        with torch.device("meta"):
            network = make(1, size, 10)
        first = next(layer for layer in network.modules() if isinstance(layer, nn.Conv2d))
        assert first.kernel_size == (patch, patch)


@pytest.mark.parametrize("make", [ViT, ConvNeXt])
def test_a_side_that_is_no_multiple_of_the_patch_is_filled_up_with_zeros(make):
    network = make(1, 30, 10, patch_size=4).eval()
    images = torch.randn(2, 1, 30, 30)
    filled = nn.functional.pad(images, (0, 2, 0, 2))
    whole = make(1, 32, 10, patch_size=4).eval()
    whole.load_state_dict(network.state_dict())
    torch.testing.assert_close(network(images), whole(filled))


def test_a_new_vit_has_no_biases_but_those_of_its_blocks_and_norms():
    network = ViT(3, 8, 10)
    assert not network.head.bias.any()
    assert not network.patches.bias.any()
    assert not network.class_token.any()
    assert network.head.weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert network.patches.weight.std().item() == pytest.approx(12**-0.5, rel=0.1), "patches of 2 x 2 pixels"


def test_small_images_are_cut_into_small_patches():
    assert {size: patch_of(size) for size in (8, 16, 17, 64, 65, 224)} == {8: 1, 16: 1, 17: 2, 64: 2, 65: 4, 224: 4}


@pytest.mark.parametrize("word", ["vit", "convnext"])
def test_what_is_decayed_are_matrices_and_filters(word):
    network = runner.build.model(runner.compose([f"model={word}"]))
    kept = {name.rpartition(".")[2] for name, p in network.named_parameters() if not decay.is_decayed(p)}
    norms = {f"{path}.weight" for path, layer in network.named_modules() if isinstance(layer, nn.LayerNorm)}
    extra = {"class_token", "positions"} if word == "vit" else {"scale"}
    assert kept == {"bias", "weight", *extra}
    assert norms == {n for n, p in network.named_parameters() if n.endswith("weight") and not decay.is_decayed(p)}


def test_layers_of_a_vit_are_its_patches_its_blocks_and_its_head():
    network = ViT(3, 32, 10, width=24, depth=4)
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    layers = [{names[id(parameter)] for parameter in layer} for layer in layers_of(network)]
    assert layers[0] == {"class_token", "positions", "patches.weight", "patches.bias"}
    assert [{name.split(".")[1] for name in layer if name.startswith("blocks")} for layer in layers[1:5]] == [
        {"0"},
        {"1"},
        {"2"},
        {"3"},
    ]
    assert layers[5] == {"head.weight", "head.bias"}


@pytest.mark.parametrize("words", [["model=vit", "model.width=24"], ["model=convnext", "model.channels=[8,12,16,20]"]])
def test_stochastic_depth_acts_on_both(words):
    cfg = runner.compose([*words, "reg=stochastic_depth", "init=default"])
    network = runner.build.model(cfg)
    rates = [layer.p for layer in network.modules() if type(layer).__name__ == "StochasticDepth"]
    assert rates == pytest.approx([0.5 * (i + 1) / len(rates) for i in range(len(rates))])


def test_patches_over_an_odd_map_fill_it_up_with_zeros_at_its_right_and_bottom():
    layer = Patches(3, 5, 2)
    images = torch.randn(1, 3, 7, 5)
    whole = torch.zeros(1, 3, 8, 6)
    whole[:, :, :7, :5] = images
    torch.testing.assert_close(layer(images), F.conv2d(whole, layer.weight, layer.bias, stride=2))


def test_the_larger_the_images_the_larger_a_patch_of_vit():
    sizes = {8: 2, 16: 2, 17: 4, 64: 4, 65: 16, 224: 16}
    for size, patch in sizes.items():
        with torch.device("meta"):
            assert ViT(3, size, 10, width=12, depth=1, heads=1).patches.kernel_size == (patch, patch)
