"""A sweep of the learning rate as one writes it with Hydra and Lightning.

    python lightning_multirun.py -m lr=0.1,0.01

`overrides.json` in the working folder says which network and images it takes from runner.
"""

import json
import logging
from pathlib import Path
from typing import Any

import hydra
import torch
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

import runner
from bench.competitors.by_hand import all_images
from bench.competitors.lightning_module import Classifier, trainer
from runner import build

ConfigStore.instance().store("config", {"lr": 0.001, "epochs": 20})
RUNNER = runner.compose(json.loads(Path("overrides.json").read_text()))
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


@hydra.main(version_base="1.3", config_path=None, config_name="config")
def main(cfg: DictConfig) -> float:
    training = build.training(RUNNER)
    train = loader(training.train, training.train.batch_size, shuffle=True)
    val = loader(training.evaluate.batches, training.evaluate.batches.batch_size)
    module = Classifier(training.state.network, cfg.lr, cfg.epochs * len(train))
    lightning = trainer(cfg.epochs, HydraConfig.get().runtime.output_dir)
    lightning.fit(module, train, val)
    return float(lightning.callback_metrics["val/accuracy"])


def loader(batches: Any, batch_size: int, shuffle: bool = False) -> Any:
    data = torch.utils.data.TensorDataset(*all_images(batches))
    return torch.utils.data.DataLoader(data, batch_size=batch_size, shuffle=shuffle)


main()
