"""The pictures that a finished run leaves: its curves, what it was trained on, and what it gets wrong."""

from pathlib import Path

from runner.engine.loop import Training
from runner.engine.metrics import surest_mistakes
from runner.files import replace_file
from runner.pictures import as_bytes
from runner.plot.history import draw_history
from runner.plot.pictures import draw_images
from runner.store import RunFolder
from runner.warnings import failure_as_warning

CURVES, TRAINING_IMAGES, MISTAKES = "curves.png", "training_images.png", "val_mistakes.png"
NUM_IMAGES = 24
COLUMNS, SIDE = 6, 112


def draw_run(folder: RunFolder, training: Training) -> list[Path]:
    """Draw what there is to draw; what fails is warned of. Gives the files."""
    drawn: list[Path] = []
    for name, draw in ((CURVES, _curves), (TRAINING_IMAGES, _training_images), (MISTAKES, _mistakes)):
        with failure_as_warning(f"figures/{name}"):
            content = draw(folder, training)
            if content is not None:
                replace_file(folder.figures / name, content)
                drawn.append(folder.figures / name)
    return drawn


def _curves(folder: RunFolder, training: Training) -> bytes | None:
    records = folder.metrics
    return draw_history(records, folder.path.name) if records else None


def _training_images(folder: RunFolder, training: Training) -> bytes:
    """The first images of an epoch as the network sees them, but before preprocessing, with their labels."""
    images, labels = training.train.of(0).pictures(NUM_IMAGES)
    names = training.class_names
    return draw_images(as_bytes(images), [names[label] for label in labels.tolist()], COLUMNS, SIDE)


def _mistakes(folder: RunFolder, training: Training) -> bytes | None:
    """The surest mistakes of the last validation; None where there was none, or none was wrong."""
    found = training.evaluate.predictions(0)
    if found is None:
        return None
    scores, labels = found
    chosen = surest_mistakes(scores.float().softmax(-1), labels, NUM_IMAGES)
    if not len(chosen):
        return None
    sureness, predicted = scores[chosen].float().softmax(-1).max(-1)
    names = training.class_names
    captions = [
        f"{names[said]} {sure:.0%}\nis {names[true]}"
        for said, sure, true in zip(predicted.tolist(), sureness.tolist(), labels[chosen].tolist(), strict=True)
    ]
    return draw_images(as_bytes(training.evaluate.batches.originals(chosen)), captions, COLUMNS, SIDE)
