"""A run that is interrupted and goes on ends with the same bits as one never stopped, whatever it trains with."""

import pytest
import torch

from runner.training.resume import resume

WORDS = {
    "sam": ["optimizer=momentum", "optimizer.sam=0.1", "reg=dropout", "reg.dropout.p=0.2"],
    "sam with batch norm": ["model=convnet", "model.channels=[4]", "optimizer=adamw", "optimizer.sam=0.05"],
    "layer decay": ["optimizer=adamw", "optimizer.layer_decay=0.5", "optimizer.decay_norms_and_biases=true"],
    "nadam": ["optimizer=nadam"],
    "lion": ["optimizer=lion"],
    "lamb": ["optimizer=lamb"],
    "bce": ["loss=bce", "reg=[mixup,label_smoothing]", "loss.class_weights=balanced"],
    "focal": ["loss=focal", "loss.class_weights=[1,2,1,2,1,2,1,2,1,2]"],
    "wsd": ["schedule=wsd", "schedule.decay_epochs='4 steps'"],
    "polynomial": ["schedule=polynomial"],
    "augmentations": ["augment=[trivialaugment,augmix,random_erasing]", "augment.random_erasing.fill=color"],
    "autoaugment": ["augment=autoaugment"],
    "vit": ["model=vit", "model.width=12", "model.depth=2", "model.dropout=0.1", "reg=stochastic_depth"],
    "convnext": ["model=convnext", "model.channels=[4,8]", "model.depths=[1,1]", "reg=stochastic_depth"],
    "nin": ["model=nin", "model.width=0.05"],
}
SHORT = [
    "engine.limit_batches=4",
    "log.tensorboard=false",
    "log.progress=none",
    "engine.max_steps=12",
    "engine.keep=all",
]


@pytest.mark.parametrize("name", WORDS)
def test_a_run_that_goes_on_ends_with_the_same_bits(train, name):
    words = WORDS[name] if any(word.startswith("model=") for word in WORDS[name]) else ["model=mlp", *WORDS[name]]
    words = [*words, *SHORT]
    whole = train(*words, "name=whole", "engine.epochs=3")
    parted = train(*words, "name=parted", "engine.epochs=3", "engine.checkpoint_every_steps=3")
    folder = parted.folder / "checkpoints"
    for file in ("last.pt", "best.pt"):  # as after a crash within the last epoch
        (folder / file).unlink(missing_ok=True)
    earlier = torch.load(folder / "previous.pt", weights_only=True)["state"]["position"]["step"]
    assert 0 < earlier < 12
    record = parted.folder / "run.json"
    record.write_text(record.read_text().replace('"finished"', '"interrupted"', 1))
    resume(parted.folder)
    states = [torch.load(run.folder / "checkpoints" / "last.pt", weights_only=True)["state"] for run in (whole, parted)]
    assert states[0]["position"] == states[1]["position"]
    for part in ("network", "optimizer"):
        same(states[0][part], states[1][part])


def same(one, other):
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key, value in one.items():
            same(value, other[key])
    elif isinstance(one, list | tuple):
        for value, second in zip(one, other, strict=True):
            same(value, second)
    else:
        assert one == other
