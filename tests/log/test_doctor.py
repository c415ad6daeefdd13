"""The doctor: silent where a training is sane, and a line for each sign where it is broken."""

import json
import math
import time
from types import SimpleNamespace

import pytest
import torch

import runner
from runner.log import doctor
from runner.log.doctor import Doctor, Vitals


def records(train, val=None, accuracy=None, train_accuracy=0.5, lr=0.1):
    """Epochs with these losses."""
    val = val or [None] * len(train)
    accuracy = accuracy or [0.5] * len(train)
    lrs = lr if isinstance(lr, list) else [lr] * len(train)
    return [
        {"epoch": epoch, "lr": rate, "train/loss": loss, "train/accuracy": train_accuracy}
        | ({} if of_val is None else {"val/loss": of_val, "val/accuracy": right})
        for epoch, (loss, of_val, right, rate) in enumerate(zip(train, val, accuracy, lrs, strict=True), 1)
    ]


def test_a_gap_that_grows_is_told_once_validation_is_no_better():
    train = [2.3, 1.5, 1.0, 0.7, 0.5, 0.35, 0.25, 0.2]
    val = [2.3, 1.7, 1.4, 1.5, 1.6, 1.7, 1.8, 1.9]
    worse = [0.2, 0.4, 0.6, 0.59, 0.58, 0.58, 0.57, 0.57]
    text = doctor.gap(Vitals(records(train, val, worse), 20))
    assert "overfitting" in text
    assert "engine.patience" in text
    better = [0.2, 0.4, 0.6, 0.61, 0.62, 0.63, 0.64, 0.65]
    assert doctor.gap(Vitals(records(train, val, better), 20)) is None
    assert doctor.gap(Vitals(records(train[:5], val[:5], worse[:5]), 20)) is None
    stays = [*val[:-2], 2.0, 2.0]  # with the losses of train below, a gap of 1.5 twice
    assert doctor.gap(Vitals(records([*train[:-2], 0.5, 0.5], stays, worse), 20)) is None


@pytest.mark.parametrize(("last", "told"), [(3.4, True), (3.2, False)])
def test_a_gap_is_wide_by_the_first_training_loss(last, told):
    train = [10.0, 1.5, 1.0, 0.7, 0.5, 0.35, 0.25, 0.2]
    val = [10.0, 1.7, 1.4, 1.5, 1.6, 1.7, 1.8, last]
    worse = [0.2, 0.4, 0.6, 0.59, 0.58, 0.58, 0.57, 0.57]
    assert (doctor.gap(Vitals(records(train, val, worse), 20)) is not None) is told  # 3.2 or 3.0, to 30% of 10


def test_a_validation_loss_that_rises_with_the_accuracy_is_overconfidence():
    val = [1.0, 0.8, 0.85, 0.95, 1.0, 1.05, 1.1, 1.15]
    rises = [0.5, 0.6, 0.62, 0.63, 0.64, 0.65, 0.65, 0.66]
    text = doctor.overconfidence(Vitals(records([1.0] * 8, val, rises), 20))
    assert "since epoch 2" in text
    assert "44%" in text  # 1.15 / 0.8
    for epochs, is_told in ((6, False), (7, True)):  # five of them since the best
        short = [1.0, 0.8, *([1.05] * (epochs - 2))]
        found = doctor.overconfidence(Vitals(records([1.0] * epochs, short, rises[:epochs]), 20))
        assert (found is not None) is is_told
    back = [1.0, 0.8, 0.85, 0.9, 0.95, 0.85, 1.1, 1.1, 1.1]  # the last three stay above 1.25 times the lowest
    assert doctor.overconfidence(Vitals(records([1.0] * 9, back, [*rises, 0.67]), 20)) is not None
    assert doctor.overconfidence(Vitals(records([1.0] * 8, back[:8], rises), 20)) is None
    just = [1.0, 0.5, *([0.625] * 6)]  # 1.25 times the lowest, to the bit
    assert doctor.overconfidence(Vitals(records([1.0] * 8, just, rises), 20)) is not None
    falls = [0.5, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6]
    assert doctor.overconfidence(Vitals(records([1.0] * 8, val, falls), 20)) is None


def test_a_loss_that_stands_still_is_a_plateau_or_a_rate_that_fell_too_early():
    still = [2.0, 1.5, 1.4, 1.4, 1.4, 1.401, 1.399, 1.4, 1.4, 1.4]
    constant = Vitals(records(still), 40, peak_lr=0.1)
    assert "a plateau" in doctor.plateau(constant)
    assert doctor.wasted_rate(constant) is None
    assert doctor.plateau(Vitals(records([2.0, *[1.4] * 8]), 40, peak_lr=0.1)) is None, "of nine epochs"
    assert doctor.plateau(Vitals(records([2.0, *[1.4] * 9]), 40, peak_lr=0.1)) is not None
    falling = [0.1 * 0.5**epoch for epoch in range(10)]
    decayed = Vitals(records(still, lr=falling), 40, peak_lr=0.1)
    assert doctor.plateau(decayed) is None
    assert "30 epochs to go" in doctor.wasted_rate(decayed)
    assert doctor.wasted_rate(Vitals(records(still, lr=falling), 11, peak_lr=0.1)) is None  # near its end it may
    low = [0.1, *[0.005] * 9]  # it fell at once, to a twentieth
    assert doctor.wasted_rate(Vitals(records(still, lr=low), 40, peak_lr=0.1)) is not None
    assert doctor.plateau(Vitals(records(still, lr=low), 40, peak_lr=0.1)) is None
    for accuracy in (0.97, 0.99):
        assert doctor.plateau(Vitals(records(still, train_accuracy=accuracy), 40, peak_lr=0.1)) is None
        assert doctor.wasted_rate(Vitals(records(still, train_accuracy=accuracy, lr=falling), 40, peak_lr=0.1)) is None
    moving = [2.0 * 0.97**epoch for epoch in range(10)]
    assert doctor.plateau(Vitals(records(moving), 40, peak_lr=0.1)) is None


def test_a_layer_of_dead_units_is_told():
    assert "95% of the units of relu1" in doctor.dead_units(Vitals([], 5, dead={"relu1": 0.95, "relu2": 0.1}))
    assert doctor.dead_units(Vitals([], 5, dead={"relu1": 0.5})) is None


def test_updates_that_are_too_small_or_too_large_are_told():
    assert "a higher" in doctor.update_ratio(Vitals(records([1.0]), 5, 0.1, ratio=1e-8))
    assert "a lower" in doctor.update_ratio(Vitals(records([1.0]), 5, 0.1, ratio=0.9))
    for ratio in (1e-3, 2e-5, 0.09):  # from 1e-5 to 0.1
        assert doctor.update_ratio(Vitals(records([1.0]), 5, 0.1, ratio=ratio)) is None
    for ratio in (5e-6, 0.11):
        assert doctor.update_ratio(Vitals(records([1.0]), 5, 0.1, ratio=ratio)) is not None
    at_the_end = records([1.0], lr=1e-6)
    assert doctor.update_ratio(Vitals(at_the_end, 5, 0.1, ratio=1e-8)) is None


def test_a_gradient_that_jumps_with_the_loss_is_a_spike():
    norms, losses = [1.0, 1.2, 0.9, 1.0, 1.1, 1.0, 50.0], [2.0, 1.8, 1.6, 1.5, 1.4, 1.3, 4.0]
    assert "engine.clip_grad_norm" in doctor.spikes(Vitals([], 5, norms=norms, losses=losses))
    assert doctor.spikes(Vitals([], 5, norms=norms, losses=[*losses[:-1], 1.2])) is None
    for times, is_spike in ((1.6, True), (1.4, False)):  # of the median of the five before, 1.5
        found = doctor.spikes(Vitals([], 5, norms=norms, losses=[*losses[:-1], 1.5 * times]))
        assert (found is not None) == is_spike
    for norm, is_spike in ((9.9, False), (10.1, True)):  # of a median of 1
        assert (doctor.spikes(Vitals([], 5, norms=[*norms[:-1], norm], losses=losses)) is not None) == is_spike
    assert doctor.spikes(Vitals([], 5, norms=norms[3:], losses=losses[3:])) is None


def test_a_training_that_waits_for_images_is_told():
    assert "data.num_workers" in doctor.starved(Vitals([], 5, waited=0.8))
    assert doctor.starved(Vitals([], 5, waited=0.2)) is None


def test_a_loss_that_is_no_number_is_told():
    assert "optimizer.lr" in doctor.diverging(Vitals(records([1.0, math.nan]), 5))
    assert doctor.diverging(Vitals(records([1.0, 2.0]), 5)) is None
    assert "rose" in doctor.diverging(Vitals(records([1.0, 2.0]), 5, diverged="the loss rose"))


def advice(run):
    return {one["sign"]: one for one in json.loads((run.folder / "run.json").read_text()).get("advice", [])}


SMALL = ["model=mlp", "log.tensorboard=false"]
BROKEN = {
    "diverging": ["model.norm=none", "optimizer=sgd", "optimizer.lr=1e6", "engine.divergence_factor=1e30"],
    "gap": ["data=synthetic", "data.noise=6", "data.image_size=8", "data.num_images=600", "model.hidden=[256]",
            "optimizer=adam", "optimizer.lr=2e-3", "schedule=constant", "engine.epochs=20"],
    "plateau": ["init=default", "model.activation=sigmoid", "model.hidden=[32,32,32,32,32,32]", "optimizer=sgd",
                "optimizer.lr=0.01", "schedule=constant", "engine.epochs=12"],
    "wasted_rate": ["optimizer=sgd", "optimizer.lr=0.05", "schedule=step", "schedule.step_epochs=1",
                    "schedule.gamma=0.2", "engine.epochs=20", "engine.max_steps=1000000"],
    "dead_units": ["optimizer=adam", "optimizer.lr=1", "schedule=constant", "engine.epochs=3",
                   "engine.divergence_factor=1e30"],
    "too_large": ["optimizer.lr=100", "engine.epochs=4", "engine.divergence_factor=1e30"],
    "update_ratio": ["optimizer.lr=1e-8", "schedule=constant", "engine.epochs=3"],
}  # fmt: skip


@pytest.mark.parametrize("sign", BROKEN)
def test_a_broken_training_is_told_what_to_change(train, sign):
    run = train(*SMALL, *BROKEN[sign])
    assert {"too_large": "update_ratio"}.get(sign, sign) in advice(run), run.metrics[-1]


def test_labels_that_are_noise_make_a_network_overconfident_or_overfit(train):
    run = train(*SMALL, "data=synthetic", "data.noise=6", "data.image_size=8", "data.num_images=400", "optimizer=adam",
                "optimizer.lr=3e-3", "schedule=constant", "engine.epochs=15", "model.hidden=[256]")  # fmt: skip
    assert {"gap", "overconfidence"} & advice(run).keys()


SANE = {
    "default": [],
    "mlp": ["model=mlp"],
    "momentum": ["optimizer=momentum", "schedule=step", "schedule.step_epochs=8"],
    "dropout": ["model=mlp", "reg=[l2,dropout]", "optimizer=adam"],
    "linear": ["model=linear", "optimizer=sgd", "engine.epochs=15"],
    "augmented": ["augment=translate", "schedule=one_cycle", "optimizer=nesterov", "engine.epochs=10"],
    "tanh": ["model=mlp", "model.activation=tanh", "optimizer=rmsprop", "schedule=cosine"],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SANE)
def test_the_doctor_says_nothing_of_a_sane_training(train, name):
    run = train("log.tensorboard=false", *SANE[name])
    assert advice(run) == {}
    assert run.metrics[-1]["val/accuracy"] > 0.9


def test_the_doctor_says_nothing_of_a_short_sane_training(train):
    assert advice(train(*SMALL, "engine.epochs=6")) == {}


def test_a_sign_is_told_once_also_over_a_resume(tmp_path, capsys):
    words = [*SMALL, "optimizer.lr=1e-8", "schedule=constant", "engine.epochs=2", f"output_dir={tmp_path}"]
    run = runner.train([*words, "log.progress=lines"])
    assert capsys.readouterr().err.count("a higher optimizer.lr") == 1
    from runner.training.resume import resume

    resume(run.folder, ["engine.epochs=4"])
    again = capsys.readouterr()
    assert "a higher optimizer.lr" not in again.err
    (one,) = advice(run).values()
    assert one["epoch"] == 2
    run.print_summary()
    assert "a higher optimizer.lr" in " ".join(capsys.readouterr().out.split())


def test_the_doctor_can_be_turned_off_and_changes_nothing(train):
    words = [*SMALL, "engine.epochs=2", "reg=dropout", "optimizer.lr=1e-8", "schedule=constant"]
    with_it, without = train(*words), train(*words, "log.doctor=false")
    assert advice(with_it) != {}
    assert advice(without) == {}
    losses = [[line["train/loss"] for line in run.metrics] for run in (with_it, without)]
    assert losses[0] == losses[1]


def test_a_loader_that_is_slow_is_told(train, monkeypatch):
    from runner.data.source import Images

    quick = Images.read

    def slow(self, indices):
        time.sleep(0.05)
        return quick(self, indices)

    monkeypatch.setattr(Images, "read", slow)
    words = ["model=linear", "log.tensorboard=false", "data.loading=workers", "data.num_workers=0", "engine.epochs=1"]
    assert "starved" in advice(train(*words, "engine.limit_batches=10"))
    monkeypatch.setattr(Images, "read", quick)
    assert "starved" not in advice(train(*words, "data.loading=in_memory"))


def test_a_batch_of_huge_pixels_is_a_spike(train, monkeypatch):
    from runner.engine.step import Step
    from runner.throttle import Throttle

    sane = Step.__call__

    def broken(self, state, batch):
        return sane(self, state, (batch[0] * 1e3, *batch[1:]) if state.step == 100 else batch)

    monkeypatch.setattr(Throttle, "due", True)
    words = [*SMALL, "optimizer=sgd", "optimizer.lr=0.05", "engine.epochs=4", "log.every_steps=1"]
    assert "gradient_spikes" not in advice(train(*words))
    monkeypatch.setattr(Step, "__call__", broken)
    assert "gradient_spikes" in advice(train(*words, "engine.divergence_factor=1e30"))


def test_a_run_that_goes_on_is_looked_at_with_the_epochs_that_it_has_done(monkeypatch):
    metrics = records([3.0, 2.0, 1.0])
    looked = Doctor(SimpleNamespace(record={}, metrics=metrics), training=None)
    monkeypatch.setattr(looked, "_numbers", lambda state: {})
    monkeypatch.setattr(looked, "_seconds_waited", lambda: 0.0)
    looked.started(SimpleNamespace(step=40, epoch=2))
    assert looked.records == metrics[:2]
    assert looked.before == (40, {})


# ---------------------------------------------------------------------------------------------------------------------
# What it measures


@pytest.mark.parametrize(("share", "told"), [(0.9, True), (0.899, False)])
def test_a_layer_is_dead_from_nine_tenths_of_its_units_on(share, told):
    assert (doctor.dead_units(Vitals([], 5, dead={"relu1": share, "relu2": 0.1})) is not None) is told


@pytest.mark.parametrize(("waited", "told"), [(0.5, True), (0.499, False)])
def test_a_training_is_starved_from_half_of_the_time_on(waited, told):
    assert (doctor.starved(Vitals([], 5, waited=waited)) is not None) is told


@pytest.mark.parametrize(
    ("lr", "ratio", "told"),
    [(0.05, 1e-8, True), (0.049, 1e-8, False), (0.001, math.inf, True), (0.001, math.nan, True), (0.1, None, False)],
)
def test_small_updates_are_a_sign_while_the_rate_is_high_and_others_always(lr, ratio, told):
    assert (doctor.update_ratio(Vitals(records([1.0], lr=lr), 5, 0.1, ratio=ratio)) is not None) is told


def test_without_epochs_there_is_no_sign():
    assert [sign for sign, look in doctor.SIGNS.items() if look(Vitals([], 5, ratio=9.0)) is not None] == []


def test_a_spike_is_told_with_its_size_and_the_usual_one():
    norms, losses = [1.0, 1.0, 1.0, 2.0, 2.0, 40.0], [2.0] * 5 + [9.0]
    said = doctor.spikes(Vitals([], 5, norms=norms, losses=losses))
    assert said.startswith("the gradient's norm jumped to 40, 10 times the usual 1 or more")
    assert doctor.spikes(Vitals([], 5, norms=norms[1:], losses=losses[1:])) is None, "five reports are too few"
    assert doctor.spikes(Vitals([], 5, norms=[*norms[:5], math.nan], losses=[*losses[:5], math.nan])) is not None
    low = [10.0, 1.0, 1.0, 1.0, 1.0, 1.9]  # above 1.5 times the latest, and below a fifth of the first
    assert doctor.spikes(Vitals([], 5, norms=norms, losses=low)) is None
    assert doctor.spikes(Vitals([], 5, norms=norms, losses=[*low[:5], 2.1])) is not None


class Folder:
    """What the doctor sees of a run's folder."""

    def __init__(self, **record):
        self.record, self.metrics, self.noted = record, [], []

    def update(self, advice):
        self.noted.append(list(advice))


@pytest.fixture
def looking():
    """A doctor of a training that was built, and that training."""
    training = runner.build.training(runner.compose(["model=mlp", "model.hidden=[12]", "engine.epochs=6"]))
    made = Doctor(Folder(), training)
    made.started(training.state)
    return made, training


def matrices_grow(training, by):
    """All matrices grow by a share of their size."""
    with torch.no_grad():
        for parameter in training.state.network.parameters():
            if parameter.ndim > 1:
                parameter.mul_(1 + by)


@pytest.mark.parametrize(("steps", "ratio"), [(9, None), (10, 0.2 / 1.2 / 10**0.5), (100, 0.2 / 1.2 / 10)])
def test_updates_in_random_directions_lead_as_far_as_the_root_of_their_number(looking, steps, ratio):
    made, training = looking
    matrices_grow(training, 0.2)
    training.state.step = steps
    found = made._ratio(training.state)
    assert found == (None if ratio is None else pytest.approx(ratio, rel=1e-4))
    training.state.step += 25
    assert made._ratio(training.state) == pytest.approx(0.0), "since the last look"


def test_weights_that_shrink_are_compared_with_what_they_were(looking):
    made, training = looking
    matrices_grow(training, -0.5)
    training.state.step = 25
    assert made._ratio(training.state) == pytest.approx(0.5 / 5, rel=1e-4)


def test_weights_at_zero_have_not_moved(looking):
    made, training = looking
    matrices_grow(training, -1.0)
    made.before = 0, made._numbers(training.state)
    training.state.step = 25
    assert made._ratio(training.state) == 0


def test_matrices_that_learn_are_looked_at_by_some_of_their_numbers(looking):
    made, training = looking
    first, *_ = training.state.network.parameters()
    first.requires_grad_(False)
    numbers = made._numbers(training.state)
    learning = [value for value in training.state.network.parameters() if value.ndim > 1 and value.requires_grad]
    assert [values.tolist() for values in numbers.values()] == [value.flatten().tolist() for value in learning]
    for size, stride in ((4096, 1), (4097, 2), (8192, 2), (8193, 3)):
        some = doctor._some(torch.arange(float(size)).reshape(1, size))
        assert some.tolist() == list(range(0, size, stride))


def test_units_that_give_nothing_for_one_batch_are_dead(looking):
    made, training = looking
    network = training.state.network
    before = torch.random.get_rng_state()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("bias") and len(parameter) == 12:
                parameter[:3] = -1e6
    shares = made._dead(training.state)
    assert max(shares.values()) == pytest.approx(0.25)
    assert network.training
    assert torch.equal(torch.random.get_rng_state(), before)
    assert len(made.images) == 128
    images = made.images
    made._dead(training.state)
    assert made.images is images


def ended(made, training, epoch, **record):
    training.state.epoch = epoch
    made.records.append({"epoch": epoch, "lr": 0.1} | record)
    return made._vitals(training.state)


def test_weights_are_looked_at_from_the_second_epoch_on_where_there_is_time(looking):
    made, training = looking
    training.state.step = 20
    vitals = ended(made, training, 1)
    assert (vitals.ratio, vitals.dead, made.before[0]) == (None, {}, 20)
    training.state.step = 40
    vitals = ended(made, training, 2, lr=0.5)
    assert vitals.ratio == 0
    assert vitals.dead
    assert (vitals.peak_lr, vitals.num_epochs) == (0.5, 6)
    vitals = ended(made, training, 3, lr=math.nan)
    assert (vitals.ratio, vitals.peak_lr) == (None, 0.5), "it has just taken its share of the time"


@pytest.mark.parametrize(("speed", "share"), [(60.0, 0.5), (math.nan, 0.0), (0.0, 0.0)])
def test_how_long_a_training_waited_is_a_share_of_the_epoch(looking, speed, share):
    made, training = looking
    num_images = training.train.num_images
    training.train.loader.seconds_waited = 7.0
    made.waited = 7.0 - 0.5 * num_images / 60.0
    vitals = ended(made, training, 1, images_per_second=speed)
    assert vitals.waited == pytest.approx(share)
    assert made.waited == 7.0


def test_a_training_that_diverged_is_told_and_one_that_ended_is_not(looking):
    made, training = looking
    trial = training.state.trials[0]
    trial.status, trial.reason = "diverged", "the loss rose"
    assert ended(made, training, 1).diverged == "the loss rose"
    trial.status = "finished"
    assert ended(made, training, 1).diverged == ""


def test_gradients_are_measured_while_there_is_time_and_there_are_any(looking):
    made, training = looking
    made.reported(training.state, [0.5])
    assert made.norms == []
    for parameter in training.state.network.parameters():
        parameter.grad = torch.full_like(parameter, 2.0)
    made.norm_throttle.free_at = 0.0
    made.reported(training.state, [0.5])
    size = sum(parameter.numel() for parameter in training.state.network.parameters())
    assert made.norms == [pytest.approx(2 * size**0.5)]
    assert made.losses == [0.5]
    made.norm_throttle.queued()
    made.reported(training.state, [0.5])
    assert len(made.norms) == 1


@pytest.mark.parametrize("speaks", [True, False])
def test_a_sign_is_noted_once_and_said_where_somebody_listens(looking, monkeypatch, capsys, speaks):
    made, training = looking
    made.speaks = speaks
    monkeypatch.setattr(doctor, "SIGNS", {"odd": lambda vitals: "odd", "even": lambda vitals: None})
    training.state.epoch = 1
    for _ in range(2):
        made.epoch_ended(training.state, [{"epoch": 1, "lr": 0.1}])
    assert made.folder.noted == [[{"sign": "odd", "epoch": 1, "text": "odd"}]]
    assert ("epoch 1: odd" in capsys.readouterr().err) is speaks
    assert len(made.records) == 2


def test_a_trial_that_has_left_or_has_no_figures_is_not_looked_at(looking):
    made, training = looking
    made.epoch_ended(training.state, [{}])
    made.trial = 1
    made.epoch_ended(training.state, [{"epoch": 1, "lr": 0.1}, {"epoch": 1, "lr": 0.1}])
    made.reported(training.state, [0.5, 0.5])
    assert (made.records, made.norms) == ([], [])


def test_advice_that_cannot_be_worked_out_costs_no_run(looking, monkeypatch, capsys):
    made, training = looking
    monkeypatch.setattr(doctor, "SIGNS", {"odd": lambda vitals: 1 / 0})
    made.epoch_ended(training.state, [{"epoch": 1, "lr": 0.1}])
    assert "the doctor's advice" in capsys.readouterr().err


def test_what_was_told_before_a_run_goes_on_is_not_told_again():
    told = {"sign": "gap", "epoch": 3, "text": "a gap"}
    assert Doctor(Folder(advice=[told]), None).told == [told]
    assert Doctor(Folder(), None).told == []


def test_where_no_rate_is_known_the_highest_is_none(looking):
    made, training = looking
    assert ended(made, training, 1, lr=math.nan).peak_lr == 0.0
