"""docs/coverage.md: every option composes, every test exists, and the page is the script's."""

import re
import runpy
from pathlib import Path

import pytest

import runner
from tests.contract.test_every_option import OPTIONS

ROOT = Path(__file__).parents[2]
script = runpy.run_path(str(ROOT / "scripts/list_coverage"))
ROWS = script["rows"]()
# Options alone compose in a test of their own.
LINES = sorted({words for _, _, words, _ in ROWS if not words.startswith("-")} - set(OPTIONS))


def test_the_page_is_up_to_date():
    assert (ROOT / "docs/coverage.md").read_text() == script["document"]()


@pytest.mark.parametrize("words", LINES)
def test_the_words_compose(words):
    runner.config.check(runner.compose(words.split()))


def test_every_test_exists():
    for _, technique, _, test in ROWS:
        if "::" in test:
            file, _, name = test.partition("::")
            assert re.search(rf"^ *def {name}\(", (ROOT / "tests" / file).read_text(), re.M), (technique, test)


def test_every_option_of_the_lectures_groups_is_there():
    """What a group offers stands in the table, or came after the lectures."""
    later = {
        *("loss=bce", "loss=focal", "loss=distillation", "init=auto", "init=default", "init=dirac"),
        *("optimizer=adamw", "optimizer=muon", "optimizer=nadam", "optimizer=lion", "optimizer=lamb"),
        *("schedule=one_cycle", "schedule=triangle", "schedule=linear", "schedule=polynomial", "schedule=wsd"),
        *("reg=none", "reg=label_smoothing", "reg=mixup", "reg=cutmix", "reg=cutout", "reg=max_norm"),
        *("augment=none", "augment=random_resized_crop", "augment=randaugment", "augment=trivialaugment"),
        *("augment=autoaugment", "augment=augmix", "augment=random_erasing"),
        *("average=none", "average=lookahead", "average=swa", "tta=none", "tta=flip_translate"),
        *("model=vit", "model=convnext", "model=whitened_convnet", "model=timm"),
    }
    words = {word for _, _, line, _ in ROWS for word in line.split()}
    words |= {f"reg={option}" for option in ("l2", "dropout")}
    for group in ("loss", "init", "optimizer", "schedule", "reg", "augment", "average", "tta", "model"):
        for path in (ROOT / "configs" / group).glob("[!_]*.yaml"):
            word = f"{group}={path.stem}"
            assert (word in words) != (word in later), word
