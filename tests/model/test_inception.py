"""GoogLeNet, Inception-v3 and v4: torchvision's numbers, auxiliary classifiers, sizes."""

import pytest
import torch
import torch.nn.functional as F
import torchvision.models
from torch import Tensor, nn

from runner.engine.settings import Settings
from runner.engine.step import Step
from runner.model import InceptionResNetV2, InceptionV2, InceptionV4, googlenet, inception_v3
from runner.model.blocks import ConvUnit, ResponseNorm
from runner.model.inception import Branches
from runner.model.inception_residual import Residual


def same_weights(ours: nn.Module, theirs: nn.Module) -> None:
    theirs.load_state_dict(ours.state_dict())


def test_googlenet_gives_torchvision_s_scores():
    torch.manual_seed(0)
    ours = googlenet(3, 64, 10, stem="imagenet", dropout=0.0, aux_dropout=0.0)
    theirs = torchvision.models.GoogLeNet(10, init_weights=False, dropout=0.0, dropout_aux=0.0)
    same_weights(ours, theirs)
    x = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(tuple(ours(x)), tuple(theirs(x)))
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))


def test_inception_v3_gives_torchvision_s_scores():
    torch.manual_seed(0)
    ours = inception_v3(3, 10)
    theirs = torchvision.models.Inception3(10, init_weights=False)
    same_weights(ours, theirs)
    x, maps = torch.randn(2, 3, 75, 75), torch.randn(2, 768, 17, 17)
    torch.testing.assert_close(ours.AuxLogits(maps), theirs.AuxLogits(maps))
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))


AUXILIARY = {
    "googlenet": (lambda **keys: googlenet(1, 8, 10, width=1 / 8, dropout=0.0, aux_dropout=0.0, **keys), 0.3, 3),
    "inception_v3": (lambda **keys: inception_v3(1, 10, width=1 / 16, dropout=0.0, **keys), 0.4, 2),
}


@pytest.mark.parametrize("word", AUXILIARY)
def test_training_gives_auxiliary_scores_too_and_evaluation_the_scores_alone(word):
    make, weight, num_scores = AUXILIARY[word]
    network = make()
    x = torch.randn(4, 1, 8, 8)
    assert network.aux_weight == weight
    assert [tuple(scores.shape) for scores in network(x)] == [(4, 10)] * num_scores
    assert isinstance(network.eval()(x), Tensor)


@pytest.mark.parametrize("word", AUXILIARY)
def test_the_step_adds_the_auxiliary_losses_by_their_weight(word):
    make, _, _ = AUXILIARY[word]
    network = make(aux_weight=0.7)
    step = Step(network, nn.CrossEntropyLoss(), Settings(compile=False), num_classes=10)
    x, labels = torch.randn(4, 1, 8, 8), torch.arange(4)
    main, *others = network(x)
    expected = F.cross_entropy(main, labels) + 0.7 * sum(F.cross_entropy(scores, labels) for scores in others)
    torch.testing.assert_close(step._losses(x, labels)[0], expected)


@pytest.mark.parametrize("word", AUXILIARY)
def test_a_weight_of_0_leaves_the_auxiliary_classifiers_out(word):
    make, _, _ = AUXILIARY[word]
    network = make(aux_weight=0)
    assert isinstance(network(torch.randn(4, 1, 8, 8)), Tensor)
    assert sum(p.numel() for p in network.parameters()) < sum(p.numel() for p in make().parameters())


def first_map(network: nn.Module, image_size: int) -> int:
    sizes: list[int] = []
    unit = next(layer for layer in network.modules() if isinstance(layer, ConvUnit))
    unit.register_forward_hook(lambda _layer, args, _y: sizes.append(args[0].shape[-1]))
    network(torch.zeros(2, 3, image_size, image_size, device="meta"))
    return sizes[0]


@pytest.mark.parametrize("make", [inception_v3, InceptionV4])
def test_small_images_are_enlarged_to_the_smallest_size(make):
    with torch.device("meta"):
        assert first_map(make(3, 10), 32) == 75
        assert first_map(make(3, 10, min_size=96), 32) == 96
        assert first_map(make(3, 10), 128) == 128


@pytest.mark.parametrize("make", [inception_v3, InceptionV4])
def test_75_pixels_are_truly_the_smallest(make):
    with torch.device("meta"):
        network = make(3, 10).eval()
    network._forward_pre_hooks.clear()  # takes the enlarging of v3 away
    trunk = nn.Sequential(*list(network)[1:]) if make is InceptionV4 else network
    assert trunk(torch.zeros(1, 3, 75, 75, device="meta")).shape == (1, 10)
    with pytest.raises(RuntimeError):
        trunk(torch.zeros(1, 3, 74, 74, device="meta"))


def test_inception_v4_has_the_paper_s_maps():
    with torch.device("meta"):
        network = InceptionV4(3, 1000)
        x = torch.zeros(2, 3, 299, 299)
    seen = []
    for layer in network:
        x = layer(x)
        if not isinstance(layer, ConvUnit) and x.ndim == 4 and x.shape[-1] > 1 and x.shape[1] > 3:
            seen.append((x.shape[1], x.shape[-1]))
    stem = [(160, 73), (192, 71), (384, 35)]
    assert seen == stem + [(384, 35)] * 4 + [(1024, 17)] * 8 + [(1536, 8)] * 4


def test_cifar_stem_of_googlenet_keeps_small_maps():
    with torch.device("meta"):
        network = googlenet(3, 32, 10)
        seen: list[int] = []
        network.inception5b.register_forward_hook(lambda _layer, _args, y: seen.append(y.shape[-1]))
        network(torch.zeros(2, 3, 32, 32))
    assert seen == [8]


WITHOUT_DROPOUT = {
    "googlenet": lambda: googlenet(3, 32, 10, dropout=0.0, aux_dropout=0.0),
    "inception_v3": lambda: inception_v3(3, 10, dropout=0.0),
    "inception_v4": lambda: InceptionV4(3, 10, dropout=0.0),
}


@pytest.mark.parametrize("word", WITHOUT_DROPOUT)
def test_dropout_can_be_switched_off(word):
    with torch.device("meta"):
        network = WITHOUT_DROPOUT[word]()
    assert {layer.p for layer in network.modules() if isinstance(layer, nn.Dropout)} == {0.0}


def test_the_googlenet_of_2014_is_without_batch_norm_and_with_filters_of_5x5():
    network = googlenet(3, 224, 10, variant=2014, aux_weight=0)
    assert not [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    sides = [layer.kernel_size[0] for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    assert {side: sides.count(side) for side in set(sides)} == {7: 1, 1: 1 + 9 * 4, 3: 1 + 9, 5: 9}
    assert [layer.p for layer in network.modules() if isinstance(layer, nn.Dropout)] == [0.4]
    assert [type(layer) for layer in network.maxpool2] == [ResponseNorm, nn.MaxPool2d]
    # Table 1 of the paper: maps of each module, and where they are 28, 14 and 7 pixels large.
    seen = {}
    for name, layer in network.named_children():
        if name.startswith("inception"):
            layer.register_forward_hook(lambda _, __, y, name=name: seen.update({name[9:]: tuple(y.shape[1:3])}))
    network.eval()(torch.zeros(1, 3, 224, 224))
    assert seen == {
        "3a": (256, 28), "3b": (480, 28), "4a": (512, 14), "4b": (512, 14), "4c": (512, 14),
        "4d": (528, 14), "4e": (832, 14), "5a": (832, 7), "5b": (1024, 7),
    }  # fmt: skip


def test_the_dropout_of_a_variant_is_its_own_unless_it_is_set():
    assert googlenet(3, 32, 10, width=1 / 8).dropout.p == 0.2
    assert googlenet(3, 32, 10, width=1 / 8, variant=2014, dropout=0.1).dropout.p == 0.1


def test_inception_v2_has_the_maps_of_the_papers_table():
    network = InceptionV2(3, 224, 10).eval()
    seen = []
    for layer in network:
        if isinstance(layer, Branches):
            layer.register_forward_hook(lambda _, __, y: seen.append(tuple(y.shape[1:3])))
    network(torch.zeros(1, 3, 224, 224))
    assert seen == [(256, 28), (320, 28), (576, 14), *[(576, 14)] * 4, (1024, 7), (1024, 7), (1024, 7)]


def test_inception_resnet_v2_has_its_blocks_and_maps():
    network = InceptionResNetV2(3, 10, width=1 / 16, min_size=299).eval()
    blocks = [layer for layer in network if isinstance(layer, Residual)]
    assert [block.scale for block in blocks] == [0.17] * 10 + [0.1] * 20 + [0.2] * 9 + [1.0]
    seen = set()
    for block in blocks:
        block.register_forward_hook(lambda _, __, y: seen.add(tuple(y.shape[1:3])))
    network(torch.zeros(1, 3, 299, 299))
    assert seen == {(20, 35), (68, 17), (130, 8)}  # 320, 1088 and 2080 maps in whole width
    x = torch.randn(1, 20, 7, 7)
    block = blocks[0]
    expected = (x + 0.17 * block.project(torch.cat([branch(x) for branch in block.branches], 1))).relu()
    torch.testing.assert_close(block(x), expected)
    assert blocks[-1](torch.randn(1, 130, 3, 3)).min() < 0  # no activation after the last
