"""Where each check draws its lines: measurements on either side of them, and what is said."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from runner.check import cost, data, gradients, layers, loss, lr, overfit, updates
from runner.check.gradients import Difference
from runner.check.lr import LrRange
from runner.check.overfit import Outcome
from runner.model.activity import Activity


def holds(found, verdict, *said):
    assert found.verdict == verdict
    text = f"{found.measured}; {found.expected}; {found.advice}"
    for part in said:
        assert part in text
    assert bool(found.advice) >= (verdict in ("warning", "wrong")), "it says what to do"


# ---------------------------------------------------------------------------------------------------------------------
# Layers, loss, overfit


@pytest.mark.parametrize(
    ("sizes", "verdict", "said"),
    [
        ([1.0, 2.0], "skipped", "fewer than 3 layers"),
        ([1.0, 1.0, 1e9], "ok", "from 1 (layer0) to 1 (layer1)"),  # the size of the scores is the loss's affair
        ([1.0, 0.011, 1.0], "ok", "within a factor of 100"),
        ([1.0, 0.009, 1.0], "warning", "it vanishes"),
        ([1.0, 99.0, 1.0], "ok", ""),
        ([1.0, 101.0, 1.0], "warning", "it explodes"),
        ([1.0, 1.1e-4, 1.0], "warning", ""),
        ([1.0, 0.9e-4, 1.0], "wrong", "it vanishes"),
        ([1.0, 0.9e4, 1.0], "warning", ""),
        ([1.0, 1.1e4, 1.0], "wrong", "it explodes"),
        ([1.0, 0.0, 1.0], "warning", "is 0 in layer1"),
        ([0.0, 0.0, 1.0], "wrong", "is 0 in layer0, layer1"),
        ([1.0, math.inf, 1.0], "wrong", "it explodes"),
        ([math.nan, 1.0, 1.0, 1.0], "wrong", "it explodes"),
    ],
)
def test_a_trend_is_that_from_the_first_layer_to_the_one_before_the_scores(sizes, verdict, said):
    named = [(f"layer{number}", size) for number, size in enumerate(sizes)]
    holds(layers.trend("layers.forward", "the deviation", named), verdict, said)
    backward = [(name, size) for (name, _), size in zip(named, [sizes[-1], *sizes[:-1]], strict=True)]
    assert layers.trend("layers.backward", "the norm", backward).verdict == verdict, "there the scores are the first"


@pytest.mark.parametrize(
    ("shares", "verdict", "said"),
    [
        ([], "skipped", "no layer"),
        ([0.1, 0.39], "ok", "at most 39% units (b)"),
        ([0.4, 0.1], "warning", "40% units in a; many in a"),
        ([0.5, 0.89], "warning", "89% units in b; many in a, b"),
        ([0.1, 0.9], "wrong", "90% units in b; many in b"),
    ],
)
def test_many_dead_or_saturated_units_are_a_warning_and_nearly_all_are_wrong(shares, verdict, said):
    other = Activity("c", "Linear", 0.0, 1.0)
    for kind, words in (("dead", "dead units"), ("saturated", "saturated outputs")):
        pairs = zip("ab", shares, strict=False)
        found = [Activity(name, "Layer", 0.0, 1.0, **{kind: share}) for name, share in pairs]
        holds(getattr(layers, kind)([*found, other]), verdict, said.replace("units", words))


@pytest.mark.parametrize(
    ("measured", "verdict", "said"),
    [
        (2.0, "ok", "near 2.000 (ln K)"),
        (2.99, "ok", ""),
        (1.01, "ok", ""),
        (3.01, "warning", "smaller weights"),
        (7.9, "warning", "smaller weights"),
        (8.1, "wrong", "smaller weights"),
        (0.99, "warning", "knows the answer"),
        (math.nan, "wrong", ""),
    ],
)
def test_the_first_loss_is_near_its_formula(measured, verdict, said):
    holds(loss.at_start(measured, 2.0, "ln K"), verdict, said)


@pytest.mark.parametrize(
    ("penalty", "verdict", "said"),
    [
        (0.0, "wrong", "does nothing"),
        (0.1, "ok", "2.000 rises by 0.1 to 2.100"),
        (19.9, "ok", ""),
        (20.1, "warning", ""),
    ],
)
def test_a_penalty_raises_the_loss_and_does_not_drown_it(penalty, verdict, said):
    holds(loss.of_penalty(2.0, penalty), verdict, said)


@pytest.mark.parametrize(
    ("first", "other", "verdict", "said"),
    [
        (Outcome([2.3, 1.0, 0.049], 1.0), None, "ok", "loss 0.049, accuracy 1.00 after 2 updates"),
        (Outcome([2.3, 0.05], 1.0), Outcome([2.3, 1.0], 0.5), "wrong", "Adam fails too"),
        (Outcome([2.3, 0.01], 0.95), Outcome([2.3, 0.01], 1.0), "warning", "Adam at 0.001 does it in 1 updates; more"),
        (Outcome([2.0, 0.99], 0.9), Outcome([2.0, 1.0, 0.01], 1.0), "warning", "in 2 updates; more updates"),
        (Outcome([2.0, 1.01], 0.9), Outcome([2.0, 0.01], 1.0), "wrong", "change optimizer.lr"),
        (Outcome([2.0, 2.0], 0.1, ["a.weight"]), Outcome([2.0, 0.01], 1.0), "wrong", "no gradient reaches a.weight"),
    ],
)
def test_what_cannot_be_learned_by_heart_is_told_by_whether_adam_can(first, other, verdict, said):
    holds(
        overfit.verdict_on(first, other, 0.05, 20), verdict, said, "loss under 0.05 and accuracy 1 on 20 images in 200"
    )


# ---------------------------------------------------------------------------------------------------------------------
# Gradients, updates, rates


@pytest.mark.parametrize(
    ("errors", "kinks", "verdict", "said"),
    [
        ([], [], "skipped", ""),
        ([1e-6, 0.9e-4], [], "ok", "9.0e-05 (b.weight[0]), of 2 in 3 tensors"),
        ([1e-6, 1.1e-4], [], "warning", "of b.weight, or of a layer after it"),
        ([0.9e-2, 0.9e-2], [], "warning", "of a.weight, b.weight"),
        ([1.1e-2], [], "wrong", "at most 0.0001; above 0.01 is wrong"),
        ([1e-6, 0.5], [1], "ok", "1.0e-06 (a.weight[0]), of 2 in 3 tensors; 1 at a kink"),
        ([0.5, 0.5], [0, 1], "ok", "2 at a kink"),
    ],
)
def test_a_gradient_may_differ_by_rounding_and_at_a_kink(errors, kinks, verdict, said):
    found = [
        Difference(f"{name}.weight[0]", 1.0, 1.0, error, number in kinks)
        for number, (name, error) in enumerate(zip("ab", errors, strict=False))
    ]
    holds(gradients.verdict_on(found, 3), verdict, said)


@pytest.mark.parametrize(
    ("start", "after", "verdict", "said"),
    [
        ({"a": "there", "b": "there"}, {"a": "there", "b": "there"}, "ok", "2 of 2 parameters have a gradient"),
        ({"a": "there", "b": "zero"}, {"a": "there", "b": "there"}, "ok", "2 of 2"),  # a branch that began at 0
        (
            {"a": "there", "b": "there"},
            {"a": "there", "b": "zero"},
            "wrong",
            "1 of 2 parameters have a gradient; zero: b",
        ),
        ({"a": "there", "b": "absent"}, {"a": "there", "b": "absent"}, "wrong", "unused: b"),
        ({"a": "there", "b": "absent"}, {"a": "there", "b": "there"}, "ok", ""),
    ],
)
def test_a_gradient_reaches_every_parameter_after_some_updates(start, after, verdict, said):
    holds(gradients.flow([], [], start, after), verdict, said)
    whole = gradients.flow(["c"], [("d", "e")], start, after)
    assert "; frozen: c; shared: d = e" in whole.measured


@pytest.mark.parametrize(
    ("ratios", "verdict", "said"),
    [
        ([], "skipped", ""),
        ([1e-3], "ok", "median 1.0e-03, from 1.0e-03 (w0) to 1.0e-03 (w0)"),
        ([1.1e-4, 1.1e-4, 0.2], "ok", "to 2.0e-01 (w2)"),  # the median counts
        ([0.9e-4], "warning", "a higher optimizer.lr"),
        ([1.1e-6], "warning", "a higher"),
        ([0.9e-6], "wrong", "a higher"),
        ([0.9e-2], "ok", ""),
        ([1.1e-2], "warning", "a lower optimizer.lr"),
        ([0.29], "warning", "a lower"),
        ([0.31], "wrong", "a lower"),
        ([1e-3, 1e-3, 0.0], "wrong", "w2 never moves"),
        ([1e-3, math.nan], "wrong", "the weights became NaN"),
    ],
)
def test_an_update_moves_weights_by_a_thousandth_or_so(ratios, verdict, said):
    holds(updates.verdict_on({f"w{number}": value for number, value in enumerate(ratios)}), verdict, said)


RANGE = LrRange([], [], [], low=1e-3, suggestion=0.01, high=0.1, blown_up=1.0)


@pytest.mark.parametrize(
    ("current", "blown_up", "verdict"),
    [
        (0.01, 1.0, "ok"), (0.01, None, "ok"),
        (0.29, 1.0, "ok"), (0.3, None, "ok"),
        (0.31, 1.0, "warning"), (0.31, 0.4, "warning"), (0.31, 0.3, "wrong"), (0.31, None, "warning"),
        (0.99, 1.0, "warning"), (1.01, 1.0, "wrong"),
        (9.0, None, "warning"), (10.0, None, "warning"),  # the loss never blew up
        (11.0, None, "wrong"),  # beyond the rates that were tried
        (3.4e-5, 1.0, "ok"), (1e-3 / 30, None, "ok"),
        (3.3e-5, 1.0, "warning"), (1e-3 / 31, None, "warning"), (1.1e-6, 1.0, "warning"),
        (0.9e-6, 1.0, "wrong"), (1e-3 / 1001, None, "wrong"),
    ],
)  # fmt: skip
def test_a_rate_far_from_the_range_is_told_with_a_better_one(current, blown_up, verdict):
    found = lr.verdict_on(replace(RANGE, blown_up=blown_up), current)
    line = "to search: runner sweep optimizer.lr='loguniform(1.0e-03,1.0e-01)'"
    assert (found.verdict, found.expected) == (verdict, "3.3e-05 to 3.0e-01")
    assert found.advice == (line if verdict == "ok" else f"optimizer.lr=0.01 (or auto); {line}")
    assert found.values == {"suggestion": 0.01, "low": 1e-3, "high": 0.1, "blown_up": blown_up, "lr": current}


def test_a_rate_that_is_to_be_found_is_told_the_range():
    found = lr.verdict_on(RANGE, None)
    assert (found.verdict, found.expected) == ("ok", "a rate at which the loss falls")
    assert found.measured == "the loss falls from 1.0e-03 to 1.0e-01; suggested: optimizer.lr=0.01"
    assert found.advice == "to search: runner sweep optimizer.lr='loguniform(1.0e-03,1.0e-01)'"


@pytest.mark.parametrize(("fall", "is_found"), [(0.019, False), (0.021, True)])
def test_a_fall_of_less_than_a_fiftieth_of_the_loss_is_none(fall, is_found):
    rates = np.logspace(-6, 1, 100).tolist()
    losses = [2.0] * 50 + np.linspace(2.0, 2.0 * (1 - fall), 20).tolist() + [2.0 * (1 - fall)] * 30
    found = lr.read_off(rates, losses)
    lowest = min(found.smooth)
    assert ((2.0 - lowest) / 2.0 >= 0.02) is is_found, "so much remains of it in the running mean"
    assert (found.suggestion is not None) is is_found


def test_where_the_loss_falls_at_no_rate_the_rate_is_not_to_blame():
    holds(lr.verdict_on(LrRange([], []), 0.1), "wrong", "the loss falls at no rate from 1e-06 to 10", "see overfit")


# ---------------------------------------------------------------------------------------------------------------------
# Data


def test_a_mean_of_a_half_is_near_enough():
    assert data.statistics(torch.tensor([-0.5, 1.5]).repeat(50).reshape(4, 1, 5, 5), "standardize").verdict == "ok"


@pytest.mark.parametrize(
    ("counts", "made_up", "verdict", "said"),
    [
        ([10, 10], False, "ok", "10 to 10 training images a class"),
        ([99, 10], False, "ok", "10 to 99"),
        ([100, 10], False, "warning", "data.balance=oversample"),
        ([100, 10], True, "ok", ""),
        ([5, 0], True, "wrong", "no training image of b"),
    ],
)
def test_the_largest_class_is_less_than_ten_times_the_smallest(counts, made_up, verdict, said):
    labels = torch.repeat_interleave(torch.tensor([0, 1]), torch.tensor(counts))
    holds(data.balance(labels, ["a", "b"], made_up), verdict, said)


@pytest.mark.parametrize(
    ("train", "val", "verdict", "said"),
    [
        ([0, 1], [1, 0, 0], "ok", "2 classes in train, all of them in val"),
        ([0], [0, 1], "wrong", "val has b, train has not"),
        ([0, 1], [0], "warning", "val has no image of b"),
    ],
)
def test_what_is_validated_has_been_trained(train, val, verdict, said):
    holds(data.labels(torch.tensor(train), torch.tensor(val), ["a", "b"]), verdict, said)


@pytest.mark.parametrize(("flat", "verdict"), [(0, "ok"), (5, "warning"), (6, "wrong")])
def test_images_of_one_color_are_wrong_where_they_are_most(flat, verdict):
    images = torch.arange(10 * 16).reshape(10, 1, 4, 4).remainder(7).byte()
    images[:flat] = 3
    found = data.constant({"train": images[:5], "val": images[5:]})
    holds(found, verdict, f"{flat} of 10 images are of one color")


@pytest.mark.parametrize(
    ("mean", "deviation", "preprocess", "verdict", "said"),
    [
        (0.0, 1.0, "standardize", "ok", "mean 0.000, standard deviation 1.000"),
        (0.49, 1.99, "standardize", "ok", ""),
        (-0.51, 1.0, "standardize", "warning", "look at figures/batch.png"),
        (0.0, 0.49, "center", "warning", "data.preprocess=standardize"),
        (0.0, 2.01, "standardize", "warning", ""),
        (0.0, 1.0, "none", "warning", "data.preprocess=standardize"),
        (0.0, 0.019, "standardize", "wrong", "next to nothing"),
        (math.nan, 1.0, "standardize", "wrong", "next to nothing"),
    ],
)
def test_pixels_have_mean_zero_and_deviation_one(mean, deviation, preprocess, verdict, said):
    pixels = torch.tensor([-1.0, 1.0] * 5000).reshape(100, 1, 10, 10)
    pixels = pixels / pixels.std() * deviation + mean
    found = data.statistics(pixels, preprocess)
    holds(found, verdict, said, "mean within 0.5 of 0, deviation 0.5 to 2")
    assert found.values == pytest.approx(
        {"mean": mean, "std": math.nan if math.isnan(mean) else deviation}, abs=1e-5, nan_ok=True
    )


@pytest.mark.parametrize(
    ("sizes", "modes", "said"),
    [
        ([(100, 80)] * 3, ["RGB"] * 3, ""),
        ([(100, 80)] * 3 + [(400, 300)], ["RGB"] * 4, ""),
        ([(100, 80)] * 3 + [(401, 300)], ["RGB"] * 4, "1 of another size by 4 times"),
        ([(100, 80)] * 3 + [(24, 24)], ["RGB"] * 4, "1 of another size by 4 times"),
        ([(100, 25)] * 3, ["RGB"] * 3, ""),
        ([(100, 24)] * 3, ["RGB"] * 3, "3 more than 4 times as long as wide"),
        ([(100, 80)] * 4, ["RGB", "RGB", "L", "CMYK"], "2 RGB; 1 L, 1 CMYK"),
    ],
)
def test_files_that_are_unlike_the_others_are_counted(sizes, modes, said):
    found = data.headers(sizes, modes)
    holds(found, "warning" if said else "ok", said, f"{len(sizes)} files, median 100 pixels")


@pytest.mark.parametrize(
    ("pairs", "verdict", "said"),
    [
        ([], "ok", "none among 900 of 1,000 train, 100 of 100 val images"),
        ([False] * 3, "warning", "3 near in train and val"),
        ([True], "wrong", "1 exact in train and val; 1 with different labels"),  # one of a hundred
    ],
)
def test_a_hundredth_of_a_split_that_another_has_makes_its_scores_worthless(pairs, verdict, said):
    found = [data.Pair(("train", "val"), (place, place), exact) for place, exact in enumerate(pairs)]
    sizes, whole = {"train": 900, "val": 100}, {"train": 1000, "val": 100}
    holds(data.verdict_on_duplicates(found, sizes, whole, conflicts=sum(pairs)), verdict, said)
    few = data.verdict_on_duplicates(found, {"train": 900, "val": 101}, whole)
    assert few.verdict == ("ok" if not pairs else "warning"), "less than a hundredth"
    assert "different labels" not in few.measured


def test_a_difference_hash_has_a_sign_for_each_step_to_the_right():
    pixels = torch.randint(0, 256, (3, 2, 8, 9), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    rises = np.diff(pixels.numpy().astype(float).mean(1), axis=2) > 0
    expected = np.where(rises, 1, -1).reshape(3, 64)
    assert data.difference_hash(pixels).tolist() == expected.tolist()
    twice = pixels.repeat_interleave(2, 2).repeat_interleave(2, 3)  # a cell is the mean of its pixels
    assert data.difference_hash(twice).tolist() == expected.tolist()
    assert data.difference_hash(pixels[:0]).shape == (0, 64)


@pytest.mark.parametrize(("bits", "is_near"), [(0, True), (6, True), (7, False)])
def test_near_duplicates_differ_in_few_bits_of_the_hash(bits, is_near):
    ramp = torch.arange(0, 180, 20).repeat(8, 1)
    other = ramp.clone() + 1
    for row in range(bits):
        other[row, 4] = other[row, 3] - 1  # falls once, where the other rises
    one, two = (image.repeat_interleave(4, 0).repeat_interleave(4, 1)[None, None].byte() for image in (ramp, other))
    assert data.MAX_BITS == 6
    assert bool(data.duplicates({"train": one, "val": two})) is is_near


@pytest.mark.parametrize(("lr", "num_updates"), [(0.0, 30), (1.0, 11)])
def test_a_fit_ends_early_where_the_loss_is_far_below_what_is_asked_for_and_all_are_right(lr, num_updates):
    # The accuracy is looked at before every tenth update, so that the first after one that is right is the eleventh.
    network = torch.nn.Linear(2, 2, bias=False)
    torch.nn.init.zeros_(network.weight)
    images, labels = torch.tensor([[20.0, 0.0], [0.0, 20.0]]), torch.tensor([0, 1])
    loss = torch.nn.CrossEntropyLoss()
    found = overfit.fit_few(network, loss, images, labels, lambda net: torch.optim.SGD(net.parameters(), lr), 30)
    assert len(found.losses) - 1 == num_updates


@pytest.mark.parametrize(("margin", "num_updates"), [(4.58, 11), (4.61, 1)])
def test_a_fit_that_is_right_at_once_ends_below_a_fifth_of_the_loss_that_is_small(margin, num_updates):
    # -log softmax is ln(1 + exp(-margin)): 0.01020 and 0.00990, on either side of 0.05 / 5.
    network = torch.nn.Identity()
    network.unused = torch.nn.Parameter(torch.zeros(1))
    scores, labels = torch.tensor([[margin, 0.0]]), torch.tensor([0])

    def loss(found, targets):
        return torch.nn.functional.cross_entropy(found, targets) + 0 * network.unused.sum()

    found = overfit.fit_few(network, loss, scores, labels, lambda net: torch.optim.SGD(net.parameters(), 1.0), 11)
    assert len(found.losses) - 1 == num_updates


def test_the_range_ends_five_updates_before_the_lowest_smoothed_loss():
    # A running mean of weight 0.9 lags behind by 0.9 / 0.1 / 2 = 4.5 updates, five of them whole.
    losses = [2.0] * 20 + [1.0] * 10 + [3.0] * 10
    rates = list(range(1, 41))
    found = lr.read_off(rates, losses)
    assert found.smooth.index(min(found.smooth)) == 29
    assert found.high == rates[29 - 5]


def test_no_images_have_no_hashes():
    assert data.difference_hash(torch.zeros(0, 3, 8, 8)).shape == (0, 64)


# ---------------------------------------------------------------------------------------------------------------------
# Cost


def test_the_bottleneck_is_told():
    slow = cost.verdict_on(data=100.0, step=1000.0, together=95.0, num_images=9500)
    assert slow.verdict == "warning"
    assert "data.num_workers" in slow.advice
    assert slow.values["seconds"] == pytest.approx(100)
    assert slow.measured == (
        "images a second: 100 data alone, 1,000 step alone, 95 together; "
        "the run takes about 100.0 s without validation; the data route is the bottleneck"
    )
    assert cost.verdict_on(data=1000.0, step=100.0, together=95.0, num_images=9500).verdict == "ok"


@pytest.mark.parametrize(("images", "verdict"), [(100.0, "ok"), (84.0, "ok"), (83.0, "warning"), (200.0, "ok")])
def test_the_data_route_is_the_bottleneck_where_it_is_a_fifth_slower_than_the_step(images, verdict):
    found = cost.verdict_on(images, 100.0, 50.0, 6000)
    assert (found.verdict, bool(found.advice)) == (verdict, verdict == "warning")
    assert found.values == {"data": images, "step": 100.0, "together": 50.0, "seconds": 120.0}
    assert f"{images:,.0f} data alone, 100 step alone, 50 together; the run takes about 2 min 0 s" in found.measured
    assert found.measured.endswith(f"the {'data route' if verdict == 'warning' else 'step'} is the bottleneck")
