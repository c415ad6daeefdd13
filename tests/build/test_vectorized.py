"""Several trials as one network: what is refused, whose batches they train on, and how they are timed."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.fx import symbolic_trace

import runner
from runner.build import vectorized as module
from runner.data.batches import VectorizedBatches
from runner.errors import CannotVectorize

SMALL = ["data=synthetic", "data.num_images=60", "data.image_size=8", "model=linear"]


def cfgs_of(*each):
    return [runner.compose([*SMALL, *words.split()]) for words in each]


class Frozen(nn.Module):
    def __init__(self, drops=False):
        super().__init__()
        self.first, self.drops = nn.Linear(2, 2).requires_grad_(False), drops
        self.last = nn.Linear(2, 2)

    def forward(self, x):
        x = self.first(x)
        return self.last(nn.functional.dropout(x) if self.drops else x)


def test_one_factor_for_all_gradients_is_refused(monkeypatch):
    monkeypatch.setattr(module, "SharedSetup", lambda *_: SimpleNamespace(precision=SimpleNamespace(name="fp16")))
    with pytest.raises(CannotVectorize, match=r"^engine\.precision: fp16 scales all gradients by one number"):
        module.vectorize(cfgs_of("seed=0", "seed=1"))


@pytest.mark.parametrize(
    ("cut", "rest_of", "average", "drops", "said"),
    [
        (None, print, None, False, "transfer: the frozen part of the network has to see the images in every epoch"),
        ("cut", None, None, False, "transfer: the frozen part of the network has to see the images in every epoch"),
        ("cut", print, "ema", False, "average: of a network that is partly frozen it cannot be vectorized"),
        ("cut", print, None, True, "model: its dropout is no layer, so evaluation cannot leave it out"),
        ("cut", print, None, False, None),
    ],
)
def test_trials_share_a_frozen_part_that_has_seen_all_images(cut, rest_of, average, drops, said):
    network = Frozen(drops)
    state = SimpleNamespace(network=network, average=average)
    setup = SimpleNamespace(cut=cut, rest_of=rest_of)
    if said is None:
        module._check_transfer(state, symbolic_trace(network), setup)
        module._check_transfer(state, network, setup)
    else:
        with pytest.raises(CannotVectorize, match=f"^{said}"):
            module._check_transfer(state, symbolic_trace(network), setup)
        network.requires_grad_(True)
        module._check_transfer(state, symbolic_trace(network), setup)  # all of it learns


@pytest.mark.parametrize(
    ("each", "is_shared"),
    [
        (["optimizer.lr=0.1", "optimizer.lr=0.2"], True),
        (["augment=flip optimizer.lr=0.1", "augment=flip optimizer.lr=0.2"], True),
        (["seed=0", "seed=1"], False),
        (["augment=flip", "augment=flip seed=1"], False),
    ],
)
def test_trials_of_one_seed_and_augmentation_have_one_batch(each, is_shared):
    cfgs = cfgs_of(*each)
    setup = module.SharedSetup(cfgs[0], None)
    found = module._batches(cfgs, setup, [0, 1])
    assert (found is setup.train) is is_shared
    if not is_shared:
        assert isinstance(found, VectorizedBatches)
        assert [member.seed for member in found.members] == [cfg.seed for cfg in cfgs]
        assert len({id(member.augment) for member in found.members}) == 1
        assert found.present == [0, 1]


def test_trials_of_other_augmentations_have_a_pipeline_each():
    cfgs = cfgs_of("augment=translate", "augment=translate augment.translate.fraction=0.3", "augment=translate")
    setup = module.SharedSetup(cfgs[0], None)
    first, second, third = module._batches(cfgs, setup, [0, 1, 2]).members
    assert first.augment is third.augment is not second.augment


@pytest.mark.parametrize(("num_threads", "called"), [(0, ("choose for", 3)), (2, ("set", 2))])
def test_trials_have_the_threads_that_were_asked_for(monkeypatch, num_threads, called):
    calls = []
    monkeypatch.setattr(
        module.SharedSetup, "choose_threads", lambda self, network, count: calls.append(("choose for", count))
    )
    monkeypatch.setattr(torch, "set_num_threads", lambda count: calls.append(("set", count)))
    module.vectorize(cfgs_of("seed=0", "seed=1", "seed=2"), num_threads=num_threads)
    assert calls == [called]


def test_each_trial_begins_with_the_seed_of_its_config():
    together = module.vectorize(cfgs_of("seed=3", "seed=5"))
    for place, seed in enumerate((3, 5)):
        alone = runner.build.training(cfgs_of(f"seed={seed}")[0])
        for name, value in alone.state.network.state_dict().items():
            assert torch.equal(together.state.of(place).network.state_dict()[name], value)


class Turns:
    """Stands for what times the steps of a training."""

    seconds, num_threads = 0.5, 1

    def __init__(self, made, num_threads=None):
        self.turns = []

    def take_turn(self, steps):
        self.turns.append(steps)


def test_what_a_timing_costs_and_a_trial_takes_follows_from_a_first_turn(monkeypatch):
    monkeypatch.setattr(module, "_timer", Turns)
    (cfg,) = cfgs_of("engine.epochs=4 data.batch_size=10")
    timer = module.VectorizedTimer(cfg)
    assert timer.alone.turns == [3]
    num_updates = runner.build.training(cfg).train.num_batches * 4
    assert timer.num_updates == num_updates
    timer.build_seconds = 2.0
    assert timer.trial_seconds == 2.0 + num_updates * 0.5
    assert timer.cost(7) == 7 * 2.0 + 5 * 3 * 8 * 0.5
    assert timer.spent > 0


@pytest.mark.parametrize(
    ("device", "asked", "num_threads", "ways"),
    [("cpu", None, 4, [None, 1]), ("cpu", None, 1, [None]), ("cpu", 4, 4, [None]), ("cuda", None, 4, [None])],
)
def test_one_thread_is_timed_too_where_there_would_be_several(monkeypatch, device, asked, num_threads, ways):
    monkeypatch.setattr(module, "_timer", Turns)
    (cfg,) = cfgs_of("seed=0")
    timer = module.VectorizedTimer(cfg)
    made, state, settings = [], SimpleNamespace(device=torch.device(device)), SimpleNamespace(num_threads=asked)
    timed = SimpleNamespace(state=state, settings=settings)

    class Timer(Turns):
        def __init__(self, training, num_threads=None):
            super().__init__(training)
            assert training is timed
            made.append(num_threads)

    monkeypatch.setattr(Timer, "num_threads", num_threads)
    monkeypatch.setattr(module, "_timer", Timer)
    monkeypatch.setattr(module, "vectorize", lambda cfgs, dataset: timed)
    found = timer.time([cfg] * 4)
    assert made == ways
    assert (found.num_trials, found.together, found.alone, found.num_threads) == (4, 0.5, 0.5, 0)
    assert timer.alone.turns == [3] * 6


def test_a_steps_timer_has_the_threads_that_are_set(monkeypatch):
    monkeypatch.setattr(module, "StepTimer", lambda *given: given)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 6)
    made = SimpleNamespace(state=1, step=2, train=3)
    assert module._timer(made) == (1, 2, 3, 6)
    assert module._timer(made, 2) == (1, 2, 3, 2)


def test_the_times_of_vectorized_trials_are_measured():
    cfgs = cfgs_of("seed=0", "seed=1", "seed=2")
    timer = module.VectorizedTimer(cfgs[0])
    assert timer.trial_seconds > timer.build_seconds > 0
    timing = timer.time(cfgs)
    assert timing.num_trials == 3
    assert min(timing.together, timing.alone) > 0


@pytest.mark.parametrize(("one_thread", "num_threads", "together"), [(0.8, 1, 0.8), (0.9, 0, 1.0)])
def test_one_thread_is_taken_where_it_is_faster_by_a_fifth(monkeypatch, one_thread, num_threads, together):
    cfgs = cfgs_of("seed=0", "seed=1", "seed=2")
    turns = []

    def timer(made, num_threads=None):
        seconds = one_thread if num_threads == 1 else 1.0
        count = num_threads or 4
        return SimpleNamespace(seconds=seconds, num_threads=count, take_turn=lambda steps: turns.append(count))

    monkeypatch.setattr("runner.build.vectorized._timer", timer)
    found = module.VectorizedTimer(cfgs[0]).time(cfgs)
    assert found == module.Timing(3, together, 1.0, num_threads)
    assert turns[1:4] == [4, 4, 1], "a turn each: alone, together, and with one thread"
    assert turns[1:] == [4, 4, 1] * (len(turns) // 3)
    turns.clear()
    module.VectorizedTimer(cfgs[0]).time(cfgs, until=0.0)
    assert turns[1:] == [4, 4, 1], "no more than one each where time is up"


def test_the_speedup_is_that_of_as_many_trials_one_by_one():
    assert module.Timing(num_trials=4, together=0.5, alone=0.25).speedup == 2.0


def test_fewer_vectorized_trials_fit_where_workers_share_a_gpu(monkeypatch):
    cfg = runner.compose(["data=synthetic", "data.num_images=80", "model=linear"])
    monkeypatch.setattr(module, "free_memory", lambda device: 4800)
    monkeypatch.setattr(module.memory, "of_trial", lambda *_: 100)
    assert module.VectorizedTimer(cfg).most_together == 24  # half of 48
    monkeypatch.setattr(module, "num_sharing", lambda device: 3)
    assert module.VectorizedTimer(cfg).most_together == 8
    monkeypatch.setattr(module, "free_memory", lambda device: 0)
    assert module.VectorizedTimer(cfg).most_together == 1


def test_trials_together_have_room_for_their_largest_images(monkeypatch):
    images = ["data=synthetic", "data.num_images=80", "data.image_size=16", "data.progressive_sizes=[8,16]"]
    cfg = runner.compose([*images, "model=resnet", "model.depth=20", "model.width=2", "engine.epochs=2"])
    measured = []

    def of_trial(state, step, batch):
        measured.append(batch[0].shape[-1])
        return 1

    monkeypatch.setattr(module.memory, "of_trial", of_trial)
    module.VectorizedTimer(cfg)
    assert measured == [16]
