"""A trained network as a file for other programs, read by these programs."""

import importlib.util
import io
import json
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import runner
from runner.errors import UserError
from runner.inference import export as exporting
from runner.inference.classifier import Classifier
from runner.inference.export import export
from runner.store import RunFolder
from runner.transfer.weights import read_weights

DOCUMENT = Path(__file__).parents[2] / "docs/deploy.md"
HAS_ONNX = all(importlib.util.find_spec(name) for name in ("onnx", "onnxscript", "onnxruntime"))
needs_onnx = pytest.mark.skipif(not HAS_ONNX, reason="the extra [export] is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")  # exporters warn of their own code


@pytest.fixture
def run(train):
    return train("model=convnet", "model.channels=[8,8]", "engine.epochs=2", "log.tensorboard=false")


def classifier(run, *words):
    return Classifier.load(RunFolder.open(run.folder), [*words, "engine.device=cpu"])


def images(count=5):
    return torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.slow
@needs_onnx
@pytest.mark.parametrize("words", [[], ["tta=flip"]])
def test_onnx_gives_the_networks_probabilities_at_any_batch_size(run, tmp_path, words):
    import onnxruntime

    made = export([classifier(run, *words)], tmp_path / "m.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "m.onnx"))
    for count in (1, 5):
        with torch.no_grad():
            scores = run.model()(images(count)).softmax(1)
            if words:
                scores = (scores + run.model()(images(count).flip(3)).softmax(1)) / 2
        found = session.run(["probabilities"], {"images": images(count).numpy()})[0]
        assert np.allclose(found, scores, atol=1e-5)
    about = session.get_modelmeta().custom_metadata_map
    assert json.loads(about["classes"]) == [str(k) for k in range(10)]
    assert (about["image_size"], about["channels"], json.loads(about["runs"])) == ("8", "1", [run.record["id"]])
    assert made.difference < 1e-5
    assert made.original.accuracy == made.exported.accuracy
    if not words:
        assert made.original.accuracy == pytest.approx(run.objective)
    assert set(made.exported.milliseconds) == {1, 32}


@pytest.mark.slow
def test_torch_export_needs_no_code_of_ours(run, tmp_path):
    made = export([classifier(run)], tmp_path / "m.pt2", "torch_export")
    torch.save(images(7), tmp_path / "images.pt")
    code = (
        "import sys, torch; network = torch.export.load('m.pt2').module();"
        "torch.save(network(torch.load('images.pt')), 'found.pt');"
        "assert not any(name.split('.')[0] == 'runner' for name in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, env={"PATH": ""}, capture_output=True)
    with torch.no_grad():
        expected = run.model()(images(7)).softmax(1)
    assert torch.allclose(torch.load(tmp_path / "found.pt"), expected, atol=1e-5)
    assert made.difference < 1e-5


def test_a_state_dict_is_read_without_trust(run, tmp_path):
    export([classifier(run)], tmp_path / "m.pt", "state_dict")
    stored = torch.load(tmp_path / "m.pt", weights_only=True)
    network = run.model()
    for name, value in network[1].state_dict().items():
        assert torch.equal(stored["network"][name], value)
    assert stored["model"]["_target_"] == "runner.model.ConvNet"
    assert json.loads(stored["classes"]) == [str(k) for k in range(10)]


def test_safetensors_hold_the_same_weights_and_what_transfer_needs(run, tmp_path):
    """Read by safetensors itself, and by `model.weights`, which takes classes, size and preprocessing from it."""
    safetensors = pytest.importorskip("safetensors.torch")
    member = classifier(run)
    export([member], tmp_path / "m.safetensors", "safetensors")
    found = safetensors.load_file(tmp_path / "m.safetensors")
    network = run.model()[1].state_dict()
    assert found.keys() == network.keys()
    assert all(torch.equal(found[name], value) for name, value in network.items())
    weights = read_weights(tmp_path / "m.safetensors")
    assert weights.tensors.keys() == network.keys()
    assert (weights.classes, weights.size) == ([str(k) for k in range(10)], 8)
    prepared = member.preprocess.state_dict()
    assert weights.preprocess.keys() == prepared.keys()
    assert all(torch.allclose(weights.preprocess[name], value) for name, value in prepared.items())


@pytest.mark.slow
@needs_onnx
def test_several_runs_are_averaged_in_one_file(run, train, tmp_path):
    other = train("model=linear", "engine.epochs=1", "log.tensorboard=false")
    export([classifier(run), classifier(other)], tmp_path / "e.onnx")
    import onnxruntime

    found = onnxruntime.InferenceSession(str(tmp_path / "e.onnx")).run(None, {"images": images().numpy()})[0]
    expected = runner.predict([run, other], (images() * 255).round() / 255).probabilities
    with torch.no_grad():
        expected = torch.stack([one.model()(images()).softmax(1) for one in (run, other)]).mean(0)
    assert np.allclose(found, expected, atol=1e-5)


@pytest.mark.slow
@needs_onnx
def test_int8_is_smaller_and_nearly_as_good(run, tmp_path):
    whole = export([classifier(run)], tmp_path / "m.onnx")
    small = export([classifier(run)], tmp_path / "q.onnx", quantize="int8", max_drop=0.05)
    assert small.size < 0.75 * whole.size  # 8 bits of 32, and what describes the network
    assert small.exported.accuracy >= whole.exported.accuracy - 0.05
    assert sorted(path.name for path in tmp_path.glob("*.onnx")) == ["m.onnx", "q.onnx"]


@needs_onnx
@pytest.mark.slow
def test_what_differs_is_removed(run, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "_difference", lambda *_: 2e-4)
    with pytest.raises(UserError, match=r"differ by up to 0.0002 .*; it was removed"):
        export([classifier(run)], tmp_path / "m.onnx")
    assert not list(tmp_path.glob("*.onnx"))


@needs_onnx
def test_ranges_of_activations_are_found_on_images_of_the_validation_split(train, tmp_path, monkeypatch):
    run, given = train("model=linear", "engine.epochs=1", "log.tensorboard=false"), []
    monkeypatch.setattr(exporting, "NUM_CALIBRATION", 20)
    monkeypatch.setattr(exporting, "_quantize", lambda *those: given.append(those))
    export([classifier(run)], tmp_path / "q.onnx", quantize="int8")
    ((file, seen),) = given
    expected = runner.build.data(run.config).source("val").pixels[:20] / 255
    assert (file, seen.shape) == (tmp_path / "q.onnx", expected.shape)
    assert torch.allclose(seen, expected)


def test_torch_export_gives_the_networks_probabilities_at_any_batch_size(train, tmp_path):
    run = train("model=linear", "engine.epochs=1", "log.tensorboard=false")
    made = export([classifier(run)], tmp_path / "m.pt2", "torch_export")
    assert made.difference < 1e-5
    network = torch.export.load(tmp_path / "m.pt2").module()
    for count in (1, 5):
        with torch.no_grad():
            assert torch.allclose(network(images(count)), run.model()(images(count)).softmax(1), atol=1e-5)


@needs_onnx
@pytest.mark.slow
def test_an_int8_file_that_is_much_worse_is_removed(run, tmp_path):
    with pytest.raises(UserError, match=r"--max-drop: at int8 val accuracy falls from"):
        export([classifier(run)], tmp_path / "q.onnx", quantize="int8", max_drop=-1)
    assert not list(tmp_path.glob("*.onnx"))


def test_without_the_extra_it_is_named(run, tmp_path, monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "onnxruntime" else find_spec(name))
    with pytest.raises(UserError, match=r"needs onnxruntime; install it by pip install 'runner\[export\]'"):
        export([classifier(run)], tmp_path / "m.onnx")


def test_a_network_that_cannot_be_written_is_one_line(run, tmp_path, monkeypatch):
    def forward(self, x):
        return x.flatten(1) if x.sum() > 0 else -x.flatten(1)  # which depends on the numbers

    monkeypatch.setattr(torch.nn.Flatten, "forward", forward)
    with pytest.raises(UserError, match="--format: this network cannot be written as torch_export") as raised:
        export([classifier(run)], tmp_path / "m.pt2", "torch_export")
    assert "\n" not in str(raised.value)


@pytest.mark.slow
class TestTheDocument:
    """Its programs do as `runner predict`."""

    @pytest.fixture
    def place(self, run, tmp_path):
        from sklearn.datasets import load_digits

        place = tmp_path / "place"
        (place / "photos").mkdir(parents=True)
        for number, pixels in enumerate(load_digits().images[:12]):
            Image.fromarray((pixels * 255 / 16).round().astype(np.uint8)).save(place / f"photos/{number:02d}.png")
        for name, code in re.findall(r"^`(\w+\.py)`:\n\n```python\n(.*?)^```", DOCUMENT.read_text(), flags=re.S | re.M):
            (place / name).write_text(code)
        return place

    def expected(self, run, place):
        found = run.predict(place / "photos")
        return dict(zip((path.name for path in found.paths), found.labels, strict=True))

    @needs_onnx
    def test_label_a_folder(self, run, place):
        export([classifier(run)], place / "model.onnx")
        command = [sys.executable, "label_folder.py", "photos"]
        lines = subprocess.run(command, cwd=place, capture_output=True, text=True, check=True).stdout.splitlines()
        assert {Path(line.split(",")[0]).name: line.split(",")[1] for line in lines} == self.expected(run, place)

    @pytest.mark.parametrize(
        ("program", "file", "format_"),
        [
            pytest.param("serve.py", "model.onnx", "onnx", marks=needs_onnx),
            ("serve_torch.py", "model.pt2", "torch_export"),
        ],
    )
    def test_serve(self, run, place, program, file, format_):
        export([classifier(run)], place / file, format_)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        (place / program).write_text((place / program).read_text().replace("8000", str(port)))
        server = subprocess.Popen([sys.executable, program], cwd=place, stderr=subprocess.DEVNULL)
        try:
            answers = {path.name: self.ask(port, path.read_bytes()) for path in sorted((place / "photos").iterdir())}
        finally:
            server.kill()
            server.wait()
        assert {name: answer["label"] for name, answer in answers.items()} == self.expected(run, place)
        assert all(0.1 < answer["probability"] <= 1 for answer in answers.values())

    def ask(self, port, content):
        until = time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}", content, timeout=30) as answer:
                    return json.load(io.TextIOWrapper(answer))
            except OSError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)


def test_a_file_that_is_exported_twice_is_replaced_whole(run, tmp_path):
    export([classifier(run)], tmp_path / "m.pt", "state_dict")
    shutil.copy(tmp_path / "m.pt", tmp_path / "before.pt")
    export([classifier(run)], tmp_path / "m.pt", "state_dict")
    assert (tmp_path / "m.pt").stat().st_size == (tmp_path / "before.pt").stat().st_size


@pytest.mark.parametrize("error", [UserError("--out: no room"), OSError(28, "No space left on device")])
def test_a_mistake_on_the_way_is_told_as_it_is(run, tmp_path, monkeypatch, error):
    def write(*arguments):
        raise error

    monkeypatch.setattr(sys.modules[export.__module__], "_write_torch_export", write)
    with pytest.raises(type(error)) as raised:
        export([classifier(run)], tmp_path / "m.pt2", "torch_export")
    assert raised.value is error
