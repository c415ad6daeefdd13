"""Class folders: an epoch of ResNet-18 on JPEG files, by whole commands of runner, fastai and Ultralytics.

Pictures of smooth noise in four classes, 64 in a batch, flipped. An epoch is half of what a command of three epochs
costs more than one of a single epoch: training, validation, checkpoints and logs. The start is what is left.

runner          `runner train` with default settings
fastai          a `Learner` with `fit_one_cycle`, its loaders' default processes
Ultralytics     `YOLO(..).train` with two loading processes, without the augmentations that the others have not
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from bench.files import write_pictures
from bench.harness import ROOT, Cost, Row, choose, cost_of_command, median, num_turns, takes_part, turns_of

CASES = {"32x32": (32, 4000), "64x64": (64, 2000)}  # side and number of pictures
BATCH_SIZE = 64
SHORT, LONG = 1, 3  # epochs
NETWORK = {False: ["model=resnet", "model.depth=18", "model.stem=imagenet"], True: ["model=linear"]}  # by --quick
COMPETITORS = {"fastai": "fastai_folder", "ultralytics": "ultralytics_folder"}

Whole = Callable[[int], Cost]  # the cost of a command, given its epochs


def measure(options: argparse.Namespace) -> list[Row]:
    """CPU seconds and seconds of an epoch, and what the start takes."""
    rows = []
    for name, (side, number) in choose(CASES, options).items():
        with tempfile.TemporaryDirectory() as folder:
            photos = Path(folder) / "photos"
            write_pictures(photos, 80 if options.quick else number, (side, side))
            for split in ("val", "test"):
                shutil.rmtree(photos / split, ignore_errors=True)
                write_held_out(photos, split)
            contestants: dict[str, Whole] = {"runner": partial(by_runner, photos, side, NETWORK[options.quick])}
            for who, script in COMPETITORS.items():
                if takes_part(who, options):
                    contestants[who] = partial(by_script, script, photos, side)
            epochs: dict[str, list[Cost]] = {who: [] for who in contestants}
            starts: dict[str, list[Cost]] = {who: [] for who in contestants}
            for _ in range(num_turns(options, 2)):
                for who, whole in contestants.items():
                    short, long = whole(SHORT), whole(LONG)
                    epochs[who].append((long - short) / (LONG - SHORT))
                    starts[who].append(short - epochs[who][-1])
        for who in contestants:
            epoch, start = median(epochs[who]), median(starts[who])
            row = {"pictures": name, "by": who, "CPU seconds an epoch": epoch.cpu, "seconds an epoch": epoch.wall}
            row |= {"CPU ms an image": 1e3 * epoch.cpu / number, "images a second": number / epoch.wall}
            rows.append(row | {"CPU seconds to start": start.cpu} | turns_of(epochs[who]))
    return rows


def write_held_out(photos: Path, split: str) -> None:
    """A tenth of the training pictures as another split."""
    for folder in sorted((photos / "train").iterdir()):
        (photos / split / folder.name).mkdir(parents=True)
        for path in sorted(folder.iterdir())[::10]:
            shutil.copy(path, photos / split / folder.name)


def by_runner(photos: Path, side: int, network: Sequence[str], epochs: int) -> Cost:
    words = ["data=folder", f"data.root={photos}", f"data.image_size={side}", f"data.batch_size={BATCH_SIZE}"]
    words += [*network, "augment=flip", "optimizer=adamw", f"engine.epochs={epochs}"]
    with tempfile.TemporaryDirectory() as folder:
        return cost_of_command([sys.executable, "-m", "runner", "train", *words], folder)


def by_script(script: str, photos: Path, side: int, epochs: int) -> Cost:
    path = ROOT / f"scripts/bench/competitors/{script}.py"
    with tempfile.TemporaryDirectory() as folder:
        return cost_of_command([sys.executable, path, str(photos), str(side), str(epochs), str(BATCH_SIZE)], folder)
