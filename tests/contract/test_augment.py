"""Every word of `augment=` keeps the promises of `Augmentation`."""

from pathlib import Path

import pytest
import torch

import runner
from runner import build
from runner.augment import Crop
from runner.config import folder
from runner.data import Batches
from runner.data.loader import InMemoryLoader
from runner.data.preprocess import blank
from runner.data.source import Images
from runner.errors import UserError
from runner.seeds import generator

README = Path(__file__).parents[2] / "README.md"

WORDS = sorted(path.stem for path in (folder() / "augment").glob("[!_]*.yaml"))
SHAPES = [(1, 8, 8), (3, 8, 8), (1, 32, 32), (3, 32, 32), (3, 12, 20)]

# The keys with which each word changes nothing.
IDENTITY = {
    "none": [],
    "flip": ["augment.flip.p=0"],
    "crop": ["augment.crop.padding=0"],
    "scale_crop": ["augment.scale_crop.min_scale=1", "augment.scale_crop.max_scale=1"],
    "random_resized_crop": [f"augment.random_resized_crop.{key}=1" for key in ("min_area", "max_area", "aspect")],
    "color_jitter": [f"augment.color_jitter.{key}=0" for key in ("brightness", "contrast", "saturation", "hue")],
    "pca_color": ["augment.pca_color.std=0"],
    "translate": ["augment.translate.fraction=0"],
    "rotate": ["augment.rotate.degrees=0"],
    "stretch": ["augment.stretch.factor=1"],
    "shear": ["augment.shear.degrees=0"],
    "lens": ["augment.lens.strength=0"],
    "randaugment": ["augment.randaugment.num_ops=0"],
    "trivialaugment": ["augment.trivialaugment.p=0"],
    "autoaugment": ["augment.autoaugment.p=0"],
    "augmix": ["augment.augmix.p=0"],
    "random_erasing": ["augment.random_erasing.p=0"],
}
# Options that the defaults leave unused.
VARIANTS = {
    "flip": ["augment.flip.alternate=true"],
    "crop": ["augment.crop.padding_mode=reflect"],
    "color_jitter": ["augment.color_jitter.hue=0.3"],
    "translate": ["augment.translate.padding_mode=reflect", "augment.translate.fraction=0.6"],
    "randaugment": ["augment.randaugment.num_ops=3", "augment.randaugment.magnitude=30"],
    "autoaugment": ["augment.autoaugment.policy=imagenet", "augment.autoaugment.padding_mode=reflect"],
    "augmix": ["augment.augmix.width=2", "augment.augmix.depth=4", "augment.augmix.severity=10"],
    "random_erasing": ["augment.random_erasing.fill=color", "augment.random_erasing.p=1"],
}
CASES = [(word, ()) for word in WORDS] + [(word, tuple(keys)) for word, keys in VARIANTS.items()]


def source(shape, num_images=24):
    """Smooth random images, so that a move by a fraction of a pixel shows."""
    small = torch.rand(num_images, shape[0], 4, 4, generator=generator(0, "test", *shape))
    pixels = torch.nn.functional.interpolate(small, shape[1:], mode="bilinear")
    return Images((pixels * 255).round().to(torch.uint8), torch.arange(num_images) % 10)


def case(word, shape, keys=()):
    """The augmentation of that word, ready, and images for it."""
    images = source(shape)
    return build.augment(runner.compose([f"augment={word}", *keys]), images), images.pixels / 255


def rows(draws, chosen):
    return [{key: value[chosen] for key, value in numbers.items()} for numbers in draws]


def test_every_word_is_in_the_tables():
    assert set(IDENTITY) == set(WORDS)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("word", "keys"), CASES, ids=lambda value: value if isinstance(value, str) else len(value))
def test_shape_type_and_range_are_kept(word, keys, shape):
    augment, images = case(word, shape, keys)
    before = images.clone()
    for seed in range(3):
        changed = augment.apply(images, augment.draw(len(images), generator(seed, "augment")))
        assert changed.shape == images.shape
        assert changed.dtype == images.dtype
        assert changed.min() >= 0
        assert changed.max() <= 1
        assert changed.isfinite().all()
    assert torch.equal(images, before), "the input was written to"


@pytest.mark.parametrize("word", [word for word in WORDS if word != "none"])
def test_the_seed_decides_the_pixels(word):
    augment, images = case(word, (3, 32, 32))
    first, again, other = (augment.apply(images, augment.draw(24, generator(seed, "augment"))) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first, images)


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_zero_strength_is_the_identity(word, shape):
    if word == "random_resized_crop" and shape[1] != shape[2]:
        pytest.skip("what is cut is square")
    augment, images = case(word, shape, IDENTITY[word])
    changed = augment.apply(images, augment.draw(len(images), generator(0, "augment")))
    torch.testing.assert_close(changed, images, rtol=0, atol=2e-6)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32)], ids=str)
@pytest.mark.parametrize(("word", "keys"), CASES, ids=lambda value: value if isinstance(value, str) else len(value))
def test_each_image_depends_on_its_own_draws_alone(word, keys, shape):
    augment, images = case(word, shape, keys)
    draws = augment.draw(len(images), generator(3, "augment"))
    assert all(len(value) == len(images) for numbers in draws for value in numbers.values())
    whole = augment.apply(images, draws)
    singles = [augment.apply(images[[i]], rows(draws, [i])) for i in range(len(images))]
    torch.testing.assert_close(torch.cat(singles), whole, rtol=0, atol=1e-6)
    part = slice(5, 12)
    torch.testing.assert_close(augment.apply(images[part], rows(draws, part)), whole[part], rtol=0, atol=1e-6)


@pytest.mark.parametrize("word", WORDS)
def test_labels_and_order_are_untouched(word):
    split = source((3, 8, 8))
    preprocess = blank(split.image_shape, "none")
    augment = build.augment(runner.compose([f"augment={word}"]), split)

    def labels(augment):
        loader = InMemoryLoader(split, torch.device("cpu"))
        batches = Batches(loader, len(split), 7, preprocess, augment=augment or None, seed=5)
        return torch.cat([labels for _, labels in batches.epoch(2)])

    assert torch.equal(labels(augment), labels(None))


def test_a_list_is_applied_in_its_order():
    images = source((3, 32, 32)).pixels / 255
    draws = {"flip": {"flip": torch.ones(24, dtype=torch.bool)}, "crop": {"offset": torch.tensor([[4, 8]] * 24)}}
    right = torch.nn.functional.pad(images[..., 4:], (0, 4))  # the window 4 pixels to the right

    def changed(words):
        augment = build.augment(runner.compose([f"augment=[{words}]"]))
        return augment.apply(images, [draws[word] for word in words.split(",")])

    assert torch.equal(changed("crop,flip"), right.flip(-1))
    assert torch.equal(changed("flip,crop"), torch.nn.functional.pad(images.flip(-1)[..., 4:], (0, 4)))


@pytest.mark.parametrize(
    ("overrides", "key"),
    [
        (
            ["data=digits", "augment=crop", "augment.crop.padding_mode=reflect", "augment.crop.padding=8"],
            "augment.crop.padding",
        ),
        (["data=synthetic", "data.in_channels=2", "augment=color_jitter"], "augment.color_jitter"),
        (["data=synthetic", "data.in_channels=2", "augment=randaugment"], "augment.randaugment"),
        (["data=synthetic", "data.in_channels=2", "augment=trivialaugment"], "augment.trivialaugment"),
        (["data=synthetic", "data.in_channels=2", "augment=autoaugment"], "augment.autoaugment"),
        (["data=synthetic", "data.in_channels=2", "augment=augmix"], "augment.augmix"),
        (["augment=random_erasing", "augment.random_erasing.min_area=0.5"], "augment.random_erasing"),
        (
            ["augment=random_resized_crop", "augment.random_resized_crop.max_area=0.05"],
            "augment.random_resized_crop: min_area 0.08 must not exceed max_area 0.05",
        ),
        (["data=digits", "augment=scale_crop", "augment.scale_crop.min_scale=3"], "augment.scale_crop"),
    ],
)
def test_images_that_cannot_be_augmented_are_refused_by_key(overrides, key):
    with pytest.raises(UserError, match=key):
        build.training(runner.compose([*overrides, "engine.device=cpu"]))


@pytest.mark.parametrize(
    "wrong",
    [
        "augment=crop augment.crop.padding_mode=constant",
        "augment=rotate augment.rotate.degrees=-3",
        "augment=flip augment.flip.p=2",
        "augment=lens augment.lens.strength=0.5",
        "augment=randaugment augment.randaugment.magnitude=31",
        "augment=shear augment.shear.padding_mode=black",
        "augment=trivialaugment augment.trivialaugment.p=1.1",
        "augment=autoaugment augment.autoaugment.policy=mnist",
        "augment=augmix augment.augmix.severity=11",
        "augment=augmix augment.augmix.alpha=0",
        "augment=random_erasing augment.random_erasing.aspect=0.3",
        "augment=scale_crop augment.scale_crop.min_scale=0.5",
        "augment=random_resized_crop augment.random_resized_crop.min_area=0",
        "augment=random_resized_crop augment.random_resized_crop.max_area=1.5",
        "augment=random_resized_crop augment.random_resized_crop.aspect=0.5",
    ],
)
def test_a_wrong_value_names_its_key(wrong):
    words = wrong.split()
    with pytest.raises(UserError, match=words[1].partition("=")[0]):
        runner.config.check(runner.compose(words))


MIXES = ["mixup", "cutmix", "cutout"]


@pytest.mark.parametrize("word", [f"augment={word}" for word in WORDS] + [f"reg={word}" for word in MIXES])
def test_every_word_trains(word):
    cfg = runner.compose([word, "model=linear", "engine.device=cpu", "data.batch_size=16"])
    runner.config.check(cfg)
    training = build.training(cfg)
    for (images, labels), _ in zip(training.train.epoch(0), range(2), strict=False):
        losses, _ = training.step(training.state, (images, labels))
        training.state.step += 1
        assert losses.isfinite().all()
    assert training.state.step == 2


@pytest.mark.parametrize(("side", "padding"), [(8, 1), (5, 1), (32, 4), (64, 8), (224, 28)])
def test_crop_pads_by_an_eighth_of_the_side(side, padding):
    crop = Crop()
    crop.check((1, side, side))
    offsets = crop.draw(4000, torch.Generator().manual_seed(0))["offset"]
    assert (offsets.min().item(), offsets.max().item()) == (0, 2 * padding)


@pytest.mark.slow
def test_the_readmes_own_line_learns(train):
    (line,) = (line for line in README.read_text().splitlines() if "augment=[" in line)
    words = line.split("#")[0].split()
    assert words[:2] == ["runner", "train"]
    assert train(*words[2:], "log.tensorboard=false").objective > 0.93
