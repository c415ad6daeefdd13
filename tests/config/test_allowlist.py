"""What a stored config may build: nothing that its folder's writer could use against the one who opens it."""

from dataclasses import is_dataclass
from enum import Enum

import pytest
import torch
from omegaconf import OmegaConf
from torch import nn
from torch.optim import Optimizer
from torchvision import ops
from torchvision.transforms import v2

import runner
from runner.config import check_trusted, trust_flag
from runner.errors import UserError

HOSTILE = {"_target_": "os.system", "command": "touch ran"}


@pytest.mark.parametrize(
    ("key", "target"),
    [
        ("model", "os.system"),
        ("model", "subprocess.Popen"),
        ("model", "torch.nn.init.torch.load"),
        ("model", "torch.load"),
        ("model", "runner.model._private"),
        ("model", "runner.cli.main"),
        ("model", "runner.data.source.Path"),
        ("loss", "pathlib.Path.write_text"),
        ("optimizer", "torch.optim.optimizer.torch.load"),
        ("schedule", "runner.schedule.curves.math.exp"),
    ],
)
def test_a_stored_config_builds_nothing_but_our_own_classes(key, target):
    cfg = runner.compose(["model=mlp"])
    check_trusted(cfg)
    cfg[key]._target_ = target
    with pytest.raises(UserError, match=rf"^{key}._target_: .*not one of runner's own"):
        check_trusted(cfg)


def test_a_stored_config_may_use_torchs_modules_and_optimizers():
    cfg = runner.compose([])
    cfg.optimizer._target_ = "torch.optim.SGD"
    cfg.loss._target_ = "torch.nn.CrossEntropyLoss"
    check_trusted(cfg)
    cfg.name = "${oc.env:HOME}"
    with pytest.raises(UserError, match="plain values"):
        check_trusted(cfg)


@pytest.mark.parametrize(
    "hidden",
    [
        {"weight": HOSTILE},
        {"weight": [HOSTILE]},
        {"weight": [[{"deeper": [HOSTILE]}]]},
        {"_args_": [HOSTILE]},
        {"_args_": [["touch", HOSTILE]]},
        {"weight": {"_target_": "torch.nn.Linear", "_args_": [1, {"_partial_": True, **HOSTILE}]}},
        {"weight": {**HOSTILE, "_recursive_": False}},
        {"weight": {"_target_": ["os.system"]}},
        {"weight": {"_target_": {"_target_": "torch.nn.Linear"}}},
        {"weight": {"_target_": "runner.data.Folder", "root": "x"}},
        {"weight": "${oc.env:HOME}"},
        {"weight": ["${oc.create:{_target_: os.system}}"]},
    ],
    ids=str,
)
def test_nothing_is_hidden_from_the_check_by_depth_lists_or_words_of_hydras(hidden):
    cfg = runner.compose(["model=mlp"])
    cfg.loss = OmegaConf.create({"_target_": "torch.nn.CrossEntropyLoss", **hidden})
    with pytest.raises(UserError, match=r"^loss\..*(not one of runner's own classes|plain values)"):
        check_trusted(cfg)


def test_an_option_of_one_group_is_none_of_another():
    cfg = runner.compose(["model=mlp"])
    cfg.loss._target_ = "runner.model.torchvision"
    with pytest.raises(UserError, match=r"^loss\._target_: runner\.model\.torchvision is not one"):
        check_trusted(cfg)


@pytest.mark.parametrize("module", [nn, torch.optim, ops, v2], ids=lambda module: module.__name__)
def test_every_capitalized_name_of_the_modules_on_the_list_is_a_class_that_only_computes(module):
    names = [name for name in dir(module) if name[0].isupper()]
    assert len(names) > 5
    for name in names:
        found = getattr(module, name)
        assert isinstance(found, type), name
        assert found.__module__.partition(".")[0] in ("torch", "torchvision"), name
        assert issubclass(found, (nn.Module, Optimizer, torch.Tensor, Enum, tuple)) or is_dataclass(found), name


def test_the_check_imports_nothing_that_a_config_names(tmp_path, monkeypatch):
    (tmp_path / "hostile.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    monkeypatch.syspath_prepend(tmp_path)
    cfg = runner.compose(["model=mlp"])
    cfg.loss._target_ = "hostile.Loss"
    with pytest.raises(UserError, match="hostile"):
        check_trusted(cfg)
    assert not (tmp_path / "ran").exists()


def test_where_interpolations_may_be_what_they_give_is_held_to_the_list():
    cfg = runner.compose(["optimizer.lr=${reg.l2.strength}", "reg=l2"])
    check_trusted(cfg, resolve=True)
    with pytest.raises(UserError, match=r"optimizer\.lr: a stored config holds plain values"):
        check_trusted(cfg)
    cfg.optimizer._target_ = "${name}"
    cfg.name = "os.system"
    with pytest.raises(UserError, match=r"optimizer\._target_: os\.system is not one of runner's own classes"):
        check_trusted(cfg, resolve=True)


def test_a_command_that_goes_on_with_foreign_classes_is_told_with_its_flag():
    cfg = runner.compose(["model=mlp"])
    assert trust_flag(cfg) == ""
    cfg.model._target_ = "mine.Net"
    assert trust_flag(cfg) == " --trust"
