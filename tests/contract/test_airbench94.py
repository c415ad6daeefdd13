"""The recipe airbench94 against the same written by hand, in the form of its paper, at a small size."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import runner
from runner import build
from runner.data.batches import as_float

B, STEPS_PER_EPOCH, STEPS = 32, 4, 11
WORDS = ["experiment=airbench94", "data=synthetic", "data.num_images=160", "data.image_size=32", f"data.batch_size={B}"]
WORDS += ["model.channels=[24,40,40]", "engine.device=cpu", "engine.epochs=3", f"engine.max_steps={STEPS}"]
# The rate is per 1024 images; what happens in the fourth epoch or every fifth update comes earlier.
WORDS += [f"optimizer.lr={11.5 / (1 + 1 / 0.15) * B / 1024}", "average.every_steps=3"]
WORDS += ["optimizer.param_groups.1.freeze_after_epochs=2"]


class Scaled(nn.Module):
    def __init__(self, divisor):
        super().__init__()
        self.divisor = divisor

    def forward(self, x):
        return x / self.divisor


def norm(channels):
    layer = nn.BatchNorm2d(channels, eps=1e-12, momentum=1 - 0.6)
    layer.weight.requires_grad = False
    return layer


def group(inputs, outputs):
    first, second = (nn.Conv2d(i, outputs, 3, padding="same", bias=False) for i in (inputs, outputs))
    middle = [nn.MaxPool2d(2), norm(outputs), nn.GELU()]
    return [first, *middle, second, norm(outputs), nn.GELU()]


def network_by_hand(images, divisor=9):
    """The network for whitened images [N, 3, 32, 32]; its convolutions begin as the identity."""
    layers = [nn.Conv2d(3, 24, 2), nn.GELU(), *group(24, 24), *group(24, 40), *group(40, 40)]
    layers += [nn.MaxPool2d(3), nn.Flatten(), nn.Linear(40, 10, bias=False), Scaled(divisor)]
    network = nn.Sequential(*layers)
    with torch.no_grad():
        for layer in network:
            if isinstance(layer, nn.Conv2d):
                nn.init.dirac_(layer.weight[: layer.in_channels])
        patches = F.unfold(images, 2).transpose(1, 2).flatten(0, 1).double()
        values, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
        half = (vectors / (values + 5e-4).sqrt()).T.flip(0).reshape(12, 3, 2, 2)
        network[0].weight.copy_(torch.cat([half, -half]))
        network[0].bias.zero_()
    network[0].weight.requires_grad = False
    return network


def augmented(pixels, mirrored, offsets, epoch):
    """Normalized pixels, mirrored as in the first epoch, moved by reflection, and turned around in odd epochs."""
    images = torch.where(mirrored[:, None, None, None], pixels.flip(-1), pixels)
    images = images.flip(-1) if epoch % 2 else images
    padded = F.pad(images, (2, 2, 2, 2), mode="reflect")
    return torch.stack([p[:, y : y + 32, x : x + 32] for p, (y, x) in zip(padded, offsets.tolist(), strict=True)])


def train_by_hand(network, batches_of):
    """Losses of the summed form with decoupled numbers; the slow weights at the end."""
    reach = 1024 * (1 + 1 / (1 - 0.85))
    lr, decay = 11.5 / reach, 0.0153 * B / reach
    biases = [layer.bias for layer in network if isinstance(layer, nn.BatchNorm2d)]
    others = [p for p in network.parameters() if p.requires_grad and not any(p is bias for bias in biases)]
    groups = [
        {"params": biases, "lr": 64 * lr, "weight_decay": decay / (64 * lr)},
        {"params": others, "lr": lr, "weight_decay": decay / lr},
    ]
    optimizer = torch.optim.SGD(groups, momentum=0.85, nesterov=True)
    peak = int(0.23 * STEPS)
    up, down = torch.linspace(0.2, 1, peak + 1), torch.linspace(1, 0.07, STEPS - peak + 1)
    factors = torch.cat([up[:-1], down]).tolist()
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: factors[t])
    losses, slow, t = [], copy.deepcopy(network.state_dict()), 0
    while t < STEPS:
        epoch = t // STEPS_PER_EPOCH
        network[0].bias.requires_grad = epoch < 2
        for images, labels in batches_of(epoch):
            loss = F.cross_entropy(network(images), labels, label_smoothing=0.2, reduction="none").sum()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item() / B)
            t += 1
            if t % 3 == 0:
                pull(slow, network, 0.95**5 * (t / STEPS) ** 3)
            if t == STEPS:
                break
    return losses, slow


def pull(slow, network, decay):
    for key, value in network.state_dict().items():
        if value.is_floating_point():
            slow[key].mul_(decay).add_(value, alpha=1 - decay)
            value.copy_(slow[key])


def ours_in_the_order_of(network):
    """The weights of our network, in the order in which they act."""
    return [tensor for tensor in network.state_dict().values() if tensor.is_floating_point()]


@pytest.fixture
def both():
    """Our training, and a network by hand with the same random filters.

    In double precision, so that only the mathematics counts: rates this high make much of a rounding.
    """
    torch.set_default_dtype(torch.float64)
    try:
        yield from _made()
    finally:
        torch.set_default_dtype(torch.float32)


def _made():
    made = build.training(runner.compose(WORDS))
    normalized = made.state.preprocess(as_float(made.train.loader.pixels))
    network = network_by_hand(normalized)
    for ours, theirs in zip(ours_in_the_order_of(made.state.network), ours_in_the_order_of(network), strict=True):
        if theirs.ndim == 4 and theirs.shape[2] == 3:
            count = theirs.shape[1]
            torch.testing.assert_close(ours[:count], theirs[:count], rtol=0, atol=0)  # the identity
        if theirs.ndim != 4 or theirs.shape[2] == 3:
            theirs.copy_(ours)
    yield made, network, normalized


def test_whitened_images_give_the_same_scores(both):
    made, network, normalized = both
    mine, by_hand = made.state.network.first, network[0]
    with torch.no_grad():
        squares = [layer(normalized[:8])[:, :12].square() for layer in (mine, by_hand)]  # an eigenvector's sign is free
        torch.testing.assert_close(*squares, rtol=1e-3, atol=1e-3)
        by_hand.weight.copy_(mine.weight)
        for mode in (True, False):
            ours, theirs = (copy.deepcopy(part).train(mode)(normalized[:8]) for part in (made.state.network, network))
            torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


def test_eleven_updates_have_the_same_losses_and_end_at_the_same_weights(both):
    made, network, normalized = both
    network[0].weight.data.copy_(made.state.network.first.weight)
    train = made.train
    labels = train.loader.labels
    mirrored = torch.empty(len(normalized), dtype=torch.bool)
    for epoch in range(0, 20, 2):  # as in the first; each leaves a few images out
        flip, _ = train.drawn(epoch)
        mirrored[train.order(epoch)] = flip["flip"]

    def batches_of(epoch):
        order, (_, crop) = train.order(epoch), train.drawn(epoch)
        images = augmented(normalized[order], mirrored[order], crop["offset"], epoch)
        return zip(images.split(B), labels[order].split(B), strict=True)

    expected, slow = train_by_hand(network, batches_of)
    losses = []
    for epoch in range(3):
        for batch in train.epoch(epoch):
            if len(losses) < STEPS:
                losses.append(made.step(made.state, batch)[0].item())
    assert losses == pytest.approx(expected, rel=1e-9)
    assert len(set(losses)) == STEPS
    for got, want in zip(made.state.scored_network.state_dict().values(), slow.values(), strict=True):
        if want.is_floating_point():
            torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-9)


def losses_of(training, first=0, end=STEPS):
    found = []
    for number in range(first, end):
        batch = next(training.train.epoch(number // STEPS_PER_EPOCH, number % STEPS_PER_EPOCH))
        found.append(training.step(training.state, batch)[0])
        training.state.step += 1
    return torch.stack(found)


def small(seed=0, lr=1e-3):
    return runner.compose([*WORDS, "model.channels=[4,8,8]", f"seed={seed}", f"optimizer.lr={lr}"])


def test_going_on_in_the_middle_repeats_the_rest_to_the_bit():
    through, stopped, resumed = (build.training(small()) for _ in range(3))
    expected = losses_of(through)
    losses_of(stopped, end=9)  # after the whitening bias has ended, between two updates of the slow weights
    resumed.state.load_state_dict(copy.deepcopy(stopped.state.state_dict()))
    assert torch.equal(losses_of(resumed, first=9), expected[9:])
    for ours, theirs in zip(
        resumed.state.scored_network.parameters(), through.state.scored_network.parameters(), strict=True
    ):
        assert torch.equal(ours, theirs)


def test_a_vectorized_trial_equals_the_trial_alone():
    cfgs = [small(), small(seed=1, lr=3e-3)]
    expected = torch.cat([losses_of(build.training(cfg)) for cfg in cfgs], dim=1)
    torch.testing.assert_close(losses_of(build.vectorize(cfgs)), expected, rtol=1e-4, atol=1e-5)
