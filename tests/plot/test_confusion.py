"""The confusion matrix as a picture."""

import io

import numpy as np
import pytest
from PIL import Image

from runner.plot.confusion import CORRECT, MISTAKEN, color_depth, draw_confusion_matrix, shade
from runner.plot.pictures import font_for

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


def columns_of(image, K):
    """The left edges of the matrix's columns, its upper edge and the side of a square; all images are on its diagonal.

    The diagonal's squares are of the deepest blue, each one pixel from its lines to the left and above.
    """
    blue = (np.asarray(image) == CORRECT).all(-1)
    rows, _ = np.where(blue)
    top = rows.min()
    first = np.flatnonzero(blue[top])
    side = len(first) + 1  # with its line
    assert blue[top : top + side, first[0]].sum() == side - 1, "as high as wide"
    return first[0] - 1 + side * np.arange(K), top - 1, side


def test_the_name_of_a_class_stands_over_the_middle_of_its_column():
    names = ["A", "H", "M"]  # all symmetric
    dark = np.asarray(pixels(np.eye(3, dtype=int).tolist(), names).convert("L")) < 140
    lefts, top, side = columns_of(pixels(np.eye(3, dtype=int).tolist(), names), 3)
    assert side == 38
    for left in lefts:
        rows, places = np.where(dark[top - 20 : top - 1, left + 1 : left + side])
        assert abs((places.min() + places.max()) / 2 + 1 - side / 2) <= 1
        assert rows.max() == 20 - 6 - 1  # the letters stand on a line six pixels above the matrix


@pytest.mark.parametrize(("K", "side"), [(12, 38), (13, 26), (30, 26), (31, 18), (100, 18), (101, 9)])
def test_squares_are_smaller_the_more_classes_there_are(K, side):
    assert columns_of(pixels(np.eye(K, dtype=int).tolist(), ["l"] * K), K)[2] == side


@pytest.mark.parametrize(("K", "named"), [(100, True), (101, False)])
def test_up_to_a_hundred_classes_have_their_names(K, named):
    counts = np.eye(K, dtype=int).tolist()
    with_names, without = (np.asarray(pixels(counts, [name] * K)) for name in ("l", ""))
    assert (with_names.shape != without.shape or (with_names != without).any()) == named
    if named:  # upright, for such a name is no wider than its column: a stroke of some pixels above each
        lefts, top, side = columns_of(pixels(counts, ["l"] * K), K)
        dark = with_names[top - 15 : top - 1].min(-1) < 160
        assert all(dark[:, left + 1 : left + side].any(1).sum() > 6 for left in lefts)


def test_counts_are_white_on_deep_colors_and_dark_on_faint_ones():
    image = np.asarray(pixels([[99, 1], [0, 1]], ["a", "b"]))
    (first, second), top, side = columns_of(pixels([[1, 0], [0, 1]], ["a", "b"]), 2)
    deep, faint = (image[top + 1 : top + side, left + 1 : left + side] for left in (first, second))
    assert deep.min(-1).max() == 255, "white"
    assert deep.max(-1).min() > 100, "no ink, which is (28, 30, 33)"
    assert (faint.max(-1) < 60).any(), "ink"


def test_the_key_shows_every_depth_of_both_colors_side_by_side():
    K = 2
    image = np.asarray(pixels([[1, 0], [0, 1]], ["a", "b"]))
    _, top, side = columns_of(pixels([[1, 0], [0, 1]], ["a", "b"]), K)
    below = image[top + K * side + 3 :]
    for color in (CORRECT, MISTAKEN):
        expected = np.array([shade(color, color_depth(step / 99)) for step in range(1, 99)])
        width = len(expected)
        windows = (below[:, at : at + width] == expected for at in range(below.shape[1] - width))
        assert any(window.all((1, 2)).any() for window in windows)


def test_texts_that_read_upwards_have_the_paper_of_the_picture():
    assert (0, 0, 0) not in colors(pixels([[1, 2], [3, 4]], ["a long name of a class", "b"]))


def test_counts_are_written_where_they_leave_two_pixels_at_either_side():
    """By the squares of all of a class: the number lies in them, in the color of the paper."""
    font = font_for("", 13)
    fits, wide = next((10**n, 10 ** (n + 1)) for n in range(9) if font.getlength(str(10 ** (n + 1))) > 34)
    assert 33 < font.getlength(str(fits)) <= 34, "the room is used up"

    def colored(count):
        image = np.asarray(pixels([[count, 0], [0, count]], ["a", "b"]))
        left, top = np.argwhere((image == CORRECT).all(-1)).min(0)[::-1]
        return (image[top : top + 37, left : left + 37] == CORRECT).all()

    assert not colored(fits)
    assert colored(wide)


def test_the_narrowest_picture_has_room_for_its_key():
    assert pixels([[1]], ["a"]).width == 420
