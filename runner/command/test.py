"""`runner test FOLDER`: the scores of a run's weights on the test split, which nothing else reads."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.table import Table
from torch import Tensor

from runner import build, config
from runner.arguments import ArgumentParser
from runner.engine import device as devices
from runner.engine.checkpoint import read
from runner.engine.evaluate import predict
from runner.engine.settings import Settings
from runner.plot.confusion import confusion_matrix
from runner.store import RunFolder


def main(words: Sequence[str]) -> int:
    """Read the command's arguments, test, print, and give the exit status."""
    parser = ArgumentParser(
        prog="runner test",
        description="Loss, accuracy, top-5, a table by class and the confusion matrix on the test split.",
        epilog="example: runner test outputs/digits-convnet/2026-01-31_12-00-00-000000-4711 engine.device=cpu",
    )
    parser.add_argument("folder", type=Path, help="the run's folder")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="changes, such as data.root=elsewhere")
    parser.add_argument("--checkpoint", default="best", help="best (default), last, or a snapshot such as epoch-0010")
    parser.add_argument(
        "--trust", action="store_true", help="let the stored config build classes that are not runner's"
    )
    arguments = parser.parse_intermixed_args(list(words))
    folder = RunFolder.open(arguments.folder)
    result = score(folder, arguments.overrides, arguments.checkpoint, arguments.trust)
    _show(Console(), result, folder)
    return 0


def score(
    folder: RunFolder, overrides: Sequence[str] = (), checkpoint: str = "best", trust: bool = False
) -> dict[str, Any]:
    """Score a checkpoint; writes test.json and figures/confusion.png into the folder.

    Raises:
        UserError: the run, its checkpoint or its data cannot be read.
    """
    cfg = config.with_overrides(folder.config, overrides, for_="test")
    if not trust:
        build.check_trusted(cfg)
    config.check(cfg)
    saved = read(folder.checkpoints / f"{checkpoint}.pt")["state"]
    scores, labels, loss, class_names = _predict(cfg, saved)
    result = {"checkpoint": checkpoint, "epoch": saved["position"]["epoch"], "num_images": len(labels)}
    result["views"] = OmegaConf.to_container(cfg.views)
    result |= measure(scores, labels, class_names)
    result["loss"] = loss
    folder.replace("test.json", json.dumps(result, indent=1) + "\n")
    confusion_matrix(confusion(scores, labels), class_names, folder.figures / "confusion.png")
    return result


def _predict(cfg: DictConfig, saved: dict[str, Any]) -> tuple[Tensor, Tensor, float, list[str]]:
    """Scores [N, K] and labels [N] on the CPU, the mean loss, and the classes."""
    settings: Settings = build.make(cfg.engine, "engine")
    device = devices.pick(settings.device)
    precision = devices.Precision(settings.precision, device)
    devices.prepare(settings, cfg.seed, device)
    dataset = build.data(cfg)
    network, preprocess = build.scored_network(cfg, dataset, saved)
    batches = build.batches(dataset, "test", preprocess.to(device), device, settings)
    scores, labels, loss = predict(network.to(device), batches, build.loss(cfg).to(device), precision, build.views(cfg))
    return scores.cpu(), labels.cpu(), loss.item(), dataset.class_names


def measure(scores: Tensor, labels: Tensor, class_names: Sequence[str]) -> dict[str, Any]:
    """Accuracy, top-5 accuracy, and recall, precision and number of images of each class."""
    K = len(class_names)
    counts = confusion(scores, labels)
    top = scores.topk(min(5, K), dim=1).indices
    by_class = {
        name: {
            "num_images": int(counts[k].sum()),
            "recall": _ratio(counts[k, k], counts[k].sum()),
            "precision": _ratio(counts[k, k], counts[:, k].sum()),
        }
        for k, name in enumerate(class_names)
    }
    return {
        "accuracy": (scores.argmax(1) == labels).double().mean().item(),
        "top5_accuracy": (top == labels[:, None]).any(1).double().mean().item(),
        "classes": by_class,
        "confusion": counts.tolist(),
    }


def confusion(scores: Tensor, labels: Tensor) -> Tensor:
    """Counts [K, K]: rows the true class, columns the predicted one."""
    K = scores.shape[1]
    return torch.bincount(labels * K + scores.argmax(1), minlength=K * K).reshape(K, K)


def _ratio(part: Tensor, whole: Tensor) -> float | None:
    return (part / whole).item() if whole else None


def _show(console: Console, result: dict[str, Any], folder: RunFolder) -> None:
    console.print(f"{folder.path}: {result['checkpoint']} (epoch {result['epoch']})", highlight=False, soft_wrap=True)
    table = Table(box=None, pad_edge=False)
    table.add_column("class")
    for heading in ("images", "recall", "precision"):
        table.add_column(heading, justify="right")
    for name, row in result["classes"].items():
        cells = ["-" if row[key] is None else f"{row[key]:.4f}" for key in ("recall", "precision")]
        table.add_row(name, str(row["num_images"]), *cells)
    console.print(table)
    console.print(
        f"test loss [bold]{result['loss']:.4f}[/]  accuracy [bold]{result['accuracy']:.4f}[/]  "
        f"top-5 {result['top5_accuracy']:.4f}  on {result['num_images']} images",
        highlight=False,
    )
    console.print(
        f"wrote {folder.path / 'test.json'} and {folder.figures / 'confusion.png'}", highlight=False, soft_wrap=True
    )
