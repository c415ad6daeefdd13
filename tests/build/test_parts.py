"""Parts of a training as their configs have them."""

import sys
from types import SimpleNamespace

import pytest
import torch
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


# ---------------------------------------------------------------------------------------------------------------------
# Part by part


class Images:
    """Stands for a data set, of which nothing is read."""

    image_shape, class_names, has_larger = (3, 32, 32), ["a", "b", "c"], True
    progressive_sizes = None

    def __init__(self, **values):
        vars(self).update(values)


def test_a_stored_run_is_described_by_its_record(monkeypatch):
    cfg = runner.compose(["data=synthetic", "data.preprocess=mean_image"])
    monkeypatch.setattr(parts, "data", lambda cfg: 1 / 0)
    found = parts.described(cfg, {"classes": ["a", "b"], "image_shape": [1, 8, 9]})
    assert (found.class_names, found.image_shape, found.preprocess) == (["a", "b"], (1, 8, 9), "mean_image")
    assert (found.resize, found.scaled) == ("crop", True)
    assert not parts.described(runner.compose([]), {"classes": ["a"], "image_shape": [1, 8, 8]}).scaled


@pytest.mark.parametrize(
    "record", [{}, {"classes": ["a"]}, {"image_shape": [1, 8, 8]}, {"classes": [], "image_shape": None}]
)
def test_where_the_record_lacks_a_part_the_images_say_it(record):
    found = parts.described(runner.compose(["data=synthetic", "data.num_images=40"]), record)
    assert (len(found.class_names), found.image_shape) == (10, (3, 32, 32))


def test_a_network_is_built_for_its_images_and_with_its_regularizers():
    cfg = runner.compose(["model=linear"])
    attached = []
    made = parts.model(cfg, Images(), [SimpleNamespace(attach=attached.append)])
    assert attached == [made]
    assert [tuple(value.shape) for value in made.parameters()] == [(3, 3 * 32 * 32), (3,)]
    assert "Dropout" in repr(parts.model(runner.compose(["model=mlp", "reg=dropout"]), Images()))


def test_features_of_a_stage_are_those_after_it_and_learn():
    network = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.Flatten(), nn.Linear(5, 2))
    made = parts.at_stage(network, "1", (3, 8, 8), 7)
    assert (made.linear.in_features, made.linear.out_features) == (5, 7)
    assert all(layer.training for layer in made.modules())
    assert torch.equal(network[1].running_mean, torch.zeros(5)), "the images that show its shape teach it nothing"


def test_a_stage_that_gives_no_features_is_named():
    class Odd(nn.Module):
        def forward(self, images):
            return images.flatten()

    network = nn.Sequential(Odd(), nn.Linear(2, 2))
    with pytest.raises(UserError, match=r"^transfer\.stage: '0' gives no features of an image, but \[384\]"):
        parts.at_stage(network, "0", (3, 8, 8), 7)


def test_without_a_transfer_all_of_a_network_learns():
    assert type(parts.transfer(runner.compose([]))).__name__ == "Whole"
    assert type(parts.transfer(runner.compose(["transfer=head"]))).__name__ == "Head"
    cfg = runner.compose([])
    cfg.transfer = {}
    assert parts.transfer(cfg) is None


@pytest.mark.parametrize(("optimizer", "lr"), [("momentum", 0.1 * 64 / 256), ("adamw", 0.1 * (64 / 256) ** 0.5)])
def test_a_rate_that_scales_is_that_of_all_images_of_an_update(optimizer, lr):
    words = [f"optimizer={optimizer}", "optimizer.lr=0.1", "optimizer.scale_lr=true", "data.batch_size=64"]
    first = parts.optimizer(runner.compose([*words, "engine.accumulate_steps=4"]), nn.Linear(2, 2))
    assert first.param_groups[0]["lr"] == pytest.approx(0.1)  # of 256 images
    other = parts.optimizer(runner.compose([*words, "engine.accumulate_steps=1"]), nn.Linear(2, 2))
    assert other.param_groups[0]["lr"] == pytest.approx(lr)
    plain = parts.optimizer(runner.compose([*words, "optimizer.scale_lr=false"]), nn.Linear(2, 2))
    assert plain.param_groups[0]["lr"] == 0.1


def test_only_what_learns_is_given_to_the_optimizer():
    network = nn.Linear(2, 2)
    network.bias.requires_grad_(False)
    made = parts.optimizer(runner.compose(["optimizer=sgd"]), network)
    assert [id(value) for group in made.param_groups for value in group["params"]] == [id(network.weight)]


@pytest.mark.parametrize(("mark", "value"), [("lr_scale", 0.5), ("start_epochs", 2)])
def test_a_parameter_of_a_slower_block_has_a_group_of_its_own(mark, value):
    network, cfg = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)), runner.compose(["optimizer=sgd"])
    assert [len(group["params"]) for group in parts.optimizer(cfg, network).param_groups] == [2, 2]  # weights, biases
    setattr(network[0].bias, mark, value)
    assert sorted(len(group["params"]) for group in parts.optimizer(cfg, network).param_groups) == [1, 1, 2]


@pytest.mark.parametrize(("max_steps", "total"), [("null", 40), (30, 30), (99, 40)])
def test_a_schedule_is_as_long_as_the_training(monkeypatch, max_steps, total):
    seen = {}
    build = parts.instantiate

    def noted(node, key, **given):
        if key == "schedule":
            seen.update(given)
        return build(node, key, **given)

    monkeypatch.setattr(parts, "instantiate", noted)
    cfg = runner.compose(
        ["engine.epochs=4", f"engine.max_steps={max_steps}", "objective.name=val/loss", "objective.mode=min"]
    )
    parts.schedule(cfg, torch.optim.SGD(nn.Linear(2, 2).parameters(), lr=0.1), 10)
    assert seen == {"steps_per_epoch": 10, "total_steps": total, "mode": "min"}
    parts.schedule(cfg, torch.optim.SGD(nn.Linear(2, 2).parameters(), lr=0.1), 10, SimpleNamespace(mode="max"))
    assert seen["mode"] == "max"


def test_classes_are_counted_in_the_training_split_where_a_loss_weighs_them():
    asked = []
    labels = torch.tensor([0, 0, 1, 2])
    images = Images(source=lambda split: asked.append(split) or SimpleNamespace(labels=labels))
    parts.loss(runner.compose([]), images)
    assert asked == []
    made = parts.loss(runner.compose(["loss.class_weights=balanced"]), images)
    assert asked == ["train"]
    torch.testing.assert_close(made.class_weights, torch.tensor([4 / 6, 4 / 3, 4 / 3]))  # n / (K n_k)


@pytest.mark.parametrize(
    ("words", "has_larger", "view"),
    [
        (["augment=random_resized_crop"], True, True),
        (["augment=random_resized_crop"], False, False),
        (["augment=flip"], True, False),
        (["augment=none"], True, False),
    ],
)
def test_pictures_are_kept_whole_where_the_augmentation_cuts_from_them(words, has_larger, view):
    cfg = runner.compose(words)
    found = parts.train_view(cfg, Images(has_larger=has_larger))
    assert (found is not None) is view
    if view:
        scale = parts.augment(cfg).picture_scale
        assert found == View(max(32, round(32 * scale)), whole=True)


def test_statistics_of_whole_pictures_are_those_of_their_middles(monkeypatch):
    loaded = []
    images = Images(loaded=lambda *given: loaded.append(given) or "source")
    monkeypatch.setattr(parts, "Centers", lambda source, side: (source, side))
    assert parts.images_of(images, "train", "cpu", None) == "source"
    assert parts.images_of(images, "train", "cpu", View(37)) == "source"
    assert parts.images_of(images, "val", "cpu", View(37, whole=True)) == ("source", 32)
    assert loaded == [("train", "cpu", None), ("train", "cpu", View(37)), ("val", "cpu", View(37, whole=True))]


def test_crops_of_the_test_time_augmentation_are_as_large_as_the_images():
    cfg = runner.compose(["tta=ten_crop"])
    assert parts.tta(cfg, Images()).size == 32
    plain = parts.tta(cfg, Images(has_larger=False))
    assert getattr(plain, "size", None) != 32


def test_regularizers_and_augmentations_come_in_the_order_of_their_words():
    cfg = runner.compose(["reg=[dropout,l2]", "augment=[translate,flip]", "model=mlp"])
    assert [type(one).__name__ for one in parts.regularizers(cfg)] == ["Dropout", "L2"]
    assert [type(one).__name__ for one in parts.augment(cfg).members] == ["Translate", "Flip"]


def test_without_a_source_augmentations_are_not_made_ready(monkeypatch):
    cfg = runner.compose(["augment=flip"])
    seen = []
    source = SimpleNamespace(image_shape=(3, 8, 8))
    monkeypatch.setattr(parts.Pipeline, "prepare", lambda self, shape, look: seen.append(shape))
    parts.augment(cfg)
    parts.augment(cfg, source)
    assert seen == [(3, 8, 8)]


def test_an_average_is_built_where_one_is_chosen():
    network = nn.Linear(2, 2)
    assert parts.average(runner.compose(["average=none"]), network, None) is None
    assert parts.average(runner.compose(["average=ema"]), network, None) is not None


def test_settings_of_the_logs_are_those_beside_the_observers():
    made = parts.log(runner.compose(["log.every_steps=7", "log.observers=[{_target_: nowhere.Odd}]"]))
    assert (made.every_steps, list(made.observers)) == (7, [])


def test_observers_are_given_the_run_and_named_by_their_place(monkeypatch):
    built = []
    monkeypatch.setattr(parts, "instantiate", lambda node, key, **given: built.append((node.word, key, given)) or key)
    cfg = runner.compose(["log.observers=[{_target_: a.A, word: one}, {_target_: a.B, word: two}]"])
    assert parts.observers(cfg, "folder", {"lr": 1}, 3) == ["log.observers.0", "log.observers.1"]
    given = {"folder": "folder", "hparams": {"lr": 1}, "trial": 3}
    assert built == [("one", "log.observers.0", given), ("two", "log.observers.1", given)]


def test_a_batch_size_that_is_to_be_found_is_refused_where_nobody_finds_it():
    with pytest.raises(UserError, match=r"^data\.batch_size: auto is found by runner train alone"):
        parts.batches(Images(batch_size="auto"), "train", None, None, None)


@pytest.fixture
def batches():
    """`batches("data.batch_size=4", seed=0)`: of 80 synthetic images."""

    def make(*words, split="train", **more):
        cfg = runner.compose(["data=synthetic", "data.num_images=80", "data.image_size=16", *words])
        images = runner.build.data(cfg)
        settings = parts.instantiate(cfg.engine, "engine")
        return parts.batches(images, split, nn.Identity(), torch.device("cpu"), settings, **more)

    return make


def test_an_update_is_a_batch_or_several_and_an_evaluation_has_its_own_size(batches):
    words = ["data.batch_size=4", "data.eval_batch_size=7", "engine.accumulate_steps=3"]
    training, evaluation = batches(*words, seed=0), batches(*words)
    assert (training.batch_size, training.seed) == (12, 0)
    assert (evaluation.batch_size, evaluation.seed) == (7, None)
    assert torch.equal(evaluation.order(0), torch.arange(evaluation.num_images))
    assert not torch.equal(training.order(0), torch.arange(training.num_images))


def test_a_limit_of_batches_holds_in_training_and_evaluation(batches):
    words = ["data.batch_size=4", "data.eval_batch_size=7", "engine.limit_batches=2"]
    assert batches(*words, seed=0).num_images == 8
    assert batches(*words).num_images == 14


@pytest.mark.parametrize(("loading", "kind"), [("in_memory", "InMemoryLoader"), ("workers", "WorkerLoader")])
def test_images_are_loaded_as_the_config_says(batches, loading, kind):
    loader = batches(f"data.loading={loading}", "data.num_workers=2").loader
    assert type(loader).__name__ == kind
    if kind == "WorkerLoader":
        assert loader.num_workers == 2


def test_sizes_that_rise_are_those_of_training_alone(batches):
    words = ["data.progressive_sizes=[8,16]", "engine.epochs=4"]
    assert [batches(*words, seed=0).sizes.of(epoch) for epoch in range(4)] == [8, 8, 16, 16]
    assert batches(*words).sizes is None
    assert batches(seed=0).sizes is None


@pytest.mark.parametrize(("sizes", "largest"), [([8, 12], 12), ([24, 16], 24), ([16, 8], 16)])
def test_sizes_have_to_end_with_that_of_the_images(batches, sizes, largest):
    said = rf"^data\.progressive_sizes: \[{sizes[0]}, {sizes[1]}\] must rise to the size of the images, which is 16; "
    with pytest.raises(UserError, match=f"{said}end with 16, or set data.image_size={largest} "):
        batches(f"data.progressive_sizes={sizes}".replace(" ", ""), seed=0)


@pytest.mark.parametrize("training", [True, False])
def test_a_network_that_takes_images_of_one_size_alone_is_refused(training):
    images = Images(image_shape=(3, 16, 16), progressive_sizes=[8, 16])
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)).train(training)
    parts.check_sizes(network, images, torch.device("cpu"))
    assert network.training is training
    fixed = nn.Sequential(nn.Flatten(), nn.Linear(3 * 256, 3))
    with pytest.raises(UserError, match=r"cannot take images of 8 x 8 where it was built for 16 x 16; choose one"):
        parts.check_sizes(fixed, images, torch.device("cpu"))
    odd = nn.Sequential(nn.Conv2d(3, 3, 3), nn.Flatten())  # more scores from larger images
    with pytest.raises(UserError, match=r"cannot take images of 8 x 8"):
        parts.check_sizes(odd, images, torch.device("cpu"))
    parts.check_sizes(fixed, Images(progressive_sizes=None), torch.device("cpu"))
    parts.check_sizes(fixed, Images(image_shape=(3, 16, 16), progressive_sizes=[16]), torch.device("cpu"))


class Taking:
    def __init__(self, size=1, word="none"):
        if size < 0:
            raise ValueError("size: must not be negative\nmore")
        self.size, self.word = size, word


class TakingAny:
    def __init__(self, **keys):
        self.keys = keys


TARGET = f"{__name__}.Taking"


@pytest.fixture
def taking(monkeypatch):
    monkeypatch.setattr(parts.configs, "resolve", lambda target, key: TakingAny if target.endswith("Any") else Taking)


def test_a_class_is_given_what_it_takes_and_the_config_does_not_say(taking):
    made = parts.instantiate({"_target_": TARGET, "size": 3}, "model", size=4, word="given", other=5)
    assert (made.size, made.word) == (3, "given")
    made = parts.instantiate({"_target_": TARGET, "size": None}, "model", size=4)
    assert made.size == 4
    everything = parts.instantiate({"_target_": TARGET + "Any", "size": 3}, "model", other=5)
    assert everything.keys == {"size": 3, "other": 5}


def test_a_value_that_a_class_refuses_is_told_in_a_line_with_its_group(taking):
    with pytest.raises(UserError) as raised:
        parts.instantiate({"_target_": TARGET, "size": -1}, "model")
    assert str(raised.value) == "model: size: must not be negative"


def test_keys_without_effect_are_left_out_for_a_class_that_lacks_them(taking, monkeypatch):
    monkeypatch.setattr(parts.configs, "is_without_effect", lambda path, value: (path, value) == ("model.odd", 0))
    assert parts.instantiate({"_target_": TARGET, "odd": 0}, "model").size == 1
    with pytest.raises(TypeError, match="odd"):
        parts.instantiate({"_target_": TARGET, "odd": 1}, "model")
