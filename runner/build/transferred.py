"""A network with trained weights in it, of which some blocks learn, and whose frozen part runs once per image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from runner import config as configs
from runner.build import parts, pretrained
from runner.data import Batches
from runner.engine.step import Step
from runner.errors import UserError
from runner.machine import free_memory
from runner.model.summary import evaluating
from runner.seeds import generator
from runner.stages import stage
from runner.transfer import (
    Auto,
    Features,
    Whole,
    blocks_of,
    feature_files,
    fit_into,
    freeze,
    frozen_norms,
    probed_stages,
    ridge_accuracy,
    split,
    watched,
)
from runner.warnings import failure_as_warning

if TYPE_CHECKING:
    from runner.build.single import SharedSetup

CHUNK = 256  # images at a time, where some are looked at before the training
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
        self.transfer = None if setup.weights is None else parts.transfer(cfg)
        if setup.weights is None:
            return
        key = pretrained.SOURCE if pretrained.of_run(cfg) else pretrained.KEY
        head = "auto" if self.transfer is None else self.transfer.head
        fitted = fit_into(network, setup.weights, setup.dataset.class_names, head, key)
        self.lines = pretrained.lines(setup.weights, fitted, setup.dataset.image_shape[-1])
        if isinstance(self.transfer, Auto):
            with stage("probing the stages of the network"):
                choice = self.transfer.pick(self._images_per_class(), self._probed(self.transfer.max_images))
            self.transfer = choice.transfer
            self.lines.append(("auto", choice.why))
        if self.transfer is not None and not isinstance(self.transfer, Whole):
            self._freeze(fitted.new)

    def _freeze(self, new: Sequence[str]) -> None:
        assert self.transfer is not None
        blocks = blocks_of(self.network, new)
        freeze(blocks, self.transfer.rates(len(blocks.blocks)))
        self.held = frozen_norms(self.network, blocks)
        resting = {id(parameter) for block in blocks.blocks for parameter in block}
        self.names = {name for name, parameter in self.network.named_parameters() if id(parameter) in resting}
        self.lines.append(("transfer", pretrained.show_blocks(self.network)))

    def _images_per_class(self) -> float:
        return self.setup.train.total_images / len(self.setup.dataset.class_names)

    def _probed(self, max_images: int) -> dict[str, float]:
        """The validation accuracy of a linear classifier on the features of each of some stages."""
        names = probed_stages(self.network)
        train, val = (self._features(batches, names, max_images) for batches in (self.setup.train, self.setup.val))
        num_classes = len(self.setup.dataset.class_names)
        return {
            name: ridge_accuracy((train[name], train["labels"]), (val[name], val["labels"]), num_classes)
            for name in names
        }

    @torch.no_grad()
    def _features(self, batches: Batches, names: Sequence[str], max_images: int) -> dict[str, Tensor]:
        """Those of each stage [n, F], and the labels [n], of at most so many images of a split, on the CPU."""
        chosen = torch.randperm(batches.total_images, generator=generator(0, "probe"))[:max_images]
        found: dict[str, list[Tensor]] = {"labels": [], **{name: [] for name in names}}
        with watched(self.network, names) as seen:
            for pixels, labels in batches.loader.batches(chosen.split(CHUNK)):
                self.network(batches.preprocess(batches.plain(pixels)))
                found["labels"].append(labels.cpu())
                for name in names:
                    found[name].append(seen[name].float().cpu())
        return {name: torch.cat(chunks) for name, chunks in found.items()}

    def run_frozen_part_once(self, step: Step) -> None:
        """Where nothing changes the images: compute what the frozen part gives of each, and train the rest on that.

        Raises:
            UserError: transfer=features, and something does change them, or the network cannot be cut.
        """
        if self.transfer is None or isinstance(self.transfer, Whole):
            return
        if self.setup.cut is not None:  # for another of the trials that train together
            step._hold_frozen_norms()
            again = split(self.network, self.setup.cut)
            assert again is not None, "trials of one architecture have the same cut"
            step.forward = again.rest
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
            rest_of = _RestOf(cut.cut)
            plain = self._validates_plainly() and rest_of.can(self.network)
            val = self._outputs(cut.frozen, self.setup.val, "val") if plain else None
        self.setup.train.replace(*train)
        self.setup.cut = cut.cut
        step.forward = cut.rest
        if val is not None:
            self.setup.val.replace(*val)
            self.setup.rest_of = rest_of
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
        file = self._file(split_name)
        kept = None if file is None else feature_files.read(file)
        if kept is not None and len(kept[0]) == batches.total_images:
            values, labels = kept
            return values.to(self.setup.device), labels.to(self.setup.device)
        with torch.no_grad():
            chunks = [(self._run(frozen, images), labels) for images, labels in batches.all_plain()]
        values, labels = (torch.cat(column) for column in zip(*chunks, strict=True))
        if file is not None:
            with failure_as_warning(str(file)):
                feature_files.write(file, values, labels)
        return values, labels

    def _file(self, split_name: str) -> Path | None:
        """Where the features of a split are kept; None where they are not."""
        if not isinstance(self.transfer, Features) or self.transfer.cache is None:
            return None
        assert self.setup.weights is not None
        leaves = {
            key: value for key, value in configs.identity(self.cfg).items() if key.startswith(("data.", "model."))
        }
        facts = [
            *(f"{key}={value}" for key, value in sorted(leaves.items())),
            *(f"{key}={value}" for key, value in sorted(self.setup.dataset.fingerprint.items())),
            *(str(tensor.tolist()) for tensor in self.setup.preprocess.state_dict().values()),
            *(self.setup.weights.digest, self.setup.precision.name, split_name, str(self.transfer.stage)),
            str(self.setup.train.total_images),
        ]
        return feature_files.path(self.transfer.cache, facts)


class _RestOf:
    """The part of a network after the cut, as in evaluation, for the trained network and for averages of it."""

    def __init__(self, cut: str) -> None:
        self.cut = cut
        self.parts: dict[int, tuple[nn.Module, nn.Module]] = {}

    def can(self, network: nn.Module) -> bool:
        """Whether such a network has that cut in evaluation too."""
        with evaluating(network):  # dropout that is a function is traced as the mode has it
            found = split(network, self.cut)
        if found is not None:
            found.rest.training = network.training  # the mode that an evaluation puts its layers back into
            self.parts[id(network)] = (network, found.rest)
        return found is not None

    def __call__(self, network: nn.Module) -> nn.Module:
        if id(network) not in self.parts:
            assert self.can(network)
        return self.parts[id(network)][1]
