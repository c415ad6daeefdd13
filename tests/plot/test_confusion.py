"""The confusion matrix as a picture."""

import io

import numpy as np
import pytest
from PIL import Image

from runner.plot.confusion import CORRECT, MISTAKEN, color_depth, draw_confusion_matrix, shade

WHITE = (255, 255, 255)


def pixels(counts, names):
    return Image.open(io.BytesIO(draw_confusion_matrix(counts, names, "Confusion matrix"))).convert("RGB")


def colors(image):
    return {color for _, color in image.getcolors(maxcolors=2**24)}


def test_white_is_zero_alone_and_one_of_thirty_is_seen():
    assert shade(MISTAKEN, color_depth(0)) == WHITE
    faint = shade(MISTAKEN, color_depth(1 / 30))
    assert max(255 - channel for channel in faint) > 60  # of 255
    depths = [color_depth(share / 30) for share in range(31)]
    assert depths == sorted(set(depths))
    assert depths[-1] == 1


def test_a_square_has_the_color_of_its_share_and_of_whether_it_is_right():
    image = pixels([[29, 1, 0], [0, 15, 15], [0, 0, 0]], ["a", "b", "c"])
    found = colors(image)
    for color, share in ((CORRECT, 29 / 30), (MISTAKEN, 1 / 30), (CORRECT, 0.5), (MISTAKEN, 0.5)):
        assert shade(color, color_depth(share)) in found


def area(image, color):
    return sum(count for count, found in image.getcolors(maxcolors=2**24) if found == color)


def test_rows_are_the_true_class():
    # All of class a (row 0) are taken for b: the square lies in the upper right corner.
    image = np.asarray(pixels([[0, 10], [0, 10]], ["a", "b"]))
    rows, columns = np.where((image == MISTAKEN).all(-1))
    right_rows, right_columns = np.where((image == CORRECT).all(-1))
    inside = right_rows < right_rows.min() + 38  # not the key below
    assert np.median(rows[rows < right_rows.min()]) < np.median(right_rows[inside])
    assert abs(np.median(columns[rows < right_rows.min()]) - np.median(right_columns[inside])) < 3


@pytest.mark.parametrize("K", [1, 2, 13, 60, 101, 1000])
def test_any_number_of_classes_fits_a_screen(K):
    counts = np.eye(K, dtype=int) * 3
    image = pixels(counts.tolist(), [f"class number {k}" for k in range(K)])
    assert 400 <= image.width < 2100
    assert image.height < 2100
    assert area(image, CORRECT) >= K  # each class has a pixel at least


def test_the_name_of_sixty_classes_are_drawn_as_large_as_text_is():
    # A row has as much ink left of the matrix as its name needs.
    few, many = (
        np.asarray(pixels(np.eye(60, dtype=int).tolist(), names).convert("L"))
        for names in ([""] * 60, [f"class {k}" for k in range(60)])
    )
    assert (many < 120).sum() - (few < 120).sum() > 60 * 2 * 40  # dark pixels, two names each
