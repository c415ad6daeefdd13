"""What the augmentations draw, and what they learn from the training split."""

import math

import pytest
import torch

from runner.augment import (
    AugMix,
    AutoAugment,
    ColorJitter,
    Lens,
    PCAColor,
    RandAugment,
    RandomErasing,
    Rotate,
    ScaleCrop,
    Shear,
    Stretch,
    Translate,
    TrivialAugment,
    operations,
)
from runner.augment.operations import ALL_OPS, OPS, write_masked

N = 20_000


def numbers(augmentation, num_images=N):
    return augmentation.draw(num_images, torch.Generator().manual_seed(0))


def spread(values, low, high):
    """Uniform over [low, high]: the range is filled and the mean is in the middle."""
    width = high - low
    assert low <= values.min() < low + 0.01 * width
    assert high - 0.01 * width < values.max() <= high
    assert values.mean() == pytest.approx((low + high) / 2, abs=0.02 * width)


def test_scale_crop_draws_the_scale_uniformly_and_stays_inside():
    matrix = numbers(ScaleCrop())["matrix"]
    spread(1 / matrix[:, 0, 0], 256 / 224, 480 / 224)
    assert torch.equal(matrix[:, 0, 0], matrix[:, 1, 1])
    # An output edge at -1 or 1 reads within the input's -1 to 1.
    assert (matrix[:, :, 2].abs() + matrix[:, 0, :1] <= 1 + 1e-6).all()
    spread(matrix[:, 0, 2] / (1 - matrix[:, 0, 0]), -1, 1)


def test_rotate_draws_angles_uniformly():
    matrix = numbers(Rotate(15))["matrix"]
    spread(torch.atan2(matrix[:, 1, 0], matrix[:, 0, 0]).rad2deg(), -15, 15)


def test_stretch_draws_factors_uniformly_in_the_logarithm():
    matrix = numbers(Stretch(1.5))["matrix"]
    x, y = -matrix[:, 0, 0].log(), -matrix[:, 1, 1].log()
    spread(x, -math.log(1.5), math.log(1.5))
    spread(y, -math.log(1.5), math.log(1.5))
    assert torch.corrcoef(torch.stack([x, y]))[0, 1].abs() < 0.03


def test_shear_translate_and_lens_draw_both_ways():
    spread(numbers(Shear(10))["matrix"][:, 0, 1].atan().rad2deg(), -10, 10)
    spread(numbers(Translate(0.1))["shift"], -0.1, 0.1)
    spread(numbers(Lens(0.2))["k"], -0.2, 0.2)


def test_lens_reads_at_the_distorted_radius():
    S, k = 65, 0.3
    ramp = (torch.arange(S) / (S - 1)).expand(1, 1, S, S)  # brightness is the column
    bent = Lens(k).apply(ramp, {"k": torch.tensor([k])})
    column = (torch.arange(S) - S // 2) / (S / 2)  # on the middle row; the corner is at sqrt 2
    expected = (column * (1 + k * column.square() / 2) * (S / 2) + S // 2) / (S - 1)
    torch.testing.assert_close(bent[0, 0, S // 2, 4:-4], expected[4:-4], rtol=0, atol=1e-5)


def test_color_jitter_draws_factors_about_one_and_never_below_zero():
    draws = numbers(ColorJitter(0.4, 1.5, 0, hue=0.1))
    spread(draws["factors"][:, 0], 0.6, 1.4)
    spread(draws["factors"][:, 1], 0, 2.5)
    assert (draws["factors"][:, 2] == 1).all()
    spread(draws["hue"], -0.1, 0.1)


def colors(axes, deviations, count=6400):
    """Images [count / 64, 3, 8, 8] whose colors have these principal axes and standard deviations."""
    values = torch.randn(count, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    values = (values - values.mean(0)) @ torch.linalg.inv(torch.linalg.cholesky(values.T.cov(correction=0))).T
    pixels = 0.5 + values * torch.tensor(deviations) @ axes.T
    return pixels.reshape(-1, 8, 8, 3).permute(0, 3, 1, 2)


def test_pca_color_finds_the_principal_axes_and_draws_along_them():
    axes = torch.linalg.qr(torch.tensor([[3.0, 1, 0], [3, -1, 1], [3, 0, -2]], dtype=torch.float64)).Q
    deviations = [0.2, 0.1, 0.05]
    augmentation = PCAColor(std=0.1)
    augmentation.prepare(colors(axes, deviations).split(30))
    offsets = numbers(augmentation)["offset"].to(torch.float64) @ axes  # along each axis
    expected = 0.1 * torch.tensor(deviations, dtype=torch.float64).square()  # std times the eigenvalue
    torch.testing.assert_close(offsets.std(0), expected, rtol=0.03, atol=0)
    correlation = torch.corrcoef(offsets.T) - torch.eye(3)
    assert correlation.abs().max() < 0.03


def test_pca_color_adds_one_offset_to_every_pixel():
    images = torch.full((2, 3, 4, 4), 0.5)
    offset = torch.tensor([[0.1, -0.2, 0.3], [0.7, 0.0, -0.7]])
    changed = PCAColor().apply(images, {"offset": offset})
    torch.testing.assert_close(changed, (0.5 + offset).clamp(0, 1)[:, :, None, None].expand(2, 3, 4, 4))


def test_pca_color_of_gray_images_shifts_their_brightness():
    augmentation = PCAColor(std=0.1)
    images = torch.rand(50, 1, 8, 8, generator=torch.Generator().manual_seed(2))
    augmentation.prepare([images])
    assert numbers(augmentation)["offset"].std() == pytest.approx(0.1 * images.var().item(), rel=0.03)


def test_randaugment_draws_every_operation_alike():
    draws = numbers(RandAugment())
    counts = draws["op"].flatten().bincount(minlength=len(OPS))
    assert len(counts) == len(OPS) == 14
    assert (counts - 2 * N / 14).abs().max() < 0.1 * 2 * N / 14
    assert set(draws["sign"].unique().tolist()) == {-1.0, 1.0}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("make", [RandAugment, TrivialAugment, AutoAugment, AugMix])
def test_operations_give_equal_pixels_by_rows_and_by_masks(monkeypatch, channels, make):
    images = torch.rand(64, channels, 16, 16, generator=torch.Generator().manual_seed(3))
    draws = numbers(make(), 64)
    by_rows = make().apply(images, draws)
    monkeypatch.setattr(operations, "write_rows", write_masked)
    torch.testing.assert_close(make().apply(images, draws), by_rows, rtol=0, atol=1e-6)


def test_trivialaugment_draws_operations_and_strengths_alike():
    draws = numbers(TrivialAugment())
    for key, kinds in {"op": 14, "bin": 31, "sign": 2}.items():
        values, counts = draws[key].unique(return_counts=True)
        assert len(values) == kinds
        assert (counts - N / kinds).abs().max() < 0.15 * N / kinds
    assert (numbers(TrivialAugment(p=0.25))["op"] == 0).double().mean() == pytest.approx(0.75 + 0.25 / 14, abs=0.01)


def test_autoaugment_draws_pairs_alike_and_each_operation_by_its_probability():
    draws = numbers(AutoAugment("cifar10"))
    # Lines of the policy that no other one shares an operation and a strength with, by what they begin with.
    for place, (op, strength, chance) in enumerate([("rotate", 2, 0.7), ("contrast", 6, 0.2)]):
        happened = (draws["op"][:, place] == ALL_OPS.index(op)) & (draws["bin"][:, place] == strength)
        assert happened.double().mean() == pytest.approx(chance / 25, abs=0.003)


def test_augmix_draws_weights_of_dirichlets_and_chains_of_one_to_three():
    draws = numbers(AugMix())
    weights = draws["weights"].double()
    torch.testing.assert_close(weights.sum(1), torch.ones(N, dtype=torch.float64), rtol=0, atol=1e-6)
    spread(weights[:, 0], 0, 1)  # Beta(1, 1) is uniform
    torch.testing.assert_close(weights[:, 1:].mean(0), torch.full((3,), 1 / 6).double(), rtol=0.03, atol=0)
    lengths = (draws["op"] != 0).sum(2).flatten()
    assert lengths.unique().tolist() == [1, 2, 3]
    assert (lengths.bincount()[1:] - N).abs().max() < 0.05 * N
    assert draws["bin"].unique().tolist() == [0, 1, 2]
    assert ((numbers(AugMix(depth=2))["op"] != 0).sum(2) == 2).all()
    # A small alpha leaves one chain, a large one mixes them evenly.
    assert numbers(AugMix(alpha=0.01))["weights"].max(1).values.mean() > 0.95
    assert numbers(AugMix(alpha=1000.0))["weights"][:, 1:].std() < 0.02


def test_random_erasing_draws_whether_and_how_large():
    draws = numbers(RandomErasing(p=0.3, aspect=2))
    assert draws["erased"].double().mean() == pytest.approx(0.3, abs=0.01)
    spread(draws["area"], 0.02, 0.33)
    spread(draws["aspect"].log(), -math.log(2), math.log(2))


def test_random_erasing_paints_each_box_in_a_color_of_its_own():
    images = torch.rand(50, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    augmentation = RandomErasing(p=1, fill="color")
    draws = numbers(augmentation, 50)
    changed = augmentation.apply(images, draws)
    for image, before, (top, left, height, width), color in zip(
        changed, images, augmentation.boxes(16, 16, draws).long().tolist(), draws["color"], strict=True
    ):
        expected = before.clone()
        expected[:, top : top + height, left : left + width] = color[:, None, None]
        assert height * width > 0
        assert torch.equal(image, expected)
