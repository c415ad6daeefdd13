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
from runner.engine.device import select_device
from runner.engine.evaluate import predict
from runner.engine.precision import Precision
from runner.engine.settings import Settings
from runner.errors import UserError
from runner.inference.weights import BEST, StoredNetwork, load_network
from runner.pictures import View
from runner.store import RunFolder

CALIBRATION = "calibration.json"


@dataclass(frozen=True)
class Classifier:
    """A stored run's network with the weights that count, on its device. B images, C channels, K classes.

    Attributes:
        stored: the network, and which weights it has.
    """

    folder: RunFolder
    cfg: DictConfig
    stored: StoredNetwork
    preprocess: Preprocess
    device: torch.device
    precision: Precision
    settings: Settings

    @classmethod
    def load(
        cls, folder: RunFolder, overrides: Sequence[str] = (), weights: str = BEST, trust: bool = False
    ) -> Classifier:
        """The network of a run with those of its weights; see `runner.inference.weights`.

        Raises:
            UserError: the run or its weights cannot be read, or its config builds classes that are not runner's own.
        """
        cfg = stored_config(folder, overrides, "test", trust)
        settings: Settings = build.instantiate(cfg.engine, "engine")
        device = select_device(settings.device)
        precision = Precision(settings.precision, device)
        process.prepare(settings, cfg.seed, device)
        stored = load_network(folder, cfg, weights)
        if device.type == "cpu" and not settings.num_threads:
            process.set_num_threads(stored.network, stored.described.image_shape, cfg.data.eval_batch_size)
        stored.network.to(device)
        return cls(folder, cfg, stored, stored.preprocess.to(device), device, precision, settings)

    @property
    def class_names(self) -> list[str]:
        return self.described.class_names

    @property
    def described(self) -> Described:
        """Classes and shape of the images."""
        return self.stored.described

    @property
    def network(self) -> nn.Module:
        return self.stored.network

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
        """By which scores are divided: fitted by `runner test --calibrate` for these weights; else 1."""
        kept = self.folder.read_json(CALIBRATION)
        fits = all(kept.get(key) == value for key, value in self.described_weights.items())
        temperature = kept.get("temperature")
        return float(temperature) if fits and isinstance(temperature, float) and temperature > 0 else 1.0

    @property
    def described_weights(self) -> dict[str, Any]:
        """Which weights these are, as records have it."""
        return {"checkpoint": self.stored.checkpoint, "epoch": self.stored.epoch, "weights": self.stored.kind}

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
        known = None if isinstance(dataset, Described) else dataset  # of the images that the run was trained on
        criterion = build.loss(self.cfg, known).to(self.device)
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
