"""One update: accumulation, clipping, precision, averages, and the same result compiled."""

import copy
import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import runner
from runner.average import EMA

# Without batch norm, whose statistics depend on how a batch is cut.
PLAIN = ["model.norm=none", "model.channels=[8,8]", "model.hidden=16", "optimizer=momentum"]


def training(*words):
    return runner.build.training(runner.compose([*PLAIN, *words]))


def losses(made, num_steps):
    return [
        made.step(made.state, batch)[0].item() for batch, _ in zip(made.train.epoch(), range(num_steps), strict=False)
    ]


def assert_same_weights(one, other, **tolerance):
    for left, right in zip(one.state.network.parameters(), other.state.network.parameters(), strict=True):
        torch.testing.assert_close(left, right, **tolerance)


@pytest.mark.parametrize(
    "words", [[], ["engine.clip_grad_norm=0.1"], ["reg=[l2,label_smoothing]", "reg.l2.strength=0.1"]]
)
def test_accumulated_batches_make_the_same_update_as_one_large_batch(words):
    large = training("data.batch_size=64", *words)
    cut = training("data.batch_size=16", "engine.accumulate_steps=4", *words)
    assert large.train.num_batches == cut.train.num_batches
    assert losses(large, 30) == pytest.approx(losses(cut, 30), rel=1e-4)
    assert_same_weights(large, cut, rtol=1e-4, atol=1e-6)


def test_the_short_last_batch_is_cut_fairly():
    large = training("data.batch_size=512")
    cut = training("data.batch_size=171", "engine.accumulate_steps=3")
    *_, last = large.train.epoch()
    assert len(last[1]) == 1199 - 2 * 512
    large.step(large.state, last)
    cut.step(cut.state, last)
    assert_same_weights(large, cut, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("num_trials", [1, 2])
@pytest.mark.parametrize(("batch_size", "num_parts", "sizes"), [(13, 2, [26, 26]), (149, 4, [596, 6])])
def test_no_part_of_a_batch_is_too_small_for_batch_norm(batch_size, num_parts, sizes, num_trials):
    words = ["model=mlp", "model.norm=batch", f"data.batch_size={batch_size}", f"engine.accumulate_steps={num_parts}"]
    cfgs = [runner.compose([*words, f"seed={seed}", f"optimizer.lr=0.0{seed + 1}"]) for seed in range(num_trials)]
    made = runner.build.training(*cfgs) if num_trials == 1 else runner.build.vectorize(cfgs)
    *_, one, last = made.train.epoch()
    assert [labels.shape[-1] for _, labels in (one, last)] == sizes
    for batch in (one, last):
        found, _ = made.step(made.state, batch)
        assert found.isfinite().all()


def test_clipping_bounds_the_norm_of_the_whole_gradient():
    made = training("engine.clip_grad_norm=0.01")
    losses(made, 1)
    grads = torch.cat([p.grad.flatten() for p in made.state.network.parameters()])
    assert grads.norm().item() == pytest.approx(0.01, rel=1e-3)


def test_bf16_computes_in_bf16_and_keeps_weights_in_fp32():
    made, full = training("engine.precision=bf16"), training("engine.precision=fp32")
    seen = []
    made.state.network[-1].register_forward_hook(lambda layer, args, output: seen.append(output.dtype))
    low, high = losses(made, 5), losses(full, 5)
    assert seen[0] == torch.bfloat16
    assert low == pytest.approx(high, rel=0.05)
    assert low != high
    assert {p.dtype for p in made.state.network.parameters()} == {torch.float32}


def test_fp16_scales_its_gradients_and_saves_the_scale():
    large = "init.score_gain=null"  # so that the first gradients overflow
    made = training("engine.precision=fp16", large)
    scaler = made.state.precision.scaler
    before = scaler.get_scale()
    assert losses(made, 19)[-1] < 0.7 * losses(training("engine.precision=fp32", large), 1)[0]
    # The first gradients overflow at the scale that it starts with; those updates are skipped and it is halved.
    assert scaler.get_scale() < before
    other = training("engine.precision=fp16")
    other.state.load_state_dict(copy.deepcopy(made.state.state_dict()))
    assert other.state.precision.scaler.get_scale() == scaler.get_scale()


@pytest.mark.parametrize("optimizer", ["momentum", "nesterov", "adam"])
def test_an_overflow_in_the_first_update_does_no_harm(optimizer):
    made = training("engine.precision=fp16", f"optimizer={optimizer}")
    made.state.precision.scaler.load_state_dict(made.state.precision.scaler.state_dict() | {"scale": 2.0**40})
    before = [parameter.detach().clone() for parameter in made.state.network.parameters()]
    losses(made, 1)
    assert all(torch.equal(p, q) for p, q in zip(before, made.state.network.parameters(), strict=True))
    made.state.precision.scaler.load_state_dict(made.state.precision.scaler.state_dict() | {"scale": 2.0**10})
    assert all(loss == loss for loss in losses(made, 19))
    assert all(parameter.isfinite().all() for parameter in made.state.network.parameters())


@pytest.mark.slow
def test_a_step_compiles_once_whatever_the_learning_rate_and_gives_the_same_losses():
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    compiled = training("engine.compile=true", "schedule=cosine", "data.drop_last=true")
    eager = training("schedule=cosine", "data.drop_last=true")
    with torch._dynamo.config.patch(error_on_recompile=True):
        got = losses(compiled, 4)
    assert got == pytest.approx(losses(eager, 4), rel=1e-4)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1  # forward and loss in one piece


@pytest.mark.cuda
@pytest.mark.slow
@pytest.mark.timeout(900)  # max-autotune times many kernels
@pytest.mark.parametrize("how", ["reduce-overhead", "max-autotune"])
@pytest.mark.parametrize("words", [[], ["engine.accumulate_steps=2"]])
def test_recorded_steps_have_the_losses_of_plain_ones(how, words):
    torch._dynamo.reset()
    common = ("engine.device=cuda", "engine.precision=fp32", "schedule=cosine", "data.drop_last=true", *words)
    recorded, plain = training(f"engine.compile={how}", *common), training(*common)
    assert losses(recorded, 6) == pytest.approx(losses(plain, 6), rel=1e-3)


def test_channels_last_changes_the_layout_and_nothing_else():
    last, first = training("engine.channels_last=true"), training("engine.channels_last=false")
    assert last.state.network[3].weight.is_contiguous(memory_format=torch.channels_last)
    assert losses(last, 5) == pytest.approx(losses(first, 5), rel=1e-4)


@pytest.mark.parametrize("wanted", [True, False])
def test_the_images_have_the_layout_that_was_asked_for(wanted):
    words = ["data=synthetic", "data.image_size=8", "data.batch_size=4", "data.num_images=20"]
    made = training(*words, f"engine.channels_last={str(wanted).lower()}")
    seen = []
    made.state.network.register_forward_hook(lambda layer, args, output: seen.append(args[0].stride()))
    losses(made, 1)
    assert seen == [(3 * 8 * 8, 1, 8 * 3, 3) if wanted else (3 * 8 * 8, 8 * 8, 8, 1)]


@pytest.mark.parametrize("decay", [0.9, 0.995, 1.0])
def test_the_average_is_the_weighted_mean_of_the_weights_after_each_step(decay):
    made = training("average=ema", f"average.decay={decay}")
    network, average, seen = made.state.network, made.state.average, []
    for step, batch in zip(range(1, 6), made.train.epoch(), strict=False):
        made.step(made.state, batch)
        seen.append([parameter.detach().double().numpy().copy() for parameter in network.parameters()])
        weights = decay ** np.arange(step)[::-1]  # 1 for the latest; the random start has none
        expected = [np.tensordot(weights / weights.sum(), np.stack(own), 1) for own in zip(*seen, strict=True)]
        for got, want in zip(average.network.parameters(), expected, strict=True):
            np.testing.assert_allclose(got.numpy(), want, rtol=1e-4, atol=1e-6)
    assert made.state.scored_network is average.network


def test_the_average_covers_batch_norm_statistics_and_copies_counters():
    network, schedule = torch.nn.Sequential(torch.nn.BatchNorm1d(2)), SimpleNamespace(num_steps=0)
    average, means = EMA(network, schedule, decay=0.5), []
    for images in (torch.tensor([[1.0, 2.0], [3.0, 8.0]]), torch.tensor([[0.0, 1.0], [5.0, 2.0]])):
        network(images)
        means.append(network[0].running_mean.clone())
        schedule.num_steps += 1
        average.update()
    torch.testing.assert_close(average.network[0].running_mean, means[0] / 3 + 2 * means[1] / 3)
    assert average.network[0].num_batches_tracked == 2
    assert not average.network.training


def statistics_of(made):
    norms = [layer for layer in made.state.network.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
    return [torch.stack([layer.running_mean, layer.running_var]).clone() for layer in norms]


@pytest.mark.parametrize("freeze", ["lr_scale:0", "freeze_after_epochs:0"])
def test_frozen_layers_keep_their_running_statistics_and_normalize_by_them(freeze):
    groups = f"optimizer.param_groups=[{{params:'[01].*',{freeze}}}]"  # the first convolution and its normalization
    made = training("model.norm=batch", groups)
    frozen = made.state.network[1]
    frozen.running_mean.fill_(0.5)
    seen = []
    frozen.register_forward_hook(lambda layer, args, output: seen.append((args[0], output)))
    before = statistics_of(made)
    made.evaluate(made.state)  # which sets modes of its own
    losses(made, 3)
    after = statistics_of(made)
    assert torch.equal(after[0], before[0])
    assert not torch.equal(after[1], before[1])
    x, y = seen[-1]
    torch.testing.assert_close(y, (x - 0.5) / (1 + frozen.eps) ** 0.5)
    assert frozen.num_batches_tracked == 0


def test_layers_that_freeze_in_the_middle_keep_the_running_statistics_of_then():
    made = training("model.norm=batch", "optimizer.param_groups=[{params:'[01].*',freeze_after_epochs:'2 steps'}]")
    seen = [statistics_of(made)]
    for batch, _ in zip(made.train.epoch(), range(4), strict=False):
        made.step(made.state, batch)
        seen.append(statistics_of(made))
    moved = [[not torch.equal(one[n], other[n]) for one, other in itertools.pairwise(seen)] for n in range(2)]
    assert moved == [[True, True, False, False], [True, True, True, True]]


@pytest.mark.parametrize("params", ["biases", "'0.*'"])
def test_a_normalization_layer_with_a_parameter_that_trains_is_not_frozen(params):
    made = training("model.norm=batch", f"optimizer.param_groups=[{{params:{params},lr_scale:0}}]")
    before = statistics_of(made)
    losses(made, 1)
    assert not torch.equal(statistics_of(made)[0], before[0])


def test_the_learning_rate_reaches_the_optimizer_every_step():
    made = training("schedule=cosine", "schedule.warmup_epochs='4 steps'", "optimizer.lr=0.4")
    rates = []
    for batch, _ in zip(made.train.epoch(), range(4), strict=False):
        made.step(made.state, batch)
        rates += set(made.state.schedule.used_lrs)
    assert rates == pytest.approx([0.1, 0.2, 0.3, 0.4])


@pytest.mark.cuda
@pytest.mark.parametrize(
    "words", [[], ["engine.compile=true"], ["average=ema", "reg=[l2,dropout,label_smoothing]", "augment=[crop,flip]"]]
)
def test_a_step_on_the_gpu_never_waits_for_the_device(words):
    made = runner.build.training(
        runner.compose(["data=synthetic", "engine.device=cuda", "engine.clip_grad_norm=1", *words])
    )
    batches = list(made.train.epoch())[:6]
    for batch in batches[:3]:
        made.step(made.state, batch)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for batch in batches[3:]:
            losses, correct = made.step(made.state, batch)
            made.state.sums.add(losses, correct, len(batch[1]))
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.cuda
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_the_gpu_learns_in_every_precision(train, precision):
    run = train("engine.device=cuda", f"engine.precision={precision}", "engine.epochs=8")
    assert run.objective > 0.95


def test_the_compilers_memory_is_cleared_when_another_network_comes(monkeypatch):
    """It gives up without a word after eight forms of one function."""
    resets, made = [], []
    monkeypatch.setattr(torch._dynamo, "reset", lambda: resets.append(len(made)))
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    monkeypatch.setattr("runner.engine.step._compiled_forms", set())
    for width in (4, 4, 5, 5, 6, 4):
        runner.build.training(runner.compose(["model=mlp", f"model.hidden=[{width}]", "engine.compile=true"]))
        made.append(width)
    assert resets == [2, 4, 5]


def too_large_above(made, num_images):
    """Has the network's forward pass run out of memory for more images than that; the sizes that it was given."""
    sizes = []

    def refuse(module, inputs):
        sizes.append(len(inputs[0]))
        if len(inputs[0]) > num_images:
            torch.rand(())  # as a pass may have drawn before it failed
            raise torch.OutOfMemoryError("CUDA out of memory")

    made.state.network.register_forward_pre_hook(refuse)
    return sizes


@pytest.mark.parametrize("words", [[], ["engine.clip_grad_norm=0.1"], ["optimizer=momentum", "optimizer.sam=0.05"]])
def test_batches_too_large_for_the_memory_are_halved_with_the_same_update(words, capsys):
    whole = training("data.batch_size=64", *words)
    shrunk = training("data.batch_size=64", "engine.on_oom=shrink", *words)
    sizes = too_large_above(shrunk, 20)
    assert losses(shrunk, 20) == pytest.approx(losses(whole, 20), rel=1e-4)
    assert_same_weights(shrunk, whole, rtol=1e-4, atol=1e-6)
    assert sizes[:7] == [64, 32, 16, 16, 16, 16, 16]
    assert shrunk.state.part_size == 16
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 2
    assert "16 images at a time" in told[1]


def test_dropout_draws_after_a_failed_pass_what_it_draws_for_parts_of_that_size():
    words = ["model=mlp", "model.norm=none", "reg=dropout"]
    cut, shrunk = (
        runner.build.training(runner.compose([*words, *more]))
        for more in (
            ["data.batch_size=32", "engine.accumulate_steps=2"],
            ["data.batch_size=64", "engine.on_oom=shrink"],
        )
    )
    too_large_above(shrunk, 32)
    batch = next(iter(cut.train.epoch()))
    random = torch.get_rng_state()
    cut.step(cut.state, batch)
    torch.set_rng_state(random)
    shrunk.step(shrunk.state, batch)
    assert_same_weights(shrunk, cut, rtol=0, atol=0)


def test_running_statistics_see_no_pass_that_failed():
    made = training("model.norm=batch", "data.batch_size=64", "engine.on_oom=shrink")
    (norm, *_) = [layer for layer in made.state.network.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
    last = list(made.state.network.modules())[-1]
    fails = [True]

    def fail_once(module, inputs):
        if fails.pop() if fails else False:
            raise torch.OutOfMemoryError("CUDA out of memory")

    last.register_forward_pre_hook(fail_once)
    made.step(made.state, next(iter(made.train.epoch())))
    assert norm.num_batches_tracked == 2  # one of each half, none of the whole


def test_a_short_last_batch_is_cut_by_the_size_that_fits():
    made = training("model.norm=batch", "data.batch_size=64", "engine.on_oom=shrink")
    sizes = too_large_above(made, 4)
    images, labels = next(iter(made.train.epoch()))
    made.step(made.state, (images, labels))
    sizes.clear()
    made.step(made.state, (images[:13], labels[:13]))
    assert sizes == [4, 3, 3, 3]  # a chunk of 4, 4, 4 and 1 would leave batch normalization a single image


def test_the_memory_that_was_too_small_is_known_after_a_resume():
    made = training("data.batch_size=64", "engine.on_oom=shrink")
    too_large_above(made, 16)
    losses(made, 1)
    again = training("data.batch_size=64", "engine.on_oom=shrink")
    again.state.load_state_dict(copy.deepcopy(made.state.state_dict()))
    assert again.state.part_size == 16


@pytest.mark.parametrize("words", [[], ["engine.on_oom=shrink"]], ids=["fail", "one image is too large"])
def test_a_batch_that_cannot_be_cut_fails(words):
    made = training("data.batch_size=64", *words)
    too_large_above(made, 0)
    with pytest.raises(torch.OutOfMemoryError):
        losses(made, 1)


def test_after_an_update_every_unit_is_within_max_norm():
    words = ["model=mlp", "model.hidden=[16]", "reg=max_norm", "reg.max_norm.max_norm=0.5", "engine.limit_batches=2"]
    alone = runner.build.training(runner.compose(words))
    together = runner.build.vectorize([runner.compose([*words, f"seed={seed}"]) for seed in (1, 2)])
    for training in (alone, together):
        for batch in training.train.epoch():
            training.step(training.state, batch)
    networks = [alone.state.network, *(together.state.of(trial).network for trial in range(2))]
    for network in networks:
        for name, weight in network.named_parameters():
            if weight.ndim == 2:
                assert weight.detach().norm(dim=1).max() < 0.5 * (1 + 1e-5), name  # He's are about 1.4
