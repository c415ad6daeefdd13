"""Each check finds what is broken on purpose, and lets a sane training pass."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import runner
from runner.check import data, gradients, lr, reproducibility, updates
from runner.check.subject import Subject, silence

FAMILIES = ("data", "loss", "overfit", "layers", "gradients", "updates", "lr", "cost", "reproducibility")
NET = """
class Net(nn.Module):
    def __init__(self, in_channels, image_size, num_classes):
        super().__init__()
        size = in_channels * image_size**2
        {layers}

    def forward(self, x):
        x = x.flatten(1)
        {forward}
"""


def net(layers, forward):
    return NET.format(layers=layers, forward=forward)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_sane_training_passes(checked, family):
    found = checked(family)
    assert found
    assert {check.verdict for check in found.values()} <= {"ok", "skipped"}


def test_a_network_of_zeros_learns_nothing(checked, own):
    layers = "self.a, self.b = nn.Linear(size, 32), nn.Linear(32, num_classes)\n"
    layers += "        for p in self.parameters(): nn.init.zeros_(p)"
    words = own(net(layers, "return self.b(F.relu(self.a(x)))"))
    few = checked("overfit", *words)["overfit.few"]
    assert few.verdict == "wrong"
    assert "no gradient reaches a.weight" in few.advice
    flow = checked("gradients", *words)["gradients.flow"]
    assert flow.verdict == "wrong"
    assert set(flow.values["zero"]) == {"a.weight", "a.bias", "b.weight"}


@pytest.mark.slow
@pytest.mark.parametrize(("lr", "direction"), [(100, "lower"), (1e-8, "higher")])
def test_a_rate_far_out_is_wrong(checked, lr, direction):
    words = ["optimizer=momentum", f"optimizer.lr={lr}"]
    found = checked("lr", *words)["lr.range"]
    assert found.verdict == "wrong"
    assert 1e-3 < found.values["suggestion"] < 1
    assert "optimizer.lr=" in found.advice
    few = checked("overfit", *words)["overfit.few"]
    assert few.verdict == "wrong"
    assert "the network can" in few.advice
    ratio = checked("updates", *words)["updates.ratio"]
    assert ratio.verdict == "wrong"
    assert f"a {direction} optimizer.lr" in ratio.advice or "NaN" in ratio.measured


def test_updates_are_measured_by_weight_and_grow_with_the_rate(checked):
    words = ["model=mlp", "model.hidden=[8]", "optimizer=sgd", "optimizer.weight_decay=0", "schedule=constant"]
    small, large = (
        checked("updates", *words, f"optimizer.lr={lr}")["updates.ratio"].values["ratios"] for lr in (1e-5, 3e-5)
    )
    assert len(small) == 2  # both layers have one
    for name, ratio in small.items():
        assert large[name] == pytest.approx(3 * ratio, rel=0.05)


def test_dead_units_are_found(checked, own):
    layers = "self.a, self.relu, self.b = nn.Linear(size, 32), nn.ReLU(), nn.Linear(32, num_classes)\n"
    layers += "        nn.init.constant_(self.a.bias, -100.0)"
    words = own(net(layers, "return self.b(self.relu(self.a(x)))"))
    dead = checked("layers", *words)["layers.dead"]
    assert (dead.verdict, dead.values["shares"]["relu (relu)"]) == ("wrong", 1.0)


@pytest.mark.slow
def test_twenty_layers_of_sigmoids_let_no_gradient_through(checked):
    found = checked("layers", f"model.hidden={[32] * 20}".replace(" ", ""), "model.activation=sigmoid", "init=default")
    assert found["layers.backward"].verdict == "wrong"
    assert "vanishes" in found["layers.backward"].advice


@pytest.mark.slow
def test_saturated_units_are_found(checked):
    found = checked("layers", "model.activation=tanh", "init=large")
    assert found["layers.saturated"].verdict in ("warning", "wrong")
    assert checked("layers", "model.activation=tanh")["layers.saturated"].verdict == "ok"


def test_weights_that_are_too_large_show_in_the_first_loss(checked):
    found = checked("loss", "init=large")["loss.start"]
    assert found.verdict == "wrong"
    assert found.values["formula"] == pytest.approx(math.log(10))


@pytest.mark.parametrize(
    ("words", "formula"),
    [
        (["loss=cross_entropy"], math.log(10)),
        (["loss=hinge"], 9.0),
        (["loss=hinge", "loss.margin=2"], 18.0),
        (["loss=bce"], math.log(2)),
        (["loss=bce", "loss.sum_classes=true"], 10 * math.log(2)),
        (["loss=focal", "loss.gamma=2"], 0.9**2 * math.log(10)),
    ],
)
def test_the_first_loss_is_the_formulas(checked, words, formula):
    found = checked("loss", *words)["loss.start"]
    assert found.values["formula"] == pytest.approx(formula, rel=1e-6)
    assert found.verdict == "ok"


def test_a_penalty_raises_the_loss_by_half_the_sum_of_squares(checked):
    from runner.check.loss import of_penalty

    found = checked("loss", "reg=l2", "reg.l2.strength=0.01")["loss.penalty"]
    assert found.verdict == "ok"
    assert 0 < found.values["penalty"] < 10
    assert of_penalty(2.3, 0.0).verdict == "wrong"
    assert of_penalty(2.3, 100.0).verdict == "warning"


def _arrays(tmp_path, change):
    """Digits as arrays in three splits of 400, 100 and 100 images, after a change; gives the words."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    images = np.kron((images * 15).astype(np.uint8).reshape(-1, 8, 8), np.ones((2, 2), np.uint8))
    order = np.random.default_rng(0).permutation(len(labels))
    parts = {"train": order[:800], "val": order[800:1100], "test": order[1100:1400]}
    stored = {
        f"{split}_{what}": of[places]
        for split, places in parts.items()
        for what, of in (("images", images), ("labels", labels))
    }
    change(stored)
    np.savez(tmp_path / "digits.npz", **stored)
    return ["data=arrays", f"data.file={tmp_path}/digits.npz"]


def test_images_in_the_order_of_their_classes_are_held_to_all_classes():
    from runner.check.data import neighbors
    from runner.data.source import Images

    labels = torch.arange(4).repeat_interleave(3000)
    pixels = (labels * 20)[:, None, None, None] + torch.tensor([[0, 100], [20, 7]])[None, None]
    images = Images((pixels % 200).byte(), labels)
    assert neighbors(images, images, 4).values["chance"] == pytest.approx(0.25, abs=0.01)


def test_sane_arrays_pass(checked, tmp_path):
    found = checked("data", *_arrays(tmp_path, lambda stored: None))
    assert {check.verdict for check in found.values()} == {"ok"}


def test_shuffled_labels_are_found(checked, tmp_path):
    def shuffle(stored):
        for split in ("train", "val"):
            np.random.default_rng(1).shuffle(stored[f"{split}_labels"])

    found = checked("data", *_arrays(tmp_path, shuffle))
    assert found["data.neighbors"].verdict == "wrong"
    assert found["data.neighbors"].values["chance"] == pytest.approx(0.1, abs=0.01)


def test_leaked_test_images_are_found(checked, tmp_path):
    def leak(stored):
        for what in ("images", "labels"):
            stored[f"test_{what}"][:30] = stored[f"train_{what}"][:30]
        stored["test_labels"][7] = (stored["test_labels"][7] + 1) % 10

    found = checked("data", *_arrays(tmp_path, leak))["data.duplicates"]
    assert found.verdict == "wrong"
    assert found.measured == "30 exact in train and test; 1 with different labels"
    assert [pair[2:4] for pair in found.values["pairs"]] == [[place, place] for place in range(30)]


def test_a_copy_that_is_a_little_brighter_is_a_near_duplicate(checked, tmp_path):
    def leak(stored):
        stored["val_images"][:5] = np.clip(stored["train_images"][100:105].astype(int) * 0.95 + 6, 0, 255)

    found = checked("data", *_arrays(tmp_path, leak))["data.duplicates"]
    assert found.verdict == "warning"
    assert "5 near in train and val" in found.measured
    assert [pair[2:4] for pair in found.values["pairs"]] == [[100 + place, place] for place in range(5)]


def test_a_class_that_is_absent_is_found(checked, tmp_path):
    def drop(stored):
        kept = stored["val_labels"] != 3
        stored["val_images"], stored["val_labels"] = stored["val_images"][kept], stored["val_labels"][kept]

    found = checked("data", *_arrays(tmp_path, drop))["data.labels"]
    assert (found.verdict, found.measured) == ("warning", "val has no image of 3")


def test_classes_of_other_sizes_are_found():
    from runner.check.data import balance, labels

    assert balance(torch.tensor([0] * 20 + [1] * 2), ["a", "b"]).verdict == "warning"
    assert balance(torch.tensor([0] * 20 + [1] * 2), ["a", "b"], made_up=True).verdict == "ok"
    assert balance(torch.tensor([0] * 19 + [1] * 2), ["a", "b"]).verdict == "ok"
    missing = balance(torch.tensor([0, 0]), ["a", "b"])
    assert (missing.verdict, missing.values) == ("wrong", {"counts": {"a": 2, "b": 0}})
    assert labels(torch.tensor([0]), torch.tensor([0, 1]), ["a", "b"]).verdict == "wrong"


def test_images_that_are_not_normalized_are_found(checked):
    found = checked("data", "data.preprocess=none")["data.statistics"]
    assert found.verdict == "warning"
    assert "data.preprocess=standardize" in found.advice


def test_images_of_one_color_are_found(checked, tmp_path):
    def blank(stored):
        stored["train_images"][:7] = 128

    found = checked("data", *_arrays(tmp_path, blank))["data.constant"]
    assert (found.verdict, found.values["train"]) == ("warning", 7)


def test_odd_files_are_found():
    from runner.check.data import headers

    assert headers([(100, 80)] * 9, ["RGB"] * 9).verdict == "ok"
    found = headers([(100, 80)] * 9 + [(600, 10)], ["RGB"] * 9 + ["CMYK"])
    assert found.verdict == "warning"
    assert "1 of another size" in found.measured
    assert "1 CMYK" in found.measured


def test_a_wrong_backward_of_ones_own_is_found(checked, own):
    code = """
class Twice(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return 2 * x

    @staticmethod
    def backward(ctx, gradient):
        return 3 * gradient
"""
    layers = "self.a, self.b = nn.Linear(size, 16), nn.Linear(16, num_classes)"
    words = own(code + net(layers, "return self.b(Twice.apply(self.a(x)))"))
    found = checked("gradients", *words)["gradients.numerical"]
    assert found.verdict == "wrong"
    assert "a.weight" in found.advice
    assert "b.weight" not in found.advice
    assert found.values["analytic"] / found.values["numerical"] == pytest.approx(1.5, rel=1e-4)


def test_a_layer_that_forward_leaves_out_is_found(checked, own):
    layers = "self.a, self.b, self.c = nn.Linear(size, 16), nn.Linear(16, num_classes), nn.Linear(16, 16)"
    found = checked("gradients", *own(net(layers, "return self.b(F.relu(self.a(x)))")))["gradients.flow"]
    assert found.verdict == "wrong"
    assert found.values["unused"] == ["c.weight", "c.bias"]


def noisy(own):
    layers = "self.a, self.norm, self.b = nn.Linear(size, 64), nn.BatchNorm1d(64), nn.Linear(64, num_classes)\n"
    layers += "        self.drop = nn.Dropout(0.95)"
    return own(net(layers, "return self.b(self.drop(F.relu(self.norm(self.a(x)))))"))


def test_a_few_images_are_learned_without_the_dropout_of_the_network(checked, own):
    assert checked("overfit", *noisy(own))["overfit.few"].verdict == "ok"


def test_a_check_that_silences_the_dropout_leaves_it_to_the_checks_after_it(own):
    subject = Subject(runner.compose(noisy(own)))
    assert len(list(updates.check(subject))) == 3
    assert subject.training.state.network.drop.p == 0.95


def test_frozen_and_shared_parameters_are_named(checked, own):
    layers = "self.a, self.b, self.c = nn.Linear(size, 16), nn.Linear(16, num_classes), nn.Linear(16, 16)\n"
    layers += "        self.d = nn.Linear(16, 16); self.d.weight = self.c.weight; self.a.bias.requires_grad_(False)"
    words = own(net(layers, "return self.b(self.d(F.relu(self.c(F.relu(self.a(x))))))"))
    found = checked("gradients", *words)["gradients.flow"]
    assert found.verdict == "ok"
    assert found.values["frozen"] == ["a.bias"]
    assert found.values["shared"] == [["c.weight", "d.weight"]]


def test_silence_is_of_layers_that_draw_noise_alone():
    class PowerMean(nn.Module):
        p = 3.0

    class DropNothing(nn.Module):
        pass

    network = nn.Sequential(nn.Dropout(0.5), PowerMean(), DropNothing(), nn.AlphaDropout(0.2))
    silence(network)
    assert [getattr(layer, "p", None) for layer in network] == [0.0, 3.0, None, 0.0]


def test_noise_of_training_is_off_where_scores_have_to_be_the_same_twice():
    network = torch.nn.Sequential(torch.nn.Dropout(0.5), torch.nn.Flatten(), torch.nn.Linear(4, 3))
    found = updates.fixed_in_evaluation(network, torch.rand(8, 1, 2, 2))
    assert found.verdict == "ok"
    assert network.training


def test_a_gradient_that_is_wrong_by_a_little_is_no_kink():
    weight = torch.tensor([3.0], dtype=torch.float64)
    found = gradients._difference("a", weight, 0, 6.0 * (1 + 5e-4), lambda: (weight**2).sum().item())
    assert found.numerical == pytest.approx(6.0, rel=1e-6)
    assert found.error == pytest.approx(5e-4, rel=1e-2)
    assert not found.kink
    assert weight.item() == 3.0


def test_a_kink_is_no_wrong_gradient():
    from runner.check.gradients import compare, verdict_on

    class Kinked(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.tensor([[4e-6]], dtype=torch.float64))

        def forward(self, x):
            return torch.relu(x @ self.weight) * torch.tensor([[1.0, -1.0]], dtype=torch.float64)

    one = torch.ones(1, 1, dtype=torch.float64)
    differences = compare(Kinked(), nn.functional.cross_entropy, one, torch.tensor([0]))
    assert differences[0].name == "weight[0]"
    assert [found.kink for found in differences] == [True] * 3, "the largest gradient of a tensor and two more"
    assert verdict_on(differences, 1).verdict == "ok"


def test_dropout_that_is_left_on_is_found(checked, own):
    layers = "self.a, self.b = nn.Linear(size, 32), nn.Linear(32, num_classes)"
    words = own(net(layers, "return self.b(F.dropout(F.relu(self.a(x)), 0.5))"))
    found = checked("updates", *words)["updates.evaluation"]
    assert (found.verdict, "self.training" in found.advice) == ("wrong", True)


def test_running_statistics_that_lag_behind_are_found(checked, own):
    layers = "self.a, self.n = nn.Linear(size, 32), nn.BatchNorm1d(32, momentum=1e-4)\n"
    layers += "        self.b = nn.Linear(32, num_classes); nn.init.constant_(self.a.bias, 30.0)"
    words = own(net(layers, "return self.b(F.relu(self.n(self.a(x))))"))
    assert checked("updates", *words)["updates.modes"].verdict == "wrong"
    assert checked("updates", "model.norm=batch")["updates.modes"].verdict == "ok"


def test_noise_from_another_generator_is_traced_to_its_layer(checked, own):
    code = "import os\nclass Odd(nn.Module):\n    def forward(self, x):\n        return x + os.urandom(1)[0] * 1e-3\n"
    layers = "self.a, self.odd, self.b = nn.Linear(size, 32), Odd(), nn.Linear(32, num_classes)"
    words = own(code + net(layers, "return self.b(F.relu(self.odd(self.a(x))))"))
    found = checked("reproducibility", *words)["reproducibility.bits"]
    assert found.verdict == "warning"
    assert found.values["first"] == "the output of odd (odd) in update 1"
    again = checked("reproducibility", *words, "engine.deterministic=true")["reproducibility.bits"]
    assert again.verdict == "wrong"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_any_bit_and_any_place_counts(dtype):
    one = torch.tensor([0.25, 0.5, 0.125], dtype=dtype)
    other = torch.nextafter(one, torch.ones_like(one))
    sums = [reproducibility.bits(values) for values in (one, other, one.flip(0), torch.tensor([True, False, True]))]
    assert len(set(sums)) == 4


def test_the_cost_of_a_network_is_that_of_its_layers(checked):
    found = checked("cost", "model.hidden=[16]")["cost.network"]
    assert found.values["parameters"] == 64 * 16 + 16 + 16 * 10 + 10
    assert found.values["multiply_adds"] == 64 * 16 + 16 * 10
    by_layer = {layer["name"]: layer for layer in found.values["layers"]}
    assert by_layer["linear1"]["output_bytes"] == 16 * 4


def test_a_check_that_breaks_is_wrong_and_ends_no_other(checked, own):
    words = own(
        "class Net(nn.Linear):\n    def __init__(self, in_channels, image_size, num_classes):\n"
        "        super().__init__(in_channels * image_size**2, num_classes)\n"
        "    def forward(self, x):\n        if self.training and len(x) == 128: raise ValueError('odd batch')\n"
        "        return super().forward(x.flatten(1))\n"
    )
    found = checked("layers", *words)
    assert found["layers.error"].verdict == "wrong"
    assert "odd batch" in found["layers.error"].measured


def test_every_image_that_another_split_has_is_found_though_it_is_there_twice():
    draw = torch.Generator().manual_seed(0)
    train, val = (torch.randint(0, 256, (3, 1, 4, 4), generator=draw, dtype=torch.uint8) for _ in range(2))
    val = torch.cat([val, train[1:2], train[1:2], train[2:]])
    pairs = data.duplicates({"train": train, "val": val})
    assert [(pair.places, pair.exact) for pair in pairs] == [((1, 3), True), ((1, 4), True), ((2, 5), True)]


def test_headers_of_files_tell_sizes_and_modes(tmp_path):
    sizes_and_modes = [((30, 20), "RGB"), ((32, 20), "RGB"), ((31, 20), "RGB"), ((32, 20), "L"), ((320, 20), "RGB")]
    for number, (size, mode) in enumerate(sizes_and_modes):
        Image.new(mode, size).save(tmp_path / f"{number}.png")
    (tmp_path / "5.png").write_text("no picture")
    found = data._headers([tmp_path / f"{number}.png" for number in range(6)])
    assert found.verdict == "warning"
    assert found.measured == (
        "5 files, median 32 pixels, 4 RGB; 1 of another size by 4 times; 1 more than 4 times as long as wide; 1 L"
    )
    assert data._headers([tmp_path / "5.png"]).verdict == "skipped"


def test_of_a_data_set_without_a_test_split_none_is_looked_at():
    subject = SimpleNamespace(dataset=SimpleNamespace(num_test_images=None))
    assert data._looked_at(subject, "test") is None


def test_groups_keep_the_proportion_of_their_rates_while_the_rate_rises(monkeypatch):
    words = ["model=mlp", "optimizer=sgd", "optimizer.param_groups=[{params:biases,lr_scale:4}]"]
    subject = Subject(runner.compose(words))
    training, rates = subject.fresh(), []
    step = training.state.optimizer.step

    def noted(*args):
        rates.append([group["lr"] for group in training.state.optimizer.param_groups])
        return step(*args)

    monkeypatch.setattr(subject, "fresh", lambda: training)
    monkeypatch.setattr(training.state.optimizer, "step", noted)
    found = lr.ramp(subject)
    assert len(rates) >= len(found.lrs)
    for by_group, lowest in zip(rates, found.lrs, strict=False):
        assert max(by_group) == pytest.approx(lowest)
        assert max(by_group) / min(by_group) == pytest.approx(4)


def test_the_largest_gradient_of_a_tensor_is_tried_first():
    network = nn.Linear(3, 2, bias=False).double()
    x = torch.tensor([[0.1, 5.0, 0.2]], dtype=torch.float64)
    found = gradients.compare(network, nn.functional.cross_entropy, x, torch.tensor([0]))
    assert found[0].name in ("weight[1]", "weight[4]"), "those of the large input"
    assert all(one.error < 1e-6 for one in found)
    assert len(found) == 3


def test_the_same_parameters_are_tried_at_every_check():
    network = nn.Linear(30, 10).double()
    x, names = torch.rand(4, 30, dtype=torch.float64), []
    for _ in range(2):
        found = gradients.compare(network, nn.functional.cross_entropy, x, torch.tensor([0, 1, 2, 3]))
        names.append([one.name for one in found])
        torch.rand(7)
    assert names[0] == names[1]
    assert len(set(names[0])) > 3


def test_the_loss_of_auxiliary_classifiers_is_left_out_at_the_start(checked, own):
    # The scores are 0, so that their loss is ln 10. The auxiliary ones are not, and have a loss of their own.
    layers = "self.a, self.aux_weight = nn.Linear(size, num_classes), 0.3\n"
    layers += "        for p in self.parameters(): nn.init.zeros_(p)"
    words = own(net(layers, "return (self.a(x), 9 * self.a(x) + torch.eye(10)[0]) if self.training else self.a(x)"))
    assert checked("loss", *words)["loss.start"].values["loss"] == pytest.approx(math.log(10))


def test_a_network_without_layers_of_torchs_has_none_to_look_at(checked, own):
    layers = "self.weight = nn.Parameter(torch.randn(num_classes, size) / size)"
    (found,) = checked("layers", *own(net(layers, "return x @ self.weight.T"))).values()
    assert (found.name, found.verdict) == ("layers.dead", "skipped")
    assert found.measured == "no convolution, linear layer or activation of torch's is in the network"
