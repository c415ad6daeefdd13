"""Every key held to the constructor it is meant for."""

import sys
from functools import cache
from types import ModuleType

import pytest
from omegaconf import OmegaConf

import runner
from runner.config.checking import bounds, check, check_sweep, is_plain, parameters_of, resolve
from runner.constraints import Bounds, Positive
from runner.errors import UserError


class Loss:
    """A user's own."""

    def __init__(self, weight: Positive, scale=1.0, **more):
        pass


class Strict:
    def __init__(self, weight: Positive, num_classes, *, scale: int = 1):
        pass


class Unknown:
    def __init__(self, weight: "NotDefinedAnywhere"):  # noqa: F821
        pass


NOT_CALLABLE = 3


@cache
def _composed(*words, command):
    return runner.compose(words, command)


def compose(*words, command="train"):
    """A config of one's own, composed once for all tests."""
    return _composed(*words, command=command).copy()


@pytest.fixture(autouse=True)
def _module(monkeypatch):
    made = ModuleType("mine")
    made.Loss, made.Strict, made.Unknown, made.NOT_CALLABLE = Loss, Strict, Unknown, NOT_CALLABLE
    monkeypatch.setitem(sys.modules, "mine", made)


def refused(cfg):
    with pytest.raises(UserError) as error:
        check(cfg)
    return str(error.value)


def with_loss(**keys):
    cfg = compose("model=linear")
    cfg.loss = OmegaConf.create(keys)
    return cfg


def test_a_composed_config_makes_sense():
    check(compose())
    check(compose("reg=[l2,dropout]", "augment=flip", "average=ema", "name=it"))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"_target_": "mine.Loss"}, "loss.weight: must be set, as in loss.weight=VALUE"),
        ({"_target_": "mine.Loss", "weight": 0}, "loss.weight: must be above 0, not 0"),
        ({"_target_": "mine.Strict", "weight": 1, "scale": 0.5}, "loss.scale: must be a whole number, not 0.5"),
        (
            {"_target_": "mine.Strict", "weight": 1, "scal": 1},
            "loss.scal: no such key; did you mean 'loss.scale'?",
        ),
        ({"weight": 1}, "loss: has no _target_ (the class or function to build it with); choose an option or add one"),
        ({"_target_": 3}, "loss._target_: must be a dotted name such as mypackage.MyNet, not 3"),
        ({"_target_": "mine.NOT_CALLABLE"}, "loss._target_: mine.NOT_CALLABLE is neither a class nor a function"),
        ({"_target_": "mine.Los"}, "loss._target_: mine has no 'Los'; did you mean 'Loss'?"),
        ({"_target_": "mine.Qqqqqqq"}, "loss._target_: mine has no 'Qqqqqqq'"),
        (
            {"_target_": "nowhere.Loss"},
            "loss._target_: no module 'nowhere'; name it as package.Class, and run from the folder that holds it or "
            "install it",
        ),
        (
            {"_target_": "mine.Loss", "weight": 1, "inner": {"_target_": "mine.Loss"}},
            "loss.inner.weight: must be set, as in loss.inner.weight=VALUE",
        ),
    ],
)
def test_a_key_that_does_not_fit_its_argument_is_named(keys, message):
    assert refused(with_loss(**keys)) == message


@pytest.mark.parametrize(
    "keys",
    [
        {"_target_": "mine.Loss", "weight": 1, "anything": "goes"},
        {"_target_": "mine.Strict", "weight": 0.5, "scale": 3},  # num_classes comes from the data
        {"_target_": "mine.Strict", "_partial_": True},
        {"_target_": "mine.Unknown", "weight": "whatever"},
        {"_target_": "torch.nn.CrossEntropyLoss", "label_smoothing": 0.5},
    ],
)
def test_what_a_constructor_takes_is_let_through(keys):
    check(with_loss(**keys))


def test_a_module_that_cannot_be_imported_says_why(monkeypatch, tmp_path):
    (tmp_path / "broken_one.py").write_text("import not_there_at_all\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert refused(with_loss(_target_="broken_one.Loss")) == (
        "loss._target_: importing broken_one failed: No module named 'not_there_at_all'"
    )


def test_classes_within_classes_and_modules_within_packages_are_found():
    assert resolve("os.path.join", "a") is __import__("os").path.join
    assert resolve("collections.OrderedDict.fromkeys", "a")("ab") == {"a": None, "b": None}


def test_a_part_that_is_missing_or_strange_is_named():
    cfg = compose()
    del cfg["loss"]
    assert refused(cfg) == ("loss: missing from the config; it may be of another version of runner, or cut short")
    cfg = OmegaConf.merge(compose(), {"modle": {"_target_": "mine.Loss"}})
    assert refused(cfg) == "modle: no such key; did you mean 'model'?"
    cfg = compose()
    cfg.loss = 3
    assert refused(cfg) == "loss: must be an option's keys, not 3; see runner options loss"
    cfg = compose()
    cfg.objective = 3
    assert refused(cfg) == "objective: has keys of its own, and cannot be 3; see runner train --cfg job"
    cfg = compose("reg=l2")
    cfg.reg.l2 = [1]
    assert refused(cfg) == "reg.l2: must be an option's keys, not [1]; see runner options reg"


def test_a_value_that_is_missing_or_cannot_be_resolved_is_named():
    cfg = compose()
    cfg.optimizer.lr = "???"
    assert refused(cfg) == "optimizer.lr: must be set, as in optimizer.lr=VALUE"
    cfg.optimizer.lr = "${nowhere}"
    assert refused(cfg).startswith("optimizer.lr: Interpolation key 'nowhere' not found")
    assert "\n" not in refused(cfg)


@pytest.mark.parametrize("name", ["", ".", ".hidden", "a/b", "a\0b"])
def test_a_name_is_that_of_one_folder(name):
    cfg = compose()
    cfg.name = name
    assert refused(cfg) == (
        f"name: must be the name of one folder, without / and not beginning with a dot, not {name!r}"
    )
    sweep = compose("sweep=lr", command="sweep")
    sweep.name = name
    with pytest.raises(UserError, match=r"^name: must be the name of one folder"):
        check_sweep(sweep)


def test_the_keys_of_a_sweep_are_checked_by_themselves():
    sweep = compose("sweep=lr", "optimizer.lr=-1", command="sweep")
    check_sweep(sweep)  # the trials' own keys are theirs
    sweep.sweep.num_workers = 0
    with pytest.raises(UserError, match=r"^sweep\.num_workers: must be at least 1, not 0"):
        check_sweep(sweep)


def test_the_bounds_of_a_key_are_those_of_its_argument():
    cfg = compose("reg=dropout", "optimizer=momentum")
    assert bounds(cfg, "reg.dropout.p") == Bounds(0, 1, high_open=True)
    assert bounds(cfg, "optimizer.momentum") == Bounds(0, 1, high_open=True)
    for key in ("model.activation", "optimizer.nothing", "seed", "reg.nothing.p"):
        assert bounds(cfg, key) is None


@pytest.mark.parametrize(
    ("node", "plain"),
    [
        ({"_target_": "a.B", "lr": 1, "list": [1, [2]], "map": {"x": 1}}, True),
        ({"_target_": "a.B", "_partial_": True}, False),
        ({"_target_": "a.B", "_args_": [1]}, False),
        ({"_target_": "a.B", "inner": {"_target_": "a.C"}}, False),
        ({"_target_": "a.B", "inner": {"deeper": {"_target_": "a.C"}}}, False),
        ({"_target_": "a.B", "list": [1, [{"_target_": "a.C"}]]}, False),
    ],
)
def test_a_node_is_plain_without_callables_and_words_of_hydras(node, plain):
    assert is_plain(node) == plain


def test_arguments_are_read_off_the_signature():
    assert list(parameters_of(Strict)) == ["weight", "num_classes", "scale"]


@pytest.mark.parametrize("words", [["transfer=head", "transfer.source=7"], ["loss=distillation", "loss.teacher=7"]])
def test_a_run_may_be_named_by_its_number(words):
    check(runner.compose(words))
