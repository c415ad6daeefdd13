"""Every word that draws noise in training: on the training images its test form scores no lower than a noisy pass."""

import pytest
import torch
import torch.nn.functional as F

import runner
from runner import config, reg
from runner.reg import Regularizer, overrides

NUM_PASSES = 10
A_FEW_IMAGES = 0.01  # what accuracies differ by to either side where the noise costs none
MLP = ["model=mlp", "model.hidden=[64]", "optimizer.lr=5e-3"]
CONVNET = ["model=convnet", "model.channels=[8,16]", "model.hidden=32", "optimizer.lr=5e-3"]
RESNET = ["model=resnet", "model.depth=20", "model.width=2", "optimizer.lr=2e-2"]

# Noise inside the network, which its training mode draws.
NETWORKS = {
    "dropout": [*MLP, "reg=dropout"],
    "vanilla dropout": [*MLP, "reg=dropout", "reg.dropout.form=vanilla"],
    "dropout of channels": [*CONVNET, "reg=dropout", "reg.dropout.layers=conv", "reg.dropout.p=0.2"],
    "dropconnect": [*MLP, "reg=dropconnect"],
    "stochastic_depth": [*RESNET, "reg=stochastic_depth", "reg.stochastic_depth.last_survival=0.7"],
    "stochastic_depth of batches": [*RESNET, "reg=stochastic_depth", "reg.stochastic_depth.mode=batch"],
    "fractional_max_pool": [*CONVNET, "reg=fractional_max_pool"],
    "batch normalization": CONVNET,
    "dropout of the model": ["model=alexnet", "model.width=0.05", "model.dropout=0.2", "optimizer.lr=5e-3"],
}
# Changes of the images, which the batches draw: each in a strength that images of 8 pixels stand.
WEAKER = {"crop": ["augment.crop.padding=1"], "scale_crop": ["augment.scale_crop.max_scale=1.5"]}
AUGMENTS = sorted(set(config.visible([path.stem for path in (config.folder() / "augment").glob("*.yaml")])) - {"none"})
IMAGES = [*([f"augment={name}", *WEAKER.get(name, [])] for name in AUGMENTS), ["reg=cutout", "reg.cutout.fraction=0.3"]]


def trained(words, num_epochs=5):
    made = runner.build.training(runner.compose([*words, f"engine.epochs={num_epochs}"]))
    for epoch in range(num_epochs):
        for batch in made.train.epoch(epoch):
            made.step(made.state, batch)
            made.state.step += 1
    return made


@torch.no_grad()
def accuracy(network, batches):
    return torch.cat([network(images).argmax(1) == labels for images, labels in batches]).double().mean().item()


QUICK = ("dropout of channels", "batch normalization")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name not in QUICK)) for name in NETWORKS]
)
def test_a_network_scores_no_lower_without_its_noise(name):
    made = trained(NETWORKS[name])
    network, batches = made.state.network.train(), list(made.train.epoch())
    for layer in network.modules():
        if hasattr(layer, "track_running_stats"):
            layer.momentum = 0.0  # the statistics stay as they are
            layer.train(name == "batch normalization")
    noisy = sum(accuracy(network, batches) for _ in range(NUM_PASSES)) / NUM_PASSES
    assert noisy > 0.5, "not trained"
    allowed = A_FEW_IMAGES if name == "batch normalization" else 0.0
    assert accuracy(network.eval(), batches) >= noisy - allowed


@pytest.mark.slow  # trains a network for each
@pytest.mark.parametrize("words", IMAGES, ids=" ".join)
def test_a_network_scores_no_lower_on_images_that_are_left_as_they_are(words):
    made = trained([*CONVNET, *words])
    network = made.state.network.eval()
    changed = [batch for epoch in range(3) for batch in made.train.epoch(epoch)]
    if made.step.mixes:
        changed = [(made.step.mixed(x, F.one_hot(y, 10).float(), n)[0], y) for n, (x, y) in enumerate(changed)]
    made.train.augment = None
    # Each form of an image was seen as often as any other, so that chance decides which of them scores a little higher.
    assert accuracy(network, made.train.epoch()) >= accuracy(network, changed) - 2 * A_FEW_IMAGES


def test_every_regularizer_that_draws_noise_is_held_to_it():
    kinds = [kind for kind in vars(reg).values() if isinstance(kind, type) and issubclass(kind, Regularizer)]
    held = {
        type(made) for words in NETWORKS.values() for made in runner.build.parts.regularizers(runner.compose(words))
    }
    assert {kind for kind in kinds if kind.draws_noise} == held
    # Mixing draws as well, but changes the targets with the images; Cutout leaves them.
    assert {kind.__name__ for kind in kinds if overrides(kind(), "mix")} == {"Mixup", "CutMix", "Cutout"}
