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


def test_a_rate_that_is_to_be_found_is_refused_where_nobody_finds_it():
    with pytest.raises(UserError, match=r"^optimizer\.lr: auto is found by runner train alone"):
        parts.optimizer(runner.compose(["optimizer.lr=auto"]), nn.Linear(2, 2))


def test_a_method_of_an_old_name_is_named_with_the_new_one():
    network = nn.Linear(2, 2)
    network.fit_to_images = print
    with pytest.raises(UserError, match=r"^model: fit_to_images of Linear.*init_from_data"):
        parts.init_from_data(network, None)


def test_a_network_that_learns_from_images_before_training_is_shown_some():
    network = nn.Linear(2, 2)
    network.init_from_data = (seen := []).append
    parts.init_from_data(network, SimpleNamespace(sample="sample"))
    assert seen == ["sample"]
    parts.init_from_data(nn.Linear(2, 2), None)


def test_weights_of_another_network_do_not_fit_the_config():
    cfg = runner.compose(["data=synthetic", "model=linear"])
    images = runner.build.data(cfg)
    weights = runner.build.model(cfg, images).state_dict()
    preprocessing = runner.build.training(cfg).train.preprocess.state_dict()
    network, _ = parts.stored_network(cfg, images, weights, preprocessing)
    assert not network.training
    (name, tensor), *_ = weights.items()
    with pytest.raises(UserError, match=rf"^model: the checkpoint does not fit the config \(size mismatch for {name}"):
        parts.stored_network(cfg, images, weights | {name: tensor[:1]}, preprocessing)
