"""What is checked: a training that every check finds as it was built, and the parts of it that checks share.

B images, C channels, S by S pixels, K classes.
"""

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from runner import build
from runner.data import Data
from runner.engine.loop import Training
from runner.engine.rng import seed_everything
from runner.files import replace_file
from runner.model.summary import layer_names
from runner.store.names import CHECK
from runner.store.run_folder import Folder

NOISE = ("drop", "stochasticdepth")  # in the class names of layers that draw noise, whose `p` says how much


class CheckFolder(Folder):
    """The folder that a check leaves; `record` is the content of check.json."""

    FILE, COMMAND = CHECK, "check"


class Subject:
    """A training under examination.

    Args:
        cfg: its config, checked.
        folder: for figures; None for none.
        profile: whether a trace of the profiler is wanted.
        dataset: that of the config, where it has been read before.
    """

    def __init__(
        self,
        cfg: DictConfig,
        folder: CheckFolder | None = None,
        profile: bool = False,
        dataset: Data | None = None,
    ) -> None:
        self.cfg = cfg
        self.folder = folder
        self.profile = profile
        self.dataset: Data = dataset or build.data(cfg)
        self.training: Training = build.training(cfg, self.dataset)
        self._start = copy.deepcopy(self.training.state.state_dict())

    @property
    def device(self) -> torch.device:
        return self.training.state.device

    @property
    def criterion(self) -> nn.Module:
        criterion: nn.Module = self.training.evaluate.criterion
        return criterion

    @property
    def is_lbfgs(self) -> bool:
        return isinstance(self.training.state.optimizer, torch.optim.LBFGS)

    def fresh(self) -> Training:
        """The training, back at its first step, random generators and all."""
        state = self.training.state
        state.load_state_dict(copy.deepcopy(self._start))
        state.optimizer.zero_grad()
        state.network.train()
        return self.training

    def rebuild(self) -> None:
        """Build the training again, where a check has changed more than its state, such as the dropout of a layer."""
        self.training = build.training(self.cfg, self.dataset)
        self._start = copy.deepcopy(self.training.state.state_dict())

    def batches(self) -> Iterator[tuple[Tensor, ...]]:
        """Training batches, epoch after epoch, as the step takes them."""
        epoch = 0
        while True:
            yield from self.training.train.epoch(epoch)
            epoch += 1

    def plain_batch(self, num_images: int) -> tuple[Tensor, Tensor]:
        """Images [B, C, S, S] preprocessed and without augmentation, and their labels [B]: the first of epoch 0."""
        train = self.training.train
        chunk = train.order(0)[:num_images]
        pixels, labels = train.loader.read(chunk)
        with torch.no_grad():
            return train.preprocess(train.plain(pixels)), labels

    def bare_network(self) -> nn.Module:
        """The network at its first step, apart from the training, without regularizers and without noise."""
        cfg = self.cfg
        seed_everything(cfg.seed)
        network = build.model(cfg, self.dataset, []).to(self.device)
        build.init_from_data(network, self.training.train)
        silence(network)
        return network.train()

    def write(self, name: str, content: bytes | str) -> None:
        """Write a figure, where there is a folder."""
        if self.folder is not None:
            replace_file(self.folder.figures / name, content)


def silence(network: nn.Module) -> None:
    """Set the dropout of a network to nothing."""
    module: Any
    for module in network.modules():
        kind = type(module).__name__.lower()
        if any(word in kind for word in NOISE) and isinstance(getattr(module, "p", None), int | float):
            module.p = 0.0


def loss_of(network: nn.Module, criterion: Callable[..., Tensor], images: Tensor, targets: Tensor) -> Tensor:
    """The loss of a network, with that of its auxiliary classifiers where it has some, as the step adds them."""
    scores, *auxiliary = outputs(network, images)
    loss = criterion(scores, targets)
    if auxiliary:
        weight: Any = network.aux_weight
        loss = loss + weight * torch.stack([criterion(one, targets) for one in auxiliary]).sum()
    return loss


def outputs(network: nn.Module, images: Tensor) -> list[Tensor]:
    """Scores [B, K] of a network, and after them those of its auxiliary classifiers."""
    output = network(images)
    return [output] if isinstance(output, Tensor) else list(output)


@contextmanager
def same_noise(device: torch.device, seed: int = 0) -> Iterator[None]:
    """Whatever is drawn from torch's generators within is the same every time, and leaves no trace."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


def names_of_layers(network: nn.Module) -> Mapping[nn.Module, str]:
    """A name for every module of a network."""
    shown = layer_names(network)
    return {
        module: shown.get(path) or f"{path} ({type(module).__name__.lower()})".strip()
        for path, module in network.named_modules()
    }
