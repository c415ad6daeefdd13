"""The largest batch whose update fits into the memory of the GPU, by trying."""

from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from runner import build
from runner.check.lr import LOWEST, with_lr
from runner.config import has_auto_batch_size, has_auto_lr
from runner.data import Data
from runner.engine.loop import Training
from runner.errors import UserError
from runner.machine import free_memory, let_go_of_memory
from runner.stages import stage
from runner.warnings import note

SMALLEST, LARGEST = 2, 65_536  # images that are tried
SPARE = 0.1  # share of the free memory that stays free: for evaluation, a short last batch, gaps between tensors


def largest_fitting(training: Training, most: int = LARGEST) -> int:
    """The largest power of two of images whose update fits; 0 where none does, and no more than `most`.

    The training is not to be used any more: its weights have moved. A tenth of the memory stays free.
    """
    state, fits, size = training.state, 0, SMALLEST
    batch = next(iter(training.train.epoch(max(0, training.settings.epochs - 1))))  # whose images are the largest
    if state.device.type == "cuda":
        spare = torch.empty(int(SPARE * free_memory(state.device)), dtype=torch.uint8, device=state.device)
    while size <= most:
        try:
            losses, _ = training.step(state, tuple(part[:1].repeat(size, *[1] * (part.ndim - 1)) for part in batch))
            losses.tolist()  # waits for the device
        except torch.OutOfMemoryError:
            break
        fits, size = size, 2 * size
    if state.device.type == "cuda":
        del spare
    state.optimizer.zero_grad()
    let_go_of_memory()
    return fits


def settled(cfg: DictConfig, dataset: Data) -> DictConfig:
    """The config with a number in the place of auto, which the data set gets too; as it is where it has a number.

    Raises:
        UserError: the training runs on no GPU, or not even the smallest batch fits.
    """
    if not has_auto_batch_size(cfg):
        return cfg
    with stage("finding the batch size"):
        tried = _with_batch_size(with_lr(cfg, LOWEST) if has_auto_lr(cfg) else cfg, dataset, SMALLEST)
        training = build.training(tried, dataset)
        device, num_parts = training.state.device, training.settings.accumulate_steps
        if device.type != "cuda":
            raise UserError(
                f"data.batch_size: auto fills the memory of a GPU, and this training runs on the {device.type}; "
                "set a number, such as 64"
            )
        size = largest_fitting(training, min(LARGEST, training.train.total_images // num_parts))
    if not size:
        raise UserError(
            f"data.batch_size: auto found that not even {SMALLEST} images fit into the memory of the GPU; "
            "take a smaller model, or a smaller data.image_size"
        )
    note(f"data.batch_size={size}, the largest power of two that fits into the memory of the GPU")
    return _with_batch_size(cfg, dataset, size)


def _with_batch_size(cfg: DictConfig, dataset: Any, size: int) -> DictConfig:
    changed = cfg.copy()
    OmegaConf.update(changed, "data.batch_size", size)
    dataset.batch_size = size
    return changed
