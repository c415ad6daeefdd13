"""The network of a stored run, ready to classify: with its weights, preprocessing and test-time augmentation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from runner import build
from runner.config import stored_config
from runner.data import Data, Preprocess
from runner.data.batches import as_float
from runner.data.described import Described
from runner.engine import process
from runner.engine.checkpoint_files import read
from runner.engine.device import select_device
from runner.engine.evaluate import predict
from runner.engine.precision import Precision
from runner.engine.settings import Settings
from runner.errors import UserError
from runner.pictures import View
from runner.store import RunFolder

CALIBRATION = "calibration.json"


@dataclass(frozen=True)
class Classifier:
    """A stored run's network with the weights that count, on its device. B images, C channels, K classes.

    Attributes:
        checkpoint: the name of the checkpoint: best, last, or that of a snapshot.
        saved: its state.
        described: classes and shape of the images.
    """

    folder: RunFolder
    cfg: DictConfig
    checkpoint: str
    saved: dict[str, Any]
    described: Described
    network: nn.Module
    preprocess: Preprocess
    device: torch.device
    precision: Precision
    settings: Settings

    @classmethod
    def load(
        cls, folder: RunFolder, overrides: Sequence[str] = (), checkpoint: str = "best", trust: bool = False
    ) -> Classifier:
        """The network of a run's checkpoint.

        Raises:
            UserError: the run or its checkpoint cannot be read, or its config builds classes that are not runner's own.
        """
        cfg = stored_config(folder, overrides, "test", trust)
        saved = read(folder.checkpoints / f"{checkpoint}.pt")["state"]
        settings: Settings = build.instantiate(cfg.engine, "engine")
        device = select_device(settings.device)
        precision = Precision(settings.precision, device)
        process.prepare(settings, cfg.seed, device)
        described = build.described(cfg, folder.record)
        network, preprocess = build.scored_network(cfg, described, saved)
        if device.type == "cpu" and not settings.num_threads:
            process.set_num_threads(network, described.image_shape, cfg.data.eval_batch_size)
        placed = network.to(device), preprocess.to(device)
        return cls(folder, cfg, checkpoint, saved, described, *placed, device, precision, settings)

    @property
    def class_names(self) -> list[str]:
        return self.described.class_names

    @property
    def epoch(self) -> int:
        return int(self.saved["position"]["epoch"])

    @property
    def weights(self) -> str:
        """Which weights count: averaged or trained."""
        return "averaged" if self.saved["average"] else "trained"

    @cached_property
    def view(self) -> View | None:
        """The larger images that the test-time augmentation cuts from."""
        return build.eval_view(self.cfg, self.described)

    @cached_property
    def tta(self) -> Any:
        return build.tta(self.cfg, self.described)

    @cached_property
    def reads_alike(self) -> tuple[Any, ...]:
        """What decides how a file becomes an image: classifiers that agree in it can share what is read."""
        return self.described.shape, self.described.resize, self.view

    @cached_property
    def temperature(self) -> float:
        """By which scores are divided: fitted by `runner test --calibrate` for this checkpoint; else 1."""
        stored = self.folder.read_json(CALIBRATION)
        fits = stored.get("checkpoint") == self.checkpoint and stored.get("epoch") == self.epoch
        temperature = stored.get("temperature")
        return float(temperature) if fits and isinstance(temperature, float) and temperature > 0 else 1.0

    @torch.inference_mode()
    def probabilities(self, pixels: Tensor) -> Tensor:
        """Class probabilities [B, K] of uint8 pixels [B, C, S, S], calibrated if the run is."""
        self.network.eval()
        with self.precision.autocast():
            scores = self.tta(self.network, self.preprocess(as_float(pixels.to(self.device))))
        return (scores.float() / self.temperature).softmax(-1)

    def scores(self, dataset: Data, split: Any) -> tuple[Tensor, Tensor, float]:
        """Scores [N, K] and labels [N] of a split, on the CPU, and the loss; not calibrated."""
        view = build.eval_view(self.cfg, dataset)
        batches = build.batches(dataset, split, self.preprocess, self.device, self.settings, view=view)
        criterion = build.loss(self.cfg).to(self.device)
        scores, labels, loss = predict(self.network, batches, criterion, self.precision, self.tta)
        return scores.cpu(), labels.cpu(), loss.item()


def check_same_classes(members: Sequence[Classifier]) -> None:
    """Refuse classifiers that do not have the same classes in the same order.

    Raises:
        UserError: two differ.
    """
    first, *others = members
    for other in others:
        if other.class_names != first.class_names:
            raise UserError(
                f"{other.folder.path}: its classes are not those of {first.folder.path}; name runs on the same data"
            )
