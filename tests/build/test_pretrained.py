"""Trained weights: which are refused, which preprocessing they bring, and what the header says of them."""

import importlib
import json
from types import SimpleNamespace

import pytest
import torch
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
