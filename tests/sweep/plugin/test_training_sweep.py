"""A sweep of trainings from its config: what is searched, how its folder is named, and how its end is told."""

import json
from types import SimpleNamespace

import pytest
from hydra.types import RunMode
from omegaconf import OmegaConf

import runner
from runner.command.stored import begin_again
from runner.errors import DeviceFault, Interrupted, SweepFailed, UserError
from runner.store import SweepFolder
from runner.sweep.plugin import training_sweep as module

SMALL = ["model=linear", "data=synthetic", "data.num_images=80", "log.progress=none", "log.tensorboard=false"]
FEW = ["sweep.rounds=[{trials: 3, epochs: 1}]", "sweep.num_finalists=0", "sweep.vectorize=off", "sweep.report=false"]
RANGE = "optimizer.lr=loguniform(1e-3,1e-1)"


@pytest.fixture
def inside(tmp_path, monkeypatch):
    """`inside(run)`: a sweep in which `run` takes the place of the search; its folder's record, and what was raised."""
    monkeypatch.chdir(tmp_path)
    ends = []
    monkeypatch.setattr(module, "finish", lambda *given, **more: ends.append((given, more)))

    def begin(run, *words, statuses=()):
        class Search:
            def __init__(self, folder, plan, task, launch, batch, size):
                self.folder, self.plan, self.task, self.batch, self.size = folder, plan, task, batch, size
                trials = {n: SimpleNamespace(status=status, reason="why") for n, status in enumerate(statuses)}
                counts = {"finished": list(statuses).count("finished")}
                self.journal, self.returns = SimpleNamespace(trials=trials, counts=counts), []
                begin.search = self

            def run(self):
                run(self)

        monkeypatch.setattr(module, "SearchRun", Search)
        raised = None
        try:
            runner.sweep([*SMALL, *FEW, *words])
        except BaseException as error:
            raised = error
        paths = list(tmp_path.glob("outputs/*/*/sweep.json"))
        return [json.loads(path.read_text()) for path in paths], raised

    begin.ends = ends
    return begin


def test_a_sweep_that_went_well_is_finished_and_reported(inside):
    (record,), raised = inside(lambda search: None, RANGE, statuses=["finished", "failed"])
    assert raised is None
    assert record["status"] == "finished"
    ((folder, plan, shared, report, tensorboard), more) = inside.ends[0]
    assert (folder.path.parent.name, report, tensorboard, more) == ("synthetic-linear", False, False, {"quiet": True})
    assert set(plan.space.dimensions) == {"optimizer.lr"}
    assert shared == [*SMALL[:-1], "log.tensorboard=False"]
    assert inside.search.batch.vectorize == "off"
    assert inside.search.batch.num_workers == 1


@pytest.mark.parametrize(
    ("error", "status", "told", "exit_status"),
    [
        (SweepFailed("all failed"), "failed", [{"quiet": True}], 3),
        (DeviceFault("the GPU stopped"), "failed", [{"quiet": True}], 1),
        (Interrupted(2), "interrupted", [], None),
        (KeyboardInterrupt(), "interrupted", [], None),
        (ValueError("odd"), "failed", [], None),
    ],
)
def test_a_sweep_that_ended_early_says_how_it_stands(inside, capsys, error, status, told, exit_status):
    def run(search):
        raise error

    (record,), raised = inside(run, RANGE, "name=it", "log.progress=lines")
    assert (type(raised), record["status"]) == (type(error), status)
    assert [more for _, more in inside.ends] == told
    if exit_status is not None:
        assert raised.status == exit_status, "no trial failed, so all diverged; but of a GPU that is its own"
    out = capsys.readouterr().out
    assert ("interrupted; go on with: runner resume " in out) == (status == "interrupted")


@pytest.mark.parametrize(
    ("statuses", "fails"), [(["diverged", "failed"], True), (["failed", "finished"], False), ([], False)]
)
def test_a_sweep_in_which_nothing_finished_has_failed(inside, statuses, fails):
    _, raised = inside(lambda search: None, RANGE, statuses=statuses)
    assert (isinstance(raised, SweepFailed) and "no trial has finished" in str(raised)) is fails
    if fails:
        assert str(raised) == "no trial has finished; the first diverged: why"


@pytest.mark.parametrize(
    ("words", "name", "said"),
    [
        ([RANGE], "synthetic-linear", "sweep,lr"),
        ([RANGE, "name=mine"], "mine", "sweep,lr"),
        ([RANGE, "optimizer.weight_decay=0,0.1"], "synthetic-linear", "sweep,lr,weight_decay"),
        (["sweep=lr"], "synthetic-linear", "sweep,lr"),
    ],
)
def test_a_sweeps_folder_is_named_by_what_it_searches(inside, monkeypatch, tmp_path, words, name, said):
    made = []
    make = module.store.make_folder
    monkeypatch.setattr(module.store, "make_folder", lambda *given: made.append(given) or make(*given))
    inside(lambda search: None, *words)
    ((place, of_folder, about),) = made
    assert (str(place), of_folder, ",".join(about)) == ("outputs", name, said)


def test_what_a_sweep_was_told_is_in_its_record(inside):
    (record,), _ = inside(lambda search: None, RANGE, "sweep.seed=7", "objective.name=val/loss", "objective.mode=min")
    assert record["seed"] == 7
    assert record["objective"] == {"name": "val/loss", "mode": "min"}
    assert list(record["space"]) == ["optimizer.lr"]
    assert "optimizer.lr=tag(log,interval(1e-3,1e-1))" in record["overrides"]
    assert record["config_folders"] == []


def test_the_folder_that_ran_last_is_remembered(inside, tmp_path):
    inside(lambda search: None, RANGE)
    (path,) = tmp_path.glob("outputs/*/*")
    assert (tmp_path / module.latest_folder()).samefile(path)


def test_what_is_hydras_own_and_the_jobs_is_no_part_of_a_sweeps_config():
    composed = OmegaConf.create({"hydra": 1, "job": 2, "model": 3, "sweep": 4})
    assert module._without_hydra(composed) == {"model": 3, "sweep": 4}


def test_a_trials_config_that_cannot_be_composed_is_explained(monkeypatch):
    error, asked = ValueError("no such option"), []

    def fail(*given):
        asked.append(given)
        raise error

    context = SimpleNamespace(config_loader=SimpleNamespace(load_configuration=fail))
    whole = OmegaConf.create({"hydra": {"overrides": {"hydra": ["hydra/launcher=workers"]}}})
    explained = []

    def explain(*given, **more):
        explained.append((given, more))
        return UserError("model: no such option")

    monkeypatch.setattr(module.config, "explain", explain)
    with pytest.raises(UserError, match=r"^model: no such option$"):
        module._compose(context, whole, ["sweep.seed=1"], ["model=nowhere"])
    assert asked == [("sweep", ["hydra/launcher=workers", "sweep.seed=1", "model=nowhere"], RunMode.RUN)]
    assert explained == [((error, ["model=nowhere"], "sweep"), {"composing": True})]


def test_a_sweep_that_goes_on_is_held_to_what_it_was_and_let_go_where_it_is_not(inside, tmp_path, monkeypatch):
    inside(lambda search: None, RANGE)
    (path,) = tmp_path.glob("outputs/*/*")

    def refuse(*_):
        raise UserError("optimizer.lr: another range")

    monkeypatch.setattr(module, "check_unchanged", refuse)
    whole = OmegaConf.create({"hydra": {}, "job": {"folder": str(path)}, "name": None})
    with pytest.raises(UserError, match="another range"):
        module._open_folder([], None, None, whole)
    folder = SweepFolder.open(path)
    folder.lock()
    folder.unlock()


@pytest.mark.parametrize("only_report", [True, False])
def test_a_report_is_written_without_training(inside, tmp_path, monkeypatch, only_report):
    inside(lambda search: None, RANGE)
    (path,) = tmp_path.glob("outputs/*/*")
    ran, reported = [], []
    monkeypatch.setattr(module, "report_on", lambda folder, plan, shared: reported.append(folder.path))
    monkeypatch.setattr(module, "SearchRun", lambda *_: ran.append(1) or 1 / 0)
    if only_report:
        begin_again(path, [], False, only_report=True)
        assert [one.absolute() for one in reported] == [path]
        assert ran == []
    else:
        with pytest.raises(ZeroDivisionError):
            begin_again(path, [], False)
        assert (ran, reported) == ([1], [])
