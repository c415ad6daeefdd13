"""Images with captions."""

import io

import numpy as np
from PIL import Image, ImageFont

from runner.plot.pictures import draw_images, fitting, font_for, legible


def drawn(images, captions, **options):
    return np.asarray(Image.open(io.BytesIO(draw_images(images, captions, **options))).convert("RGB"))


def test_every_image_is_enlarged_by_a_whole_number_with_its_pixels_as_they_are():
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    picture = drawn(images, ["", "", ""], columns=2, side=16)
    enlarged = images.repeat(2, 1).repeat(2, 2)
    line = 16 + 6 + 15  # image, gap, caption
    places = [(6, 6), (6, 6 + 22), (6 + line, 6)]
    for image, (y, x) in zip(enlarged, places, strict=True):
        assert (picture[y : y + 16, x : x + 16] == image).all()


def test_gray_images_are_gray():
    picture = drawn(np.full((1, 8, 8, 1), 100, dtype=np.uint8), [])
    assert (picture[6:86, 6:86] == 100).all()


def test_a_caption_is_below_its_image_in_as_many_lines_as_it_has():
    black = np.zeros((2, 8, 8, 1), dtype=np.uint8)
    one, two = drawn(black, ["cat", ""]), drawn(black, ["cat\n90%", ""])
    assert two.shape[0] - one.shape[0] == 15
    assert (two[88:, :86] < 128).sum() > (one[88:, :86] < 128).sum() > 20
    assert (one[88:, 92:] > 200).all(), "the second has none"


def test_text_that_is_too_wide_ends_with_an_ellipsis():
    font = font_for("a", 12)
    assert fitting("cat", font, 100) == "cat"
    cut = fitting("a name that is far too long", font, 60)
    assert cut.endswith("…")
    assert font.getlength(cut) <= 60


def test_no_character_is_drawn_as_a_box():
    font = font_for("Ωж", 12)
    assert legible("Ωж é", font) == "Ωж é", "matplotlib's font has Greek and Cyrillic"
    assert legible("cat\n𒀀", font) == "cat\nU+12000", "cuneiform, which no font here has"
    assert isinstance(font, ImageFont.FreeTypeFont)


def test_a_character_that_the_usual_font_lacks_is_drawn_by_another_of_the_machine():
    font = font_for("\U0001d510", 12)  # a Fraktur letter, of STIX fonts, which come with matplotlib
    assert legible("\U0001d510", font) == "\U0001d510"
    assert font.path != font_for("M", 12).path


def test_without_matplotlibs_font_there_is_another(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    font_for.__globals__["_font_for"].cache_clear()
    assert font_for("cat", 12).getlength("cat") > 5
    font_for.__globals__["_font_for"].cache_clear()


def test_text_that_fits_to_the_pixel_is_not_cut():
    font = font_for("a", 12)
    assert fitting("cat", font, font.getlength("cat")) == "cat"
    assert fitting("cathedral", font, font.getlength("cath…")) == "cath…"


def test_a_font_without_a_table_of_characters_has_those_of_latin_1():
    assert legible("café 中", ImageFont.load_default_imagefont()) == "café U+4E2D"
