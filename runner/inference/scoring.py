"""The scores of a stored run's weights on a split."""

from collections.abc import Sequence
from typing import Any

from omegaconf import OmegaConf

from runner import build
from runner.engine import process
from runner.engine.checkpoint_files import read
from runner.engine.device import select_device
from runner.engine.evaluate import predict
from runner.engine.precision import Precision
from runner.engine.settings import Settings
from runner.files import replace_file
from runner.inference.measure import measure
from runner.log import event_files
from runner.log.tags import TEST as TEST_ACCURACY
from runner.plot.confusion import draw_confusion_matrix
from runner.store import RunFolder
from runner.store.config_file import FORMAT
from runner.training.run import stored_config

CONFUSION = "confusion.png"


def score_run(
    folder: RunFolder, overrides: Sequence[str] = (), checkpoint: str = "best", trust: bool = False
) -> dict[str, Any]:
    """Score a checkpoint on the test split; writes test.json and figures/confusion.png into the folder.

    test.json keeps what other checkpoints and other test-time augmentation scored; the figure is the newest one's.

    Raises:
        UserError: the run, its checkpoint or its data cannot be read.
    """
    folder.refuse_links()
    cfg = stored_config(folder, overrides, "test", trust)
    saved = read(folder.checkpoints / f"{checkpoint}.pt")["state"]
    settings: Settings = build.instantiate(cfg.engine, "engine")
    device = select_device(settings.device)
    precision = Precision(settings.precision, device)
    process.prepare(settings, cfg.seed, device)
    dataset = build.data(cfg)
    network, preprocess = build.scored_network(cfg, dataset, saved)
    batches = build.batches(
        dataset, "test", preprocess.to(device), device, settings, view=build.eval_view(cfg, dataset)
    )
    tta = build.tta(cfg, dataset)
    scores, labels, loss = predict(network.to(device), batches, build.loss(cfg).to(device), precision, tta)
    result = {"format": FORMAT, "checkpoint": checkpoint, "epoch": saved["position"]["epoch"]}
    result |= {"weights": "averaged" if saved["average"] else "trained"}
    result |= {"num_images": len(labels), "tta": OmegaConf.to_container(cfg.tta)}
    result |= measure(scores.cpu(), labels.cpu(), dataset.class_names)
    result["loss"] = loss.item()
    folder.add_test(result)
    title = f"Confusion matrix (test split, {checkpoint} checkpoint)"
    replace_file(folder.figures / CONFUSION, draw_confusion_matrix(result["confusion"], dataset.class_names, title))
    _show_in_tensorboard(folder, result["accuracy"], saved["position"]["step"])
    return result


def _show_in_tensorboard(folder: RunFolder, accuracy: float, step: int) -> None:
    """Write the accuracy beside the run's curves, where it has some, in an event file of its own."""
    event_files.remove_event_files(folder.path, event_files.OF_TEST)
    if any(folder.path.glob(event_files.PATTERN)):
        writer = event_files.EventWriter(folder.path, event_files.OF_TEST)
        writer.add_scalar(TEST_ACCURACY, accuracy, step)
        writer.close()
