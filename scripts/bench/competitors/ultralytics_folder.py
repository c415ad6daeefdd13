"""Ultralytics on class folders: python ultralytics_folder.py ROOT SIDE EPOCHS BATCH_SIZE.

Its own trainer, with torchvision's ResNet-18.
"""

import os
import sys
from pathlib import Path

os.environ["YOLO_CONFIG_DIR"] = str(Path.cwd())  # before it is imported: its settings are not to outlive the run

from ultralytics import YOLO, settings

NETWORK = """
nc: 4
backbone:
  - [-1, 1, TorchVision, [512, resnet18, null, True, 2]]
head:
  - [-1, 1, Classify, [nc]]
"""


def main(root: str, side: str, epochs: str, batch_size: str) -> None:
    settings.update({"mlflow": False, "wandb": False})
    description = Path("resnet18-cls.yaml")
    description.write_text(NETWORK)
    YOLO(description, task="classify").train(
        data=str(Path(root).absolute()),
        imgsz=int(side),
        epochs=int(epochs),
        batch=int(batch_size),
        device="cpu",
        workers=2,
        optimizer="AdamW",
        lr0=1e-3,
        pretrained=False,
        auto_augment=None,
        erasing=0.0,
        hsv_h=0.0,
        hsv_s=0.0,
        hsv_v=0.0,
        scale=1.0,
        plots=False,
        project=str(Path("runs").absolute()),
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
