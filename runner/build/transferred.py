"""A network with trained weights in it, of which some blocks learn, and whose frozen part runs once per image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from runner.build import parts, pretrained
from runner.data import Batches
from runner.engine.step import Step
from runner.errors import UserError
from runner.machine import free_memory
from runner.stages import stage
from runner.transfer import Features, fit_into, split
from runner.transfer.blocks import blocks_of, freeze, frozen_norms

if TYPE_CHECKING:
    from runner.build.single import SharedSetup

MEMORY_SHARE = 1 / 4  # of what is free, for the outputs of the frozen part


class Transferred:
    """Fits the weights into the network, and freezes what is not to learn.

    Attributes:
        held: normalization layers that keep their statistics at first, with the parameters that say until when.
        names: parameters that a transfer freezes or starts later.
        lines: what the header says.
    """

    def __init__(self, cfg: DictConfig, network: nn.Module, setup: SharedSetup) -> None:
        self.cfg, self.network, self.setup = cfg, network, setup
        self.held: dict[str, list[nn.Parameter]] = {}
        self.names: set[str] = set()
        self.lines: list[tuple[str, str]] = []
        self.transfer = parts.transfer(cfg)
        if setup.weights is None:
            return
        key = pretrained.SOURCE if pretrained.of_run(cfg) else pretrained.KEY
        head = "auto" if self.transfer is None else self.transfer.head
        fitted = fit_into(network, setup.weights, setup.dataset.class_names, head, key)
        self.lines = pretrained.lines(setup.weights, fitted, setup.dataset.image_shape[-1])
        if self.transfer is not None:
            self._freeze(fitted.new)

    def _freeze(self, new: Sequence[str]) -> None:
        assert self.transfer is not None
        blocks = blocks_of(self.network, new)
        freeze(blocks, self.transfer.rates(len(blocks.blocks)))
        self.held = frozen_norms(self.network, blocks)
        resting = {id(parameter) for block in blocks.blocks for parameter in block}
        self.names = {name for name, parameter in self.network.named_parameters() if id(parameter) in resting}
        text = pretrained.show_blocks(self.network)
        later = any(rate is not None and rate.start_epochs for rate in self.transfer.rates(len(blocks.blocks)))
        self.lines.append(("transfer", f"{text}{' at first' if later else ''}"))

    def run_frozen_part_once(self, step: Step) -> None:
        """Where nothing changes the images: compute what the frozen part gives of each, and train the rest on that.

        Raises:
            UserError: transfer=features, and something does change them, or the network cannot be cut.
        """
        if self.transfer is None:
            return
        chosen = isinstance(self.transfer, Features)
        reason = self._against(step)
        if reason is None:
            step._hold_frozen_norms()
            cut = split(self.network)
            if cut is None:
                reason = "this network cannot be cut into a frozen part and the rest"
            elif not self._fits(cut.frozen):
                reason = "the features of all images do not fit into memory; lower data.image_size or data.fraction"
        if reason is not None:
            if chosen:
                raise UserError(f"transfer=features: {reason}; or choose transfer=head")
            return
        assert cut is not None
        with stage("computing the features of all images"):
            train = self._outputs(cut.frozen, self.setup.train, "train")
            val = self._outputs(cut.frozen, self.setup.val, "val") if self._validates_plainly() else None
        self.setup.train.replace(*train)
        step.forward = cut.rest
        if val is not None:
            self.setup.val.replace(*val)
            self.setup.rest_of = _RestOf(cut.cut)
        self.lines[-1] = ("transfer", f"{self.lines[-1][1]}; the frozen part has seen each image once")

    def _against(self, step: Step) -> str | None:
        """Why the frozen part has to see the images in every epoch; None where it need not."""
        if any(getattr(parameter, "start_epochs", 0) for parameter in step.parameters.values()):
            return "all blocks learn in time"
        if self.cfg.augment:
            return "augmentation changes the images from epoch to epoch; set augment=none"
        if step.mixes:
            return "reg mixes images anew in each batch; leave mixup, cutmix and cutout out"
        if self.setup.train.sizes is not None:
            return "data.progressive_sizes changes the images; set it to null"
        if str((self.cfg.average or {}).get("_target_", "")).endswith(("SWA", "Snapshots")):
            return "this average looks at the images again; choose average=ema or none"
        if self.setup.settings.compile:
            return "engine.compile compiles the whole network; set it to false"
        if self.setup.teacher is not None and self.setup.train.known is None:
            return "the teacher looks at the images in every batch"
        return None

    def _validates_plainly(self) -> bool:
        return str(self.cfg.tta["_target_"]).endswith(".Single")

    @torch.no_grad()
    def _fits(self, frozen: nn.Module) -> bool:
        """Whether the outputs for all images take no more memory than may be used."""
        (images,) = (chunk[:1] for chunk in self.setup.train.sample(1))
        count = self.setup.train.total_images + self.setup.val.total_images
        size = self._run(frozen, images).numel() * 4 * count
        return size <= MEMORY_SHARE * free_memory(self.setup.device)

    def _run(self, frozen: nn.Module, images: Tensor) -> Tensor:
        with self.setup.precision.autocast():
            output: Tensor = frozen(images)
        return output

    def _outputs(self, frozen: nn.Module, batches: Batches, split_name: str) -> tuple[Tensor, Tensor]:
        """What the frozen part gives of all images of a split, from the disk where it was computed before."""
        parts_: list[Any] = []
        with torch.no_grad():
            for images, labels in batches.all_plain():
                parts_.append((self._run(frozen, images), labels))
        values, labels = (torch.cat(column) for column in zip(*parts_, strict=True))
        return values, labels


class _RestOf:
    """The part of a network after the cut, for the trained network and for averages of it."""

    def __init__(self, cut: str) -> None:
        self.cut = cut
        self.parts: dict[int, tuple[nn.Module, nn.Module]] = {}

    def __call__(self, network: nn.Module) -> nn.Module:
        if id(network) not in self.parts:
            found = split(network, self.cut)
            assert found is not None
            self.parts[id(network)] = (network, found.rest)
        return self.parts[id(network)][1]
