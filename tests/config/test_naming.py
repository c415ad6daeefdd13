"""What was said, as the name of a folder has it."""

import re

import pytest

from runner import config


def said(line):
    words = line.split()
    cfg, choices = config.compose_with_choices(words)
    return "-".join(config.said(words, cfg, choices))


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("", ""),
        ("optimizer=adamw optimizer.lr=0.001 seed=0 engine.epochs=20", ""),
        ("optimizer=sgd", "sgd"),
        ("optimizer=sgd reg=[l2,dropout] optimizer.lr=0.01 seed=2", "sgd-l2+dropout-lr=0.01-seed=2"),
        ("seed=2 optimizer=sgd", "sgd-seed=2"),
        ("model=mlp model.hidden=[32,16] data=synthetic", "hidden=32+16"),
        ("model=mlp data=synthetic name=mine", "mlp-synthetic"),
        ("reg=dropout reg.dropout.p=0.3", "dropout-dropout.p=0.3"),
        ("reg=[l1,l2] reg.l1.strength=3e-5", "l1+l2-l1.strength=3e-05"),
        ("reg=[l1,l2] reg.l1.strength=1e-5", "l1+l2"),
        ("model=mlp model._target_=torch.nn.Identity", "Identity"),
        ("experiment=quick", "quick"),
        # Defaults of a file that the option's own begins with.
        ("data=folder data.root=x data.val_fraction=0.1 data.batch_size=64", "root=x"),
        ("engine.clip_grad_norm=1.0 log.progress=none output_dir=x", "clip_grad_norm=1.0"),
        ("data=folder data.root=/home/me/my_photos data.image_size=64", "root=my_photos-image_size=64"),
        ("augment=[crop,flip,rotate,shear,stretch]", "crop+flip+rotate+she"),
        ("+model.unheard_of='a b/c'", "unheard_of=c"),
        ("+model.unheard_of='a b/cüd'", "unheard_of=cd"),
    ],
)
def test_choices_and_values_that_differ_from_the_defaults_are_said_shortly(line, name):
    words = line.split(" ") if "'" not in line else [line]
    cfg, choices = config.compose_with_choices([word for word in words if word])
    assert "-".join(config.said([word for word in words if word], cfg, choices)) == name


def test_a_name_holds_letters_digits_and_few_signs():
    assert re.fullmatch(r"[\w.=+-]*", said("optimizer=sgd model.activation=relu +model.x=a:%b"), re.ASCII)
