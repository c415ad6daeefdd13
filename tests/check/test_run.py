"""A check from its config to its verdict: the folder it leaves, and what it says."""

import io
import json

import pytest
from rich.console import Console

import runner
from runner.check import run as module
from runner.check.subject import Subject
from runner.check.verdict import Check
from runner.errors import UserError

SMALL = ["model=linear", "log.progress=none"]


@pytest.fixture
def check(tmp_path, monkeypatch):
    """`check(of_family)`: a check of two families, whose checks that gives; its verdict and what it noted."""
    monkeypatch.setenv("COLUMNS", "200")

    def begin(of_family, *words):
        monkeypatch.setattr(module, "measured", lambda subject, family: of_family(family))
        words = [*SMALL, f"output_dir={tmp_path}", *words]
        choices = {"data": "digits", "model": "linear"}
        verdict = module.check(runner.compose(words), ["seed=0"], choices, ["data", "loss"])
        return verdict, record(tmp_path)

    return begin


def record(path):
    (file,) = path.glob("*/*/check.json")
    return json.loads(file.read_text())


def one(family, verdict="ok", advice=""):
    return Check(f"{family}.a", verdict, "3 [measured]", "4", advice, {"number": 5})


def test_what_was_measured_is_noted_and_the_worst_is_the_verdict(check, capsys):
    verdict, noted = check(lambda family: [one(family, "warning" if family == "loss" else "ok", "a [remedy]")])
    assert verdict == noted["verdict"] == "warning"
    assert (noted["status"], noted["name"], noted["overrides"]) == ("finished", "digits-linear", ["seed=0"])
    assert noted["choices"] == {"data": "digits", "model": "linear"}
    fields = {"measured": "3 [measured]", "expected": "4", "advice": "a [remedy]", "values": {"number": 5}}
    assert noted["checks"] == [
        {"name": "data.a", "verdict": "ok"} | fields,
        {"name": "loss.a", "verdict": "warning"} | fields,
    ]
    assert set(noted["seconds_by_family"]) == {"data", "loss"}
    assert noted["seconds"] >= 0
    assert noted["finished"]
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == "check verdict measured expected"
    assert lines[1] == "data.a ok 3 [measured] 4"
    assert "loss.a a [remedy]" in lines
    assert any(line.startswith("warning 2 checks in ") for line in lines)
    assert lines[-1].startswith("folder ")


@pytest.mark.parametrize("error", [UserError("data.root: gone"), KeyboardInterrupt(), OSError(28, "full")])
def test_a_check_that_breaks_is_noted_as_failed_and_let_go(check, tmp_path, error):
    def broken(family):
        raise error

    with pytest.raises(type(error)):
        check(broken)
    noted = record(tmp_path)
    assert (noted["status"], noted["verdict"], noted["checks"]) == ("failed", None, [])
    assert noted["finished"]


def test_choices_that_contradict_each_other_leave_no_folder(check, tmp_path, monkeypatch, capsys):
    def refuse(cfg):
        raise UserError("reg: twice")

    monkeypatch.setattr(module.config, "check_combinations", refuse)
    with pytest.raises(UserError, match="reg: twice"):
        check(lambda family: [])
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(module.config, "check_combinations", lambda cfg: None)
    monkeypatch.setattr(module.config, "notes", lambda cfg: ["acts in one place"])
    check(lambda family: [])
    assert "note: acts in one place" in capsys.readouterr().err


def test_the_config_that_was_checked_lies_in_the_folder(check, tmp_path):
    check(lambda family: [], "seed=7", "name=mine")
    (file,) = tmp_path.glob("mine/*/config.yaml")
    assert "seed: 7" in file.read_text()


@pytest.mark.parametrize(
    "error",
    [RuntimeError("odd\nand more"), ValueError("odd"), TypeError("odd"), IndexError("odd"), ZeroDivisionError("odd")],
)
def test_a_family_that_breaks_on_the_training_ends_no_others(monkeypatch, error):
    def broken(subject):
        yield one("lr")
        raise error

    monkeypatch.setattr("runner.check.lr.check", broken)
    first, last = module.measured(None, "lr")
    assert first == one("lr")
    assert (last.name, last.verdict) == ("lr.error", "wrong")
    assert last.measured == f"{type(error).__name__}: {' '.join(str(error).split())}"
    assert "Traceback" in last.values["traceback"]


def test_a_mistake_of_the_user_ends_all(monkeypatch):
    def broken(subject):
        raise UserError("data.root: gone")
        yield

    monkeypatch.setattr("runner.check.lr.check", broken)
    with pytest.raises(UserError):
        list(module.measured(None, "lr"))


def test_where_nothing_is_advised_there_is_nothing_to_do():
    for advice in ("", "a remedy"):
        console = Console(file=io.StringIO(), width=100)
        module.print_table(console, [one("data", advice=advice)])
        assert ("what to do" in console.file.getvalue()) is bool(advice)


def test_a_subject_is_as_it_was_built_whatever_a_check_has_done():
    subject = Subject(runner.compose([*SMALL, "model=mlp", "reg=dropout"]))
    before = {name: value.clone() for name, value in subject.training.state.network.state_dict().items()}
    training = subject.fresh()
    for _ in range(2):
        training.step(training.state, next(subject.batches()))
    training.state.network.eval()
    again = subject.fresh()
    assert again is training
    assert all((before[name] == value).all() for name, value in again.state.network.state_dict().items())
    assert again.state.network.training
    assert all(parameter.grad is None or not parameter.grad.any() for parameter in again.state.network.parameters())
    subject.rebuild()
    assert subject.training is not training
    assert all((before[name] == value).all() for name, value in subject.training.state.network.state_dict().items())
