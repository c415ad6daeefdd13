"""The pictures of `runner test` look as they did when they were last looked at."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

import runner
from runner.inference.scoring import _picture
from tests.looks import strokes_kept


@pytest.mark.parametrize("data", ["folder", "digits"])
def test_images_have_what_was_said_what_is_right_and_the_name_of_their_file(looks, tmp_path, data):
    for split in ("train", "val", "test"):
        for name in ("cat", "dog"):
            (tmp_path / split / name).mkdir(parents=True)
            for number in range(4):
                pixels = np.full((8, 8, 3), 30 * number, dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / split / name / f"{split}{number}.png")
    words = [f"data.root={tmp_path}", "data.image_size=8", "data.cache=null"] if data == "folder" else []
    dataset = runner.build.data(runner.compose([f"data={data}", *words]))
    labels = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
    scored = SimpleNamespace(dataset=dataset, labels=labels, classifier=SimpleNamespace(class_names=["cat", "dog"]))
    sureness = torch.tensor([0.5, 0.6, 0.7, 0.8, 0.99, 0.9, 0.91, 1.0])
    with strokes_kept() as strokes:
        _picture(scored, torch.tensor([7, 0, 4, 1, 2, 3, 5, 6]), 1 - labels * (sureness > 0.9), sureness)
    looks(f"inference/mistakes_{data}", "\n".join(strokes))
