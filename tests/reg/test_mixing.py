"""Mixup, CutMix and Cutout do what their papers say."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from runner.reg import CutMix, Cutout, Mixup, overrides

B, K = 12, 5


def batch(size=(16, 16)):
    """Constant images: image i is i + 1 everywhere, so a pixel tells where it came from."""
    images = torch.arange(1.0, B + 1)[:, None, None, None].expand(B, 3, *size).contiguous()
    return images, F.one_hot(torch.arange(B) % K, K).float()


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("regularizer", [Mixup(), CutMix(), Cutout()], ids=lambda value: type(value).__name__)
def test_mixing_keeps_shapes_inputs_and_row_sums(regularizer):
    assert overrides(regularizer, "mix")
    images, targets = batch()
    images = images.contiguous(memory_format=torch.channels_last)
    before = images.clone(), targets.clone()
    for seed in range(20):
        mixed, mixed_targets = regularizer.mix(images, targets, generator(seed))
        assert mixed.shape == images.shape
        assert mixed.is_contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(mixed_targets.sum(1), torch.ones(B))
        assert (mixed_targets >= 0).all()
        again, _ = regularizer.mix(images, targets, generator(seed))
        assert torch.equal(mixed, again)
    assert torch.equal(images, before[0])
    assert torch.equal(targets, before[1])


def test_mixup_is_one_convex_combination_of_the_permuted_batch():
    for seed in range(20):
        images, _ = batch()
        own = torch.eye(B)  # a class an image: the targets spell out the mixture
        mixed, shares = Mixup(1.0).mix(images, own, generator(seed))
        torch.testing.assert_close(mixed, torch.einsum("ij,jchw->ichw", shares, images))
        kept = shares.diagonal()
        off = shares - torch.diag(kept)
        share = kept.min()  # an image that is its own partner keeps everything
        partners = off.argmax(1)[kept < 1]
        assert torch.allclose(kept[kept < 1], share)
        assert torch.allclose(off.amax(1)[kept < 1], 1 - share)
        assert len(partners.unique()) == len(partners)


def drawn_shares(regularizer, count=3000):
    """The share that each draw keeps, where the permutation moves image 0 or 1."""
    images, own = torch.zeros(2, 1, 16, 16), torch.eye(2)
    shares = [regularizer.mix(images, own, generator(seed))[1][0, 0].item() for seed in range(count)]
    return np.array([share for share in shares if share < 1])


def test_mixup_draws_from_the_beta_distribution():
    alpha = 0.4
    shares = drawn_shares(Mixup(alpha))
    assert shares.mean() == pytest.approx(0.5, abs=0.03)
    assert shares.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.06)


def test_targets_are_right_on_average():
    images, targets = batch()
    mean = torch.stack([Mixup(1.0).mix(images, targets, generator(seed))[1] for seed in range(2000)]).mean(0)
    # Half of its own and half of a random image of the batch.
    torch.testing.assert_close(mean, 0.5 * targets + 0.5 * targets.mean(0), rtol=0, atol=0.03)


@pytest.mark.parametrize("regularizer", [Mixup(0), CutMix(0), Cutout(0)], ids=lambda value: type(value).__name__)
def test_zero_strength_mixes_nothing(regularizer):
    images, targets = batch()
    mixed, mixed_targets = regularizer.mix(images, targets, generator())
    assert torch.equal(mixed, images)
    assert torch.equal(mixed_targets, targets)


@pytest.mark.parametrize("size", [(16, 16), (10, 24)])
def test_cutmix_targets_are_the_exact_shares_of_pixels(size):
    for seed in range(50):
        images, _ = batch(size)
        mixed, shares = CutMix().mix(images, torch.eye(B), generator(seed))
        counted = torch.stack([(mixed[:, 0] == i + 1).float().mean(dim=(1, 2)) for i in range(B)], dim=1)
        torch.testing.assert_close(shares, counted, rtol=0, atol=1e-6)
        foreign = mixed[:, 0] != images[:, 0]
        if foreign.any():  # one and the same box in every image
            box = foreign.any(0)
            rows, columns = box.any(1), box.any(0)
            assert torch.equal(box, rows[:, None] & columns[None])
            assert all((moved == box).all() or not moved.any() for moved in foreign)


@pytest.mark.parametrize("alpha", [1.0, 0.3])
def test_cutmix_boxes_have_the_published_area_on_average(alpha):
    # Yun et al. 2019, algorithm A1: sides W sqrt(1 - m), m from Beta(alpha, alpha), a uniform center, cut at the edges.
    S, numbers = 16, np.random.default_rng(0)
    length = (S * np.sqrt(1 - numbers.beta(alpha, alpha, 200_000))).astype(int)
    sides = []
    for _ in range(2):
        start = numbers.integers(0, S, len(length)) - length // 2
        sides.append(np.minimum(S, start + length) - np.maximum(0, start))
    kept = 1 - sides[0] * sides[1] / S**2
    kept = kept[kept < 1]
    shares = drawn_shares(CutMix(alpha))
    assert shares.mean() == pytest.approx(kept.mean(), abs=0.02)
    assert shares.std() == pytest.approx(kept.std(), abs=0.02)


def test_cutout_hides_one_square_an_image_and_leaves_the_targets():
    images, targets = batch()
    seen = set()
    for seed in range(30):
        mixed, mixed_targets = Cutout(0.5).mix(images, targets, generator(seed))
        assert mixed_targets is targets
        hidden = mixed == 0
        assert torch.equal(hidden, hidden[:, :1].expand_as(hidden))
        assert torch.equal(mixed[~hidden], images[~hidden])
        for square in hidden[:, 0]:
            rows, columns = square.any(1), square.any(0)
            assert torch.equal(square, rows[:, None] & columns[None])
            assert 4 <= rows.sum() <= 8  # 8 of 16 pixels; half of them where the center is at the edge
            assert 4 <= columns.sum() <= 8
            seen.add((rows.sum().item(), rows.int().argmax().item()))
    assert {(8, start) for start in range(9)} <= seen, "every whole place"
    assert {(4, 0), (5, 11)} <= seen, "and those cut at the edges"
