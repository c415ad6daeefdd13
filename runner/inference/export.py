"""A trained network as one file for other programs. B images, C channels, S by S pixels, K classes.

The file takes images [B, C, S, S] from 0 to 1, of any B, and gives class probabilities [B, K]: preprocessing, test-time
augmentation, temperature and the average of several runs are inside.
"""

from __future__ import annotations

import io
import json
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from omegaconf import OmegaConf
from torch import Tensor, nn

from runner import build, files
from runner.data.batches import as_float
from runner.engine import process
from runner.errors import UserError
from runner.inference.classifier import Classifier, check_same_classes

Format = Literal["onnx", "torch_export", "state_dict", "safetensors"]
SUFFIXES = {"onnx": ".onnx", "torch_export": ".pt2", "state_dict": ".pt", "safetensors": ".safetensors"}
WEIGHTS = ("state_dict", "safetensors")  # formats without the network
TOLERANCE = 1e-4  # of probabilities
NUM_IMAGES = 2000  # of the validation split, that the file is held to
NUM_CALIBRATION = 256  # of these, by which ranges of activations are found
BATCHES = (1, 32)  # sizes that are timed
TIMED_SECONDS = 0.3  # at least, of each
OPSET = 20
METADATA = "runner.json"
Classify = Callable[[Tensor], Tensor]


class Deployed(nn.Module):
    """Images [B, C, S, S] from 0 to 1 to class probabilities [B, K], of one classifier or the mean of several."""

    def __init__(self, members: Sequence[Classifier]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(member.network for member in members)
        self.preprocesses = nn.ModuleList(member.preprocess for member in members)
        self.ttas = [member.tta for member in members]
        self.temperatures = [member.temperature for member in members]

    def forward(self, images: Tensor) -> Tensor:
        parts = zip(self.networks, self.preprocesses, self.ttas, self.temperatures, strict=True)
        found = [(tta(net, prepare(images)) / temperature).softmax(-1) for net, prepare, tta, temperature in parts]
        return torch.stack(found).mean(0)


@dataclass(frozen=True)
class Measured:
    """Accuracy on the validation images, and milliseconds per image by batch size."""

    accuracy: float
    milliseconds: dict[int, float]


@dataclass(frozen=True)
class Exported:
    """A file, and how it does beside the network that it was made of.

    Args:
        difference: the largest of a probability; None where only the weights were written.
    """

    file: Path
    size: int
    difference: float | None
    original: Measured
    exported: Measured | None
    num_images: int


def export(
    members: Sequence[Classifier],
    file: Path,
    format_: Format = "onnx",
    quantize: Literal["int8"] | None = None,
    max_drop: float = 0.01,
) -> Exported:
    """Write the file, load it again, and hold it to the network on images of the validation split.

    Args:
        quantize: int8: weights and activations of 8 bits, with ranges from validation images.
        max_drop: of accuracy on the validation split, by which a quantized file may be worse.

    Raises:
        UserError: a package is not installed, the network cannot be written in this format, or the file differs from it
            by more than it may; it is removed then.
    """
    check_same_classes(members)
    _check_readable_alike(members)
    if quantize and format_ != "onnx":
        raise UserError("--quantize: is of --format onnx alone")
    if format_ in WEIGHTS and len(members) > 1:
        raise UserError(f"--format: {format_} holds the weights of one run; choose onnx or torch_export for several")
    if format_ == "onnx":
        _require("--format: onnx", "export", "onnx", "onnxscript", "onnxruntime")
    if format_ == "safetensors":
        _require("--format: safetensors", "timm", "safetensors")
    network = Deployed(members).eval()
    images, labels = _validation(members[0])
    process.set_num_threads(members[0].network, members[0].described.image_shape, max(BATCHES))
    original = _measure(network, images, labels)
    if format_ in WEIGHTS:
        write_alone = write_weights if format_ == "state_dict" else write_safetensors
        files.replace_file(file, write_alone(members[0]))
        return Exported(file, file.stat().st_size, None, original, None, len(labels))
    example = torch.cat([images[:2]] * 2)[:2]
    write = _write_onnx if format_ == "onnx" else _write_torch_export
    with _as_user_error(format_):
        files.replace_file(file, write(network, example, _metadata(members)))
    try:
        classify = _load_onnx(file) if format_ == "onnx" else _load_torch_export(file)
        difference = _difference(network, classify, images)
        if difference > TOLERANCE:
            raise UserError(
                f"{file}: its probabilities differ by up to {difference:.2g} from the network's; it was removed"
            )
        if quantize:
            _quantize(file, images[:NUM_CALIBRATION])
            classify = _load_onnx(file)
            difference = _difference(network, classify, images)
        exported = _measure(classify, images, labels)
        if original.accuracy - exported.accuracy > max_drop:
            raise UserError(
                f"--max-drop: at int8 val accuracy falls from {original.accuracy:.4f} to {exported.accuracy:.4f}, more "
                f"than {max_drop:g}; the file was removed"
            )
    except BaseException:
        file.unlink(missing_ok=True)
        raise
    return Exported(file, file.stat().st_size, difference, original, exported, len(labels))


def _check_readable_alike(members: Sequence[Classifier]) -> None:
    first, *others = members
    for other in others:
        if other.reads_alike != first.reads_alike:
            raise UserError(
                f"{other.folder.path}: takes other images than {first.folder.path} (size, channels or resize); "
                "export each alone"
            )


def _require(what: str, extra: str, *packages: str) -> None:
    from importlib.util import find_spec

    for package in packages:
        if find_spec(package) is None:
            raise UserError(f"{what} needs {package}; install it by pip install 'runner[{extra}]'")


def _validation(member: Classifier) -> tuple[Tensor, Tensor]:
    """Images from 0 to 1 of the validation split, and their labels; a sample of many, spread evenly."""
    dataset = build.data(member.cfg)
    source = dataset.source("val", build.eval_view(member.cfg, dataset))
    chosen = range(0, len(source), max(1, -(-len(source) // NUM_IMAGES)))
    return as_float(source.read(list(chosen))), source.labels[list(chosen)]


def _metadata(members: Sequence[Classifier]) -> dict[str, str]:
    first = members[0]
    C, S, _ = first.described.image_shape
    side = S if first.view is None else first.view.side
    return {
        "classes": json.dumps(first.class_names),
        "image_size": str(side),
        "channels": str(C),
        "resize": first.described.resize,
        "runs": json.dumps([str(member.folder.record["id"]) for member in members]),
        "input": "images [B, C, S, S] from 0 to 1",
        "output": "class probabilities [B, K]",
    }


def _write_onnx(network: nn.Module, example: Tensor, metadata: dict[str, str]) -> bytes:
    program = torch.onnx.export(
        network,
        (example,),
        dynamo=True,
        verbose=False,
        opset_version=OPSET,
        input_names=["images"],
        output_names=["probabilities"],
        dynamic_shapes={"images": {0: torch.export.Dim("batch")}},
    )
    assert program is not None
    model = program.model_proto
    for key, value in metadata.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    content: bytes = model.SerializeToString()
    return content


def _write_torch_export(network: nn.Module, example: Tensor, metadata: dict[str, str]) -> bytes:
    shapes = {"images": {0: torch.export.Dim("batch")}}
    program = torch.export.export(network, (example,), dynamic_shapes=shapes)
    content = io.BytesIO()
    torch.export.save(program, content, extra_files={METADATA: json.dumps(metadata)})
    return content.getvalue()


def weights_of(member: Classifier) -> dict[str, Any]:
    """The weights with what is needed to use them, as tensors and plain data."""
    return {
        "network": member.network.state_dict(),
        "preprocess": member.preprocess.state_dict(),
        "model": OmegaConf.to_container(member.cfg.model, resolve=True),
        **_metadata([member]),
    }


def write_weights(member: Classifier) -> bytes:
    """The same as the content of a file, which `torch.load` reads with `weights_only`."""
    content = io.BytesIO()
    torch.save(weights_of(member), content)
    return content.getvalue()


def write_safetensors(member: Classifier) -> bytes:
    """The network's state dict in that format, which holds no code; what is known of it stands in the metadata."""
    from safetensors.torch import save

    tensors = {name: value.clone().contiguous() for name, value in member.network.state_dict().items()}
    preprocess = {name: value.tolist() for name, value in member.preprocess.state_dict().items()}
    content: bytes = save(tensors, metadata={**_metadata([member]), "preprocess": json.dumps(preprocess)})
    return content


def _load_onnx(file: Path) -> Classify:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    return lambda images: torch.from_numpy(session.run(None, {"images": images.numpy()})[0])


def _load_torch_export(file: Path) -> Classify:
    network: Classify = torch.export.load(file).module()
    return network


def _quantize(file: Path, images: Tensor) -> None:
    """Write the file anew with weights and activations of 8 bits, by symmetric ranges of each channel's weights."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.batches = iter(images.split(32))

        def get_next(self) -> dict[str, Any] | None:
            batch = next(self.batches, None)
            return None if batch is None else {"images": batch.numpy()}

    prepared, quantized = file.with_suffix(".prepared.onnx"), file.with_suffix(".int8.onnx")
    try:
        quant_pre_process(str(file), str(prepared))
        quantize_static(
            str(prepared),
            str(quantized),
            Reader(),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
        )
        files.replace_file(file, quantized.read_bytes())
    finally:
        prepared.unlink(missing_ok=True)
        quantized.unlink(missing_ok=True)


@torch.inference_mode()
def _difference(network: nn.Module, classify: Classify, images: Tensor) -> float:
    """The largest difference of a probability, over batches of several sizes."""
    batches = [*images[:3].split(1), *images.split(100)]
    return max((network(batch) - classify(batch)).abs().max().item() for batch in batches)


@torch.inference_mode()
def _measure(classify: Classify, images: Tensor, labels: Tensor) -> Measured:
    predicted = torch.cat([classify(batch).argmax(1) for batch in images.split(100)])
    milliseconds = {}
    for size in BATCHES:
        batch = images[:1].expand(size, -1, -1, -1).contiguous()
        classify(batch)
        count, began = 0, time.perf_counter()
        while (seconds := time.perf_counter() - began) < TIMED_SECONDS:
            classify(batch)
            count += 1
        milliseconds[size] = 1000 * seconds / (count * size)
    return Measured((predicted == labels).double().mean().item(), milliseconds)


@contextmanager
def _as_user_error(format_: str) -> Iterator[None]:
    """What the exporters say is for those who write networks; here it is one line."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except (UserError, OSError):
            raise
        except Exception as error:
            lines = str(error).strip().splitlines()
            reason = lines[0] if lines else type(error).__name__
            raise UserError(f"--format: this network cannot be written as {format_} ({reason})") from error
