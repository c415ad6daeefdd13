"""Exact losses of 20 steps: a refactor must not move them. After a change of the mathematics, run this file.

They were made with one thread on an x86-64 CPU. Another processor or torch may round differently, so a difference in
the last digits is allowed; anything larger is a change.
"""

import json
from pathlib import Path

import pytest
import torch

import runner

FILE = Path(__file__).with_name("losses.json")
SETTINGS = {
    "default": [],
    "mlp sgd": ["model=mlp", "optimizer=sgd"],
    "mlp adam l2 label_smoothing": ["model=mlp", "optimizer=adam", "reg=[l2,label_smoothing]"],
    "convnet nesterov dropout": ["optimizer=nesterov", "reg=dropout", "schedule.warmup_epochs=0.5"],
    "convnet ema augment": ["average=ema", "augment=[crop,flip]", "augment.crop.padding=1"],
    "resnet20 momentum": ["model=resnet", "model.depth=20", "model.width=4", "optimizer=momentum"],
    "clip and accumulate": ["engine.clip_grad_norm=0.5", "engine.accumulate_steps=2", "data.batch_size=16"],
    "synthetic hinge": ["data=synthetic", "data.num_images=700", "data.image_size=8", "loss=hinge", "model=linear"],
    "mixup and cutmix": ["reg=[mixup,cutmix]", "model=mlp"],
}


def losses(words):
    training = runner.build.training(runner.compose([*words, "engine.deterministic=true"]))
    state, found = training.state, []
    for epoch in range(2):
        for batch in training.train.epoch(epoch):
            found.append(training.step(state, batch)[0].item())
            state.step += 1
            if len(found) == 20:
                return found
    return found


@pytest.mark.parametrize("name", SETTINGS)
def test_twenty_steps_have_the_recorded_losses(name):
    assert losses(SETTINGS[name]) == pytest.approx(json.loads(FILE.read_text())[name], rel=2e-4)


if __name__ == "__main__":
    torch.set_num_threads(1)
    FILE.write_text(json.dumps({name: losses(words) for name, words in SETTINGS.items()}, indent=1) + "\n")
