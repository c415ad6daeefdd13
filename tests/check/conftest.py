"""Checks of trainings that are small, and broken on purpose."""

import sys

import pytest

import runner
from runner.check.run import measured
from runner.check.subject import Subject


@pytest.fixture
def checked():
    """`checked("lr", "optimizer.lr=100")` gives the checks of a family by name."""

    def check(family, *words):
        subject = Subject(runner.compose(["model=mlp", *words]))
        return {check.name: check for check in measured(subject, family)}

    return check


@pytest.fixture
def own(tmp_path, monkeypatch):
    """`own(code)` makes a module of one's own, and gives the words that choose its network `Net`."""

    def write(code):
        (tmp_path / "ownnets.py").write_text(
            "import torch\nimport torch.nn.functional as F\nfrom torch import nn\n" + code
        )
        return ["model=linear", "model._target_=ownnets.Net", "init=default"]

    path = sys.path[:]
    monkeypatch.chdir(tmp_path)
    sys.modules.pop("ownnets", None)
    yield write
    sys.path[:] = path
    sys.modules.pop("ownnets", None)
