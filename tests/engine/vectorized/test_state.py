"""Vectorized trials in the loop: those that end leave, each leaves what it would leave alone, and they go on."""

import copy

import pytest
import torch
from omegaconf import OmegaConf

import runner
from runner import config
from runner.engine.checkpoint import Checkpoints
from runner.engine.checkpoint_files import position, read
from runner.engine.loop import fit
from runner.engine.vectorized.checkpoint import VectorizedCheckpoints
from runner.engine.vectorized.noise import uniform
from runner.errors import CannotVectorize
from runner.signals import Stop

WORDS = ["data.batch_size=128", "model=mlp", "model.hidden=[16]", "engine.epochs=4"]
CONVNET = ["data.batch_size=128", "model.channels=[4,6]", "model.hidden=16", "average=ema", "engine.epochs=4"]


class Notes:
    """An observer that keeps the records."""

    def __init__(self):
        self.records = []

    def started(self, state):
        pass

    def reported(self, state, losses):
        pass

    def epoch_ended(self, state, records):
        self.records.append([{k: v for k, v in record.items() if k != "images_per_second"} for record in records])

    def of(self, trial):
        return [epoch[trial] for epoch in self.records if epoch[trial]]


def configs(words, **differences):
    """Configs of as many trials as each key has values; __ stands for a dot."""
    first = config.compose(words)
    made = [first.copy() for _ in next(iter(differences.values()))]
    for number, cfg in enumerate(made):
        for key, values in differences.items():
            OmegaConf.update(cfg, key.replace("__", "."), values[number])
    return made


def trained(training, folders, cfgs, restore=False, pause_epoch=None):
    """The loop over a training with checkpoints in the folders; its records."""
    notes, settings = Notes(), training.settings
    identities = [config.identity(cfg) for cfg in cfgs]
    if len(cfgs) == 1:
        checkpoints = Checkpoints(folders[0], settings, identities[0])
    else:
        checkpoints = VectorizedCheckpoints(folders, settings, identities)
    with checkpoints, Stop() as stop:
        if restore:
            assert checkpoints.restore(training.state)
        fit(training, [notes], checkpoints, stop, report_every_steps=5, pause_epoch=pause_epoch)
    return notes


def alone(cfg, folder):
    training = runner.build.training(cfg)
    return training, trained(training, [folder], [cfg])


def folders_in(path, count):
    return [path / str(number) for number in range(count)]


def assert_same_records(ours, theirs):
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert one == pytest.approx(other, rel=1e-3, abs=1e-3)


def assert_same_state(ours, theirs, rtol=1e-3, atol=1e-4):
    """The same nested data, structure and types included."""
    assert type(ours) is type(theirs)
    if isinstance(ours, torch.Tensor):
        assert ours.dtype == theirs.dtype
        torch.testing.assert_close(ours, theirs, rtol=rtol, atol=atol)
    elif isinstance(ours, dict):
        assert list(ours) == list(theirs)
        for key in ours:
            assert_same_state(ours[key], theirs[key], rtol, atol)
    elif isinstance(ours, list):
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            assert_same_state(one, other, rtol, atol)
    elif isinstance(ours, float):
        assert ours == pytest.approx(theirs, rel=rtol, abs=atol)
    else:
        assert ours == theirs


def test_a_trial_that_diverges_leaves_and_the_others_go_on_as_alone(tmp_path):
    cfgs = configs([*WORDS, "optimizer=momentum"], optimizer__lr=[0.01, 1e30, 0.03], seed=[0, 1, 2])
    vectorized = runner.build.vectorize(cfgs)
    notes = trained(vectorized, folders_in(tmp_path, 3), cfgs)
    assert [trial.status for trial in vectorized.state.trials] == ["finished", "diverged", "finished"]
    assert "the training loss became" in vectorized.state.trials[1].reason
    assert len(notes.of(1)) == 1
    assert "val/loss" not in notes.of(1)[0]
    assert vectorized.state.present == [0, 2]
    assert len(vectorized.state.rows.matrix) == 2
    for trial in (0, 2):
        single, theirs = alone(cfgs[trial], tmp_path / f"alone{trial}")
        assert_same_records(notes.of(trial), theirs.of(0))
        assert_same_state(vectorized.state.of(trial).network.state_dict(), single.state.network.state_dict())


def test_patience_ends_each_trial_at_its_own_epoch(tmp_path):
    # Without normalization, whose statistics would move the scores of the first trial, which does not learn.
    words = [*CONVNET, "model.norm=none", "engine.epochs=8", "engine.patience=2", "optimizer=adam"]
    cfgs = configs(words, optimizer__lr=[1e-12, 3e-3, 1e-4], seed=[0, 1, 2], average__decay=[0.9, 0.5, 0.99])
    vectorized = runner.build.vectorize(cfgs)
    notes = trained(vectorized, folders_in(tmp_path, 3), cfgs)
    lengths = [len(notes.of(trial)) for trial in range(3)]
    assert lengths[0] < lengths[1]
    for trial, cfg in enumerate(cfgs):
        single, theirs = alone(cfg, tmp_path / f"alone{trial}")
        assert_same_records(notes.of(trial), theirs.of(0))
        assert vectorized.state.trials[trial].reason == single.state.trials[0].reason
        best = [read(folder / "best.pt")["state"] for folder in (tmp_path / str(trial), tmp_path / f"alone{trial}")]
        assert best[0]["position"] == best[1]["position"]


def test_each_plateau_follows_the_objective_of_its_own_trial(tmp_path):
    words = [*WORDS, "schedule=plateau", "schedule.patience_epochs=0", "optimizer=sgd", "engine.epochs=6"]
    cfgs = configs(words, optimizer__lr=[0.01, 1e-9])
    vectorized = runner.build.vectorize(cfgs)
    notes = trained(vectorized, folders_in(tmp_path, 2), cfgs)
    for trial, cfg in enumerate(cfgs):
        _, theirs = alone(cfg, tmp_path / f"alone{trial}")
        assert_same_records(notes.of(trial), theirs.of(0))
    assert notes.of(1)[-1]["lr"] < 1e-3 * notes.of(1)[0]["lr"]


@pytest.mark.parametrize(
    "words",
    [
        [*CONVNET, "optimizer=momentum", "augment=crop", "augment.crop.padding=1"],
        [*CONVNET, "optimizer=adamw", "schedule=plateau"],
        [*CONVNET, "optimizer=muon"],
        [*WORDS, "optimizer=adagrad", "reg=dropout"],
    ],
)
def test_a_checkpoint_of_a_vectorized_trial_has_the_form_of_one_alone(tmp_path, words):
    cfgs = configs([*words, "engine.epochs=1"], optimizer__lr=[1e-3, 3e-3], seed=[0, 1])
    trained(runner.build.vectorize(cfgs), folders_in(tmp_path, 2), cfgs)
    alone(cfgs[1], tmp_path / "alone")
    ours, theirs = (read(tmp_path / name / "last.pt") for name in ("1", "alone"))
    for content in (ours, theirs):
        content["state"].pop("random")
    if "reg=dropout" in words:
        assert list(ours["state"]["optimizer"]["state"][0]) == list(theirs["state"]["optimizer"]["state"][0])
    else:
        assert_same_state(ours, theirs)


@pytest.mark.parametrize("channels_last", [False, True])  # vectorized, the weights are contiguous all the same
@pytest.mark.parametrize("optimizer", ["momentum", "adamw", "muon"])
def test_a_vectorized_trial_goes_on_alone(tmp_path, optimizer, channels_last):
    words = [*CONVNET, f"optimizer={optimizer}", f"engine.channels_last={channels_last}"]
    cfgs = configs(words, optimizer__lr=[1e-3, 3e-3], seed=[0, 1])
    _, whole = alone(cfgs[1], tmp_path / "whole")
    trained(runner.build.vectorize(cfgs), folders_in(tmp_path, 2), cfgs, pause_epoch=2)
    single = runner.build.training(cfgs[1])
    notes = trained(single, [tmp_path / "1"], [cfgs[1]], restore=True)
    assert_same_records(notes.of(0), whole.of(0)[2:])
    ours, theirs = (read(tmp_path / name / "last.pt")["state"] for name in ("1", "whole"))
    for part in ("network", "average"):
        assert_same_state(ours[part], theirs[part])


@pytest.mark.parametrize("optimizer", ["adam", "muon"])
def test_trials_begun_alone_go_on_vectorized_where_parameters_have_ended(tmp_path, optimizer):
    words = [
        *CONVNET,
        f"optimizer={optimizer}",
        "optimizer.param_groups=[{params:norms,freeze_after_epochs:'2 steps'}]",
    ]
    cfgs = configs(words, optimizer__lr=[1e-2, 3e-2], seed=[0, 1])
    whole = [alone(cfg, tmp_path / f"whole{number}")[1] for number, cfg in enumerate(cfgs)]
    for cfg, folder in zip(cfgs, folders_in(tmp_path, 2), strict=True):
        trained(runner.build.training(cfg), [folder], [cfg], pause_epoch=1)
    notes = trained(runner.build.vectorize(cfgs), folders_in(tmp_path, 2), cfgs, restore=True)
    for number in range(2):
        assert_same_records(notes.of(number), whole[number].of(0)[1:])


@pytest.mark.parametrize(
    ("params", "freeze"),
    [
        ("norms", "lr_scale:0"),
        ("norms", "freeze_after_epochs:'3 steps'"),
        ("'11.*'", "freeze_after_epochs:'3 steps'"),
    ],
)
def test_vectorized_trials_freeze_parameters_as_alone(tmp_path, params, freeze):
    """What rests adds nothing to the norm by which the other gradients are clipped."""
    groups = f"optimizer.param_groups=[{{params:{params},{freeze}}}]"
    words = [*CONVNET, "optimizer=momentum", groups, "engine.epochs=2"]
    cfgs = configs([*words, "engine.clip_grad_norm=0.05"], optimizer__lr=[1e-2, 3e-2], seed=[0, 1])
    trained(runner.build.vectorize(cfgs), folders_in(tmp_path, 2), cfgs)
    for number, cfg in enumerate(cfgs):
        alone(cfg, tmp_path / "whole" / str(number))
        ours, theirs = (read(tmp_path / name / "last.pt")["state"] for name in (str(number), f"whole/{number}"))
        for part in ("network", "average"):
            assert_same_state(ours[part], theirs[part])
        if params == "norms":
            assert ours["network"]["1.num_batches_tracked"] == (0 if freeze == "lr_scale:0" else 3)


def test_trials_that_freeze_normalization_at_different_times_cannot_be_vectorized():
    groups = [[{"params": "norms", "freeze_after_epochs": epochs}] for epochs in (1, 2)]
    cfgs = configs([*CONVNET, "optimizer=momentum"], optimizer__param_groups=groups)
    with pytest.raises(CannotVectorize, match=r"normalization layers freeze at different times"):
        runner.build.vectorize(cfgs)


@pytest.mark.parametrize("optimizer", ["momentum", "adamw"])
def test_restored_vectorized_trials_go_on_as_if_never_stopped(tmp_path, optimizer):
    words = [*CONVNET, f"optimizer={optimizer}", "reg=dropout", "schedule=plateau"]
    cfgs = configs(words, optimizer__lr=[1e-3, 3e-3], seed=[0, 1], reg__dropout__p=[0.2, 0.4])
    whole = trained(runner.build.vectorize(cfgs), folders_in(tmp_path / "whole", 2), cfgs)
    trained(runner.build.vectorize(cfgs), folders_in(tmp_path, 2), cfgs, pause_epoch=2)
    rest = trained(runner.build.vectorize(cfgs), folders_in(tmp_path, 2), cfgs, restore=True)
    assert rest.records == whole.records[2:]


def test_trials_at_different_positions_cannot_be_vectorized(tmp_path):
    cfgs = configs(WORDS, seed=[0, 1])
    cfgs[0].engine.epochs = 1
    for cfg, folder in zip(cfgs, folders_in(tmp_path, 2), strict=True):
        alone(cfg, folder)
    cfgs[0].engine.epochs = cfgs[1].engine.epochs
    vectorized = runner.build.vectorize(cfgs)
    checkpoints = VectorizedCheckpoints(
        folders_in(tmp_path, 2), vectorized.settings, [config.identity(cfg) for cfg in cfgs]
    )
    with checkpoints:
        assert [position(member.folder) for member in checkpoints.members] == [(1, 10), (4, 40)]
        with pytest.raises(CannotVectorize, match="different positions: epoch 1 step 10, epoch 4 step 40"):
            checkpoints.restore(vectorized.state)


def test_trials_of_which_one_has_no_checkpoint_cannot_be_vectorized(tmp_path):
    cfgs = configs(WORDS, seed=[0, 1])
    alone(cfgs[0], folders_in(tmp_path, 2)[0])
    vectorized = runner.build.vectorize(cfgs)
    checkpoints = VectorizedCheckpoints(
        folders_in(tmp_path, 2), vectorized.settings, [config.identity(cfg) for cfg in cfgs]
    )
    with checkpoints, pytest.raises(CannotVectorize, match="this trial of the vectorized ones has no checkpoint"):
        checkpoints.restore(vectorized.state)


def test_the_state_of_a_trial_shows_its_own_weights_and_gradients():
    cfgs = configs([*WORDS, "optimizer=sgd"], optimizer__lr=[0.01, 0.1], seed=[0, 1])
    vectorized = runner.build.vectorize(cfgs)
    single = runner.build.training(cfgs[1])
    vectorized.step(vectorized.state, next(vectorized.train.epoch()))
    single.step(single.state, next(single.train.epoch()))
    shown = dict(vectorized.state.of(1).network.named_parameters())
    for name, parameter in single.state.network.named_parameters():
        torch.testing.assert_close(shown[name], parameter)
        torch.testing.assert_close(shown[name].grad, parameter.grad)


@pytest.mark.slow
def test_compiled_vectorized_trials_have_the_same_losses():
    torch._dynamo.reset()
    cfgs = configs([*WORDS, "reg=[l2,dropout]", "data.drop_last=true"], reg__l2__strength=[0.0, 0.1], seed=[0, 1])
    found = []
    for compiled in (False, True):
        for cfg in cfgs:
            cfg.engine.compile = compiled
        vectorized = runner.build.vectorize(cfgs)
        losses = []
        for batch, _ in zip(vectorized.train.epoch(), range(4), strict=False):
            losses.append(vectorized.step(vectorized.state, batch)[0])
            vectorized.state.step += 1
        found.append(torch.stack(losses))
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-5)


def test_drawn_numbers_are_uniform_and_of_one_key_unlike_another():
    one, other = (uniform(torch.tensor(key), (400, 500)) for key in (1, 2))
    for numbers in (one, other):
        counts = numbers.histc(20, 0, 1) / numbers.numel()
        assert (counts - 0.05).abs().max() < 0.005
    for left, right in ((one, other), (one[:, 1:], one[:, :-1]), (one[1:], one[:-1])):
        assert abs(torch.corrcoef(torch.stack([left.flatten(), right.flatten()]))[0, 1]) < 0.01


def test_what_a_trial_saves_is_what_the_step_updates():
    """At the start, after a trial has ended, and after a restore each trial's tensors are rows of the stacked ones."""
    cfgs = configs([*CONVNET, "optimizer=adamw", "average=ema"], optimizer__lr=[1e-3, 3e-3, 1e-2], seed=[0, 1, 2])
    state = runner.build.vectorize(cfgs).state
    assert state.is_bound()
    state.trials[1].status = "diverged"
    state.drop_ended()
    assert state.present == [0, 2]
    assert state.is_bound()
    parameter = next(state.members[2].network.parameters())
    parameter.data = parameter.data.clone()
    assert not state.is_bound()
    state.bind()
    assert state.is_bound()


def test_what_a_graph_alters_is_told_to_stay_in_its_place(monkeypatch):
    """torch gives up CUDA graphs, without a word to be seen, where a pass alters tensors that may move."""
    marked = []
    monkeypatch.setattr(torch._dynamo, "mark_static_address", marked.append)
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    words = ["model=convnet", "model.channels=[4]", "model.norm=batch", "engine.compile=reduce-overhead"]
    cfgs = [runner.compose([*words, f"optimizer.lr={lr}"]) for lr in (0.01, 0.02)]
    step = runner.build.vectorize(cfgs).step
    places = {tensor.data_ptr() for tensor in marked}
    means = [tensor for name, tensor in step.rows.others.items() if name.endswith("running_mean")]
    assert means
    assert all(tensor.data_ptr() in places for tensor in [*means, *step.rows.views.values()])
    monkeypatch.delattr(torch._dynamo, "mark_static_address")
    runner.build.vectorize(cfgs)  # a torch that has no such mark makes its graphs, or none, without it


def test_the_state_of_all_trials_is_that_of_each_and_is_taken_up_again():
    cfgs = configs([*CONVNET, "optimizer=adamw"], optimizer__lr=[1e-3, 3e-3], seed=[0, 1])
    first, second = runner.build.vectorize(cfgs), runner.build.vectorize(cfgs)
    batches = [batch for batch, _ in zip(first.train.epoch(), range(3), strict=False)]
    for batch in batches[:2]:
        first.step(first.state, batch)
        first.state.step += 1
    saved = copy.deepcopy(first.state.state_dict())
    assert len(saved["members"]) == 2
    for trial, member in enumerate(saved["members"]):
        assert_same_state(member["network"], first.state.of(trial).network.state_dict())
    second.state.load_state_dict(saved)
    second.state.step = 2
    assert torch.equal(*(made.step(made.state, batches[2])[0] for made in (first, second)))
