"""The recipe airbench_muon against the same written by hand, in the form of its script, at a small size."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import runner
from runner import build
from runner.data.batches import as_float
from tests.contract.test_airbench94 import augmented, network_by_hand, ours_in_the_order_of

B, OF_SCRIPT, STEPS_PER_EPOCH, STEPS = 32, 2000, 4, 11
WORDS = ["experiment=airbench_muon", "data=synthetic", "data.num_images=160", "data.image_size=32"]
WORDS += [f"data.batch_size={B}", "model.channels=[24,40,40]", "engine.device=cpu", "engine.epochs=3"]
WORDS += [f"engine.max_steps={STEPS}", "optimizer.param_groups.1.freeze_after_epochs=2"]


@pytest.fixture
def double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def orthogonalized(G, steps=3):
    a, b, c = 3.4445, -4.7750, 2.0315
    X = G / (G.norm() + 1e-7)
    X = X.T if G.shape[0] > G.shape[1] else X
    for _ in range(steps):
        A = X @ X.T
        X = a * X + (b * A + c * A @ A) @ X
    return X.T if G.shape[0] > G.shape[1] else X


def muon_step(p, buffer, lr, momentum=0.6):
    buffer.mul_(momentum).add_(p.grad)
    g = p.grad + momentum * buffer
    p.mul_(len(p) ** 0.5 / p.norm())
    p.add_(orthogonalized(g.flatten(1)).view_as(g), alpha=-lr)


def train_by_hand(network, batches_of):
    """Losses of the summed form, as of a batch of 2000 images; the rate of all falls to 0 over the run."""
    filters = [layer.weight for layer in network if isinstance(layer, nn.Conv2d) and layer.weight.requires_grad]
    norm_biases = [layer.bias for layer in network if isinstance(layer, nn.BatchNorm2d)]
    (head,) = [layer.weight for layer in network if isinstance(layer, nn.Linear)]
    decay = 2e-6 * OF_SCRIPT
    groups = [
        {"params": [network[0].bias], "lr": 0.053, "weight_decay": decay / 0.053},
        {"params": norm_biases, "lr": 0.053, "weight_decay": decay / 0.053},
        {"params": [head], "lr": 0.67, "weight_decay": decay / 0.67},
    ]
    sgd = torch.optim.SGD(groups, momentum=0.85, nesterov=True)
    rates = [group["lr"] for group in sgd.param_groups]
    buffers = [torch.zeros_like(p) for p in filters]
    losses = []
    for epoch in range(3):
        network[0].bias.requires_grad = epoch < 2
        for images, labels in batches_of(epoch):
            if len(losses) == STEPS:
                break
            loss = F.cross_entropy(network(images), labels, label_smoothing=0.2)
            network.zero_grad(set_to_none=True)
            (loss * OF_SCRIPT).backward()
            left = 1 - len(losses) / STEPS
            for group, rate in zip(sgd.param_groups, rates, strict=True):
                group["lr"] = rate * left
            sgd.step()
            with torch.no_grad():
                for p, buffer in zip(filters, buffers, strict=True):
                    muon_step(p, buffer, 0.24 * left)
            losses.append(loss.item())
    return losses


def test_eleven_updates_have_the_losses_of_the_script(double):
    made = build.training(runner.compose(WORDS))
    train, state = made.train, made.state
    normalized = state.preprocess(as_float(train.loader.pixels))
    network = network_by_hand(normalized, divisor=256)
    with torch.no_grad():
        for ours, theirs in zip(ours_in_the_order_of(state.network), ours_in_the_order_of(network), strict=True):
            theirs.copy_(ours)
        network[-2].weight.mul_(768**0.5)  # from the standard deviation of 256 inputs to 1
    labels = train.loader.labels
    mirrored = torch.empty(len(normalized), dtype=torch.bool)
    for epoch in range(0, 20, 2):
        flip, _ = train.drawn(epoch)
        mirrored[train.order(epoch)] = flip["flip"]

    def batches_of(epoch):
        order, (_, crop) = train.order(epoch), train.drawn(epoch)
        images = augmented(normalized[order], mirrored[order], crop["offset"], epoch)
        return zip(images.split(B), labels[order].split(B), strict=True)

    expected = train_by_hand(network, batches_of)
    losses = []
    for epoch in range(3):
        for batch in train.epoch(epoch):
            if len(losses) < STEPS:
                losses.append(made.step(state, batch)[0].item())
                state.step += 1
    assert losses == pytest.approx(expected, rel=1e-5)
    assert len(set(losses)) == STEPS
    torch.testing.assert_close(network[-2].weight / 768**0.5, state.network.linear.weight, rtol=1e-4, atol=1e-6)


def test_the_recipe_makes_the_steps_of_the_script():
    cfg = runner.compose(["experiment=airbench_muon"])
    runner.config.check(cfg)
    assert cfg.engine.max_steps == 8 * (50_000 // 2000)
    assert cfg.engine.epochs * (49_500 // 2000) >= cfg.engine.max_steps
    assert cfg.model.scale == pytest.approx(768**0.5 / 256)
