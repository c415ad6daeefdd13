"""The teacher of a distillation: the network of a finished run, frozen."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from runner import config as configs
from runner.average import scored_weights
from runner.build import parts
from runner.data import Batches, Data, Preprocess
from runner.engine.checkpoint_files import BEST, read
from runner.engine.precision import Precision
from runner.engine.rng import random_state, restore_random_state
from runner.errors import UserError
from runner.store import RunFolder

KEY = "loss.teacher"
CHUNK = 256  # images at a time, where all are looked at before the training


class Teacher:
    """`teacher(images)`: its scores [B, K] of images [B, C, S, S] as the student sees them, preprocessed.

    Attributes:
        digest: what tells its weights from others.
    """

    def __init__(
        self, network: nn.Module, own: Preprocess, students: Preprocess, precision: Precision, digest: str
    ) -> None:
        self.network = network.requires_grad_(False)
        alike = all(torch.equal(getattr(own, name), getattr(students, name)) for name in ("shift", "scale"))
        self.convert: Callable[[Tensor], Tensor] | None = None if alike else _Converted(own, students)
        self.precision = precision
        self.digest = digest

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        with self.precision.autocast():
            return self.network(images if self.convert is None else self.convert(images)).float()

    @torch.no_grad()
    def of_all(self, batches: Batches) -> Tensor:
        """Its scores [n, K] of all training images, as they are without augmentation."""
        chunks = torch.arange(batches.total_images).split(CHUNK)
        parts = [self(batches.preprocess(batches.plain(pixels))) for pixels, _ in batches.loader.batches(chunks)]
        return torch.cat(parts)


class _Converted:
    """Images of the student's preprocessing in the teacher's."""

    def __init__(self, own: Preprocess, students: Preprocess) -> None:
        self.own, self.students = own, students

    def __call__(self, images: Tensor) -> Tensor:
        return self.own(images / self.students.scale + self.students.shift)


def teacher(
    cfg: DictConfig, dataset: Data, preprocess: Preprocess, device: torch.device, precision: Precision
) -> Teacher:
    """The teacher that a config's loss names.

    Raises:
        UserError: there is no such run, it is not finished, it builds classes of a user's own, or it knows other
            classes or images.
    """
    configs.settle(cfg)
    path = Path(cfg.loss.teacher)
    try:
        folder = RunFolder.open(path)
        own = folder.config
        configs.check_trusted(own)
        configs.check(own)
        file = folder.checkpoints / BEST
        saved = read(file)["state"]
        own_dataset = parts.described(own, folder.record)
        theirs: Mapping[str, Sequence[object]] = {
            "classes": own_dataset.class_names,
            "images [C, H, W]": own_dataset.image_shape,
        }
    except UserError as error:
        raise UserError(f"{KEY}: {path}: {error}") from None
    if folder.record["status"] != "finished":
        raise UserError(f"{KEY}: {path} is {folder.record['status']}; go on with it first: runner resume {path}")
    ours: Mapping[str, Sequence[object]] = {"classes": dataset.class_names, "images [C, H, W]": dataset.image_shape}
    for what, values in theirs.items():
        if list(values) != list(ours[what]):
            raise UserError(f"{KEY}: {path} was trained on other {what}: {_short(values)}, not {_short(ours[what])}")
    before = random_state(device)  # so that the student starts as it would without a teacher
    network, own_preprocess = parts.stored_network(own, own_dataset, scored_weights(saved), saved["preprocess"])
    restore_random_state(before, device)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()[:16]
    return Teacher(network.to(device), own_preprocess.to(device), preprocess, precision, digest)


def _short(values: Sequence[object]) -> str:
    text = ", ".join(map(str, values))
    return text if len(text) < 60 else text[:57] + "..."
