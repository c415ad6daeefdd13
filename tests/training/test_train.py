"""One training: its folder, how its end is written down, and what is said of it."""

import json
from contextlib import nullcontext

import pytest
import torch
from omegaconf import OmegaConf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import runner
from runner.config import flatten
from runner.engine.step import Step
from runner.errors import Interrupted, UserError
from runner.log.hparams import hparams
from runner.store import RunFolder, make_folder
from runner.training import train as module
from runner.training.resume import resume
from runner.training.run import Run

QUICK = ["model=linear", "engine.epochs=1", "engine.limit_batches=2", "log.tensorboard=false"]


@pytest.fixture
def folder(tmp_path):
    """A run in which nothing has been trained."""
    return RunFolder.create(make_folder(tmp_path, "it"), "it", [], {}, {})


@pytest.mark.parametrize(
    ("raised", "status", "error"),
    [
        (UserError("data.root: gone"), "failed", "data.root: gone"),
        (Interrupted(15), "interrupted", None),
        (KeyboardInterrupt(), "interrupted", None),
    ],
)
def test_how_a_run_ended_is_in_its_record(train, tmp_path, monkeypatch, raised, status, error):
    def stop(*_):
        raise raised

    monkeypatch.setattr(module, "fit", stop)
    with pytest.raises(type(raised)):
        train(*QUICK)
    (path,) = tmp_path.glob("outputs/*/*")
    record = Run(path).record
    assert (record["status"], record["error"]) == (status, error)
    assert record["finished"] is not None
    RunFolder.open(path).lock()  # it was let go


@pytest.mark.parametrize(
    ("raised", "statuses"),
    [(None, ["finished"]), (RuntimeError("broken"), ["failed"]), (Interrupted(15), []), (KeyboardInterrupt(), [])],
)
def test_a_trial_that_will_not_go_on_is_summed_up_for_tensorboard(folder, monkeypatch, raised, statuses):
    cfg = runner.compose([*QUICK, "log.tensorboard=true", "log.progress=none"])
    written = []
    monkeypatch.setattr(module, "write_trial_events", lambda *given: written.append(given[-1]))
    if raised is not None:
        monkeypatch.setattr(module, "fit", lambda *_: (_ for _ in ()).throw(raised))
    member = module.Member(cfg, [], folder, is_trial=True, tensorboard="summary")
    with nullcontext() if raised is None else pytest.raises(type(raised)):
        module.train_member(member, runner.build.data(cfg))
    assert written == statuses
    assert RunFolder.open(folder.path).record["finished"] is not None


def test_a_trial_is_silent_also_where_it_goes_on(folder, capsys):
    cfg = runner.compose([*QUICK, "engine.epochs=3", "log.progress=lines"])
    member, data = module.Member(cfg, [], folder, is_trial=True), runner.build.data(cfg)
    assert module.train_member(member, data, pause_epoch=1).status == "interrupted"
    assert module.train_member(member, data).status == "finished"
    assert [record["epoch"] for record in folder.metrics] == [1, 2, 3]
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("is_trial", [True, False])
def test_advice_is_given_on_a_run_and_not_on_a_trial(folder, is_trial):
    diverging = ["optimizer=sgd", "optimizer.lr=1e9", "engine.divergence_factor=1.01", "log.progress=none"]
    cfg = runner.compose([*QUICK, *diverging])
    run = module.train_member(module.Member(cfg, [], folder, is_trial=is_trial), runner.build.data(cfg))
    assert run.status == "diverged"
    assert bool(run.record.get("advice")) is not is_trial


def test_what_goes_on_has_not_ended(folder):
    folder.update(status="failed", finished="2026-01-01T00:00:00", error="broken")
    folder.begin(["seed=1"], None, ["cat", "dog"], (3, 8, 8))
    record = RunFolder.open(folder.path).record
    assert [record[key] for key in ("status", "finished", "error")] == ["running", None, None]
    assert [record[key] for key in ("overrides", "classes", "image_shape")] == [["seed=1"], ["cat", "dog"], [3, 8, 8]]


def test_of_an_error_of_the_program_the_traceback_is_kept(train, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "fit", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train(*QUICK)
    (path,) = tmp_path.glob("outputs/*/*")
    error = Run(path).record["error"]
    assert error.startswith("Traceback (most recent call last):\n")
    assert error.endswith("ZeroDivisionError: division by zero\n")


def test_an_interrupted_run_says_how_to_go_on(train, tmp_path, monkeypatch, capsys):
    def stop(training, *_):
        training.state.step = 7
        raise Interrupted(2)

    monkeypatch.setattr(module, "fit", stop)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    with pytest.raises(Interrupted):
        train(*QUICK)
    (path,) = tmp_path.glob("outputs/*/*")
    assert capsys.readouterr().out == f"interrupted at step 7; go on with: runner resume {path}\n"


@pytest.mark.parametrize(
    ("words", "name"), [([], "digits-linear"), (["name=mine"], "mine"), (["data=synthetic"], "synthetic-linear")]
)
def test_a_folder_is_named_by_the_run_or_by_data_and_model(train, words, name):
    assert train(*QUICK, *words).folder.parent.name == name


def test_going_on_says_from_where(train, capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    run = train(*QUICK)
    resume(run.folder, ["engine.epochs=2", "log.progress=none"])
    assert capsys.readouterr().out == "going on from the end of epoch 1\n"
    run = train(
        *QUICK[:1],
        "engine.epochs=1",
        "engine.max_steps=5",
        "engine.checkpoint_every_steps=3",
        "engine.keep=all",
        *QUICK[3:],
    )
    for name in ("last.pt", "best.pt"):
        (run.folder / "checkpoints" / name).unlink()
    capsys.readouterr()
    resume(run.folder, ["engine.epochs=2", "engine.max_steps=null", "log.progress=none"])
    assert capsys.readouterr().out.endswith("going on from epoch 1, batch 4\n")


def test_a_run_that_is_done_is_left_alone(train, capsys):
    run = train(*QUICK)
    before = (run.folder / "run.json").read_text()
    assert resume(run.folder).status == "finished"
    assert capsys.readouterr().out == "finished after epoch 1; to train on, raise engine.epochs above 1\n"
    assert (run.folder / "run.json").read_text() == before


# ---------------------------------------------------------------------------------------------------------------------
# What is said of it


def told(capsys, folder, **brief):
    capsys.readouterr()
    Run(folder).print_summary(**brief)
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]


@pytest.fixture
def written(write_run, monkeypatch):
    """A run's files; its record can be changed before it is told of."""
    monkeypatch.setenv("COLUMNS", "300")

    def make(status="finished", **fields):
        path = write_run(f"outputs/a run/{status}", (0.9, 0.8), status=status)
        record = json.loads((path / "run.json").read_text()) | {"format": 2, "error": None} | fields
        (path / "run.json").write_text(json.dumps(record))
        return path

    return make


def test_a_summary_has_the_result_and_what_one_would_do_next(written, capsys):
    path = written(metrics={"epoch": 2, "lr": 0.1, "val/accuracy": 0.8, "val/loss": None, "train/loss": 0.25})
    assert told(capsys, path) == [
        "status finished",
        "best val/accuracy 0.9000 (epoch 1 of 2)",
        "last val/accuracy 0.8000",
        "last train/loss 0.2500",
        "time 2.0 s",
        f"folder {path}",
        "next",
        "tensorboard --logdir outputs",
        f"runner test '{path}'",
        f"runner resume '{path}' engine.epochs=4",
    ]


def test_a_brief_summary_is_one_line_however_narrow_the_terminal(written, capsys, monkeypatch):
    path = written()
    monkeypatch.setenv("COLUMNS", "30")
    assert told(capsys, path, brief=True) == [f"finished best val/accuracy 0.9000 (epoch 1 of 2) 2.0 s {path}"]


def test_of_a_diverged_run_the_reason_and_a_remedy_are_told(written, capsys):
    objective = {"name": "val/accuracy", "mode": "max", "value": None, "epoch": None}
    path = written("diverged", objective=objective, metrics={"epoch": 1}, error="the loss became nan")
    assert told(capsys, path)[0] == "status diverged (the loss became nan)"
    last = " ".join(told(capsys, path)[3:])
    assert last.startswith("what to try: a lower learning rate (optimizer.lr), a warm-up")
    assert not any(line.startswith("best") for line in told(capsys, path))
    assert "next" not in told(capsys, path)
    assert told(capsys, path, brief=True) == [f"diverged best val/accuracy none 2.0 s {path} the loss became nan"]


def test_commands_and_remedies_stay_on_one_line_however_narrow_the_terminal(written, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "30")
    path = written()
    assert f"runner resume '{path}' engine.epochs=4" in told(capsys, path)
    path = written("diverged", error="no")
    assert told(capsys, path)[-1].startswith("what to try: a lower learning rate")


def test_what_a_run_has_no_name_for_is_said():
    with pytest.raises(AttributeError, match="Run has no accuracy"):
        _ = Run.__new__(Run).accuracy


def test_a_run_that_has_not_begun_has_no_objective(written):
    path = written("running", objective=None)
    run = runner.load(path)
    assert (run.objective, run.status) == (None, "running")
    assert repr(run) == f"Run('{path}', status='running')"


def test_the_hparams_are_the_options_the_numbers_one_tunes_and_what_was_said():
    optimizer = {"lr": 0.5, "betas": [0.9, 0.99], "eps": 1e-8}
    cfg = OmegaConf.create({"seed": 3, "optimizer": optimizer, "data": {"batch_size": 8}, "flag": True})
    choices = {"data": "digits", "model": "mlp", "optimizer": "adam", "reg": "none", "augment": "flip,crop"}
    choices["tta"] = "flip"
    overrides = ["+optimizer.betas=[0.9,0.99]", "tta=flip", "flag=true", "gone.key=1"]
    assert hparams(flatten(cfg), {"choices": choices, "overrides": overrides}) == {
        "data": "digits",
        "model": "mlp",
        "optimizer": "adam",
        "optimizer.lr": 0.5,
        "data.batch_size": 8,
        "reg": "none",
        "augment": "flip,crop",
        "seed": 3,
        "optimizer.betas": "[0.9, 0.99]",
        "optimizer.eps": "1e-08",
        "tta": "flip",
        "flag": True,
    }
    record = {"choices": {}, "overrides": []}
    leaves = {"optimizer.eps": 1e-8, "optimizer.lr": 0.0001, "seed": 123456, "data.batch_size": 99999}
    numbers = {"optimizer.lr": 0.0001, "data.batch_size": 99999}
    assert hparams(leaves, record) == numbers | {"optimizer.eps": "1e-08", "seed": "123456"}
    assert hparams(leaves, record, numbers_as_text=False) == leaves, "axes of parallel coordinates need numbers"


@pytest.mark.parametrize(("number", "shown"), [(0, 0), (1, 3), (3, 3)])
def test_images_are_shown_if_any_are_asked_for(train, number, shown):
    run = train(*QUICK[:3], "log.tensorboard=true", f"log.num_images={number}", "log.histograms=false")
    events = EventAccumulator(str(run.folder), {"images": 0})
    events.Reload()
    assert len(events.Tags()["images"]) == shown
    if shown:
        (image,) = events.Images("train/images")
        assert image.height == 6 + 8 * 10 + 6 + 15  # gap, image of 8 pixels ten times as large, gap, caption


def test_a_loaded_run_builds_foreign_classes_only_where_it_is_trusted(written):
    path = written()
    config = path / "config.yaml"
    config.write_text(config.read_text().replace("runner.optimizer.sgd", "os.system"))
    for load in (runner.load, Run):
        with pytest.raises(UserError, match=r"^optimizer\._target_: os\.system is not one of runner's own classes"):
            load(path).model()
        with pytest.raises(UserError, match="no checkpoint"):
            load(path, trust=True).model()
    with pytest.raises(UserError, match=r"os\.system is not one of"):
        resume(path)
    assert Run(path, trust=True).config.optimizer._target_ == "os.system"


def out_of_memory_after(monkeypatch, num_steps):
    """A GPU whose memory runs out at the step after so many."""
    step, steps = Step.__call__, []

    def failing(self, state, batch):
        steps.append(batch)
        if len(steps) > num_steps:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return step(self, state, batch)

    monkeypatch.setattr(Step, "__call__", failing)


def test_out_of_memory_is_one_line_and_keeps_the_checkpoint(train, tmp_path, monkeypatch):
    words = ["data=synthetic", "data.num_images=80", "data.batch_size=24", "model=mlp", "model.hidden=[8]"]
    out_of_memory_after(monkeypatch, 4)  # 72 images are 3 steps an epoch
    with pytest.raises(UserError, match=r"^data.batch_size=24: out of GPU memory; .*engine.accumulate_steps") as raised:
        train(*words, "engine.epochs=5")
    assert "\n" not in str(raised.value)
    (record,) = tmp_path.glob("outputs/*/*/run.json")
    told = json.loads(record.read_text())
    assert told["status"] == "failed"
    assert told["error"] == str(raised.value)
    kept = torch.load(record.parent / "checkpoints/last.pt", weights_only=True)
    assert kept["state"]["position"]["step"] == 3


def test_out_of_memory_names_other_precision_where_it_is_fp32(train, monkeypatch):
    out_of_memory_after(monkeypatch, 0)
    with pytest.raises(UserError, match=r"engine\.precision=auto"):
        train("data=synthetic", "data.num_images=80", "model=mlp", "model.hidden=[8]", "engine.precision=fp32")


@pytest.mark.parametrize("outcome", ["ends", "breaks"])
def test_the_display_is_closed_however_a_training_ends(monkeypatch, tmp_path, outcome):
    seen = []

    class Display:
        def started(self, state):
            seen.append("started")
            if outcome == "breaks":
                raise UserError("of the data")

        def reported(self, state, losses):
            pass

        def epoch_ended(self, state, records):
            pass

        def close(self):
            seen.append("closed")

    monkeypatch.setattr(module.progress, "make", lambda *_: Display())
    with nullcontext() if outcome == "ends" else pytest.raises(UserError, match="of the data"):
        runner.train([*QUICK, f"output_dir={tmp_path}/outputs", "log.progress=lines"])
    assert seen == ["started", "closed"]


def test_a_run_whose_choices_are_refused_by_now_does_not_go_on(train, monkeypatch):
    run = train(*QUICK)

    def refuse(cfg):
        raise UserError(f"model: {cfg.engine.epochs} epochs of it are refused")

    monkeypatch.setattr("runner.config.check_combinations", refuse)
    before = (run.folder / "run.json").read_bytes()
    with pytest.raises(UserError, match=r"^model: 2 epochs of it"):
        resume(run.folder, ["engine.epochs=2"])
    assert (run.folder / "run.json").read_bytes() == before


def test_trials_that_train_together_are_silent_also_where_they_are_interrupted(tmp_path, monkeypatch, capsys):
    cfgs = [runner.compose([*QUICK, f"optimizer.lr={lr}", "log.progress=lines"]) for lr in (0.1, 0.2)]
    folders = [RunFolder.create(make_folder(tmp_path, f"trial{n}"), "trial", [], {}, {}) for n in range(2)]
    members = [module.Member(cfg, [], folder, is_trial=True) for cfg, folder in zip(cfgs, folders, strict=True)]
    monkeypatch.setattr(module, "fit", lambda *_: (_ for _ in ()).throw(Interrupted(15)))
    with pytest.raises(Interrupted):
        module.train_vectorized(members, runner.build.data(cfgs[0]))
    assert capsys.readouterr() == ("", "")
    assert [RunFolder.open(folder.path).record["status"] for folder in folders] == ["interrupted"] * 2


def test_a_gpu_that_is_not_used_is_noted(train, monkeypatch, capsys):
    monkeypatch.setattr(module, "unused_gpu", lambda asked, used: f"a GPU is here, and {asked} is {used}")
    train(*QUICK, "engine.device=cpu")
    assert "a GPU is here, and cpu is cpu" in capsys.readouterr().err


def test_the_error_that_ended_the_training_is_told_though_no_summary_can_be_written(train, monkeypatch):
    def broken(*_):
        raise OSError("no summary")

    monkeypatch.setattr(module, "fit", lambda *_: 1 / 0)
    monkeypatch.setattr(module, "_write_summary", broken)
    with pytest.raises(ZeroDivisionError):
        train(*QUICK)


@pytest.mark.parametrize(("num_trials", "is_told"), [(1, False), (2, True)])
def test_where_memory_is_too_small_for_trials_together_one_by_one_is_a_way(num_trials, is_told):
    with (
        pytest.raises(module.OutOfMemory, match=r"^data\.batch_size=32: out of GPU memory; lower it and ") as raised,
        module._out_of_memory_in_a_line(runner.compose(["data.batch_size=32"]), num_trials),
    ):
        raise torch.OutOfMemoryError
    assert ("set sweep.vectorize=off" in str(raised.value)) is is_told


def test_each_of_trials_that_train_together_has_its_own_curves(tmp_path):
    words = [*QUICK, "log.tensorboard=true", "log.progress=none"]
    cfgs = [runner.compose([*words, f"optimizer.lr={lr}"]) for lr in (1e-4, 0.2)]
    folders = [RunFolder.create(make_folder(tmp_path, f"trial{n}"), "trial", [], {}, {}) for n in range(2)]
    pairs = zip(cfgs, folders, strict=True)
    members = [module.Member(cfg, [], folder, is_trial=True, tensorboard="all") for cfg, folder in pairs]
    module.train_vectorized(members, runner.build.data(cfgs[0]))
    shown = []
    for folder in folders:
        events = EventAccumulator(str(folder.path)).Reload()
        (loss,) = events.Scalars("loss/val")
        assert loss.value == pytest.approx(folder.metrics[-1]["val/loss"])
        shown.append(loss.value)
    assert shown[0] != shown[1]


def test_a_trials_hyperparameters_are_numbers_in_its_small_event_file(folder, monkeypatch):
    written = []
    monkeypatch.setattr(module, "write_trial_events", lambda *given: written.append(given))
    cfg = runner.compose([*QUICK, "optimizer.lr=1e-5", "log.tensorboard=true", "log.progress=none"])
    member = module.Member(cfg, ["optimizer.lr=1e-5"], folder, is_trial=True, tensorboard="summary")
    module.train_member(member, runner.build.data(cfg))
    ((path, shown, metrics, status),) = written
    assert (path, len(metrics), status) == (folder.path, 1, "finished")
    assert shown["optimizer.lr"] == 1e-5
    assert not list(folder.path.glob("events.out.*"))


def test_without_tensorboard_there_is_no_event_file(folder):
    cfg = runner.compose([*QUICK, "log.progress=none"])
    module.train_member(module.Member(cfg, [], folder, is_trial=True, tensorboard="all"), runner.build.data(cfg))
    assert len(folder.metrics) == 1
    assert not list(folder.path.glob("events.out.*"))


# ---------------------------------------------------------------------------------------------------------------------
# Its pieces


@pytest.fixture
def wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")


def test_trying_out_makes_one_update_and_writes_nothing(tmp_path, monkeypatch, capsys, wide):
    monkeypatch.chdir(tmp_path)
    steps = []
    step = Step.__call__
    monkeypatch.setattr(
        Step, "__call__", lambda self, state, batch: steps.append(len(batch[1])) or step(self, state, batch)
    )
    module.try_out(runner.compose([*QUICK, "data.batch_size=24"]))
    assert steps == [24]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("data     1,199 train, 299 val, 299 test images")
    assert not any(line.startswith("folder") for line in lines)
    blank = [place for place, line in enumerate(lines) if not line]
    assert lines[blank[0] + 1].split() == ["layer", "kind", "output", "parameters", "multiply-adds"]
    assert lines[blank[1] - 1].split() == ["total", "650", "640"]
    assert lines[blank[1] + 1 :] == [lines[-1]]
    text, _, end = lines[-1].partition(", ")
    assert text.startswith("one batch forward and backward: loss 2.")
    assert end.endswith(" s; nothing was written")
    assert list(tmp_path.iterdir()) == []


def test_choices_that_contradict_each_other_are_refused_before_anything_is_read(monkeypatch):
    def refuse(cfg):
        raise UserError("reg: twice")

    monkeypatch.setattr("runner.config.check_combinations", refuse)
    monkeypatch.setattr(module.build, "data", lambda cfg: 1 / 0)
    for begin in (module.train, module.try_out):
        with pytest.raises(UserError, match="reg: twice"):
            begin(runner.compose(QUICK))


def test_what_acts_in_one_place_is_noted(monkeypatch, capsys):
    monkeypatch.setattr("runner.config.notes", lambda cfg: ["one", "two"])
    module._check_combinations(runner.compose(QUICK))
    assert capsys.readouterr().err.splitlines() == ["note: one", "note: two"]


@pytest.mark.parametrize("with_header", [True, False])
def test_a_run_tells_its_folder_once_it_is_there_and_first_what_it_trains(tmp_path, capsys, wide, with_header):
    begun = []
    cfg = runner.compose([*QUICK, f"output_dir={tmp_path}", "log.progress=lines"])
    run = module.train(cfg, ["seed=0"], {"data": "digits", "model": "linear"}, with_header, begun.append)
    assert begun == [run.folder]
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [*(["data", "network", "device", "folder"] * with_header), "epoch"]
    if with_header:
        assert lines[3] == f"folder   {run.folder}"
    assert run.record["overrides"] == ["seed=0"]
    assert run.record["choices"] == {"data": "digits", "model": "linear"}


@pytest.mark.parametrize(
    ("progress", "tensorboard", "asked"), [("none", False, 0), ("none", True, 1), ("lines", False, 1)]
)
def test_layers_are_counted_where_somebody_sees_them(tmp_path, monkeypatch, progress, tensorboard, asked):
    counted = []
    layers = module.network_layers
    monkeypatch.setattr(module, "network_layers", lambda training: counted.append(1) or layers(training))
    words = [f"log.tensorboard={tensorboard}", f"log.progress={progress}", "log.num_images=0", "log.figures=false"]
    module.train(runner.compose([*QUICK[:3], *words, f"output_dir={tmp_path}"]))
    assert len(counted) == asked


def test_layers_that_cannot_be_counted_cost_no_run(train, monkeypatch, capsys):
    monkeypatch.setattr(module, "network_layers", lambda training: 1 / 0)
    run = train(*QUICK[:3], "log.tensorboard=true", "log.progress=none", "log.num_images=0")
    assert run.status == "finished"
    assert "the table of the network's layers" in capsys.readouterr().err
    texts = EventAccumulator(str(run.folder)).Reload().Tags()["tensors"]
    assert "run/command/text_summary" in texts
    assert "run/network/text_summary" not in texts


def test_warnings_of_the_checkpoints_are_told(folder, monkeypatch, capsys):
    restore = module.Checkpoints.restore

    def warned(self, state):
        found = restore(self, state)
        self.warnings.append("last.pt is damaged")
        return found

    monkeypatch.setattr(module.Checkpoints, "restore", warned)
    cfg = runner.compose([*QUICK, "log.progress=none"])
    module.train_member(module.Member(cfg, [], folder, is_trial=True), runner.build.data(cfg))
    assert "warning: last.pt is damaged" in capsys.readouterr().err


@pytest.mark.parametrize(("is_trial", "status", "reason"), [(True, "diverged", "it rose"), (False, "finished", None)])
def test_a_runs_end_and_its_reason_are_in_its_record(folder, monkeypatch, is_trial, status, reason):
    def end(training, *_):
        training.state.trials[0].status, training.state.trials[0].reason = status, reason or ""

    monkeypatch.setattr(module, "fit", end)
    cfg = runner.compose([*QUICK, "log.progress=none", "log.figures=false"])
    module.train_member(module.Member(cfg, ["seed=0"], folder, is_trial=is_trial), runner.build.data(cfg))
    record = RunFolder.open(folder.path).record
    assert (record["status"], record["error"], record["overrides"]) == (status, reason, ["seed=0"])
    assert (folder.path / "config.yaml").exists() is not is_trial, "a trial's is there already"


@pytest.mark.parametrize(("wanted", "is_trial", "drawn"), [(True, False, 1), (True, True, 0), (False, False, 0)])
def test_figures_are_drawn_of_a_run_that_wants_them(folder, monkeypatch, wanted, is_trial, drawn):
    seen = []
    monkeypatch.setattr(module, "draw_run", lambda at, training: seen.append((at, training.evaluate.keeps)))
    cfg = runner.compose([*QUICK, "log.progress=none", f"log.figures={wanted}"])
    module.train_member(module.Member(cfg, [], folder, is_trial=is_trial), runner.build.data(cfg))
    assert seen == [(folder, True)] * drawn


def test_what_a_checkpoint_is_held_to_goes_along(folder, monkeypatch):
    seen = {}
    checkpoints = module.Checkpoints

    def noted(path, settings, identity, **options):
        seen.update(options, path=path, identity=identity)
        return checkpoints(path, settings, identity, **options)

    monkeypatch.setattr(module, "Checkpoints", noted)
    cfg = runner.compose([*QUICK, "log.progress=none"])
    data = runner.build.data(cfg)
    for is_trial, accepts, wanted in ((True, False, None), (False, True, lambda value: True)):
        member = module.Member(cfg, [], folder, is_trial, accepts, wanted=wanted)
        module.train_member(member, data)
        assert (seen["begin_anew"], seen["accept_changed_images"], seen["wanted"]) == (is_trial, accepts, wanted)
        assert (seen["path"], seen["images"]) == (folder.checkpoints, data.fingerprint)
        assert seen["identity"]["optimizer.lr"] == cfg.optimizer.lr
        assert "log.tensorboard" not in seen["identity"]
        folder.lock()


def test_every_so_many_steps_there_is_a_report(folder, monkeypatch):
    seen = []
    monkeypatch.setattr(module, "fit", lambda *given: seen.append(given[4:]))
    cfg = runner.compose([*QUICK, "log.progress=none", "log.every_steps=7", "log.figures=false"])
    module.train_member(module.Member(cfg, [], folder, is_trial=True), runner.build.data(cfg), pause_epoch=3)
    assert seen == [(7, 3)]


@pytest.mark.parametrize(
    ("words", "ways"),
    [
        (["engine.precision=fp32"], ["set engine.precision=auto", "set data.loading=workers"]),
        (["engine.precision=bf16"], ["set data.loading=workers"]),
        (["engine.precision=bf16", "data.loading=workers"], []),
    ],
)
def test_ways_out_of_too_little_memory_are_those_that_were_not_taken(words, ways):
    first = "data.batch_size=32: out of GPU memory; lower it and raise engine.accumulate_steps by the same factor"
    with (
        pytest.raises(module.OutOfMemory) as raised,
        module._out_of_memory_in_a_line(runner.compose([*words, "data.batch_size=32"])),
    ):
        raise torch.OutOfMemoryError
    assert str(raised.value) == ", or ".join([first, *ways])


def test_observers_of_a_trial_are_those_its_config_asks_for(folder, monkeypatch):
    monkeypatch.setattr(
        module.build, "observers", lambda cfg, path, shown, trial: [f"{path.name} {trial} {shown['lr']}"]
    )
    monkeypatch.setattr(module, "hparams", lambda leaves, record: {"lr": leaves["optimizer.lr"]})
    cfg = runner.compose([*QUICK, "optimizer.lr=0.5", "log.progress=none"])
    cfg.log.observers = [{"_target_": "odd"}]
    training = runner.build.training(cfg)
    monkeypatch.setattr(module.build, "log", lambda cfg: runner.log.settings.LogSettings(doctor=False))
    members = [module.Member(cfg, [], folder, is_trial=True, tensorboard="none") for _ in range(2)]
    quiet = module.Console(quiet=True)
    found = list(module._observers(module.ExitStack(), training, members, quiet, []))
    assert found == [f"{folder.path.name} {trial} 0.5" for trial in (0, 1)]


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (UserError("data.root: gone"), "failed", "data.root: gone"),
        (Interrupted(2), "interrupted", None),
        (KeyboardInterrupt(), "interrupted", None),
        (ValueError("odd"), "failed", "ValueError: odd\n"),
    ],
)
def test_how_a_run_ended_that_did_not_end_well(error, status, text):
    noted = {}

    class Files:
        def note(self, state, **fields):
            noted.update(fields, state=state)

    module._note_end(Files(), "state", error)
    assert (noted["status"], noted["error"], noted["state"]) == (status, text, "state")
    assert noted["finished"]


# ---------------------------------------------------------------------------------------------------------------------
# What a run has


def test_a_summary_names_its_figures_and_the_advice_that_was_given(written, capsys):
    advice = [{"sign": "gap", "epoch": 3, "text": "a [gap]"}]
    path = written(metrics={"epoch": 2}, advice=advice)
    (path / "figures").mkdir()
    for name in ("val_mistakes.png", "curves.png", "notes.txt"):
        (path / "figures" / name).touch()
    lines = told(capsys, path)
    assert f"figures curves, val_mistakes in {path}/figures" in lines
    assert "advice epoch 3: a [gap]" in lines
    assert lines.index("advice epoch 3: a [gap]") < lines.index("next")


@pytest.mark.parametrize(("status", "color"), [("finished", "32"), ("diverged", "31"), ("interrupted", "33")])
def test_a_status_has_its_color_at_a_terminal(written, capsys, monkeypatch, status, color):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    path = written(status)
    assert f"\x1b[{color}m{status}" in told(capsys, path)[0]
    assert f"\x1b[{color}m{status}" in told(capsys, path, brief=True)[0]


def test_names_in_a_summary_stand_in_a_column(written, capsys):
    path = written(metrics={"epoch": 2, "val/accuracy": 0.8})
    capsys.readouterr()
    Run(path).print_summary()
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["status             finished", "best val/accuracy  0.9000 (epoch 1 of 2)"]
    assert lines[-3] == "  tensorboard --logdir outputs"


def test_a_run_of_a_users_own_classes_goes_on_only_on_trust(written, capsys):
    path = written()
    config = path / "config.yaml"
    config.write_text(config.read_text().replace("runner.optimizer.sgd", "mine.SGD"))
    assert f"runner resume '{path}' --trust engine.epochs=4" in told(capsys, path)


def test_classes_are_those_of_the_record(train):
    run = train(*QUICK)
    assert run.classes == [str(digit) for digit in range(10)]
    run._files.update(classes=["a", "b"])
    assert runner.load(run.folder).classes == ["a", "b"]


def test_predictions_of_a_run_are_made_with_its_files_and_what_was_said(written, monkeypatch):
    seen = []
    monkeypatch.setattr("runner.inference.predict.predict_with", lambda *given: seen.append(given))
    run = runner.load(written(), trust=True)
    run.predict("images", "tta=flip", weights="last")
    ((files, images, overrides, weights, trust),) = seen
    assert ([one.path for one in files], images, overrides, weights, trust) == (
        [run.folder],
        "images",
        ("tta=flip",),
        "last",
        True,
    )
    Run(run.folder).predict("images")
    assert seen[1][3:] == ("best", False)


def test_images_that_have_been_read_are_not_read_again(folder, monkeypatch, tmp_path):
    cfg = runner.compose([*QUICK, "log.progress=none", f"output_dir={tmp_path}"])
    data, built, read = runner.build.data(cfg), [], []
    build = module.build.training
    monkeypatch.setattr(
        module.build, "training", lambda cfg, dataset=None: built.append(dataset) or build(cfg, dataset)
    )
    member = module.Member(cfg, [], folder, is_trial=True)
    module.train_member(member, data)
    assert built == [data]
    monkeypatch.setattr(module.build, "data", lambda cfg: read.append(data) or data)
    folder.lock()
    for begin, given in ((module.train, cfg), (module.go_on, member), (module.try_out, cfg)):
        begin(given)
        assert built.pop() is data
    assert len(read) == 3


def test_trials_together_are_built_with_the_threads_that_were_asked_for(folder, monkeypatch):
    built = []

    def vectorize(*given):
        built.append(given)
        raise UserError("enough")

    monkeypatch.setattr(module.build, "vectorize", vectorize)
    cfg = runner.compose([*QUICK, "log.progress=none"])
    with pytest.raises(UserError, match="enough"):
        module.train_vectorized([module.Member(cfg, [], folder, is_trial=True)] * 2, "images", num_threads=3)
    assert built == [([cfg, cfg], "images", 3)]
