"""What only a GPU can show: bits that repeat, states that move between devices and layouts, memory that runs out.

With RUNNER_TEST_DEVICE=cpu the tests that a CPU can take are rehearsed there.
"""

import copy
import os

import pytest
import torch

import runner
from runner.check import batch_size
from runner.data.preprocess import fit
from runner.errors import OutOfMemory, UserError
from tests.contract.test_every_option import NEEDS, TRAINED

DEVICE = os.environ.get("RUNNER_TEST_DEVICE", "cuda")
pytestmark = [pytest.mark.cuda] if DEVICE == "cuda" else []
only_cuda = pytest.mark.skipif(DEVICE != "cuda", reason="the CPU has none of it")

CONVNET = ["model=convnet", "model.channels=[8,8]", "model.hidden=16", "data.batch_size=64", f"engine.device={DEVICE}"]
EXACT = ["engine.precision=fp32", "engine.deterministic=true"]
SMALL = ["data=synthetic", "data.num_images=60", "data.image_size=8", "data.batch_size=20", f"engine.device={DEVICE}"]


def made_with(*words):
    return runner.build.training(runner.compose([*CONVNET, *words]))


def losses_of(made, num_steps, epoch=0):
    """Losses [num_steps, T]; the metrics are added up and read at the end, as in a training."""
    found = []
    for batch, _ in zip(made.train.epoch(epoch), range(num_steps), strict=False):
        losses, predictions = made.step(made.state, batch)
        made.state.sums.add(losses, predictions, batch[1].shape[-1])
        made.state.step += 1
        found.append(losses)
    made.state.sums.settle()
    made.state.sums.clear()
    return torch.stack(found).cpu()


def weights_of(state):
    return [tensor.cpu() for tensor in state.network.state_dict().values()]


def assert_equal_weights(one, other):
    assert all(torch.equal(*pair) for pair in zip(weights_of(one), weights_of(other), strict=True))


@pytest.mark.parametrize("words", [[], ["reg=dropout", "optimizer=adam"], ["augment=[crop,flip]", "average=ema"]])
def test_a_deterministic_training_resumes_to_the_bit(words):
    through, resumed = (made_with(*EXACT, *words) for _ in range(2))
    losses_of(through, 20)
    saved = copy.deepcopy(through.state.state_dict())
    expected = losses_of(through, 20, epoch=1)
    resumed.state.load_state_dict(saved)
    assert torch.equal(losses_of(resumed, 20, epoch=1), expected)
    assert_equal_weights(resumed.state, through.state)


def test_two_deterministic_trainings_have_the_same_bits_after_other_products_of_matrices():
    torch.randn(64, 64, device=DEVICE) @ torch.randn(64, 64, device=DEVICE)
    one, other = (made_with(*EXACT) for _ in range(2))
    assert torch.equal(losses_of(one, 18), losses_of(other, 18))


@pytest.mark.parametrize("optimizer", ["momentum", "adamw", "muon"])
def test_a_trial_goes_on_alone_as_among_vectorized_ones(optimizer):
    words = [*CONVNET, *EXACT, "model.norm=batch", f"optimizer={optimizer}"]
    cfgs = [runner.compose([*words, f"optimizer.lr={lr}"]) for lr in (0.01, 0.02)]
    together, alone = runner.build.vectorize(cfgs), runner.build.training(cfgs[1])
    losses_of(together, 10)
    alone.state.load_state_dict(copy.deepcopy(together.state.of(1).state_dict()))
    expected = losses_of(together, 10, epoch=1)[:, 1:]
    torch.testing.assert_close(losses_of(alone, 10, epoch=1), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("optimizer", ["momentum", "adamw"])
def test_a_training_of_the_cpu_goes_on_here(optimizer):
    words = ["engine.precision=fp32", f"optimizer={optimizer}"]
    there, here = made_with(*words, "engine.device=cpu"), made_with(*words)
    losses_of(there, 10)
    here.state.load_state_dict(copy.deepcopy(there.state.state_dict()))
    expected = losses_of(there, 10, epoch=1)
    torch.testing.assert_close(losses_of(here, 10, epoch=1), expected, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("model", [["model=mlp"], ["model=convnet", "model.norm=batch"]], ids=lambda words: words[0])
def test_vectorized_trials_train_as_alone(model):
    words = [*SMALL, *EXACT, *model]
    cfgs = [runner.compose([*words, f"optimizer.lr={lr}", f"seed={seed}"]) for seed, lr in enumerate((0.01, 0.02))]
    expected = torch.cat([losses_of(runner.build.training(cfg), 6) for cfg in cfgs], dim=1)
    torch.testing.assert_close(losses_of(runner.build.vectorize(cfgs), 6), expected, rtol=1e-3, atol=1e-4)


def test_worker_processes_bring_the_images_that_the_memory_has():
    found = []
    for loading in ("in_memory", "workers"):
        words = [f"data.loading={loading}", "data.num_workers=2", "augment=[crop,flip]", *EXACT]
        found.append(losses_of(made_with(*words), 8))
    torch.testing.assert_close(*found, rtol=1e-5, atol=1e-6)


def test_statistics_are_those_of_the_cpu():
    source = runner.build.data(runner.compose(["data=synthetic"])).source("train")
    here, there = (fit(source, "standardize", torch.device(device)) for device in (DEVICE, "cpu"))
    assert torch.equal(here.shift, there.shift)
    assert torch.equal(here.scale, there.scale)


@only_cuda
def test_reading_the_metrics_is_all_that_waits_for_the_device():
    made = made_with("engine.clip_grad_norm=1", "average=ema")
    losses_of(made, 3)
    batches = list(made.train.epoch(1))[:17]
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for batch in batches:
            losses, predictions = made.step(made.state, batch)
            made.state.sums.add(losses, predictions, len(batch[1]))
        made.state.sums.settle()
    finally:
        torch.cuda.set_sync_debug_mode("default")


@only_cuda
def test_an_update_that_overflows_fp16_is_left_out_and_the_scale_falls():
    made = made_with("engine.precision=fp16", "optimizer=sgd")
    batch = next(iter(made.train.epoch()))
    made.step(made.state, batch)
    made.state.precision.scaler.update(2.0**40)
    before = weights_of(made.state)
    made.step(made.state, batch)
    trained = dict(made.state.network.named_parameters())
    names = list(made.state.network.state_dict())
    for name, old, new in zip(names, before, weights_of(made.state), strict=True):
        assert name not in trained or torch.equal(old, new)
    assert made.state.precision.scaler.get_scale() < 2.0**40


@pytest.mark.slow
@pytest.mark.parametrize("how", ["true", "reduce-overhead"])
def test_compiled_vectorized_trials_with_batch_norm_train_as_eager_ones(how):
    found = []
    for compile_ in ("false", how):
        words = [*SMALL, "model=convnet", "model.norm=batch", "engine.precision=fp32", f"engine.compile={compile_}"]
        cfgs = [runner.compose([*words, f"optimizer.lr={lr}"]) for lr in (0.01, 0.02)]
        found.append(losses_of(runner.build.vectorize(cfgs), 3))
    torch.testing.assert_close(*found, rtol=1e-3, atol=1e-4)


@only_cuda
class TestOutOfMemory:
    """The process may take a small share of the memory."""

    HUGE = ("data=synthetic", "data.num_images=20000", "data.image_size=32", "model=convnet", "model.channels=[64,64]")

    @pytest.fixture(autouse=True)
    def little_memory(self):
        torch.cuda.empty_cache()
        _, total = torch.cuda.mem_get_info()
        torch.cuda.set_per_process_memory_fraction(min(1.0, 2 * 2**30 / total))  # 2 GiB
        yield
        torch.cuda.set_per_process_memory_fraction(1.0)
        torch.cuda.empty_cache()

    def words(self, tmp_path, *words):
        quiet = ["log.progress=none", "engine.max_steps=2", "engine.device=cuda", f"output_dir={tmp_path}"]
        return [*self.HUGE, *quiet, *words]

    def test_a_batch_that_is_too_large_ends_in_one_line(self, tmp_path):
        with pytest.raises(OutOfMemory, match=r"^data.batch_size=16000: out of GPU memory"):
            runner.train(self.words(tmp_path, "data.batch_size=16000"))

    def test_it_is_cut_where_that_is_wanted(self, tmp_path):
        run = runner.train(self.words(tmp_path, "data.batch_size=16000", "engine.on_oom=shrink"))
        assert run.record["part_size"] < 16000

    def test_the_largest_batch_is_found_and_fits(self, tmp_path):
        run = runner.train(self.words(tmp_path, "data.batch_size=auto"))
        assert 2 <= run.config.data.batch_size < 16000
        assert "part_size" not in run.record

    def test_vectorized_trials_are_halved(self, tmp_path):
        words = self.words(tmp_path, "optimizer.lr=loguniform(1e-4,1e-2)", "sweep.vectorize=32", "data.batch_size=1024")
        rounds = "sweep.rounds=[{trials: 32, epochs: 1}]"
        sweep = runner.sweep([*words, rounds, "sweep.num_finalists=0"])
        assert "ran out of memory" in (sweep.folder / "vectorize.json").read_text()


@pytest.mark.parametrize("word", [word for word in TRAINED if not word.startswith("data=")])
def test_every_option_makes_an_update_and_an_evaluation(word):
    network = "model=convnet" if word == "reg=fractional_max_pool" else "model=mlp"
    words = [*SMALL, network, word, *NEEDS.get(word, []), "engine.limit_batches=1"]
    if word == "optimizer=lbfgs":
        words += ["engine.precision=fp32", "engine.limit_batches=null", "data.batch_size=60"]
    made = runner.build.training(runner.compose(words))
    assert losses_of(made, 1).isfinite().all()
    assert all(value == value for value in made.evaluate(made.state)[0].values())


def test_auto_needs_a_gpu():
    cfg = runner.compose([*SMALL, "data.batch_size=auto"])
    dataset = runner.build.data(cfg)
    if DEVICE == "cuda":
        assert batch_size.settled(cfg, dataset).data.batch_size == 32  # of 54 training images
    else:
        with pytest.raises(UserError, match="auto"):
            batch_size.settled(cfg, dataset)
