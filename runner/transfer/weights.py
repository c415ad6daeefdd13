"""Trained weights: read from a file, and fitted into a network."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from runner.errors import UserError, reason
from runner.init.initializers import score_layers
from runner.transfer.features import TRUNK

KEY = "model.weights"
WRAPPERS = ("module.", "_orig_mod.", "model.", "network.", "trunk.")  # before every name, where another tool put it
MIN_SHARE = 0.5  # of a network's layers without the head, that weights must fit, else they are of another network
DENSE_LAYER = re.compile(r"(denselayer\d+\.(?:norm|conv))\.(\d)")  # as torchvision named them once


@dataclass(frozen=True)
class Weights:
    """Weights and what is known of them.

    Args:
        tensors: by the names of the state dict.
        about: where they are from, in words.
        digest: what tells them from others.
        classes: names of the head's rows; None where nothing says.
        preprocess: shift and scale as in `runner.data.Preprocess`; None where nothing says.
        prepared: the preprocessing in words.
        size: of the images that they were trained on, in pixels.
        strict: whether every layer but the head has to fit.
    """

    tensors: Mapping[str, Tensor]
    about: str
    digest: str
    classes: Sequence[str] | None = None
    preprocess: Mapping[str, Tensor] | None = None
    prepared: str = ""
    size: int | None = None
    strict: bool = False


@dataclass(frozen=True)
class Fitted:
    """What became of the weights.

    Args:
        num_loaded: tensors of the network that were set, without the head.
        new: names of parameters without trained weights, without the head.
        misfits: of these, those of another shape in the file, in words.
        unused: names in the file that the network lacks.
        head_rows: rows of the head that were kept.
        num_classes: rows of the head.
    """

    num_loaded: int
    new: Sequence[str]
    misfits: Sequence[str]
    unused: Sequence[str]
    head_rows: int
    num_classes: int


def read_weights(path: Path, key: str = KEY) -> Weights:
    """The weights in a file: a state dict of torchvision, timm or another tool; or one that runner wrote.

    Raises:
        UserError: there is no such file, it holds no weights, or a package to read it is missing.
    """
    if not path.is_file():
        what = "a folder, not a file" if path.is_dir() else "there is no such file"
        raise UserError(f"{key}: {path}: {what}")
    content = _safetensors(path, key) if path.suffix == ".safetensors" else _pickled(path, key)
    known = content if isinstance(content.get("network"), dict) else {}
    tensors = _tensors(content)
    if not tensors:
        raise UserError(f"{key}: {path} holds no weights by name; save network.state_dict()")
    classes = known.get("classes")
    preprocess = known.get("preprocess")
    return Weights(
        tensors,
        str(path),
        digest_of(path.read_bytes()),
        json.loads(classes) if isinstance(classes, str) else None,
        preprocess if isinstance(preprocess, dict) and {"shift", "scale"} <= preprocess.keys() else None,
        "as in the file" if preprocess else "",
        int(known["image_size"]) if str(known.get("image_size", "")).isdigit() else None,
    )


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _safetensors(path: Path, key: str) -> dict[str, Any]:
    try:
        from safetensors import safe_open
    except ImportError:
        raise UserError(
            f"{key}: {path} needs the package safetensors, which is not installed: pip install 'runner[timm]'"
        ) from None
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dictionary)
            about = file.metadata() or {}
        known = json.loads(about.get("preprocess", "{}"))
        preprocess = {name: torch.tensor(value) for name, value in known.items()}
    except Exception as error:
        raise UserError(f"{key}: {path}: not a file of weights ({reason(error)[:100]})") from None
    return {**about, "preprocess": preprocess, "network": tensors} if preprocess else tensors


def _pickled(path: Path, key: str) -> dict[str, Any]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise UserError(f"{key}: {path}: not a file of weights ({reason(error)[:100]})") from None
    if not isinstance(content, dict):
        raise UserError(f"{key}: {path} holds no weights by name; save network.state_dict()")
    return content


def _tensors(content: Mapping[str, Any]) -> dict[str, Tensor]:
    """The state dict in what a file holds, without the words that tools put before every name."""
    for inner in ("state", "network", "state_dict", "model_state_dict", "model"):
        if isinstance(content.get(inner), dict) and content[inner]:
            return _tensors(content[inner])
    tensors = {name: value for name, value in content.items() if isinstance(value, Tensor)}
    for wrapper in WRAPPERS:
        if tensors and all(name.startswith(wrapper) for name in tensors):
            tensors = {name.removeprefix(wrapper): value for name, value in tensors.items()}
    return {DENSE_LAYER.sub(r"\1\2", name): value for name, value in tensors.items()}


@torch.no_grad()
def fit_into(
    network: nn.Module,
    weights: Weights,
    classes: Sequence[str],
    head: Literal["auto", "new"] = "auto",
    key: str = KEY,
) -> Fitted:
    """Set the network's weights to those whose names and shapes agree; the head's rows by the names of the classes.

    Args:
        classes: K names, of the network's scores.
        head: auto: keep rows of equal class names, or, where nothing names the source's classes, a head of equal shape.

    Raises:
        UserError: they are of another network.
    """
    own = _by_plain_name(network)
    heads = [name for name, layer in network.named_modules() if any(layer is one for one in score_layers(network))]
    loaded, new, misfits = 0, [], []
    body = {name: tensor for name, tensor in own.items() if name.rpartition(".")[0] not in heads}
    found: dict[str, Tensor] = {}
    for name, tensor in body.items():
        trained = weights.tensors.get(name)
        if trained is not None and trained.shape == tensor.shape:
            found[name] = trained
            loaded += 1
        elif tensor.is_floating_point():
            new.append(name)
            if trained is not None:
                misfits.append(f"{name} ({_shape(trained)}, here {_shape(tensor)})")
    total = loaded + len(new)
    if total and (loaded < MIN_SHARE * total or (weights.strict and new)):
        first = misfits[0] if misfits else f"{new[0]} is not in it"
        raise UserError(
            f"{key}: {weights.about} fits {loaded} of {total} tensors of this network, apart from the head: {first}; "
            "choose the network, and the size of images, that the weights were trained with"
        )
    for name, trained in found.items():
        own[name].copy_(trained)
    rows = min((_fit_head(own, weights, name, classes, head) for name in heads), default=0)
    known = {*own}
    unused = [name for name in weights.tensors if name not in known and not name.endswith("num_batches_tracked")]
    names = {_plain(name): name for name, _ in network.named_parameters()}
    return Fitted(loaded, [names[name] for name in new if name in names], misfits, unused, rows, len(classes))


def _fit_head(own: Mapping[str, Tensor], weights: Weights, name: str, classes: Sequence[str], head: str) -> int:
    """Set the rows of a layer that gives scores; how many were kept."""
    parts = {part: weights.tensors.get(f"{name}.{part}") for part in ("weight", "bias") if f"{name}.{part}" in own}
    if head == "new" or any(trained is None for trained in parts.values()):
        return 0
    mine = own[f"{name}.weight"]
    theirs = weights.tensors[f"{name}.weight"]
    if theirs.shape[1:] != mine.shape[1:]:
        return 0
    if weights.classes is None or len(weights.classes) != len(theirs):
        pairs = [(row, row) for row in range(len(mine))] if theirs.shape == mine.shape else []
    else:
        places = {_word(word): place for place, word in enumerate(weights.classes)}
        pairs = [(row, places[_word(word)]) for row, word in enumerate(classes) if _word(word) in places]
    if pairs:
        rows, sources = (list(column) for column in zip(*pairs, strict=True))
        for part, trained in parts.items():
            assert trained is not None
            own[f"{name}.{part}"][rows] = trained[sources].to(own[f"{name}.{part}"])
    return len(pairs)


def _word(name: str) -> str:
    """A class name as it is compared: Tabby_Cat and tabby cat are one."""
    return re.sub(r"[\s_-]+", " ", str(name)).strip().casefold()


def _plain(name: str) -> str:
    """The name of a parameter as it is in the whole network, without a parametrization such as DropConnect's."""
    name = name.removeprefix(f"{TRUNK}.")
    if ".parametrizations." not in name:
        return name
    return name.replace(".parametrizations.", ".").removesuffix(".original")


def _by_plain_name(network: nn.Module) -> dict[str, Tensor]:
    saved = network.state_dict(keep_vars=True)
    return {_plain(name): tensor.data for name, tensor in saved.items() if isinstance(tensor, Tensor)}


def _shape(tensor: Tensor) -> str:
    return " x ".join(map(str, tensor.shape)) or "a number"
