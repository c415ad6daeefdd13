"""A classifier as one writes it for Lightning."""

from collections.abc import Callable
from typing import Any

import lightning
import torch
from torch import nn


class Classifier(lightning.LightningModule):
    """A network with AdamW and a cosine schedule of so many steps; `on_epoch` is called after each training epoch."""

    def __init__(
        self, network: nn.Module, lr: float, num_steps: int, on_epoch: Callable[[], None] = lambda: None
    ) -> None:
        super().__init__()
        self.network = network
        self.lr = lr
        self.num_steps = num_steps
        self.on_epoch = on_epoch

    def training_step(self, batch: Any, index: int) -> Any:
        return nn.functional.cross_entropy(self.network(batch[0]), batch[1])

    def validation_step(self, batch: Any, index: int) -> None:
        accuracy = (self.network(batch[0]).argmax(1) == batch[1]).float().mean()
        self.log("val/accuracy", accuracy)

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(self.parameters(), lr=self.lr, fused=True)
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.num_steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_train_epoch_end(self) -> None:
        self.on_epoch()


def trainer(epochs: int, folder: str, switched_off: bool = False) -> Any:
    """Lightning's trainer by its default settings, or without logger, checkpoints and progress bar."""
    off = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary") if switched_off else ()
    precision = "bf16-mixed" if torch.cuda.is_available() else "32-true"
    return lightning.Trainer(
        max_epochs=epochs, precision=precision, default_root_dir=folder, **dict.fromkeys(off, False)
    )
