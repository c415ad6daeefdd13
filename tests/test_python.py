"""Commands from Python."""

import io
import subprocess
import sys
from pathlib import Path

import pytest

import runner
from runner.config import words_of
from runner.errors import UserError

SMALL = "model=linear engine.epochs=1 log.progress=none engine.limit_batches=3"


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("value", "word"),
    [
        (None, "key=null"),
        (True, "key=true"),
        (3, "key=3"),
        (1e-5, "key=1e-05"),
        ("adam", "key=adam"),
        ("loguniform(1e-5,1e-1)", "key=loguniform(1e-5,1e-1)"),
        ("sgd,adam", "key=sgd,adam"),
        ([1, "b"], "key=[1,b]"),
        ({"trials": 2, "epochs": "25%"}, "key={trials:2,epochs:25%}"),
        (Path("/some/it's where"), "key='/some/it\\'s where'"),
    ],
)
def test_a_value_of_python_is_a_word_of_the_command_line(value, word):
    assert words_of([], {"key": value}) == [word]


def test_what_is_said_reaches_the_config_however_it_is_said():
    for said in ("name=it seed=3", ["name=it", "seed=3"]):
        assert runner.compose(said).seed == 3
    odd = Path("/it's [odd] = 'so'")
    assert runner.compose(words_of([], {"output_dir": odd})).output_dir == str(odd)
    one = runner.train(SMALL, "seed=3", optimizer="adam", **{"optimizer.lr": 0.01})
    assert one.record["overrides"] == [*SMALL.split(), "seed=3", "optimizer=adam", "optimizer.lr=0.01"]
    assert (one.config.optimizer.lr, one.config.seed) == (0.01, 3)


def test_a_sweep_is_searched_compared_and_tested():
    rounds = {"sweep.rounds": [{"trials": 2, "epochs": 1}], "sweep.num_finalists": 0, "sweep.report": False}
    arguments = list(sys.argv)
    found = runner.sweep(SMALL, **{"optimizer.lr": "loguniform(1e-3,1e-1)"}, **rounds)
    assert sys.argv == arguments
    assert (found.status, found.folder) == ("finished", Path("outputs/digits-linear/0001-sweep-lr"))
    best = found.best_run()
    assert best.objective == found.best["score"]
    assert runner.test(best)["num_images"] == runner.test(best.folder, "engine.device=cpu")["num_images"]
    table = runner.compare(found.folder, where=["status=finished"])
    assert table.rows[0].estimate.mean == found.best["score"]
    assert runner.compare().num_runs == 2


@pytest.mark.parametrize(
    "call",
    [
        lambda: runner.train("optimizer=adm"),
        lambda: runner.sweep("optimizer=adm,sgd"),
        lambda: runner.sweep(SMALL),
        lambda: runner.test("nowhere"),
        lambda: runner.compare("nowhere"),
        lambda: runner.load("nowhere"),
        lambda: runner.compose(["optimizer=adm"]),
    ],
)
def test_a_mistake_is_one_line_without_what_led_to_it(call):
    with pytest.raises(UserError) as raised:
        call()
    assert "\n" not in str(raised.value)
    assert raised.value.__suppress_context__ or raised.value.__context__ is None
    assert raised.value._render_traceback_() == [f"runner: {raised.value}"]  # which IPython shows


@pytest.mark.slow
def test_help_dir_and_type_checkers_see_the_functions(tmp_path):
    assert {"train", "sweep", "test", "compare", "load"} <= set(dir(runner))
    text = io.StringIO()
    helper = __import__("pydoc").Helper(output=text)
    helper.help(runner.train)
    assert "Train as `runner train OVERRIDES` would" in text.getvalue()
    (tmp_path / "use.py").write_text(
        "import runner\n"
        "run = runner.train('optimizer=adam', seed=3)\n"
        "reveal_type(run)\n"
        "reveal_type(runner.test(run))\n"
        "reveal_type(runner.load('last').status)\n"
    )
    words = [sys.executable, "-m", "mypy", "--no-incremental", "--follow-imports=silent", "use.py"]
    told = subprocess.run(words, capture_output=True, text=True).stdout
    assert 'Revealed type is "runner.training.run.Run"' in told
    assert "dict" in told
    assert 'Revealed type is "str"' in told or "builtins.str" in told


def test_packages_that_are_called_are_packages_still():
    import runner.compare.table
    import runner.sweep.settings

    assert runner.sweep.settings.SweepSettings().num_workers == 1
    assert callable(runner.sweep)
    assert callable(runner.compare)
