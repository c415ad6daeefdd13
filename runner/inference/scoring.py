"""The scores of a stored run's weights on a split, written into its folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from torch import Tensor

from runner import build
from runner.data import Data
from runner.data.source import Files
from runner.engine.metrics import surest_mistakes
from runner.files import replace_file
from runner.inference.calibration import Reliability, fit_temperature, reliability
from runner.inference.classifier import CALIBRATION, Classifier
from runner.inference.measure import measure
from runner.inference.other_data import other_data
from runner.inference.weights import BEST
from runner.log import event_files
from runner.log.tags import TEST as TEST_ACCURACY
from runner.plot.confusion import draw_confusion_matrix
from runner.plot.pictures import draw_images
from runner.plot.reliability import Points, draw_reliability
from runner.store import RunFolder
from runner.store.config_file import FORMAT

CONFUSION, RELIABILITY = "confusion.png", "reliability.png"
MISTAKES, UNSURE = "test_mistakes.png", "test_unsure.png"
NUM_SHOWN = 24  # images in a picture


@dataclass(frozen=True)
class Scored:
    """A classifier's scores [N, K] on a split of a data set, the labels [N], and the mean loss.

    Args:
        val: scores [M, K] and labels [M] of the run's own validation split.
    """

    classifier: Classifier
    dataset: Data
    scores: Tensor
    labels: Tensor
    loss: float
    val: tuple[Tensor, Tensor]

    @property
    def probabilities(self) -> Tensor:
        """Before any calibration, [N, K]."""
        return self.scores.softmax(1)


def score_run(
    folder: RunFolder,
    overrides: Sequence[str] = (),
    weights: str = BEST,
    trust: bool = False,
    data: str | None = None,
    calibrate: bool = False,
) -> dict[str, Any]:
    """Score a run's weights on the test split; writes test.json and figures into the folder.

    test.json keeps what other checkpoints and other test-time augmentation scored; the figures are the newest one's.

    Args:
        data: another folder or table with images of the same classes, that is scored instead; nothing is written.
        calibrate: keep the temperature that fits the validation split, for predictions.

    Raises:
        UserError: the run, its checkpoint or its data cannot be read.
    """
    folder.refuse_links()
    return score(Classifier.load(folder, overrides, weights, trust), data, calibrate)[0]


def score(classifier: Classifier, data: str | None = None, calibrate: bool = False) -> tuple[dict[str, Any], Scored]:
    """The same of a classifier, with the scores themselves."""
    folder = classifier.folder
    dataset = build.data(classifier.cfg)
    val_scores, val_labels, _ = classifier.scores(dataset, "val")
    val = val_scores, val_labels
    temperature = fit_temperature(*val)
    tested = dataset if data is None else other_data(classifier, data)
    scored = Scored(classifier, tested, *classifier.scores(tested, "test"), val)
    before = reliability(scored.probabilities, scored.labels)
    after = reliability((scored.scores / temperature).softmax(1), scored.labels)
    result: dict[str, Any] = {"format": FORMAT, **classifier.described_weights, "num_images": len(scored.labels)}
    result |= {"tta": OmegaConf.to_container(classifier.cfg.tta)}
    result |= measure(scored.scores, scored.labels, classifier.class_names)
    result["loss"] = scored.loss
    result["calibration"] = {
        "temperature": temperature,
        "error": before.error,
        "error_at_temperature": after.error,
        "bins": {key: value for key, value in asdict(before).items() if key != "error"},
    }
    if calibrate:
        fitted = {**classifier.described_weights, "temperature": temperature}
        folder.replace(CALIBRATION, json.dumps({"format": FORMAT, **fitted}, indent=1) + "\n")
    if data is None:
        folder.add_test(result)
        _draw(scored, result, (before, after))
        _show_in_tensorboard(folder, result["accuracy"], classifier.stored.step)
    return result, scored


def _draw(scored: Scored, result: dict[str, Any], reliabilities: tuple[Reliability, Reliability]) -> None:
    figures, names = scored.classifier.folder.figures, scored.classifier.class_names
    which = f"test split, {scored.classifier.stored.checkpoint} checkpoint"
    matrix = draw_confusion_matrix(result["confusion"], names, f"Confusion matrix ({which})")
    replace_file(figures / CONFUSION, matrix)
    temperature = result["calibration"]["temperature"]
    labels = ("as trained", f"at temperature {temperature:.3g}")
    curves = [
        Points(f"{label}: error {one.error:.3f}", one.confidence, one.accuracy, one.num_images)
        for label, one in zip(labels, reliabilities, strict=True)
    ]
    replace_file(figures / RELIABILITY, draw_reliability(curves, f"Reliability ({which})"))
    sureness, predicted = scored.probabilities.max(1)
    worst = surest_mistakes(scored.probabilities, scored.labels, NUM_SHOWN)
    least_sure = sureness.argsort(stable=True)[:NUM_SHOWN]
    for name, chosen in ((MISTAKES, worst), (UNSURE, least_sure)):
        if len(chosen):
            replace_file(figures / name, _picture(scored, chosen, predicted, sureness))
        else:
            (figures / name).unlink(missing_ok=True)


def _picture(scored: Scored, chosen: Tensor, predicted: Tensor, sureness: Tensor) -> bytes:
    """Images with their label, the predicted class and its probability, and the name of the file if there is one."""
    source, names = scored.dataset.source("test"), scored.classifier.class_names
    captions = []
    for index in chosen.tolist():
        said, label = names[predicted[index]], names[scored.labels[index]]
        lines = [f"{said} {sureness[index]:.0%}", "right" if said == label else f"is {label}"]
        if isinstance(source, Files):
            lines.append(Path(str(source.paths[index])).name)
        captions.append("\n".join(lines))
    images = source.read(chosen.tolist())
    return draw_images(images.permute(0, 2, 3, 1).numpy(), captions, columns=6, side=112)


def _show_in_tensorboard(folder: RunFolder, accuracy: float, step: int) -> None:
    """Write the accuracy beside the run's curves, where it has some, in an event file of its own."""
    event_files.remove_event_files(folder.path, event_files.OF_TEST)
    if any(folder.path.glob(event_files.PATTERN)):
        writer = event_files.EventWriter(folder.path, event_files.OF_TEST)
        writer.add_scalar(TEST_ACCURACY, accuracy, step)
        writer.close()
