"""Data sets: three splits, preprocessing from the training split alone, batches that repeat."""

import numpy as np
import pytest
import torch
from PIL import Image

import runner
from runner.data import Batches, Digits, Folder, Images, Synthetic
from runner.data.cut import stratified
from runner.data.loader import InMemoryLoader, WorkerLoader
from runner.data.preprocess import _sums_on_gpu, fit, look_at
from runner.data.source import decode
from runner.engine.rng import random_state
from runner.errors import UserError


@pytest.fixture
def folder(tmp_path):
    """Two classes of 12x12 color images: ten and six to train on, two each to test."""
    numbers = np.random.default_rng(0)
    for split, counts in {"train": {"cat": 10, "dog": 6}, "test": {"cat": 2, "dog": 2}}.items():
        for name, count in counts.items():
            (tmp_path / split / name).mkdir(parents=True)
            for index in range(count):
                pixels = numbers.integers(0, 256, (12, 12, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / split / name / f"{index}.png")
    return tmp_path


def images_of(source):
    return {bytes(source.read([i]).numpy().tobytes()) for i in range(len(source))}


@pytest.mark.parametrize("data", [Digits(), Synthetic(num_images=300, image_size=8)], ids=["digits", "synthetic"])
class TestSplits:
    def test_share_no_image_and_hold_every_class(self, data):
        sets = {split: images_of(data.source(split)) for split in ("train", "val", "test")}
        assert not sets["train"] & sets["val"]
        assert not sets["train"] & sets["test"]
        assert not sets["val"] & sets["test"]
        for split in sets:
            assert data.source(split).labels.unique().tolist() == list(range(10))

    def test_are_the_same_every_time(self, data):
        again = type(data)(**({} if isinstance(data, Digits) else {"num_images": 300, "image_size": 8}))
        for split in ("train", "val", "test"):
            assert torch.equal(data.source(split).pixels, again.source(split).pixels)


def test_digits_are_all_there_once():
    data = Digits()
    assert sum(len(data.source(split)) for split in ("train", "val", "test")) == 1797
    assert data.image_shape == (1, 8, 8)
    assert data.source("train").pixels.max() == 255


def test_digits_are_scikit_learns():
    from sklearn.datasets import load_digits

    data = Digits()
    digits = load_digits()
    ours = torch.cat([data.source(split).pixels for split in ("train", "val", "test")])
    theirs = torch.from_numpy(digits.images * (255 / 16)).round().to(torch.uint8)[:, None]
    assert {bytes(image.numpy()) for image in ours} == {bytes(image.numpy()) for image in theirs}
    assert torch.equal(data._whole.labels, torch.from_numpy(digits.target).long())
    assert torch.equal(data._whole.pixels, theirs)


def test_the_split_seed_moves_images_between_train_and_val_but_never_the_test_split():
    one, two = Digits(), Digits(split_seed=1)
    assert images_of(one.source("val")) != images_of(two.source("val"))
    assert images_of(one.source("test")) == images_of(two.source("test"))


def test_synthetic_patterns_can_be_learned_and_noise_makes_it_harder(train):
    words = [
        "data=synthetic",
        "data.num_images=500",
        "data.image_size=12",
        "model=linear",
        "engine.epochs=5",
        "optimizer.lr=5e-3",
    ]
    assert train(*words).objective > 0.95
    assert train(*words, "data.noise=30").objective < 0.6


def test_validation_takes_the_same_share_of_every_class():
    labels = torch.tensor([0] * 100 + [1] * 20 + [2] * 3 + [3])
    chosen = labels[stratified(labels, 0.1, seed=0)]
    assert torch.bincount(chosen, minlength=4).tolist() == [10, 2, 1, 0]


class TestFolder:
    def test_reads_classes_images_and_labels(self, folder):
        data = Folder(root=str(folder), val_fraction=0.2)
        assert data.class_names == ["cat", "dog"]
        assert data.image_shape == (3, 12, 12)
        assert [len(data.source(split)) for split in ("train", "val", "test")] == [13, 3, 4]
        first = np.array(Image.open(data.source("test").paths[0]))
        assert torch.equal(data.source("test").read([0])[0], torch.from_numpy(first).permute(2, 0, 1))

    def test_takes_a_val_folder_where_there_is_one(self, folder):
        (folder / "test").rename(folder / "val")
        data = Folder(root=str(folder))
        assert [len(data.source(split)) for split in ("train", "val")] == [16, 4]
        with pytest.raises(UserError, match=r"data.root: .* has no folder 'test'"):
            data.source("test")

    def test_scales_the_short_side_and_cuts_the_center(self, folder):
        pixels = np.zeros((20, 60, 3), np.uint8)
        pixels[:, 19:41] = 255
        Image.fromarray(pixels).save(folder / "train/cat/0.png")
        data = Folder(root=str(folder), image_size=10, val_fraction=0.2)
        whole = data.read("train").read([0])
        assert whole.shape == (1, 3, 10, 10)
        assert whole.min() > 250

    def test_turns_pictures_upright_and_gray_ones_to_the_channels_asked_for(self, folder):
        pixels = np.zeros((12, 12), np.uint8)
        pixels[0] = 255
        exif = Image.Exif()
        exif[0x0112] = 6  # to be turned by a quarter, clockwise
        Image.fromarray(pixels).save(folder / "train/cat/0.png", exif=exif)
        source = Folder(root=str(folder), in_channels=1).read("train")
        assert source.read([0])[0, 0, :, -1].tolist() == [255] * 12

    @pytest.mark.parametrize("loading", ["in_memory", "workers"])
    def test_a_network_trains_on_it_by_either_way_of_loading(self, folder, train, loading):
        words = [
            "data=folder",
            f"data.root={folder}",
            f"data.loading={loading}",
            "data.val_fraction=0.2",
            "data.batch_size=4",
        ]
        run = train(*words, "model=convnet", "model.channels=[4]", "augment=[crop,flip]", "engine.epochs=2")
        assert run.status == "finished"
        assert run.metrics[-1]["step"] == 2 * 3  # 13 images: three batches, the last one would hold a single image

    @pytest.mark.parametrize(
        ("free", "limit", "expected"),
        [(2**20, 4096, InMemoryLoader), (5000, 4096, WorkerLoader), (2**20, 0, WorkerLoader)],
    )
    def test_files_stay_in_memory_if_they_are_within_the_limit_and_half_of_what_is_free(
        self, folder, monkeypatch, free, limit, expected
    ):
        monkeypatch.setattr("runner.data.dataset.free_memory", lambda device: free)
        words = ["data=folder", f"data.root={folder}", "data.num_workers=0", f"data.in_memory_limit_mib={limit}"]
        train = runner.build.training(runner.compose([*words, "model=linear"])).train  # 14 images: 6 kB
        assert isinstance(train.loader, expected)
        assert len(next(iter(train.epoch()))[1]) == 14

    def test_files_that_must_stay_and_do_not_fit_are_refused(self, folder, monkeypatch):
        monkeypatch.setattr("runner.data.dataset.free_memory", lambda device: 5000)
        cfg = runner.compose(["data=folder", f"data.root={folder}", "data.loading=in_memory"])
        with pytest.raises(
            UserError, match=r"^data\.loading: the images to keep of 'train' take .* use auto or workers"
        ):
            runner.build.training(cfg)

    @pytest.mark.parametrize(("sample", "chunk"), [(60_000, 512), (10, 4)])
    def test_equal_seeds_give_equal_pixels_by_either_way_of_loading(self, folder, monkeypatch, sample, chunk):
        monkeypatch.setattr("runner.data.preprocess.SAMPLE", sample)
        monkeypatch.setattr("runner.data.preprocess.CHUNK", chunk)
        words = ["data=folder", f"data.root={folder}", "augment=[crop,flip,pca_color]", "model=linear"]
        seen = []
        for loading in ("in_memory", "workers"):
            cfg = runner.compose(
                [*words, f"data.loading={loading}", "data.num_workers=0", "data.preprocess=mean_image"]
            )
            training = runner.build.training(cfg)
            seen.append(torch.cat([images for _ in range(2) for images, _ in training.train.epoch()]))
        assert torch.equal(*seen)

    @pytest.mark.parametrize("loading", ["in_memory", "workers"])
    def test_a_corrupt_image_is_named(self, folder, loading, tmp_path):
        bad = folder / "train/dog/3.png"
        bad.write_bytes(bad.read_bytes()[:100])
        words = ["data=folder", f"data.root={folder}", "data.image_size=12", f"data.loading={loading}", "model=linear"]
        with pytest.raises(UserError, match=rf"{bad}: not a readable image .*; repair or remove the file"):
            runner.train([*words, "data.preprocess=none", "log.progress=none", f"output_dir={tmp_path}/out"])

    @pytest.mark.parametrize(
        ("break_it", "message"),
        [
            (lambda root: (root / "train").rename(root / "training"), "has no folder 'train'; expected"),
            (lambda root: [p.unlink() for p in (root / "train/dog").iterdir()], "train/dog holds no images"),
            (lambda root: (root / "test/bird").mkdir(), "test/bird is a class that"),
            (
                lambda root: Image.new("RGB", (9, 12)).save(root / "train/cat/odd.png"),
                r"data.image_size: images are not squares of one size \(.*/train/cat/odd.png is 9x12\); set it",
            ),
            (
                lambda root: [Image.new("RGB", (9, 12)).save(path) for path in root.glob("train/*/*.png")],
                r"data.image_size: images are not squares of one size \(.*/train/cat/0.png is 9x12\); set it",
            ),
            (
                lambda root: (root / "train/cat/0.png").write_text("text"),
                r"train/cat/0.png: not a readable image \(no known image format\); repair or remove the file",
            ),
            (lambda root: (root / "train/dog").rename(root / "dog"), "single class folder"),
        ],
    )
    def test_what_is_wrong_with_a_folder_is_said(self, folder, break_it, message):
        break_it(folder)
        data = Folder(root=str(folder))
        with pytest.raises(UserError, match=message):
            _ = data.image_shape, data.source("train"), data.source("test")

    def test_other_files_are_left_alone(self, folder):
        (folder / "train/cat/notes.txt").write_text("hello")
        (folder / "train/.cache").mkdir()
        assert len(Folder(root=str(folder)).read("train")) == 16


class TestPreprocess:
    source = Images(
        torch.randint(0, 256, (40, 3, 6, 6), generator=torch.Generator().manual_seed(0)).to(torch.uint8),
        torch.zeros(40).long(),
    )
    images = source.pixels.float() / 255

    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("none", lambda x: x),
            ("mean_image", lambda x: x - x.mean(0)),
            ("channel_mean", lambda x: x - x.mean((0, 2, 3), keepdim=True)),
            (
                "standardize",
                lambda x: (x - x.mean((0, 2, 3), keepdim=True)) / x.std((0, 2, 3), keepdim=True, correction=0),
            ),
        ],
    )
    def test_equals_its_formula(self, name, expected):
        torch.testing.assert_close(fit(self.source, name)(self.images), expected(self.images), rtol=1e-4, atol=1e-5)

    def test_a_large_split_is_looked_at_by_a_sample_that_is_always_the_same(self, monkeypatch):
        monkeypatch.setattr("runner.data.preprocess.SAMPLE", 30)
        # Image i has a single white pixel, at place i, so the mean image tells which ones were looked at.
        pixels = (torch.eye(40) * 255).to(torch.uint8).reshape(40, 1, 5, 8)
        source = Images(pixels, torch.zeros(40).long())
        one, other = (fit(source, "mean_image").shift.flatten() for _ in range(2))
        assert torch.equal(one, other)
        assert sorted(one.tolist()) == pytest.approx([0.0] * 10 + [1 / 30] * 30)
        assert one[30:].any()  # not the first ones
        assert sum(map(len, look_at(source))) == 30

    def test_a_split_of_the_size_of_the_sample_is_looked_at_whole_and_in_order(self, monkeypatch):
        monkeypatch.setattr("runner.data.preprocess.SAMPLE", 40)
        monkeypatch.setattr("runner.data.preprocess.CHUNK", 16)
        chunks = list(look_at(self.source))
        assert [len(chunk) for chunk in chunks] == [16, 16, 8]
        torch.testing.assert_close(torch.cat(chunks).float(), self.images)

    def test_a_constant_channel_is_not_divided_by_zero(self):
        black = Images(torch.zeros(4, 1, 3, 3, dtype=torch.uint8), torch.zeros(4).long())
        assert fit(black, "standardize")(torch.zeros(1, 1, 3, 3)).abs().max() == 0

    def test_sums_of_many_bright_pixels_are_exact(self):
        white = Images(torch.full((300, 1, 300, 300), 254, dtype=torch.uint8), torch.zeros(300).long())
        assert fit(white, "channel_mean").shift.item() == pytest.approx(254 / 255, rel=1e-7)

    def test_sums_as_a_gpu_makes_them_are_exact(self):
        total, squares, count = _sums_on_gpu(self.source, torch.device("cpu"))
        pixels = self.source.pixels.numpy().astype(np.int64)
        assert (total.numpy() == pixels.sum(0)).all()
        assert (squares.numpy() == (pixels**2).sum((0, 2, 3))).all()
        assert count == len(pixels)

    def test_statistics_come_from_the_training_split_alone(self):
        cfg = runner.compose([])
        whole = runner.build.training(cfg)
        pixels = runner.build.data(cfg).source("train").pixels.double() / 255
        assert whole.state.preprocess.shift.item() == pytest.approx(pixels.mean().item(), rel=1e-6)
        assert 1 / whole.state.preprocess.scale.item() == pytest.approx(pixels.std(correction=0).item(), rel=1e-6)
        assert whole.evaluate.batches.preprocess is whole.state.preprocess

    def test_statistics_are_saved_with_the_weights(self, train):
        run = train("model=linear", "engine.epochs=1")
        pixels = Digits().source("train").pixels.double() / 255
        assert run.model()[0].shift.item() == pytest.approx(pixels.mean().item(), rel=1e-6)
        assert 1 / run.model()[0].scale.item() == pytest.approx(pixels.std(correction=0).item(), rel=1e-6)


class TestBatches:
    def batches(self, *words):
        return runner.build.training(runner.compose(["model=linear", "data.batch_size=64", *words])).train

    def test_every_image_comes_once_an_epoch_in_a_new_order(self):
        batches = self.batches()
        first, second = (batches.order(epoch) for epoch in (0, 1))
        assert sorted(first.tolist()) == list(range(1199))
        assert sorted(second.tolist()) == list(range(1199))
        assert not torch.equal(first, second)

    @pytest.mark.parametrize("augment", ["none", "[crop,flip]"])
    def test_any_batch_can_be_had_without_those_before_it(self, augment):
        batches = self.batches(f"augment={augment}")
        whole = list(batches.epoch(3))
        for start in (1, 7, 18, 19):
            rest = list(batches.epoch(3, start=start))
            assert len(rest) == 19 - start
            for (images, labels), (again, labels_again) in zip(whole[start:], rest, strict=True):
                assert torch.equal(images, again)
                assert torch.equal(labels, labels_again)

    def test_a_last_batch_of_one_image_is_left_out_of_training_only(self):
        training = runner.build.training(runner.compose(["data.batch_size=599", "data.eval_batch_size=298"]))
        assert [len(labels) for _, labels in training.train.epoch()] == [599, 599]
        assert [len(labels) for _, labels in training.evaluate.batches.epoch()] == [298, 1]

    @pytest.mark.parametrize("num_parts", [1, 2, 3, 4, 7])
    def test_the_last_batch_of_training_is_the_longest_that_is_cut_without_a_part_of_one_image(self, num_parts):
        def longest(num_images):
            cuts = [torch.arange(count).chunk(num_parts) for count in range(num_images, 0, -1)]
            return next((sum(map(len, parts)) for parts in cuts if all(len(part) > 1 for part in parts)), 0)

        images, batch_size = Digits().source("train"), 10 * num_parts
        loader = InMemoryLoader(images, torch.device("cpu"))
        for remainder in range(batch_size):
            total = 3 * batch_size + remainder
            training, plain = (
                Batches(loader, total, batch_size, torch.nn.Identity(), seed=seed, num_parts=num_parts)
                for seed in (0, None)
            )
            expected = [batch_size] * 3 + [longest(remainder)] * (longest(remainder) > 0)
            assert [len(labels) for _, labels in training.epoch()] == expected
            assert (training.num_images, training.num_batches) == (sum(expected), len(expected))
            assert plain.num_images == total

    def test_single_images_can_be_asked_for(self):
        training = self.batches("data.batch_size=1", "engine.accumulate_steps=4")
        assert (training.num_images, training.num_batches) == (1199, 300)

    def test_drop_last_leaves_the_short_batch_out(self):
        assert {len(labels) for _, labels in self.batches("data.drop_last=true").epoch()} == {64}

    @pytest.mark.parametrize("num_workers", [0, 1])
    def test_reading_draws_nothing_from_the_global_generators(self, num_workers):
        batches = self.batches("data.loading=workers", f"data.num_workers={num_workers}", "data.batch_size=600")
        before = random_state(torch.device("cpu"))
        batches.pictures(5)
        for epoch in (0, 1):
            assert len(list(batches.epoch(epoch))) == 2
        after = random_state(torch.device("cpu"))
        assert torch.equal(before["torch"], after["torch"])
        assert torch.equal(before["numpy"][0], after["numpy"][0])
        assert torch.equal(before["python"][1], after["python"][1])

    @pytest.mark.parametrize(
        ("own", "expected"), [("loky", "fork"), ("fork", None), ("spawn", None), ("forkserver", None), (None, None)]
    )
    def test_workers_start_in_the_programs_own_way_unless_torch_does_not_know_it(self, monkeypatch, own, expected):
        monkeypatch.setattr("multiprocessing.get_start_method", lambda allow_none: own)
        device = torch.device("cpu")
        source = Digits().source("test")
        context = WorkerLoader(source, device, 1).loader.multiprocessing_context
        assert (context and context.get_start_method()) == expected
        assert WorkerLoader(source, device, 0).loader.multiprocessing_context is None

    def test_pictures_are_what_the_network_sees_before_preprocessing(self):
        batches = self.batches("augment=[crop,flip]")
        images, labels = next(batches.epoch(0))
        pictures, labels_of_pictures = batches.pictures(50)
        torch.testing.assert_close(batches.preprocess(pictures), images[:50])
        assert labels_of_pictures.tolist() == labels[:50].tolist()

    @pytest.mark.parametrize("loading", ["in_memory", "workers"])
    def test_originals_are_the_stored_pixels(self, loading):
        batches = self.batches("augment=flip", f"data.loading={loading}")
        pixels = Digits().source("train").read([7, 3])
        torch.testing.assert_close(batches.originals(torch.tensor([7, 3])), pixels / 255)


@pytest.mark.parametrize(
    ("word", "shape", "num_classes"),
    [
        *[("cifar10", (3, 32, 32), 10), ("cifar100", (3, 32, 32), 100)],
        *[("mnist", (1, 28, 28), 10), ("fashion_mnist", (1, 28, 28), 10)],
    ],
)
def test_published_sets_have_their_published_shapes_and_classes(word, shape, num_classes):
    data = runner.build.data(runner.compose([f"data={word}"]))
    assert data.image_shape == shape
    assert data.num_test_images == 10_000
    assert len(set(data.class_names)) == len(data.class_names) == num_classes


def test_classes_are_named_in_torchvisions_order():
    from torchvision.datasets import MNIST, FashionMNIST

    names = {
        word: runner.build.data(runner.compose([f"data={word}"])).class_names for word in ("mnist", "fashion_mnist")
    }
    assert names["mnist"] == [name.partition(" ")[0] for name in MNIST.classes]
    theirs = [name.lower().replace("/top", "").replace("ankle ", "") for name in FashionMNIST.classes]
    assert names["fashion_mnist"] == theirs


def test_a_published_set_that_cannot_be_had_says_what_to_put_where(tmp_path, monkeypatch):
    import torchvision.datasets

    def offline(*args, **options):
        assert options == {"train": True, "download": True}
        raise OSError("no network")

    monkeypatch.setattr(torchvision.datasets, "CIFAR10", offline)
    cfg = runner.compose(["data=cifar10", f"data.root={tmp_path}"])
    with pytest.raises(UserError, match=r"data.root: CIFAR10 is not in .*\(no network\); put cifar-10-python.tar.gz"):
        runner.build.data(cfg).source("train")


def test_published_sets_are_read_in_torchvisions_formats(tmp_path):
    import pickle

    base = tmp_path / "cifar-10-batches-py"
    base.mkdir()
    for name in [*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]:
        pixels = np.random.default_rng(0).integers(0, 256, (20, 3072), dtype=np.uint8)
        (base / name).write_bytes(pickle.dumps({"data": pixels, "labels": list(range(10)) * 2}))
    (base / "batches.meta").write_bytes(pickle.dumps({"label_names": list("abcdefghij")}))
    from runner.data import CIFAR10

    with pytest.MonkeyPatch.context() as patch:
        import torchvision.datasets

        patch.setattr(torchvision.datasets.CIFAR10, "_check_integrity", lambda self: True)
        patch.setattr("torchvision.datasets.cifar.check_integrity", lambda *args: True)
        data = CIFAR10(root=str(tmp_path))
        assert data.source("train").pixels.shape == (90, 3, 32, 32)
        assert data.source("test").labels.tolist() == list(range(10)) * 2


class TestImagesOfAnotherDataSet:
    @pytest.fixture
    def counted(self, monkeypatch):
        """How many splits have been read so far."""
        reads = []
        true_read = Digits.read

        def read(self, split):
            reads.append(split)
            return true_read(self, split)

        monkeypatch.setattr(Digits, "read", read)
        return reads

    def test_are_shared_where_they_are_the_same(self, counted):
        first = Digits(loading="in_memory", batch_size=8)
        images = first.loaded("train", torch.device("cpu"))
        second = Digits(loading="workers", batch_size=16, num_workers=0).with_images_of(first)
        assert (second.batch_size, second.loading, second.num_workers) == (16, "workers", 0)
        assert (first.batch_size, first.loading) == (8, "in_memory")
        before = len(counted)
        assert second.source("train").pixels is images.pixels
        assert len(counted) == before

    def test_are_loaded_as_each_data_set_says(self):
        first = Digits(loading="in_memory")
        device = torch.device("cpu")
        assert first.stays("train", device)
        second = Digits(loading="workers").with_images_of(first)
        assert not second.stays("train", device)
        assert first.stays("train", device)

    @pytest.mark.parametrize(
        "other", [Digits(split_seed=1), Digits(val_fraction=0.3), Synthetic(num_images=50, image_size=8)], ids=repr
    )
    def test_are_not_taken_where_they_are_others(self, other):
        data = Digits()
        assert data.with_images_of(other) is data


RAMP = np.arange(256, dtype=np.float64).repeat(1).reshape(16, 16)
RAMPS = {  # of 256 grays, by Pillow's mode, with the suffix of a file that keeps it
    "L": (RAMP.astype(np.uint8), ".png"),
    "I;16": ((257 * RAMP).astype(np.uint16), ".png"),
    "I;16-tiff": ((257 * RAMP).astype(np.uint16), ".tif"),
    "I;16B": ((257 * RAMP).astype(">u2"), ".tif"),
    "I": (np.round(RAMP / 255 * (2**31 - 1)).astype(np.int32), ".tif"),
    "F": ((RAMP / 255).astype(np.float32), ".tif"),
}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", [*RAMPS, "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB"])
def test_a_ramp_of_grays_is_one_in_every_mode_of_pillows(tmp_path, mode, channels):
    if mode in RAMPS:
        numbers, suffix = RAMPS[mode]
        picture = Image.fromarray(numbers)
    elif mode == "LAB":  # as encoded in 8 bits: lightness from 0 to 255, no color
        picture, suffix = (
            Image.merge("LAB", [Image.fromarray(RAMP.astype(np.uint8)), *2 * [Image.new("L", (16, 16), 128)]]),
            ".tif",
        )
    else:
        gray = Image.fromarray(RAMP.astype(np.uint8))
        picture, suffix = gray.convert(mode) if mode in ("LA", "P") else gray.convert("RGB").convert(mode), ".tif"
        suffix = ".png" if mode in ("LA", "P") else suffix
    path = tmp_path / f"ramp{suffix}"
    picture.save(path)
    with Image.open(path) as file:
        assert file.mode == mode.partition("-")[0]
    values = decode(path, 16, channels).double().mean(0).numpy()
    if mode == "LAB":  # lightness is not proportional to the value of sRGB, but rises with it from black to white
        assert (np.diff(values.flatten()) >= 0).all()
        assert values.min() < 1
        assert values.max() > 254
    else:
        assert np.abs(values - RAMP).max() <= 1.5


def test_black_and_white_are_the_ends_of_the_range(tmp_path):
    Image.fromarray(np.eye(16, dtype=bool)).save(tmp_path / "one.png")
    with Image.open(tmp_path / "one.png") as file:
        assert file.mode == "1"
    assert decode(tmp_path / "one.png", 16, 1)[0].tolist() == (255 * np.eye(16)).tolist()


@pytest.mark.parametrize(
    "numbers", [RAMP.astype(np.int32), (257 * RAMP).astype(np.int32), RAMP.astype(np.float32), -RAMP.astype(np.float32)]
)
def test_numbers_that_are_not_of_their_modes_range_are_refused(tmp_path, numbers):
    Image.fromarray(numbers).save(tmp_path / "odd.tif")
    with pytest.raises(
        UserError, match=r"odd\.tif: not a readable image \(its numbers are .*; save it as 8 or 16 bits"
    ):
        decode(tmp_path / "odd.tif", 16, 3)


@pytest.mark.parametrize("where", ["in its file", "elsewhere"])
def test_the_digits_are_scikit_learns_which_is_imported_only_where_its_file_is_elsewhere(monkeypatch, where):
    import sklearn.datasets

    expected, asked = sklearn.datasets.load_digits(), []
    monkeypatch.setattr(sklearn.datasets, "load_digits", lambda: asked.append(1) or expected)
    if where == "elsewhere":
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    whole = Digits().read("train")
    assert np.array_equal(whole.pixels[:, 0], (expected.images * 255 / 16).round())
    assert whole.labels.tolist() == expected.target.tolist()
    assert bool(asked) == (where == "elsewhere")
