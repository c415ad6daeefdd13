"""When the frozen part of a network has to see the images in every epoch, and which outputs of it are kept."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

import runner
from runner.build.transferred import Transferred, _RestOf
from runner.data.batches import Sizes
from runner.errors import UserError

WORDS = ["data=synthetic", "data.num_images=60", "data.batch_size=20", "model.channels=[4,8]", "model.hidden=16"]
ALL_LEARN = nn.Parameter(torch.zeros(1))
ALL_LEARN.start_epochs = 2


def transferred(*words, **settings):
    """A transfer whose network and images are not asked for."""
    made = object.__new__(Transferred)
    made.cfg = runner.compose([*words])
    made.setup = SimpleNamespace(
        train=SimpleNamespace(sizes=None, known=None),
        settings=SimpleNamespace(compile=False),
        teacher=None,
    )
    for name, value in settings.items():
        place, _, key = name.rpartition("_")
        setattr(getattr(made.setup, place) if place else made.setup, key, value)
    return made


def step(parameter=None, mixes=()):
    return SimpleNamespace(
        parameters={"weight": nn.Parameter(torch.zeros(1)) if parameter is None else parameter}, mixes=mixes
    )


@pytest.mark.parametrize(
    ("words", "settings", "given", "why"),
    [
        ([], {}, step(ALL_LEARN), "all blocks learn in time"),
        (["augment=flip"], {}, step(), "augmentation changes the images from epoch to epoch; set augment=none"),
        ([], {}, step(mixes=[print]), "reg mixes images anew in each batch; leave mixup, cutmix and cutout out"),
        ([], {"train_sizes": Sizes([16, 32], 4)}, step(), "data.progressive_sizes changes the images; set it to null"),
        (["average=swa"], {}, step(), "this average looks at the images again; choose average=ema or none"),
        (["average=snapshots"], {}, step(), "this average looks at the images again; choose average=ema or none"),
        ([], {"settings_compile": True}, step(), "engine.compile compiles the whole network; set it to false"),
        ([], {"settings_compile": "graph"}, step(), "engine.compile compiles the whole network; set it to false"),
        ([], {"teacher": print}, step(), "the teacher looks at the images in every batch"),
        ([], {"teacher": print, "train_known": torch.zeros(1)}, step(), None),
        (["average=ema"], {}, step(), None),
        ([], {}, step(), None),
    ],
)
def test_what_changes_the_images_or_looks_at_them_again_is_named(words, settings, given, why):
    assert transferred(*words, **settings)._against(given) == why


@pytest.fixture
def weights(tmp_path):
    """A file of weights for the network of `made`."""
    network = runner.build.model(runner.compose(WORDS))
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    return tmp_path / "weights.pt"


def made(weights, way, *words):
    return runner.build.training(runner.compose([*WORDS, f"model.weights={weights}", f"transfer={way}", *words]))


def runs_once(training):
    return training.step.forward is not training.state.network


def test_outputs_of_the_frozen_part_may_take_a_quarter_of_the_free_memory(weights, monkeypatch):
    """These are 4 bytes a value: as many values as the last layer takes, of all 60 images."""
    needed = []
    for share in (0, 1):
        monkeypatch.setattr("runner.build.transferred.free_memory", lambda _, share=share: 16 * 16 * 60 - 1 + share)
        needed.append(runs_once(made(weights, "head")))
    assert needed == [False, True]


def test_features_that_do_not_fit_into_memory_are_refused_with_what_to_lower(weights, monkeypatch):
    monkeypatch.setattr("runner.build.transferred.free_memory", lambda _: 0)
    message = r"^transfer=features: the features of all images do not fit into memory; lower data\.image_size or "
    with pytest.raises(UserError, match=f"{message}data.fraction; or choose transfer=head$"):
        made(weights, "features", "transfer.cache=null")


def test_a_network_that_cannot_be_cut_is_trained_whole_or_refused(weights, monkeypatch):
    monkeypatch.setattr("runner.build.transferred.split", lambda *_: None)
    assert not runs_once(made(weights, "head"))
    message = "^transfer=features: this network cannot be cut into a frozen part and the rest; or choose transfer=head$"
    with pytest.raises(UserError, match=message):
        made(weights, "features", "transfer.cache=null")


def test_without_a_cache_the_outputs_are_not_kept(weights, tmp_path):
    made(weights, "features", "transfer.cache=null")
    assert list(tmp_path.iterdir()) == [weights]


def test_kept_outputs_of_another_number_of_images_are_computed_again(weights, tmp_path):
    words = ["features", f"transfer.cache={tmp_path}"]
    first = next(iter(made(weights, *words).train.epoch()))
    files = list((tmp_path / "runner-features").iterdir())
    assert len(files) == 2
    for file in files:
        kept = torch.load(file)
        torch.save({"values": kept["values"][1:] + 1, "labels": kept["labels"][1:]}, file)
    again = next(iter(made(weights, *words).train.epoch()))
    assert torch.equal(again[0], first[0])
    assert torch.equal(again[1], first[1])


def test_a_folder_for_outputs_that_cannot_be_written_is_a_warning(weights, tmp_path, capsys):
    (tmp_path / "runner-features").write_text("a file")
    assert runs_once(made(weights, "features", f"transfer.cache={tmp_path}"))
    assert f"{tmp_path}/runner-features" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("word", "num_new"),
    [("model.activation=leaky_relu", 2), ("data.preprocess=none", 2), ("engine.precision=bf16", 2), ("seed=1", 0)],
)
def test_outputs_are_kept_per_what_decides_them(weights, tmp_path, word, num_new):
    """The network, its images and their preprocessing, the weights, the precision."""
    made(weights, "features", f"transfer.cache={tmp_path}")
    before = set((tmp_path / "runner-features").iterdir())
    made(weights, "features", f"transfer.cache={tmp_path}", word)
    assert len(set((tmp_path / "runner-features").iterdir()) - before) == num_new


def test_features_of_a_stage_are_at_most_so_many_images_in_the_same_order(weights):
    training = made(weights, "head", "augment=flip")
    transfer = object.__new__(Transferred)
    transfer.network = training.state.network
    names = [name for name, layer in training.state.network.named_children() if isinstance(layer, nn.Conv2d)]
    found = transfer._features(training.train, names, 7)
    assert {name: len(values) for name, values in found.items()} == dict.fromkeys(["labels", *names], 7)
    again = transfer._features(training.train, names, 5)
    assert torch.equal(again["labels"], found["labels"][:5])
    torch.testing.assert_close(again[names[0]], found[names[0]][:5])
    assert len(transfer._features(training.train, names, 10_000)["labels"]) == training.train.total_images


def test_the_rest_of_a_network_has_the_networks_mode(weights):
    training = made(weights, "head")
    cut = training.evaluate.rest_of.cut
    for mode in (True, False):
        network = training.state.network.train(mode)
        rest_of = _RestOf(cut)
        assert rest_of.can(network)
        assert rest_of(network).training is mode
        assert rest_of(network) is rest_of(network)
        assert network.training is mode
    assert not _RestOf("no such value").can(network)


def test_another_network_of_the_same_architecture_is_cut_when_it_is_asked_for(weights):
    training, other = made(weights, "head"), made(weights, "head")
    other.state.network[-1].weight.data.neg_()
    features = torch.rand(3, 16)
    rest = training.evaluate.rest_of(other.state.network)
    assert torch.equal(rest(features), other.state.network[-1](features))
    assert not torch.equal(rest(features), training.state.network[-1](features))
