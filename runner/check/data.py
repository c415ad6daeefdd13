"""The images and labels: classes, leaks from one split to another, odd files, and what the network sees.

N images, C channels, H by W pixels, K classes.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from runner.check.subject import Subject
from runner.check.verdict import Check, Verdict, listed
from runner.data.dataset import IMBALANCE
from runner.data.source import Files, Images, Source
from runner.plot.pictures import draw_images

MOST_IMAGES = 60_000  # of a split that is in memory
MOST_FILES = 5_000  # of a split that has to be decoded
SAMPLE = 1024  # images whose preprocessed pixels are measured
HASH_SIDE = 8  # bits of the hash in each direction
MAX_BITS = 6  # of 64, by which the hashes of near duplicates differ at most
CANDIDATES = 4  # nearest hashes whose pixels are compared
SAME = 0.99  # correlation of the pixels, from which on two images are near duplicates
MIN_SIDE = 16  # pixels in each direction, below which different images are alike by chance
MAX_SIDE = 64  # pixels in each direction that are compared
LEAKED = 0.01  # share of a split, from which on its scores are no longer to be believed
FLAT = 0.5  # standard deviation of pixels from 0 to 255, below which an image shows nothing
MOST_HEADERS = 2_000
ODD = 4  # times longer or shorter than the median image, or than it is wide
MEAN, DEVIATION = 0.5, (0.5, 2.0)  # what is near mean 0 and standard deviation 1
NO_INPUT = 0.02  # standard deviation, below which the network sees next to nothing
MOST_NEIGHBORS, MOST_ASKED = 10_000, 2_000  # images among which the nearest is sought, and for which
NEIGHBOR_SIDE = 16  # pixels in each direction that are compared
BARELY = 1.5  # times chance, below which labels have next to nothing to do with images
SHOWN_PAIRS, SHOWN_IMAGES = 16, 32


def check(subject: Subject) -> Iterator[Check]:
    """Classes, labels, duplicates, images, statistics, and a picture of a batch."""
    dataset = subject.dataset
    names = dataset.class_names
    train, val = dataset.source("train"), dataset.source("val")
    yield balance(train.labels, names, dataset.balance != "none")
    yield labels(train.labels, val.labels, names)
    looked_at = {split: _looked_at(subject, split) for split in ("train", "val", "test")}
    found = {split: images for split, images in looked_at.items() if images is not None}
    yield _duplicates(subject, found)
    yield neighbors(found["train"], found["val"], len(names))
    yield constant({split: images.pixels for split, images in found.items() if split != "test"})
    if isinstance(train, Files):
        yield _headers(train.paths)
    if dataset.left_out:
        count = len(dataset.left_out.splitlines())
        yield Check(
            "data.unreadable",
            "warning",
            f"{count} images cannot be decoded, and are left out",
            "none",
            "mend or remove the files that unreadable.txt of a run names",
            {"files": dataset.left_out.splitlines()[:50]},
        )
    pixels = torch.cat(list(subject.training.train.sample(SAMPLE)))
    yield statistics(pixels, dataset.preprocess)
    yield _batch(subject, names)


def balance(labels_N: Tensor, names: Sequence[str], made_up: bool = False) -> Check:
    """How the images are shared among the classes; `made_up`: whether the batches make up for it."""
    counts = torch.bincount(labels_N, minlength=len(names)).tolist()
    most, least = max(counts), min(counts)
    measured = f"{least:,} to {most:,} training images a class"
    values = {"counts": dict(zip(names, counts, strict=True))}
    expected = f"each class, the largest less than {IMBALANCE} times the smallest"
    missing = [name for name, count in zip(names, counts, strict=True) if not count]
    if missing:
        measured = f"no training image of {listed(missing)}"
        advice = "add images of the class, or choose the others with data.classes"
        return Check("data.balance", "wrong", measured, expected, advice, values)
    if most >= IMBALANCE * least and not made_up:
        advice = "data.balance=oversample or loss.class_weights=balanced; compare by class with runner test"
        return Check("data.balance", "warning", measured, expected, advice, values)
    return Check("data.balance", "ok", measured, expected, "", values)


def labels(train_N: Tensor, val_N: Tensor, names: Sequence[str]) -> Check:
    """Whether what is validated has been trained, and the other way round."""
    there = [set(split.unique().tolist()) for split in (train_N, val_N)]
    expected = "the same classes in train and val"
    untrained = [names[k] for k in sorted(there[1] - there[0])]
    if untrained:
        measured = f"val has {listed(untrained)}, train has not"
        return Check("data.labels", "wrong", measured, expected, "add training images of it, or drop it: data.classes")
    unseen = [names[k] for k in sorted(there[0] - there[1])]
    if unseen:
        measured = f"val has no image of {listed(unseen)}"
        return Check("data.labels", "warning", measured, expected, "raise data.val_fraction, or add images of it")
    return Check("data.labels", "ok", f"{len(there[0])} classes in train, all of them in val", expected)


@dataclass(frozen=True)
class Pair:
    """Two images of different splits that are the same, or nearly so."""

    splits: tuple[str, str]
    places: tuple[int, int]
    exact: bool


def duplicates(pixels: Mapping[str, Tensor]) -> list[Pair]:
    """Images [N, C, H, W] uint8 of one split that another has too; for each, the nearest one.

    Near duplicates differ in at most `MAX_BITS` of a difference hash's 64 bits (Krawetz 2013), and their pixels
    correlate by `SAME`; they are not looked for among images smaller than `MIN_SIDE`. Flat images, in which there is
    nothing to be compared, are left out.
    """
    pairs: list[Pair] = []
    shown = {split: (_flat(images) < FLAT).logical_not().nonzero().flatten() for split, images in pixels.items()}
    bytes_of = {split: _by_bytes(images, shown[split]) for split, images in pixels.items()}
    hashes = {split: difference_hash(images) for split, images in pixels.items()}
    for one, other in combinations(pixels, 2):
        found: set[int] = set()
        for content, place in bytes_of[other].items():
            if content in bytes_of[one]:
                pairs.append(Pair((one, other), (bytes_of[one][content][0], place[0]), True))
                pairs += [Pair((one, other), (bytes_of[one][content][0], again), True) for again in place[1:]]
                found.update(place)
        if min(pixels[one].shape[-2:]) < MIN_SIDE:
            continue
        rest = torch.tensor([place for place in shown[other].tolist() if place not in found], dtype=torch.long)
        near = _near(pixels[one], hashes[one], shown[one], pixels[other], hashes[other], rest)
        pairs += [Pair((one, other), places, False) for places in near]
    return pairs


def difference_hash(images_NCHW: Tensor) -> Tensor:
    """Of each image 64 signs, +1 or -1 [N, 64]: whether brightness rises from one column to the next in each row."""
    signs = []
    for images in images_NCHW.split(4096):
        gray = images.float().mean(1, keepdim=True)
        small = F.interpolate(gray, (HASH_SIDE, HASH_SIDE + 1), mode="area")[:, 0]
        signs.append(torch.where(small.diff(dim=2) > 0, 1.0, -1.0).flatten(1))
    return torch.cat(signs) if signs else torch.zeros(0, HASH_SIDE**2)


def _near(
    pixels: Tensor, hashes: Tensor, among: Tensor, others: Tensor, other_hashes: Tensor, asked: Tensor
) -> Iterator[tuple[int, int]]:
    """For each image asked about of the others, the place of its near duplicate among the first and its own."""
    if not len(among) or not len(asked):
        return
    least = HASH_SIDE**2 - 2 * MAX_BITS
    for chunk in asked.split(1024):
        agreement = other_hashes[chunk] @ hashes[among].T
        best, places = agreement.topk(min(CANDIDATES, len(among)), dim=1)
        row, column = (best >= least).nonzero(as_tuple=True)
        if not len(row):
            continue
        own, theirs = chunk[row], among[places[row, column]]
        alike = _correlation(others[own], pixels[theirs])
        taken: set[int] = set()
        for mine, found, value in zip(own.tolist(), theirs.tolist(), alike.tolist(), strict=True):
            if value >= SAME and mine not in taken:
                taken.add(mine)
                yield found, mine


def _correlation(a_NCHW: Tensor, b_NCHW: Tensor) -> Tensor:
    values = []
    for pair in zip(a_NCHW.split(512), b_NCHW.split(512), strict=True):
        a, b = (_standardized(_small(images)) for images in pair)
        values.append((a * b).mean(1))
    return torch.cat(values)


def _small(images: Tensor) -> Tensor:
    images = images.float()
    size = tuple(min(MAX_SIDE, side) for side in images.shape[-2:])
    return images if size == images.shape[-2:] else F.interpolate(images, size, mode="area")


def _standardized(images: Tensor) -> Tensor:
    rows = images.flatten(1)
    rows = rows - rows.mean(1, keepdim=True)
    return rows / rows.square().mean(1, keepdim=True).sqrt().clamp(min=1e-6)


def _flat(images: Tensor) -> Tensor:
    """The standard deviation of the pixels of each image [N]."""
    found = [chunk.float().flatten(1).std(1) for chunk in images.split(4096)]
    return torch.cat(found) if found else torch.zeros(0)


def _by_bytes(images: Tensor, places: Tensor) -> dict[bytes, list[int]]:
    """The places of the images by their content."""
    array = np.ascontiguousarray(images.numpy())
    found: dict[bytes, list[int]] = {}
    for place in places.tolist():
        found.setdefault(array[place].tobytes(), []).append(place)
    return found


def neighbors(train: Images, val: Images, num_classes: int) -> Check:
    """Whether labels have to do with images: how often the nearest training image has the label of one of val.

    By the correlation of small pictures. What chance gives is the sum over classes of the product of their shares.
    """
    name = "data.neighbors"
    base, base_labels = _spread(train, MOST_NEIGHBORS)
    asked, labels_N = _spread(val, MOST_ASKED)
    nearest = torch.cat([(chunk @ base.T).argmax(1) for chunk in asked.split(512)])
    agreement = (base_labels[nearest] == labels_N).double().mean().item()
    shares = [torch.bincount(split, minlength=num_classes).double() / len(split) for split in (base_labels, labels_N)]
    chance = float((shares[0] * shares[1]).sum())
    # Two standard errors, of what was found and of chance.
    error = 2 * (max(agreement * (1 - agreement), chance * (1 - chance)) / len(asked)) ** 0.5
    measured = f"{agreement:.1%} of {len(asked):,} val images have the label of the nearest in train"
    expected = f"above {chance:.1%}, which is chance"
    values = {"agreement": agreement, "chance": chance}
    if agreement - error > chance:
        return Check(name, "ok", measured, expected, "", values)
    verdict: Verdict = "wrong" if agreement + error < BARELY * chance else "warning"
    advice = "labels may be shuffled, or in another order than the images: look at figures/batch.png"
    return Check(name, verdict, measured, expected, advice, values)


def _spread(images: Images, most: int) -> tuple[Tensor, Tensor]:
    """Small pictures of some of the images, and their labels; files are often in the order of their classes."""
    chosen = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))[:most]
    return _thumbnails(images.pixels[chosen]), images.labels[chosen]


def _thumbnails(images: Tensor) -> Tensor:
    small = []
    for chunk in images.split(1024):
        size = tuple(min(NEIGHBOR_SIDE, side) for side in chunk.shape[-2:])
        small.append(_standardized(F.interpolate(chunk.float(), size, mode="area")))
    return torch.cat(small) if small else torch.zeros(0, 1)


def constant(pixels: Mapping[str, Tensor]) -> Check:
    """Images of a single color."""
    counts = {split: int((_flat(images) < FLAT).sum()) for split, images in pixels.items()}
    total, looked_at = sum(counts.values()), sum(map(len, pixels.values()))
    measured = f"{total:,} of {looked_at:,} images are of one color"
    expected = "none"
    if not total:
        return Check("data.constant", "ok", measured, expected)
    verdict: Verdict = "wrong" if total > looked_at / 2 else "warning"
    return Check("data.constant", verdict, measured, expected, "look at the files and how they are decoded", counts)


def _looked_at(subject: Subject, split: Any) -> Images | None:
    """Images of a split as they are stored; the first ones of a permutation where there are too many to be decoded."""
    dataset = subject.dataset
    if split == "test" and dataset.num_test_images is None:
        return None
    stays = split != "test" and dataset.stays(split, subject.device)
    source: Source = dataset.loaded(split, subject.device) if stays else dataset.source(split)
    limit = MOST_IMAGES if isinstance(source, Images) else MOST_FILES
    places = torch.arange(len(source))
    if len(source) > limit:
        places = torch.randperm(len(source), generator=torch.Generator().manual_seed(0))[:limit]
    if isinstance(source, Images):
        whole = len(places) == len(source)
        return Images(source.pixels if whole else source.pixels[places], source.labels[places])
    read = source.read_by_threads if isinstance(source, Files) else source.read
    return Images(read(places.tolist()), source.labels[places])


def _duplicates(subject: Subject, found: Mapping[str, Images]) -> Check:
    """What `duplicates` finds, with a picture of the pairs."""
    dataset = subject.dataset
    pairs = duplicates({split: images.pixels for split, images in found.items()})
    sizes = {split: len(images) for split, images in found.items()}
    splits: tuple[Any, ...] = tuple(found)
    whole = {split: len(dataset.source(split)) for split in splits}
    names = dataset.class_names

    def caption(split: str, place: int) -> str:
        return f"{split}: {names[int(found[split].labels[place])]}"

    if pairs:
        shown = sorted(pairs, key=lambda pair: not pair.exact)[:SHOWN_PAIRS]
        places = [(split, place) for pair in shown for split, place in zip(pair.splits, pair.places, strict=True)]
        images = torch.stack([found[split].pixels[place] for split, place in places])
        picture = draw_images(_as_bytes(images), [caption(*place) for place in places], columns=8)
        subject.write("duplicates.png", picture)
    conflicts = sum(
        int(found[pair.splits[0]].labels[pair.places[0]]) != int(found[pair.splits[1]].labels[pair.places[1]])
        for pair in pairs
    )
    return verdict_on_duplicates(pairs, sizes, whole, conflicts)


def verdict_on_duplicates(
    pairs: Sequence[Pair], sizes: Mapping[str, int], whole: Mapping[str, int], conflicts: int = 0
) -> Check:
    """Of pairs among so many images of each split, of which the whole has so many."""
    counts = Counter((pair.splits, pair.exact) for pair in pairs)
    looked_at = ", ".join(f"{sizes[split]:,} of {whole[split]:,} {split}" for split in sizes)
    expected = "no image in two splits"
    if not pairs:
        return Check("data.duplicates", "ok", f"none among {looked_at} images", expected)
    parts = [
        f"{count:,} {'exact' if exact else 'near'} in {one} and {other}"
        for ((one, other), exact), count in sorted(counts.items())
    ]
    leaked = max(counts[splits, True] / max(1, sizes[splits[1]]) for splits in {pair.splits for pair in pairs})
    verdict: Verdict = "wrong" if leaked >= LEAKED else "warning"
    measured = ", ".join(parts) + (f"; {conflicts} with different labels" if conflicts else "")
    advice = "see figures/duplicates.png; remove them from train, or cut the splits by group (docs/data.md)"
    values = {"pairs": [[*pair.splits, *pair.places, pair.exact] for pair in pairs[:200]], "conflicts": conflicts}
    return Check("data.duplicates", verdict, measured, expected, advice, values)


def headers(sizes: Sequence[tuple[int, int]], modes: Sequence[str]) -> Check:
    """Sizes (width, height) and Pillow's modes of image files."""
    sides = np.array([max(size) for size in sizes], dtype=float)
    ratios = np.array([max(size) / max(1, min(size)) for size in sizes])
    median = float(np.median(sides))
    odd = int(((sides > ODD * median) | (sides < median / ODD)).sum())
    long = int((ratios > ODD).sum())
    usual, count = Counter(modes).most_common(1)[0]
    others = Counter(mode for mode in modes if mode != usual)
    parts = [f"{len(sizes):,} files, median {median:.0f} pixels, {count:,} {usual}"]
    parts += [f"{odd} of another size by {ODD} times"] if odd else []
    parts += [f"{long} more than {ODD} times as long as wide"] if long else []
    parts += [", ".join(f"{number} {mode}" for mode, number in others.most_common())] if others else []
    bad = odd or long or others
    advice = "look at these files; data.resize=pad keeps the whole picture; modes are converted" if bad else ""
    return Check("data.files", "warning" if bad else "ok", "; ".join(parts), "alike in size, shape and mode", advice)


def _headers(paths: Sequence[Any]) -> Check:
    files = [path for path in paths if isinstance(path, Path)]
    files = files[:: max(1, len(files) // MOST_HEADERS)][:MOST_HEADERS]
    sizes, modes = [], []
    for path in files:
        try:
            with Image.open(path) as image:
                sizes.append(image.size)
                modes.append(image.mode)
        except (OSError, ValueError, Image.DecompressionBombError):
            continue
    if not sizes:
        return Check("data.files", "skipped", "the images are no files that Pillow opens")
    return headers(sizes, modes)


def statistics(pixels_NCHW: Tensor, preprocess: str) -> Check:
    """Mean and standard deviation of what the network gets."""
    mean, deviation = pixels_NCHW.mean().item(), pixels_NCHW.std().item()
    measured = f"mean {mean:.3f}, standard deviation {deviation:.3f}"
    expected = f"mean within {MEAN:g} of 0, deviation {DEVIATION[0]:g} to {DEVIATION[1]:g}"
    values = {"mean": mean, "std": deviation}
    finite = bool(torch.isfinite(pixels_NCHW).all())
    if not finite or deviation < NO_INPUT:
        advice = "the pixels carry next to nothing; look at figures/batch.png and at the files"
        return Check("data.statistics", "wrong", measured, expected, advice, values)
    if preprocess == "none" or abs(mean) > MEAN or not DEVIATION[0] <= deviation <= DEVIATION[1]:
        advice = "data.preprocess=standardize" if preprocess != "standardize" else "look at figures/batch.png"
        return Check(
            "data.statistics", "warning", f"{measured} (data.preprocess={preprocess})", expected, advice, values
        )
    return Check("data.statistics", "ok", measured, expected, "", values)


def _batch(subject: Subject, names: Sequence[str]) -> Check:
    """Draw training images as the network sees them."""
    images, labels_B = subject.training.train.pictures(SHOWN_IMAGES)
    captions = [names[label] for label in labels_B.tolist()]
    subject.write("batch.png", draw_images(_as_bytes(images.mul(255)), captions, columns=8))
    finite = bool(torch.isfinite(images).all())
    measured = f"{len(images)} augmented images in figures/batch.png"
    return Check("data.batch", "ok" if finite else "wrong", measured, "images that you recognize, with their labels")


def _as_bytes(images_NCHW: Tensor) -> Any:
    """Images from 0 to 255 with one channel or three [N, H, W, C]."""
    images = images_NCHW.float().round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu()
    return (images if images.shape[-1] in (1, 3) else images[..., :1]).numpy()
