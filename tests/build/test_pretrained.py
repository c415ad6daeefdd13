"""Trained weights: which are refused, which preprocessing they bring, and what the header says of them."""

import importlib
import json
import urllib.error
from types import SimpleNamespace

import pytest
import torch
import torchvision.models
from omegaconf import OmegaConf
from torch import nn
from torchvision.models import googlenet

import runner
from runner.build import pretrained
from runner.errors import UserError
from runner.transfer.weights import Fitted, Weights


@pytest.mark.parametrize(
    ("head_rows", "classes", "said"),
    [
        (0, ["cat", "dog"], "a new head"),
        (1, ["cat", "dog"], "1 of 2 rows of the head kept, by class name"),
        (2, None, "the whole head kept"),
    ],
)
def test_how_much_of_the_head_is_kept_is_told(head_rows, classes, said):
    weights = Weights({}, "file.pt", "digest", classes=classes, prepared="as there", size=32, strict=False)
    fitted = Fitted(num_loaded=4, new=[], misfits=[], unused=[], head_rows=head_rows, num_classes=2)
    (_, text), _ = pretrained.lines(weights, fitted, 32)
    assert text == f"file.pt: 4 tensors set, {said}"


def test_what_did_not_fit_is_told_once():
    weights = Weights({}, "file.pt", "digest", size=64)
    misfits = ["conv.weight (3x3 there, 5x5 here)"]
    fitted = Fitted(
        4, new=["conv.weight", "norm.weight"], misfits=misfits, unused=["extra"], head_rows=0, num_classes=2
    )
    (_, text), (_, prepared) = pretrained.lines(weights, fitted, 32)
    assert text.split("; ") == [
        "file.pt: 4 tensors set, a new head",
        "left out, of another shape: conv.weight (3x3 there, 5x5 here)",
        "new, since the file lacks them: norm.weight",
        "not used: extra",
        "trained on images of 64 pixels, and these have 32",
    ]
    assert prepared.startswith("preprocessing: nothing says how")


def test_googlenets_normalization_is_what_torchvision_makes_of_imagenets():
    images = torch.rand(1, 3, 2, 2)

    def normalized(mean_and_std):
        mean, std = (torch.tensor(mean_and_std[key])[:, None, None] for key in ("mean", "std"))
        return (images - mean) / std

    ours = normalized(pretrained._for("googlenet", pretrained.IMAGENET))
    network = googlenet(init_weights=False, transform_input=True, aux_logits=False)
    torch.testing.assert_close(network._transform_input(normalized(pretrained.IMAGENET)), ours)
    assert pretrained._for("resnet18", pretrained.IMAGENET) == pretrained.IMAGENET


def test_of_more_than_eight_names_the_others_are_counted():
    names = [f"layer{number}" for number in range(1, 11)]
    assert pretrained._listed(names[:8]) == ", ".join(names[:8])
    assert pretrained._listed(names) == ", ".join(names[:8]) + " and 2 more"


@pytest.mark.parametrize(
    ("preprocess", "channels", "is_given"), [(None, 3, True), (None, 1, False), ({"shift": 0}, 3, False)]
)
def test_a_file_of_imagenets_classes_gets_imagenets_normalization_where_it_has_none(preprocess, channels, is_given):
    cfg = runner.compose(["model=resnet"])
    tensors = {"fc.weight": torch.zeros(1000, 2), "fc.bias": torch.zeros(1000)}
    weights = Weights(tensors, "file.pt", "digest", preprocess=preprocess)
    found = pretrained._with_known_preprocess(cfg, weights, SimpleNamespace(image_shape=(channels, 32, 32)))
    if is_given:
        torch.testing.assert_close(found.preprocess["shift"].flatten(), torch.tensor([0.485, 0.456, 0.406]))
        torch.testing.assert_close(1 / found.preprocess["scale"].flatten(), torch.tensor([0.229, 0.224, 0.225]))
    else:
        assert found is weights


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ((1, 1, 1), "was trained on images of 1 channels, and these have 3; set data.in_channels=1"),
        (
            (3, 8, 8),
            "was trained on images of 8 pixels less their mean image, and these have 16; set data.image_size=8",
        ),
    ],
)
def test_weights_for_images_of_another_shape_are_refused(shape, said):
    weights = Weights({}, "file.pt", "digest", preprocess={"shift": torch.zeros(shape), "scale": torch.ones(shape)})
    with pytest.raises(UserError, match=f"^model.weights: file.pt {said}"):
        pretrained.preprocess_of(weights, (3, 16, 16))


def test_weights_for_images_of_this_shape_bring_their_preprocessing():
    for shape in ((3, 1, 1), (3, 16, 16)):
        given = {"shift": torch.rand(shape), "scale": torch.rand(shape)}
        found = pretrained.preprocess_of(Weights({}, "file.pt", "digest", preprocess=given), (3, 16, 16))
        assert torch.equal(found.shift, given["shift"])
        assert torch.equal(found.scale, given["scale"])


@pytest.mark.parametrize(
    ("source", "channels", "said"),
    [
        (None, 3, "model.pretrained: timm has no weights of odd; set model.pretrained=false, or model.weights"),
        ("timm/odd", 1, "model.pretrained: trained on images of 3 channels, and these have 1; set data.in_channels=3"),
        ("timm/odd", 3, "model.pretrained: cannot download the weights of odd (no network); get model.safetensors of"),
    ],
)
def test_timms_weights_that_cannot_be_had_are_told_in_a_line(source, channels, said, monkeypatch):
    def refuse(name):
        raise OSError("no network")

    module = importlib.import_module("runner.model.timm")  # whose function has the same name
    monkeypatch.setattr(module, "where", lambda name: source)
    monkeypatch.setattr(module, "trained", refuse)
    cfg = SimpleNamespace(model=SimpleNamespace(name="odd"))
    with pytest.raises(UserError) as raised:
        pretrained._of_timm(cfg, SimpleNamespace(image_shape=(channels, 8, 8)))
    assert str(raised.value).startswith(said)


@pytest.fixture
def finished(tmp_path):
    """A run on images of 3 channels."""
    words = ["data=synthetic", "data.num_images=40", "model=convnet", "engine.epochs=1"]
    return runner.train([*words, f"output_dir={tmp_path}", "log.tensorboard=false", "log.progress=none"]).folder


def test_a_run_that_has_not_finished_gives_no_weights(finished):
    record = json.loads((finished / "run.json").read_text())
    (finished / "run.json").write_text(json.dumps(record | {"status": "interrupted"}))
    cfg = runner.compose(["data=synthetic", "model=convnet", "transfer=head", f"transfer.source='{finished}'"])
    with pytest.raises(UserError, match=r"is interrupted; go on with it first: runner resume "):
        pretrained._of_run(cfg, finished, SimpleNamespace(image_shape=(3, 8, 8)))


def test_a_run_on_images_of_other_channels_gives_no_weights(finished):
    cfg = runner.compose(["data=synthetic", "model=convnet", "transfer=head", f"transfer.source='{finished}'"])
    assert pretrained._of_run(cfg, finished, SimpleNamespace(image_shape=(3, 8, 8))).strict
    with pytest.raises(
        UserError, match=r"was trained on images of 3 channels, and these have 1; set data\.in_channels"
    ):
        pretrained._of_run(cfg, finished, SimpleNamespace(image_shape=(1, 8, 8)))


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["model=alexnet"], "alexnet"),
        (["model=vgg", "model.depth=16", "model.norm=none"], "vgg16"),
        (["model=vgg", "model.depth=11", "model.norm=batch"], "vgg11_bn"),
        (["model=googlenet"], "googlenet"),
        (["model=resnet", "model.depth=50"], "resnet50"),
        (["model=inception_v3"], "inception_v3"),
        (["model=torchvision", "model.name=shufflenet_v2_x0_5"], "shufflenet_v2_x0_5"),
        (["model=mlp"], None),
        (["model=timm", "model.name=resnet18"], None),
    ],
)
def test_networks_that_torchvision_has_are_known_by_its_names(words, name):
    assert pretrained._torchvision_name(runner.compose(words)) == name
    assert name is None or name in torchvision.models.list_models(module=torchvision.models)


@pytest.mark.parametrize(
    ("words", "has", "first", "second"),
    [
        ([], False, None, None),
        (["model.weights=a.pt"], True, None, None),
        (["transfer=head", "transfer.source=outputs/a"], True, None, None),
        (["model=timm", "model.pretrained=true"], True, None, None),
        (["model=timm", "model.pretrained=false"], False, None, None),
        (["model.weights=a.pt", "transfer=head", "transfer.source=b"], True, "transfer.source", "model.weights"),
        (["model=timm", "model.pretrained=true", "model.weights=a.pt"], True, "model.weights", "model.pretrained"),
        (
            ["model=timm", "model.pretrained=true", "transfer=head", "transfer.source=b"],
            True,
            "transfer.source",
            "model.pretrained",
        ),
    ],
)
def test_trained_weights_are_named_once(monkeypatch, words, has, first, second):
    monkeypatch.setattr(pretrained, "_named", lambda cfg, images: "weights")
    cfg = runner.compose(words)
    assert pretrained.has_weights(cfg) is has
    if first is None:
        assert pretrained.weights_of(cfg, None) == ("weights" if has else None)
    else:
        with pytest.raises(UserError, match=f"^{first} and {second}: both name trained weights; set one of them to"):
            pretrained.weights_of(cfg, None)


def test_a_transfer_without_weights_is_refused():
    with pytest.raises(
        UserError, match=r"^transfer: needs trained weights; set model\.weights to a file or DEFAULT, or"
    ):
        pretrained.weights_of(runner.compose(["transfer=head"]), None)
    assert pretrained.weights_of(runner.compose(["transfer=none"]), None) is None
    assert not pretrained.transfers(runner.compose(["transfer=none"]))
    assert pretrained.transfers(runner.compose(["transfer=head"]))


@pytest.mark.parametrize(("missing", "raises"), [("error", True), ("scratch", False)])
def test_weights_that_cannot_be_had_are_an_error_unless_said_otherwise(monkeypatch, missing, raises):
    def fail(*_):
        raise pretrained.NoWeights("model.weights: a.pt: there is no such file")

    monkeypatch.setattr(pretrained, "_named", fail)
    cfg = runner.compose(["model.weights=a.pt", "transfer=head", f"transfer.missing={missing}"])
    if raises:
        with pytest.raises(pretrained.NoWeights):
            pretrained.weights_of(cfg, None)
        assert pretrained.settle(cfg, None) is None
        assert cfg.model.weights == "a.pt"
    else:
        assert pretrained.weights_of(cfg, None) is None
        assert pretrained.settle(cfg, None) == (
            "training from scratch, since the trained weights cannot be had: model.weights: a.pt: there is no such file"
        )
        assert (cfg.model.weights, cfg.transfer) == (None, {})


def test_what_can_be_had_is_left_as_it_is(monkeypatch):
    monkeypatch.setattr(pretrained, "_named", lambda cfg, images: "weights")
    cfg = runner.compose(["model.weights=a.pt", "transfer=head", "transfer.missing=scratch"])
    assert pretrained.settle(cfg, None) is None
    assert cfg.model.weights == "a.pt"
    without = runner.compose(["transfer=head", "transfer.missing=scratch"])
    assert pretrained.settle(without, None) is None
    assert without.transfer != {}


@pytest.mark.parametrize(
    ("name", "is_file"),
    [("DEFAULT", False), ("IMAGENET1K_V1", False), ("a.pt", True), ("a.pth", True), ("a.bin", True),
     ("a.safetensors", True), ("folder/weights", True), ("here", True), ("a.txt", False)],
)  # fmt: skip
def test_a_file_of_weights_is_told_from_a_name(tmp_path, monkeypatch, name, is_file):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").touch()
    assert pretrained._is_file(name) is is_file


def test_a_class_of_the_users_may_take_an_argument_of_that_name(monkeypatch):
    class Net:
        def __init__(self, weights):
            pass

    cfg = runner.compose(["model.weights=mine"])
    assert pretrained._name(cfg) == "mine"
    monkeypatch.setattr(pretrained.configs, "resolve", lambda target, key: Net)
    assert pretrained._name(cfg) is None


def test_a_run_on_the_same_network_gives_its_weights_with_what_goes_with_them(finished):
    cfg = runner.compose(["data=synthetic", "model=convnet", "transfer=head", f"transfer.source='{finished}'"])
    found = pretrained._of_run(cfg, finished, SimpleNamespace(image_shape=(3, 8, 8)))
    saved = torch.load(finished / "checkpoints/best.pt", weights_only=True)["state"]
    assert found.about == f"best weights of {finished}"
    assert found.prepared == "data.preprocess=standardize of that run"
    assert (found.size, found.classes) == (32, runner.load(finished).classes)
    assert all(torch.equal(value, saved["network"][name]) for name, value in found.tensors.items())
    assert found.preprocess.keys() == saved["preprocess"].keys()
    assert len(found.digest) >= 16


def test_a_source_that_is_no_run_is_told_with_its_key(tmp_path):
    cfg = runner.compose(["transfer=head", f"transfer.source='{tmp_path}'"])
    with pytest.raises(UserError, match=rf"^transfer\.source: {tmp_path}: "):
        pretrained._of_run(cfg, tmp_path, SimpleNamespace(image_shape=(3, 8, 8)))


@pytest.mark.parametrize(
    ("mine", "said"),
    [
        ({"_target_": "a.B"}, "a trained another network; add model=word, with its keys as they were there"),
        ({"_target_": "a.A", "depth": 3}, "a was trained with model.depth=2, not 3; set it so"),
        ({"_target_": "a.A"}, "a was trained with model.depth=2, not None; set it so"),
        ({"_target_": "a.A", "depth": 2, "width": 1}, "a was trained with model.width=None, not 1; set it so"),
        ({"_target_": "a.A", "depth": 2, "weights": "x", "pretrained": True}, None),
    ],
)
def test_the_network_of_a_source_is_the_one_that_learns(mine, said):
    cfg, own = (OmegaConf.create({"model": model}) for model in (mine, {"_target_": "a.A", "depth": 2}))
    if said is None:
        pretrained._check_same_network(cfg, own, "a", {})
        return
    with pytest.raises(UserError) as raised:
        pretrained._check_same_network(cfg, own, "a", {"model": "word"})
    assert str(raised.value) == f"transfer.source: {said}"


def test_how_many_parameters_learn_is_told_and_how_many_from_the_start():
    network = nn.Sequential(nn.Linear(99, 100), nn.Linear(2, 3))
    assert pretrained.show_blocks(network) == "10,009 of 10,009 parameters learn"
    network[1].weight.start_epochs = 2
    assert pretrained.show_blocks(network) == "10,009 of 10,009 parameters learn, of which 10,003 from the start"
    network[0].requires_grad_(False)
    assert pretrained.show_blocks(network) == "9 of 10,009 parameters learn, of which 3 from the start"


def test_timms_weights_are_told_apart_by_their_first_tensors(monkeypatch):
    module = importlib.import_module("runner.model.timm")
    cfg = SimpleNamespace(model=SimpleNamespace(name="odd"))

    def digest(changed):
        tensors = {str(place): torch.full((2,), float(place == changed)) for place in range(10)}
        given = module.Trained(tensors, (0.1,) * 3, (0.5,) * 3, 176)
        monkeypatch.setattr(module, "where", lambda name: "timm/odd")
        monkeypatch.setattr(module, "trained", lambda name: given)
        found = pretrained._of_timm(cfg, SimpleNamespace(image_shape=(3, 8, 8)))
        assert (found.about, found.size, found.classes) == ("timm's weights of odd", 176, None)
        torch.testing.assert_close(found.preprocess["scale"].flatten(), torch.full((3,), 2.0))
        torch.testing.assert_close(found.preprocess["shift"].flatten(), torch.full((3,), 0.1))
        return found.digest

    assert digest(0) != digest(7) != digest(8)
    assert digest(8) == digest(9)


def test_a_mistake_in_timms_name_is_told_as_it_is(monkeypatch):
    module = importlib.import_module("runner.model.timm")

    def refuse(name):
        raise UserError("model.name: no such network")

    monkeypatch.setattr(module, "where", lambda name: "timm/odd")
    monkeypatch.setattr(module, "trained", refuse)
    with pytest.raises(UserError, match=r"^model\.name: no such network$"):
        pretrained._of_timm(SimpleNamespace(model=SimpleNamespace(name="odd")), SimpleNamespace(image_shape=(3, 8, 8)))


@pytest.mark.parametrize(
    ("error", "why"), [(OSError("no route"), "no route"), (urllib.error.URLError("no host"), "no host")]
)
def test_torchvisions_weights_that_cannot_be_downloaded_are_told_with_their_place(monkeypatch, tmp_path, error, why):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fail)
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    cfg = runner.compose(["model=resnet", "model.depth=18"])
    with pytest.raises(pretrained.NoWeights) as raised:
        pretrained._of_torchvision(cfg, "IMAGENET1K_V1", SimpleNamespace(image_shape=(3, 8, 8)))
    assert str(raised.value) == (
        f"model.weights: cannot download resnet18-f37072fd.pth of resnet18 ({why}); put the file into "
        f"{tmp_path}/checkpoints, or name a copy: model.weights=FILE"
    )


def test_torchvisions_weights_say_their_classes_size_and_digest(monkeypatch):
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", lambda *_, **__: {"a": 1})
    cfg = runner.compose(["model=resnet", "model.depth=18"])
    found = pretrained._of_torchvision(cfg, "IMAGENET1K_V1", SimpleNamespace(image_shape=(3, 8, 8)))
    assert (found.tensors, found.about, found.digest) == (
        {"a": 1},
        "IMAGENET1K_V1 of torchvision's resnet18",
        "f37072fd",
    )
    assert (len(found.classes), found.classes[0], found.size) == (1000, "tench", 224)


@pytest.mark.parametrize(("rows", "is_given"), [(1000, True), (999, False)])
def test_one_of_the_last_two_tensors_with_a_thousand_rows_is_imagenets_head(rows, is_given):
    cfg = runner.compose(["model=resnet"])
    tensors = {"count": torch.tensor(1), "fc.weight": torch.zeros(rows, 2), "last": torch.tensor(1000)}
    found = pretrained._with_known_preprocess(cfg, Weights(tensors, "a", "b"), SimpleNamespace(image_shape=(3, 8, 8)))
    assert (found.preprocess is not None) is is_given
    early = {"fc.weight": torch.zeros(1000, 2), "a": torch.zeros(2), "b": torch.zeros(3)}
    found = pretrained._with_known_preprocess(cfg, Weights(early, "a", "b"), SimpleNamespace(image_shape=(3, 8, 8)))
    assert found.preprocess is None


def test_a_file_is_found_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    torch.save({"weight": torch.zeros(2)}, tmp_path / "w.pt")
    cfg = runner.compose(["model=mlp"])
    cfg.model.weights = "~/w.pt"
    assert set(pretrained._named(cfg, SimpleNamespace(image_shape=(1, 8, 8))).tensors) == {"weight"}
    cfg.model.weights = "~/other.pt"
    with pytest.raises(pretrained.NoWeights, match=r"^model\.weights: ~/other\.pt: there is no such file$"):
        pretrained._named(cfg, None)
