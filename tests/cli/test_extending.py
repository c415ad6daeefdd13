"""Users' own classes and configs, by the example in docs/extending.md."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

DOCUMENT = Path(__file__).parents[2] / "docs/extending.md"


def files_of(document):
    """The files that the document shows: a line `name.ext:` in backquotes, then the block of its content."""
    found = re.findall(r"^`([\w/.]+)`:\n\n```\w*\n(.*?)^```", document, flags=re.S | re.M)
    return dict(found)


def commands_of(document):
    return re.findall(r"^    (runner .*)$", document, flags=re.M)


@pytest.mark.slow
def test_the_example_of_the_document_runs(runner):
    document = DOCUMENT.read_text()
    files = files_of(document)
    assert len(files) >= 3
    for name, content in files.items():
        path = runner.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    commands = commands_of(document)
    assert len(commands) >= 3
    for command in commands:
        folder = str(runner.runs()[-1]) if "FOLDER" in command else ""
        words = shlex.split(command.replace("FOLDER", folder))[1:]
        done = runner(*words, *(["experiment=quick"] if words[0] == "train" and "experiment" not in command else []))
        if words[0] == "train" and "torch.optim" not in command:
            assert "--trust" in done.stdout, "the next commands that are printed must work as they are"
    targets = [(folder / "config.yaml").read_text() for folder in runner.runs()]
    assert any("_target_: mynets.TwoPaths" in text for text in targets)
    assert (runner.runs()[-1] / "test.json").exists()


NET = """from torch import nn


class Net(nn.Sequential):
    def __init__(self, in_channels: int, image_size: int, num_classes: int) -> None:
        super().__init__(nn.Flatten(), nn.Linear(in_channels * image_size**2, num_classes))
"""


@pytest.mark.slow
def test_a_run_finds_its_images_and_modules_from_another_folder(process, tmp_path):
    begun, elsewhere = tmp_path / "begun", tmp_path / "elsewhere"
    elsewhere.mkdir()
    numbers = np.random.default_rng(0)
    for path in (f"photos/{split}/{name}/{n}.png" for split in ("train", "test") for name in "ab" for n in range(6)):
        (begun / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(numbers.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(begun / path)
    (begun / "homenets.py").write_text(NET)
    process.folder = begun
    options = ["data=folder", "data.root=photos", "data.image_size=8", "data.val_fraction=0.25", "engine.epochs=1"]
    process("train", *options, "model=linear", "model._target_=homenets.Net", "name=here")
    (folder,) = process.runs()
    process.folder = elsewhere
    assert "--trust" in process("test", folder, status=2).stderr
    assert "on 12 images" in process("test", folder, "--trust").stdout


def test_a_folder_of_configs_may_be_named_in_the_environment(runner):
    (runner.folder / "mine/model").mkdir(parents=True)
    (runner.folder / "mine/model/wide.yaml").write_text("# Wide.\n_target_: runner.model.MLP\nhidden: [300]\n")
    environment = {"RUNNER_CONFIGS": str(runner.folder / "mine")}
    runner("train", "model=wide", "experiment=quick", env=environment)
    (folder,) = runner.runs()
    assert json.loads((folder / "run.json").read_text())["choices"]["model"] == "wide"
    assert "wide" in runner("options", "model", env=environment).stdout
    done = runner("train", env={"RUNNER_CONFIGS": "/nowhere"}, status=2)
    assert "RUNNER_CONFIGS: no folder /nowhere" in done.stderr
