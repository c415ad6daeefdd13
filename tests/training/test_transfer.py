"""Transfer from a finished run, a file or torchvision: what learns, what stays, and what is said of it."""

import importlib
import json
import re

import pytest
import torch
import torchvision.models as theirs
from omegaconf import OmegaConf

import runner
from runner import build, config
from runner.build.pretrained import NoWeights, settle
from runner.command.export import main as export
from runner.engine.checkpoint_files import read, write
from runner.errors import CannotVectorize, UserError
from runner.training.resume import resume

QUIET = ["log.tensorboard=false", "log.progress=none"]
NETWORK = ["model.channels=[16,32]", "model.hidden=32"]
SOURCE = ["data.classes=[0,1,2,3,4,5]", *NETWORK, *QUIET]
TARGET = ["data.classes=[6,7,8,9]", "data.images_per_class=5", *NETWORK, *QUIET]
WAYS = ["head", "last_blocks", "all", "gradual", "features"]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("source")
    return runner.train([*SOURCE, "engine.epochs=8", f"output_dir={folder}", "name=source"]).folder


@pytest.fixture(scope="module")
def plain_source(tmp_path_factory):
    """Without a hidden layer, which fits the classes of the source alone; channels as by default."""
    folder = tmp_path_factory.mktemp("plain")
    more = ["model.channels=[32,64]", "model.hidden=0", "engine.epochs=12", f"output_dir={folder}"]
    return runner.train([*SOURCE, *more, "name=source"]).folder


def words(source, way, *more):
    return [*TARGET, f"transfer={way}", f"transfer.source='{source}'", *more]


def built(source, way, *more):
    return build.training(runner.compose(words(source, way, *more)))


def checked_and_built(cfg):
    config.check(cfg)
    config.settle(cfg)
    return build.training(cfg)


def steps(training, count):
    losses = []
    epoch = 0
    while len(losses) < count:
        for batch in training.train.epoch(epoch):
            losses.append(training.step(training.state, batch)[0].item())
            training.state.step += 1
        epoch += 1
    return losses


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_with_five_images_a_class_the_head_alone_beats_training_from_scratch(plain_source, tmp_path, seed):
    network = ["model.channels=[32,64]", "model.hidden=0"]
    more = [*network, f"seed={seed}", f"data.split_seed={seed}", "engine.epochs=40", f"output_dir={tmp_path}"]
    scratch = runner.train([*TARGET, *more])
    moved = runner.train([*words(plain_source, "head"), *more])
    assert moved.objective > scratch.objective


@pytest.mark.parametrize("more", [[], ["augment=flip"], ["average=ema", "reg=l2", "optimizer.weight_decay=0.1"]])
def test_frozen_parameters_and_statistics_keep_their_bits_and_cost_nothing(source, tmp_path, more):
    training = built(source, "head", *more)
    state, stored = training.state, read(source / "checkpoints" / "best.pt")["state"]["network"]
    steps(training, 5)
    head = {"11.weight", "11.bias"}
    assert {name for name, value in state.network.state_dict().items() if not torch.equal(value, stored[name])} <= head
    if state.average:
        averaged = state.average.network.state_dict()
        assert all(torch.equal(averaged[name], value) for name, value in stored.items() if name not in head)
    names = {id(parameter): name for name, parameter in state.network.named_parameters()}
    assert {names[id(parameter)] for parameter in state.optimizer.state} == head
    assert all(parameter.grad is None for parameter in state.network.parameters() if names[id(parameter)] not in head)


def test_a_penalty_leaves_frozen_weights_out(source):
    training = built(source, "head", "reg=l2", "reg.l2.strength=0.5", "optimizer=sgd", "optimizer.lr=0.1")
    step, network = training.step, training.state.network
    _, penalty, _ = step.losses(*next(iter(training.train.epoch()))[:2])
    assert penalty.item() == pytest.approx(0.5 * network[11].weight.square().sum().item())


def test_without_augmentation_the_frozen_part_sees_each_image_once(source, monkeypatch):
    training = built(source, "head")
    passes = []
    training.state.network[0].register_forward_hook(lambda *_: passes.append(1))
    steps(training, 4)
    training.evaluate(training.state)
    assert not passes
    assert ("transfer", "132 of 9,108 parameters learn; the frozen part has seen each image once") in training.about


def test_with_a_teacher_that_sees_each_image_once_the_frozen_part_does_too(source, tmp_path):
    teacher = runner.train([*TARGET, "engine.epochs=1", f"output_dir={tmp_path}", "name=teacher"]).folder
    training = built(source, "head", "loss=distillation", f"loss.teacher='{teacher}'")
    assert "the frozen part has seen each image once" in dict(training.about)["transfer"]


@pytest.mark.parametrize("more", [[], ["average=ema"], ["engine.precision=bf16"], ["loss=hinge"], ["tta=flip"]])
def test_that_gives_the_losses_and_scores_of_training_with_the_whole_network(source, monkeypatch, more):
    once = built(source, "head", *more)
    with monkeypatch.context() as patched:
        patched.setattr("runner.build.transferred.MEMORY_SHARE", 0)
        whole = built(source, "head", *more)
    assert once.step.forward is not once.state.network
    assert whole.step.forward is whole.state.network
    tolerance = 2e-2 if "engine.precision=bf16" in more else 1e-5
    assert steps(once, 6) == pytest.approx(steps(whole, 6), rel=tolerance)
    assert once.evaluate(once.state)[0] == pytest.approx(whole.evaluate(whole.state)[0], rel=tolerance)


def test_dropout_before_the_head_acts_in_training_alone(source):
    training = built(source, "head", "reg=dropout", "reg.dropout.p=0.9")
    (batch,) = list(training.train.epoch(0))[:1]
    with torch.no_grad():
        first, second = (training.step.forward(batch[0]) for _ in range(2))
    assert not torch.equal(first, second)
    scores = [training.evaluate(training.state)[0]["val/loss"] for _ in range(2)]
    assert scores[0] == scores[1]
    with torch.no_grad():
        first, second = (training.step.forward(batch[0]) for _ in range(2))
    assert not torch.equal(first, second)  # after an evaluation too


def test_features_are_a_head_whose_inputs_are_kept_on_the_disk(source, tmp_path, monkeypatch):
    cache = tmp_path / "not/there/yet"
    head, features = built(source, "head"), built(source, "features", f"transfer.cache={cache}")
    assert steps(head, 6) == pytest.approx(steps(features, 6), rel=1e-5)
    files = sorted((cache / "runner-features").iterdir())
    assert len(files) == 2  # train and val
    with monkeypatch.context() as patched:
        patched.setattr("runner.build.transferred.Transferred._run", None)  # nothing is computed again but a size
        patched.setattr("runner.build.transferred.Transferred._fits", lambda *_: True)
        again = built(source, "features", f"transfer.cache={cache}")
    assert steps(again, 6) == steps(built(source, "features", f"transfer.cache={cache}"), 6)
    files[0].write_bytes(b"damaged")
    files[1].write_bytes(b"damaged")
    built(source, "features", f"transfer.cache={cache}")
    assert all(file.stat().st_size > 100 for file in files)
    built(source, "features", f"transfer.cache={cache}", "data.images_per_class=6")
    assert len(list((cache / "runner-features").iterdir())) == 4


def test_features_of_an_earlier_stage_are_maps_averaged_over_their_places(source, tmp_path, train):
    run = train(*words(source, "features", "transfer.stage=3", "transfer.cache=null", "engine.epochs=3"))
    assert run.status == "finished"
    network = run.model()[1]
    assert network.linear.in_features == 16
    stored = read(source / "checkpoints" / "best.pt")["state"]["network"]
    assert torch.equal(network.state_dict()["trunk.0.weight"], stored["0.weight"])
    images = torch.rand(2, 1, 8, 8)
    maps = network.trunk(images)
    torch.testing.assert_close(network(images), network.linear(maps.mean(dim=(2, 3))))


def test_gradual_adds_a_block_at_a_time_from_the_last_to_the_first(source):
    training = built(source, "gradual", "transfer.every_epochs=1", "engine.epochs=6", "data.batch_size=5")
    network = training.state.network
    learning = []
    for epoch in range(4):
        learning.append({name.split(".")[0] for name, value in network.named_parameters() if value.requires_grad})
        before = {name: value.clone() for name, value in network.state_dict().items()}
        for batch in training.train.epoch(epoch):
            training.step(training.state, batch)
        changed = {
            name.split(".")[0] for name, value in network.state_dict().items() if not torch.equal(value, before[name])
        }
        assert changed == learning[-1]
    assert learning == [{"11"}, {"9", "11"}, {"4", "5", "9", "11"}, {"0", "1", "4", "5", "9", "11"}]


def test_rates_fall_from_block_to_block(source):
    training = built(
        source, "all", "transfer.lr_scale=0.5", "transfer.block_decay=0.1", "optimizer.lr=1", "schedule=constant"
    )
    names = {id(parameter): name for name, parameter in training.state.network.named_parameters()}
    groups = training.state.optimizer.param_groups
    rates = {names[id(one)].split(".")[0]: group["lr"] for group in groups for one in group["params"]}
    assert rates["11"] == 1
    body = [rate for _, rate in sorted(rates.items(), key=lambda pair: -int(pair[0])) if rate != 1]
    assert list(dict.fromkeys(body)) == pytest.approx([0.5, 0.05, 0.005])


def test_groups_of_parameters_and_layer_decay_multiply_with_a_transfer(source):
    more = ["optimizer.param_groups=[{params:'*.bias',lr_scale:2}]", "optimizer.lr=1", "schedule=constant"]
    training = built(source, "all", *more)
    names = {id(parameter): name for name, parameter in training.state.network.named_parameters()}
    groups = training.state.optimizer.param_groups
    rates = {names[id(one)]: group["lr"] for group in groups for one in group["params"]}
    assert (rates["11.weight"], rates["11.bias"]) == (1, 2)
    assert (rates["9.weight"], rates["9.bias"]) == pytest.approx((0.1, 0.2))


def test_an_optimizer_of_torch_has_the_same_rates(source):
    more = ["optimizer=sgd", "optimizer._target_=torch.optim.Adamax", "optimizer.lr=1", "schedule=constant"]
    training = built(source, "all", *more)
    assert [group["lr"] for group in training.state.optimizer.param_groups] == pytest.approx([1, 0.1])


@pytest.mark.slow
@pytest.mark.parametrize("way", [*WAYS, "auto"])
def test_a_run_that_goes_on_ends_at_the_bits_of_one_that_never_stopped(source, tmp_path, way):
    more = words(source, way, "average=ema", f"output_dir={tmp_path}", "schedule=constant", "data.batch_size=8")
    whole = runner.train([*more, "engine.epochs=4", "name=whole"])
    part = runner.train([*more, "engine.epochs=2", "name=part"])
    resume(part.folder, ["engine.epochs=4"])
    ends = [read(run.folder / "checkpoints" / "last.pt")["state"] for run in (whole, part)]
    for name, value in ends[0]["network"].items():
        assert torch.equal(value, ends[1]["network"][name]), name
    assert runner.test(part.folder)


def test_a_run_is_held_to_the_weights_that_it_began_with(source, tmp_path):
    torch.save(runner.load(source).model()[1].state_dict(), tmp_path / "weights.pt")
    more = [*TARGET, "transfer=head", f"model.weights={tmp_path}/weights.pt", f"output_dir={tmp_path}"]
    run = runner.train([*more, "engine.epochs=1"])
    network = runner.load(run.folder).model()[1]
    with torch.no_grad():
        network[0].weight.add_(1)
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    with pytest.raises(UserError, match="trained weights changed since the run was saved"):
        resume(run.folder, ["engine.epochs=2"])


def test_the_preprocessing_is_that_of_the_source(source):
    stored = read(source / "checkpoints" / "best.pt")["state"]["preprocess"]
    training = built(source, "head")
    assert torch.equal(training.state.preprocess.shift, stored["shift"])
    assert ("input", "preprocessing: data.preprocess=standardize of that run") in training.about
    other = build.training(runner.compose(TARGET))
    assert not torch.equal(other.state.preprocess.shift, stored["shift"])


def test_what_runner_exports_brings_classes_and_preprocessing(source, tmp_path):
    assert export([str(source), "--format", "state_dict", "--out", str(tmp_path / "w.pt")]) == 0
    some = ["data.classes=[9,3,5]", *NETWORK, *QUIET, "transfer=head", f"model.weights={tmp_path}/w.pt"]
    training = build.training(runner.compose(some))
    stored = read(source / "checkpoints" / "best.pt")["state"]["network"]
    head = training.state.network[11].weight
    assert torch.equal(head[1:], stored["11.weight"][[3, 5]])
    assert not torch.equal(head[0], stored["11.weight"][0])
    assert "2 of 3 rows of the head kept, by class name" in dict(training.about)["weights"]


def test_initialization_does_not_touch_loaded_weights(source):
    stored = read(source / "checkpoints" / "best.pt")["state"]["network"]
    for init in ("large", "he", "dirac"):
        network = built(source, "all", f"init={init}").state.network
        assert torch.equal(network[0].weight, stored["0.weight"])


def test_auto_says_what_it_saw_and_picked(source):
    training = built(source, "auto")
    about = dict(training.about)
    assert about["auto"].startswith("picked ")
    assert "5 images per class are few" in about["auto"]
    assert training.state.network.training


def test_an_update_of_several_parts_takes_the_features_of_each(source):
    """Two parts of 5 images have the update of one batch of 10, as the mean of their gradients is that of all."""
    whole = built(source, "features", "data.batch_size=10", "optimizer=sgd")
    parts = built(source, "features", "data.batch_size=5", "engine.accumulate_steps=2", "optimizer=sgd")
    assert steps(parts, 4) == pytest.approx(steps(whole, 4), rel=1e-4)


@pytest.mark.parametrize("way", ["head", "last_blocks", "features", "all"])
def test_vectorized_trials_train_as_each_would_alone(source, tmp_path, way):
    """By losses, by scores on val, and by all weights, the frozen ones of which keep their bits."""
    some = ["optimizer=momentum", "schedule=constant", "optimizer.weight_decay=0.01", "reg=l2"]
    cfgs = [runner.compose(words(source, way, *some, f"optimizer.lr={lr}")) for lr in (0.05, 0.1)]
    together, alone = build.vectorize(cfgs), [build.training(cfg) for cfg in cfgs]
    frozen = [name for name, value in alone[0].state.network.named_parameters() if not value.requires_grad]
    assert bool(frozen) == (way != "all")
    before = {name: dict(alone[0].state.network.named_parameters())[name].clone() for name in frozen}
    for epoch in range(3):
        for batch, *own in zip(together.train.epoch(epoch), *(one.train.epoch(epoch) for one in alone), strict=True):
            losses = together.step(together.state, batch)[0].tolist()
            expected = [one.step(one.state, its)[0].item() for one, its in zip(alone, own, strict=True)]
            assert losses == pytest.approx(expected, rel=1e-4)
            for training in (together, *alone):
                training.state.step += 1
    assert losses[0] != losses[1]
    found = together.evaluate(together.state)
    for trial, one in enumerate(alone):
        (expected,) = one.evaluate(one.state)
        assert found[trial] == pytest.approx(expected, rel=1e-4)
        state = together.state.of(trial).network.state_dict()
        for name, value in one.state.network.state_dict().items():
            assert torch.allclose(state[name].float(), value.float(), rtol=1e-3, atol=1e-5), name
        assert all(torch.equal(state[name], before[name]) for name in frozen)


@pytest.mark.parametrize(
    ("way", "more", "why"),
    [
        ("auto", [], "^transfer=auto and gradual cannot be vectorized"),
        ("gradual", [], "^transfer=auto and gradual cannot be vectorized"),
        ("head", ["augment=flip"], "^transfer: the frozen part of the network has to see the images in every epoch"),
        ("head", ["tta=flip"], "^transfer: the frozen part of the network has to see the images in every epoch"),
        ("head", ["average=ema"], "^average: of a network that is partly frozen it cannot be vectorized"),
    ],
)
def test_transfers_that_trials_cannot_share_are_refused_in_one_line(source, way, more, why):
    cfgs = [runner.compose(words(source, way, *more, f"optimizer.lr={lr}")) for lr in (0.1, 0.2)]
    with pytest.raises(CannotVectorize, match=why):
        build.vectorize(cfgs)


def test_weights_alone_vectorize(source, tmp_path):
    torch.save(runner.load(source).model()[1].state_dict(), tmp_path / "weights.pt")
    some = [*TARGET, f"model.weights={tmp_path}/weights.pt", "optimizer=sgd", "schedule=constant"]
    cfgs = [runner.compose([*some, f"optimizer.lr={lr}"]) for lr in (0.1, 0.2)]
    together, alone = build.vectorize(cfgs), build.training(cfgs[1])
    batch = next(iter(alone.train.epoch()))
    expected = [alone.step(alone.state, batch)[0].item() for _ in range(3)]
    losses = [together.step(together.state, batch)[0][1].item() for _ in range(3)]
    assert losses == pytest.approx(expected, rel=1e-4)


@pytest.mark.slow
def test_a_sweep_has_transfers_as_trials(source, tmp_path):
    more = ["transfer=none,head,all", f"transfer.source='{source}'", f"output_dir={tmp_path}/outputs"]
    runner.sweep([*TARGET, *more, "engine.epochs=1"])
    records = [json.loads(path.read_text()) for path in (tmp_path / "outputs").glob("**/run.json")]
    assert {record["choices"]["transfer"] for record in records} == {"none", "head", "all"}
    assert all(record["status"] == "finished" for record in records)


def test_stored_configs_of_before_go_on(tmp_path, train):
    run = train("engine.epochs=1")
    old = OmegaConf.load(run.folder / "config.yaml")
    del old["transfer"], old.model["weights"]
    OmegaConf.save(old, run.folder / "config.yaml")
    (run.folder / "config.json").unlink()
    content = read(run.folder / "checkpoints" / "last.pt")
    content["identity"] = {key: value for key, value in content["identity"].items() if not key.startswith("transfer")}
    write(run.folder / "checkpoints", content, ["last.pt", "best.pt"])
    resume(run.folder, ["engine.epochs=2"])
    assert runner.test(run.folder)


class Torchvision:
    """Stands in for the server of trained weights."""

    def __init__(self, monkeypatch):
        self.network = theirs.shufflenet_v2_x0_5()
        monkeypatch.setattr(
            "torchvision.models._api.load_state_dict_from_url", lambda *_, **__: self.network.state_dict()
        )


SHUFFLENET = ["data=synthetic", "model=torchvision", "model.name=shufflenet_v2_x0_5", *QUIET]


def test_torchvisions_weights_come_by_name_with_their_preprocessing(monkeypatch):
    server = Torchvision(monkeypatch)
    training = build.training(runner.compose([*SHUFFLENET, "model.weights=DEFAULT", "transfer=head"]))
    network = training.state.network
    for name, parameter in server.network.named_parameters():
        if not name.startswith("fc."):
            assert torch.equal(network.get_parameter(name), parameter), name
    assert network.fc.out_features == 10
    pixels = torch.rand(1, 3, 32, 32)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    torch.testing.assert_close(training.state.preprocess(pixels), (pixels - mean) / std)
    about = dict(training.about)
    assert "trained on images of 224 pixels, and these have 32" in about["weights"]
    assert about["input"] == "preprocessing: torchvision's for these weights"


@pytest.mark.parametrize(("num_classes", "of_imagenet"), [(1000, True), (7, False)])
def test_a_file_of_a_thousand_classes_has_imagenets_preprocessing(tmp_path, num_classes, of_imagenet):
    own = theirs.shufflenet_v2_x0_5(weights=None, num_classes=num_classes)
    torch.save(own.state_dict(), tmp_path / "weights.pt")
    training = build.training(runner.compose([*SHUFFLENET, f"model.weights={tmp_path}/weights.pt", "transfer=head"]))
    about = "preprocessing: ImageNet's, since the file has 1000 classes"
    assert (dict(training.about).get("input") == about) is of_imagenet
    if of_imagenet:
        preprocess = training.state.preprocess
        torch.testing.assert_close(preprocess.shift.flatten(), torch.tensor([0.485, 0.456, 0.406]))
        torch.testing.assert_close(1 / preprocess.scale.flatten(), torch.tensor([0.229, 0.224, 0.225]))


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_inceptions_preprocessing_is_what_torchvision_makes_of_its_own(name):
    made = build.pretrained._for(name, build.pretrained.IMAGENET)
    ours = build.pretrained._normalization(made)
    pixels = torch.rand(2, 3, 4, 4)
    mean, std = (torch.tensor(build.pretrained.IMAGENET[key]).view(3, 1, 1) for key in ("mean", "std"))
    network = theirs.get_model(name, weights=None, init_weights=False, transform_input=True)
    expected = network._transform_input((pixels - mean) / std)
    torch.testing.assert_close((pixels - ours["shift"]) * ours["scale"], expected, atol=1e-5, rtol=1e-5)


def test_offline_one_line_names_the_file_its_place_and_the_other_way(monkeypatch, tmp_path):
    def fail(*_args, **_keys):
        raise OSError("no route to host")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fail)
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    cfg = runner.compose(["data=synthetic", "model=resnet", "model.weights=DEFAULT", "transfer=head"])
    with pytest.raises(UserError) as raised:
        build.training(cfg)
    assert str(raised.value) == (
        "model.weights: cannot download resnet18-f37072fd.pth of resnet18 (no route to host); put the file into "
        f"{tmp_path}/checkpoints, or name a copy: model.weights=FILE"
    )


def test_where_no_weights_can_be_had_finetune_trains_from_scratch_and_says_so(monkeypatch, train, capsys):
    def fail(*_args, **_keys):
        raise OSError("no route to host")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fail)
    some = [*SHUFFLENET, "model.weights=DEFAULT", "transfer=all", "transfer.missing=scratch"]
    run = train(*some, "engine.epochs=1", "engine.limit_batches=1")
    assert (
        "training from scratch, since the trained weights cannot be had: model.weights: cannot"
        in capsys.readouterr().err
    )
    assert (run.config.model.weights, run.config.transfer) == (None, {})
    assert run.record["choices"]["transfer"] == "none"
    trial = build.training(runner.compose(some))  # as a trial of a sweep, whose config stays
    assert all(parameter.requires_grad for parameter in trial.state.network.parameters())
    assert trial.fingerprint["trained weights"] == "none", "it goes on without them, should they be there later"
    assert "trained weights" not in build.training(run.config).fingerprint


def test_without_trained_weights_a_network_of_timms_is_not_asked_for_them_again(monkeypatch):
    def fail(*_):
        raise NoWeights("no route to host")

    monkeypatch.setattr("runner.build.pretrained._named", fail)
    words = ["model=timm", "model.name=resnet18", "model.pretrained=true", "transfer=all"]
    cfg = runner.compose([*words, "transfer.missing=scratch"])
    assert "no route to host" in settle(cfg, None)
    assert (cfg.model.pretrained, cfg.transfer) == (False, {})
    assert settle(runner.compose(words), None) is None, "it is an error then, where the weights are asked for"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["transfer=head"], r"transfer: needs trained weights; set model.weights to a file or DEFAULT"),
        (["transfer=head", "transfer.source=nowhere"], r"transfer.source: there is no run nowhere"),
        (["transfer=head", "transfer.source=last"], r"transfer.source: last may be another run"),
        (["transfer=head", "model.weights=nowhere.pt"], r"model.weights: nowhere.pt: there is no such file"),
        (["model.weights=DEFAULT"], r"model.weights: torchvision has no weights of this network; name a file"),
        (
            ["data=synthetic", "model=resnet", "model.depth=20", "model.weights=DEFAULT"],
            r"model.weights: torchvision has no weights of this network; name a file",
        ),
        (
            ["model=timm", "model.name=resnet10t", "model.pretrained=true"],
            r"model.pretrained: trained on images of 3 channels, and these have 1; set data.in_channels=3",
        ),
        (["data=synthetic", "model=resnet", "model.weights=BEST"], r"model.weights: resnet18 has no weights 'BEST'"),
        (
            ["model=resnet", "model.weights=DEFAULT"],
            r"model.weights: trained on images of 3 channels, and these have 1",
        ),
        (["model=timm", "model.name=resnet19x"], r"model.name: timm has no network 'resnet19x'; did you mean"),
        (["model.weights=3"], r"model.weights: must be text, not 3"),
        (["transfer=all", "transfer.lr_scale=2"], r"transfer.lr_scale: must be above 0 and at most 1"),
        (["transfer=last_blocks", "transfer.num_blocks=0"], r"transfer.num_blocks: must be at least 1"),
    ],
)
def test_bad_words_are_one_line(more, message):
    cfg = runner.compose(more)
    with pytest.raises(UserError, match=f"^{message}") as raised:
        checked_and_built(cfg)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["model.channels=[16,16]"], r"transfer.source: .* was trained with model.channels=\[16, 32\], not \[16, 16\]"),
        (["model=mlp", "~model.channels"], r"transfer.source: .* trained another network; add model=convnet"),
        (["data=synthetic", "data.in_channels=3"], r"transfer.source: .* images of 1 channels, and these have 3"),
        (
            ["data=synthetic", "data.in_channels=1"],
            r"transfer.source: .* fits 13 of 14 .*choose the network, and the size",
        ),
        (["model.weights=some.pt"], r"transfer.source and model.weights: both name trained weights"),
        (["transfer=features", "augment=flip"], r"transfer=features: augmentation changes the images"),
        (["transfer=features", "transfer.stage=77"], r"transfer.stage: the network has no layer '77'"),
    ],
)
def test_a_source_that_does_not_fit_is_one_line(source, more, message):
    some = [word for word in TARGET if not (more[0].startswith("model=") and word.startswith("model."))]
    if more[0] == "data=synthetic":
        some = [*NETWORK, *QUIET]
    more = [word for word in more if not word.startswith("~")]
    cfg = runner.compose([*some, *(["transfer=head"] if not more[0].startswith("transfer") else []), *more])
    cfg.transfer.source = str(source)
    with pytest.raises(UserError, match=f"^{message}") as raised:
        checked_and_built(cfg)
    assert "\n" not in str(raised.value)


def test_offline_timms_weights_are_named_with_their_place(monkeypatch):
    pytest.importorskip("timm")

    def fail(_name):
        raise OSError("no route to host")

    monkeypatch.setattr(importlib.import_module("runner.model.timm"), "trained", fail)
    words = ["data=synthetic", "model=timm", "model.name=resnet10t", "model.pretrained=true"]
    with pytest.raises(UserError) as raised:
        build.training(runner.compose([*words, *QUIET]))
    assert re.fullmatch(
        r"model\.pretrained: cannot download the weights of resnet10t \(no route to host\); get model\.safetensors of "
        r"timm/resnet10t\S* where there is a network, and name the copy: model\.weights=FILE",
        str(raised.value),
    )


def test_timms_weights_come_by_name_with_their_preprocessing(monkeypatch):
    timm = pytest.importorskip("timm")
    module = importlib.import_module("runner.model.timm")
    own = timm.create_model("resnet10t", num_classes=1000)
    given = module.Trained(own.state_dict(), (0.1, 0.2, 0.3), (0.5, 0.6, 0.7), 176)
    monkeypatch.setattr(module, "trained", lambda name: {"resnet10t": given}[name])
    words = ["data=synthetic", "model=timm", "model.name=resnet10t", "model.pretrained=true", "transfer=head"]
    training = build.training(runner.compose([*words, *QUIET]))
    network, preprocess = training.state.network, training.state.preprocess
    assert all(
        torch.equal(network.state_dict()[name], own.state_dict()[name]) for name in ("conv1.0.weight", "bn1.bias")
    )
    torch.testing.assert_close(preprocess.shift.flatten(), torch.tensor(given.mean))
    torch.testing.assert_close(1 / preprocess.scale.flatten(), torch.tensor(given.std))
    about = dict(training.about)
    assert about["weights"].startswith("timm's weights of resnet10t")
    assert "trained on images of 176 pixels, and these have 32" in about["weights"]
    assert about["input"] == "preprocessing: timm's data config of these weights"


def test_without_timm_its_networks_are_one_line(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "timm", None)
    with pytest.raises(UserError, match=r"^model: timm is not installed: pip install 'runner\[timm\]'"):
        build.training(runner.compose(["model=timm"]))


def test_a_network_of_timm_takes_a_file_and_timms_own_preprocessing(tmp_path):
    timm = pytest.importorskip("timm")
    own = timm.create_model("resnet10t", num_classes=1000)
    torch.save(own.state_dict(), tmp_path / "weights.pt")
    more = ["data=synthetic", "model=timm", "model.name=resnet10t", f"model.weights={tmp_path}/weights.pt", *QUIET]
    training = build.training(runner.compose([*more, "transfer=head"]))
    network = training.state.network
    assert torch.equal(network.conv1[0].weight, own.conv1[0].weight)
    assert network.fc.out_features == 10
    settings = timm.data.resolve_model_data_config(own)
    expected = torch.tensor(settings["mean"])
    torch.testing.assert_close(training.state.preprocess.shift.flatten(), expected)
    assert training.step.forward is not network


def test_of_classes_that_both_have_a_new_head_keeps_none(source):
    same = "data.classes=[0,1,2,3,4,5]"
    for more, said in (([], "6 of 6 rows of the head kept"), (["transfer.head=new"], "a new head")):
        (text, *_) = [text for name, text in built(source, "head", same, *more).about if name == "weights"]
        assert said in text
