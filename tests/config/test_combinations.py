"""What is refused and what is said of choices that act in one place."""

import pytest
import torch
import torchvision
from torch import nn

import runner
from runner import config
from runner.reg import DropConnect, Dropout

OWN = {
    "alexnet": ("model.dropout=0.5", "model.dropout=0"),
    "zfnet": ("model.dropout=0.5", "model.dropout=0"),
    "vgg": ("model.dropout=0.5", "model.dropout=0"),
    "nin": ("model.dropout=0.5", "model.dropout=0"),
    "inception_v2": ("model.dropout=0.2", "model.dropout=0"),
    "inception_resnet_v2": ("model.dropout=0.2", "model.dropout=0"),
    "googlenet": ("model.dropout=null model.aux_dropout=0.7", "model.dropout=0 model.aux_dropout=0"),
    "inception_v3": ("model.dropout=0.5", "model.dropout=0"),
    "inception_v4": ("model.dropout=0.2", "model.dropout=0"),
}


def refuse_or_note(*words):
    cfg = config.compose(words)
    config.check(cfg)
    config.check_combinations(cfg)
    return config.notes(cfg)


@pytest.mark.slow
@pytest.mark.parametrize("model", OWN)
def test_dropout_beside_the_dropout_of_a_model_is_refused_by_both_keys(model):
    rates, off = OWN[model]
    with pytest.raises(runner.UserError, match=f"^reg.dropout.p: .*as {rates} does already.*; set {off}, or leave"):
        refuse_or_note(f"model={model}", "reg=dropout")
    refuse_or_note(f"model={model}", "reg=dropout", *off.split())
    refuse_or_note(f"model={model}", "reg=dropout", "reg.dropout.layers=conv")
    refuse_or_note(f"model={model}")


def test_half_of_the_units_reach_the_next_layer_of_a_network_that_had_dropout_of_its_own():
    # Dropped twice, a quarter of them did.
    torch.manual_seed(0)
    network = torchvision.models.alexnet(num_classes=3)
    Dropout(p=0.5).attach(network)
    seen = []
    network.classifier[4].register_forward_hook(lambda layer, args, output: seen.append(args[0]))
    before = network.classifier[3]
    assert isinstance(before, nn.Dropout)
    units = torch.ones(1, 4096)
    network.train()
    network.classifier[4](before(units))
    assert (seen[0] > 0).double().mean().item() == pytest.approx(0.5, abs=0.04)


def test_dropout_leaves_dropconnect_and_what_acts_elsewhere_alone():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Dropout(0.3), nn.Conv2d(2, 2, 3), nn.Flatten(), nn.Linear(2, 2))
    Dropout(layers="conv").attach(network)
    assert network[1].p == 0.3
    DropConnect(p=0.2).attach(network)
    Dropout(layers="linear").attach(network)
    assert network[1].p == 0.0
    assert network[4].parametrizations.weight[0].p == 0.2


NOTES = {
    "reg=l2": "reg.l2.strength and optimizer.weight_decay=0.01: both shrink the weights, the one by the gradient",
    "reg=elastic_net optimizer=momentum optimizer.weight_decay=1e-4": "reg.elastic_net.strength and optimizer.weight_d",
    "reg=[mixup,label_smoothing]": "reg.mixup and reg.label_smoothing: targets are mixed, then smoothed",
    "reg=[cutmix,label_smoothing]": "reg.cutmix and reg.label_smoothing: targets are mixed, then smoothed",
    "reg=[mixup,cutmix]": "reg.mixup and reg.cutmix: mix every batch twice",
    "reg=[dropout,dropconnect]": "reg.dropout.p and reg.dropconnect.p: draw noise in the same fully connected layers",
    "reg=[dropout,dropconnect] reg.dropout.layers=conv reg.dropconnect.layers=both": "reg.dropout.p and reg.dropconnect"
    ".p: draw noise in the same convolutions",
    "reg=dropconnect model=vgg": "reg.dropconnect.p and model.dropout: draw noise in the same fully connected layers",
    "engine.epochs=2 schedule.warmup_epochs=2": "schedule.warmup_epochs=2: the warm-up is as long as the training",
    "reg=dropout model=torchvision": "reg.dropout.p: takes the place of the dropout that the network has of its own",
}


@pytest.mark.parametrize("words", NOTES)
def test_what_acts_in_one_place_is_said_in_a_line(words):
    (text,) = refuse_or_note(*words.split())
    assert text.startswith(NOTES[words])
    assert "\n" not in text


@pytest.mark.parametrize(
    "words",
    [
        "reg=none",
        "reg=l2 optimizer=momentum",
        "reg=l2 optimizer.weight_decay=0",
        "reg=l2 reg.l2.strength=0",
        "reg=l1",
        "reg=mixup",
        "reg=[dropout,dropconnect] reg.dropout.layers=conv",
        "model=googlenet",
        "reg=[dropout,stochastic_depth]",
        "engine.epochs=3 schedule.warmup_epochs=2",
    ],
)
def test_nothing_is_said_of_what_does_not_meet(words):
    assert refuse_or_note(*words.split()) == []


RECIPES = config.visible([path.stem for path in (config.folder() / "experiment").glob("*.yaml")])


@pytest.mark.parametrize("recipe", RECIPES)
def test_no_recipe_meets_itself(recipe):
    assert refuse_or_note(f"experiment={recipe}", "data=folder", "data.root=nowhere") == []


def test_a_training_says_it_on_standard_error(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    runner.train(["reg=l2", "model=linear", "engine.epochs=1", "engine.limit_batches=1", "log.tensorboard=false"])
    error = capsys.readouterr().err
    assert error.startswith("note: reg.l2.strength and optimizer.weight_decay=0.01: both shrink the weights")
    assert error.count("note:") == 1
