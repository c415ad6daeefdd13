"""Parts of a training as their configs have them."""

import sys
from types import SimpleNamespace

import pytest
from torch import nn

import runner
from runner.build import parts
from runner.errors import UserError
from runner.pictures import View

NET = """
from torch import nn


class Net(nn.Sequential):
    def __init__(self, in_channels, image_size, num_classes, activation, sizes):
        first = nn.Linear(in_channels * image_size**2, sizes[0])
        super().__init__(nn.Flatten(), first, activation, nn.Linear(sizes[0], num_classes))
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """The words that choose a network of one's own, whose activation is a part of its config."""
    (tmp_path / "nested_net.py").write_text(NET)
    monkeypatch.syspath_prepend(tmp_path)
    yield ["model=linear", "init=default", "model._target_=nested_net.Net", "+model.sizes=[12]"]
    sys.modules.pop("nested_net", None)


def test_a_part_within_a_part_is_built_with_it(own):
    words = ["+model.activation._target_=torch.nn.Hardtanh", "+model.activation.max_val=3.0"]
    network = runner.build.model(runner.compose([*own, *words]))
    assert type(network[2]) is nn.Hardtanh
    assert network[2].max_val == 3.0
    assert (network[1].in_features, network[1].out_features, network[3].out_features) == (64, 12, 10)


def test_a_module_that_a_part_within_a_part_lacks_is_named_by_its_key(own):
    with pytest.raises(UserError, match=r"^config\.activation\._target_: .*no_such_module"):
        runner.build.model(runner.compose([*own, "+model.activation._target_=no_such_module.Act"]))


@pytest.mark.parametrize(
    ("augmentation", "has_larger", "view"),
    [("ten_crop", True, View(37)), ("ten_crop", False, None), ("none", True, None), ("none", False, None)],
)
def test_a_larger_view_is_cut_from_where_there_is_one_and_crops_need_it(augmentation, has_larger, view):
    cfg = runner.compose([f"tta={augmentation}"])
    images = SimpleNamespace(image_shape=(3, 32, 32), has_larger=has_larger)
    assert parts.eval_view(cfg, images) == view  # 256 / 224 of 32 pixels


def test_a_last_batch_that_is_not_full_is_dropped_in_training_alone():
    images = ["data=synthetic", "data.num_images=80", "data.batch_size=25", "data.eval_batch_size=3", "model=linear"]
    made = runner.build.training(runner.compose([*images, "data.drop_last=true"]))
    assert {len(labels) for _, labels, *_ in made.train.epoch()} == {25}
    assert sum(len(labels) for _, labels, *_ in made.evaluate.batches.epoch()) == made.evaluate.batches.total_images
    assert made.evaluate.batches.total_images % 3
