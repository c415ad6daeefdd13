"""Which weights of a stored run are used: of a checkpoint, averaged ones, snapshots together, or a file's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from runner import build
from runner.average import SNAPSHOTS, scored_weights
from runner.data import Preprocess
from runner.data.described import Described
from runner.engine.checkpoint_files import read
from runner.errors import UserError, reason
from runner.store import RunFolder

BEST, LAST, AVERAGE = "best", "last", "average"


@dataclass(frozen=True)
class StoredNetwork:
    """A network with stored weights, on the CPU, in evaluation mode.

    Args:
        described: classes and shape of the images.
        checkpoint: the name of the checkpoint, or that of the file.
        kind: trained, averaged, snapshots or file.
        epoch, step: where the training was.
    """

    network: nn.Module
    preprocess: Preprocess
    described: Described
    checkpoint: str
    kind: str
    epoch: int
    step: int


class SnapshotEnsemble(nn.Module):
    """Several networks as one: scores are the log of their mean class probability."""

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, images_BCSS: Tensor) -> Tensor:
        log_probabilities = [F.log_softmax(network(images_BCSS), dim=-1) for network in self.networks]
        return torch.stack(log_probabilities).logsumexp(0) - math.log(len(log_probabilities))


def load_network(folder: RunFolder, cfg: DictConfig, weights: str = BEST) -> StoredNetwork:
    """The network of a run with the weights of that name.

    Args:
        weights: best, last or a checkpoint such as epoch-0010, of these the averaged ones if the run averages; average:
            those at the end; snapshots: those of average=snapshots together; or a file.

    Raises:
        UserError: there are no such weights, or they do not fit the network.
    """
    if weights.endswith(".pt") and Path(weights).is_file():
        stored = read_file(Path(weights))
        described = build.described(cfg, folder.record)
        network, preprocess = build.stored_network(cfg, described, stored["network"], stored["preprocess"])
        return StoredNetwork(network, preprocess, described, weights, "file", 0, 0)
    folder.check_has_checkpoints()
    name = LAST if weights in (AVERAGE, SNAPSHOTS) else weights
    file = folder.checkpoints / f"{name}.pt"
    if name != BEST and not file.exists() and OmegaConf.select(cfg, "engine.keep") == "weights":
        raise UserError(f"--weights: {folder.path} has no {name}.pt: engine.keep=weights kept best.pt alone")
    saved = read(file)["state"]
    described = build.described(cfg, folder.record)
    position = saved["position"]["epoch"], saved["position"]["step"]
    average = saved["average"] or {}
    is_average = bool(average) and SNAPSHOTS not in average
    if weights == AVERAGE and not is_average:
        raise UserError(f"--weights: {folder.path} keeps no averaged weights; train with average=ema or average=swa")
    if weights == SNAPSHOTS:
        kept = average.get(SNAPSHOTS) or []
        if not kept:
            raise UserError(f"--weights: {folder.path} keeps no snapshots; train with average=snapshots")
        built = [build.stored_network(cfg, described, one, saved["preprocess"]) for one in kept]
        ensemble = SnapshotEnsemble([network for network, _ in built]).eval()
        return StoredNetwork(ensemble, built[0][1], described, name, SNAPSHOTS, *position)
    network, preprocess = build.stored_network(cfg, described, scored_weights(saved), saved["preprocess"])
    return StoredNetwork(network, preprocess, described, name, "averaged" if is_average else "trained", *position)


def read_file(path: Path) -> dict[str, Any]:
    """The content of a file of weights, as `runner average` and `runner export --format state_dict` write it.

    Raises:
        UserError: it is none.
    """
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise UserError(f"{path}: not a file of weights ({reason(error)[:100]})") from None
    if not isinstance(stored, dict) or not isinstance(stored.get("network"), dict) or "preprocess" not in stored:
        raise UserError(f"{path}: not a file of weights by runner average or runner export --format state_dict")
    return stored
