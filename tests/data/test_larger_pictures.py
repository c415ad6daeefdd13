"""Pictures of a folder that are larger than the network's images: what augmentation and views cut from them."""

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as tv
from PIL import Image

import runner
from runner.inference.classifier import Classifier
from runner.inference.scoring import score_run
from runner.pictures import View
from runner.store import RunFolder
from runner.training.resume import resume

S = 32
SCALE_CROP = ["augment=scale_crop", "augment.scale_crop.min_scale=1.142857", "augment.scale_crop.max_scale=2.142857"]
CUTTING = {"scale_crop": SCALE_CROP, "random_resized_crop": ["augment=random_resized_crop"]}


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Two classes of noise at the finest scale, 120 by 90 pixels, lying and standing; the ends are blue."""
    root, numbers = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for split, count in (("train", 12), ("test", 3)):
        for name in ("cat", "dog"):
            (root / split / name).mkdir(parents=True)
            for index in range(count):
                pixels = numbers.integers(0, 256, (90, 120, 3), dtype=np.uint8)
                pixels[:, :10] = pixels[:, -10:] = (0, 0, 255)
                pixels = pixels.swapaxes(0, 1) if index % 2 else pixels
                Image.fromarray(pixels).save(root / split / name / f"{index}.png")
    return root


def words_of(photos, *words):
    return ["data=folder", f"data.root={photos}", f"data.image_size={S}", "data.cache=null", "model=linear", *words]


def training(photos, *words):
    return runner.build.training(runner.compose(words_of(photos, "data.loading=in_memory", *words)))


def fine_energy(images):
    """The mean square of what a smoothing by three pixels takes away."""
    smooth = torch.nn.functional.avg_pool2d(images, 3, stride=1, padding=1, count_include_pad=False)
    return (images - smooth).square().mean().item()


def published(photos, scale, numbers):
    """Scale the short side of the whole picture, then cut a random window: He et al. 2015, section 3.4."""
    cut = []
    for path in sorted(photos.glob("train/*/*.png")):
        picture = torch.from_numpy(np.array(Image.open(path))).permute(2, 0, 1) / 255
        large = tv.resize(picture, [round(S * numbers.uniform(*scale))], antialias=True)
        top, left = (numbers.integers(0, length - S + 1) for length in large.shape[1:])
        cut.append(large[:, top : top + S, left : left + S])
    return torch.stack(cut)


def test_scale_crop_keeps_the_fine_detail_of_the_published_recipe(photos):
    made = training(photos, *SCALE_CROP, "data.preprocess=none")
    ours = torch.cat([images for epoch in range(6) for images, _ in made.train.epoch(epoch)])
    numbers = np.random.default_rng(1)
    theirs = torch.cat([published(photos, (256 / 224, 480 / 224), numbers) for _ in range(6)])
    small = training(photos, "augment=none", "data.preprocess=none")
    enlarged = runner.augment.ScaleCrop().apply(
        images := torch.cat([images for images, _ in small.train.epoch()]),
        runner.augment.ScaleCrop().draw(len(images), torch.Generator().manual_seed(0)),
    )
    assert fine_energy(ours) == pytest.approx(fine_energy(theirs), rel=0.25)
    assert fine_energy(enlarged) < 0.5 * fine_energy(theirs), "the measure tells nothing"


@pytest.mark.parametrize("word", CUTTING)
def test_the_margins_of_the_pictures_are_seen(photos, word):
    def blue(words):
        made = training(photos, "data.preprocess=none", *words)
        images = torch.cat([images for epoch in range(4) for images, _ in made.train.epoch(epoch)])
        return ((images[:, 2] > 0.97) & (images[:, :2] < 0.03).all(1)).double().mean().item()

    assert blue(["augment=none"]) == 0.0  # the square in the middle has none
    assert blue(CUTTING[word]) > 0.01


@pytest.mark.parametrize("preprocess", ["standardize", "mean_image"])
@pytest.mark.parametrize("word", CUTTING)
def test_equal_seeds_give_equal_pixels_by_either_way_of_loading(photos, word, preprocess):
    seen = []
    for loading in ("in_memory", "workers"):
        words = [*CUTTING[word], "tta=multi_scale", "data.num_workers=0", f"data.preprocess={preprocess}"]
        made = training(photos, *words, f"data.loading={loading}")
        seen.append([images for epoch in range(2) for images, _ in made.train.epoch(epoch)])
        seen[-1] += [images for images, _ in made.evaluate.batches.epoch()]
        seen[-1].append(made.train.pictures(5)[0])
        seen[-1] += list(made.train.sample(7))
    assert all(torch.equal(*pair) for pair in zip(*seen, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("word", CUTTING)
def test_worker_processes_give_the_same_pixels(photos, word):
    words = [*CUTTING[word], "data.loading=workers"]
    none, two = (training(photos, *words, f"data.num_workers={number}") for number in (0, 2))
    assert all(torch.equal(a, b) for (a, _), (b, _) in zip(none.train.epoch(1), two.train.epoch(1), strict=True))


def test_any_batch_can_be_had_without_those_before_it(photos):
    made = training(photos, "augment=[flip,random_resized_crop]", "data.batch_size=5")
    batches = [images for images, _ in made.train.epoch(3)]
    again = [images for images, _ in made.train.epoch(3, start=2)]
    assert torch.equal(torch.cat(batches[2:]), torch.cat(again))


@pytest.mark.parametrize("tta", ["ten_crop", "multi_scale"])
def test_views_are_cut_from_larger_pictures(photos, tta):
    made = training(photos, f"tta={tta}", "data.preprocess=none")
    images, _ = next(iter(made.evaluate.batches.epoch()))
    scales = [1.142857] if tta == "ten_crop" else [1.0, 1.142857, 1.714286, 2.142857, 2.857143]
    largest = round(S * scales[-1])
    assert images.shape[1:] == (3, largest, largest)
    data = runner.build.data(runner.compose(words_of(photos)))
    files = data.source("val").seen(View(largest))
    torch.testing.assert_close(images, files.read(range(len(images))) / 255)
    copies = list(made.evaluate.tta.copies(images))
    assert len(copies) == 10 * len(scales)
    assert all(copy.shape == (len(images), 3, S, S) for copy in copies)
    for number, scale in enumerate(scales):
        side = round(S * scale)
        whole = tv.resize(images, [side, side], antialias=True) if side < largest else images
        torch.testing.assert_close(copies[10 * number], whole[..., :S, :S], atol=1e-5, rtol=0)
        torch.testing.assert_close(copies[10 * number + 3], whole[..., -S:, -S:], atol=1e-5, rtol=0)


def test_ten_crop_of_224_pixels_sees_256_pixels_of_the_picture(tmp_path):
    # Krizhevsky et al. 2012: the short side is 256, and 224 are cut. Brightness is the column.
    ramp = np.tile(np.arange(256, dtype=np.uint8)[None, :, None], (256, 1, 3))
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            (tmp_path / split / name).mkdir(parents=True)
            for index in range(2):
                Image.fromarray(ramp).save(tmp_path / split / name / f"{index}.png")
    words = ["data=folder", f"data.root={tmp_path}", "data.image_size=224", "data.cache=null", "data.preprocess=none"]
    made = runner.build.training(runner.compose([*words, "model=linear", "tta=ten_crop"]))
    images, _ = next(iter(made.evaluate.batches.epoch()))
    starts = [(copy[0, 0, 0, :1] * 255).round().item() for copy in made.evaluate.tta.copies(images)]
    assert starts == [0, 32, 0, 32, 16, 255, 223, 255, 223, 239]


def test_a_mean_image_is_taken_from_larger_images_by_its_own_scale(photos):
    made = training(photos, "tta=ten_crop", "data.preprocess=mean_image")
    mean = made.evaluate.batches.preprocess.shift
    assert mean.shape == (3, S, S)
    images, _ = next(iter(made.evaluate.batches.epoch()))
    plain = training(photos, "tta=ten_crop", "data.preprocess=none")
    raw, _ = next(iter(plain.evaluate.batches.epoch()))
    torch.testing.assert_close(raw - images, tv.resize(mean, list(raw.shape[-2:]), antialias=False).expand_as(raw))


def test_statistics_are_those_of_the_squares_in_the_middle(photos):
    cut, plain = (training(photos, *words).train.preprocess for words in (SCALE_CROP, ["augment=none"]))
    torch.testing.assert_close(cut.shift, plain.shift, atol=2e-3, rtol=0)
    assert cut.scale.shape == plain.scale.shape


def test_pictures_are_kept_as_large_as_the_largest_scale_asks(photos):
    made = training(photos, *SCALE_CROP, "tta=ten_crop")
    assert made.train.loader.pixels.shape[1:] == View(round(S * 2.142857), whole=True).shape(3)
    assert made.evaluate.batches.loader.pixels.shape[1:] == (3, 37, 37)
    with_margins = round(S * 2.142857) + 1, 2 * round(S * 2.142857)
    assert made.train.loader.pixels.shape[2:] == with_margins
    plain = training(photos, "augment=[crop,flip]", "tta=flip")
    assert plain.train.loader.pixels.shape[1:] == plain.evaluate.batches.loader.pixels.shape[1:] == (3, S, S)


def test_squares_of_one_size_are_enlarged_as_other_data_sets_are(photos, tmp_path):
    for path in photos.rglob("*.png"):
        (tmp_path / path.relative_to(photos)).parent.mkdir(parents=True, exist_ok=True)
        Image.open(path).crop((0, 0, 40, 40)).save(tmp_path / path.relative_to(photos))
    words = ["data=folder", f"data.root={tmp_path}", "data.cache=null", "model=linear", *SCALE_CROP, "tta=ten_crop"]
    made = runner.build.training(runner.compose(words))
    assert made.train.loader.pixels.shape[1:] == made.evaluate.batches.loader.pixels.shape[1:] == (3, 40, 40)


def test_the_cache_keeps_whole_pictures_apart_from_squares(photos, tmp_path):
    seen = []
    for words in (SCALE_CROP, ["augment=none"], SCALE_CROP):
        made = training(photos, f"data.cache={tmp_path}", *words)
        seen.append(made.train.loader.pixels)
    assert torch.equal(seen[0], seen[2])
    assert len(list(tmp_path.rglob("*.npy"))) == 2


def test_a_run_is_trained_tested_and_resumed_with_the_same_bits(photos, train):
    words = words_of(photos, *SCALE_CROP, "tta=ten_crop", "data.batch_size=6", "engine.deterministic=true")
    words += ["schedule=constant", "engine.divergence_factor=100"]
    whole = train(*words, "engine.epochs=3")
    part = train(*words, "engine.epochs=2")
    resumed = resume(part.folder, ["engine.epochs=3"])
    assert [run.status for run in (whole, part, resumed)] == ["finished"] * 3
    weights = [run.model("last").state_dict() for run in (whole, resumed)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    score_run(RunFolder.open(whole.folder))
    assert whole.tests[0]["num_images"] == 6
    classifier = Classifier.load(RunFolder.open(whole.folder), weights="last")
    dataset = runner.build.data(whole.config)
    views = torch.cat([images for images, _ in runner.build.training(whole.config).evaluate.batches.epoch()])
    scores, _, _ = classifier.scores(dataset, "val")
    torch.testing.assert_close(scores.softmax(1), classifier.tta(classifier.network, views).softmax(1))


@pytest.mark.parametrize("word", CUTTING)
def test_a_vectorized_trial_sees_what_the_trial_alone_sees(photos, word):
    cfgs = [
        runner.compose(words_of(photos, "data.loading=in_memory", *CUTTING[word], "tta=multi_scale", f"seed={seed}"))
        for seed in (0, 1)
    ]
    together = runner.build.vectorize(cfgs)
    images, _ = next(iter(together.train.epoch(1)))
    for trial, cfg in enumerate(cfgs):
        alone = runner.build.training(cfg)
        torch.testing.assert_close(images[trial], next(iter(alone.train.epoch(1)))[0], atol=1e-5, rtol=0)
        (expected,) = alone.evaluate(alone.state)
        assert together.evaluate(together.state)[trial] == pytest.approx(expected, rel=1e-3)


def test_trials_that_keep_pictures_of_other_sizes_are_not_vectorized(photos):
    cfgs = [runner.compose(words_of(photos, "augment=scale_crop", f"augment.scale_crop.max_scale={s}")) for s in (2, 3)]
    with pytest.raises(runner.errors.CannotVectorize, match=r"^augment\.scale_crop\.max_scale: vectorized trials must"):
        runner.build.vectorize(cfgs)
