"""A run's plain files."""

import runner
from runner.log.metrics_file import MetricsFile
from runner.objective import training_objective
from runner.store import RunFolder, make_folder


def test_the_time_of_a_run_that_goes_on_is_added_to_that_before(tmp_path, monkeypatch):
    folder = RunFolder.create(make_folder(tmp_path, "it"), "it", [], {}, {})
    folder.update(seconds=100.0)
    now = [5.0]
    monkeypatch.setattr("runner.log.metrics_file.time.perf_counter", lambda: now[0])
    file = MetricsFile(folder, training_objective())
    now[0] = 7.5
    file.note(runner.build.training(runner.compose(["model=linear"])).state)
    assert folder.record["seconds"] == 102.5
