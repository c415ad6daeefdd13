"""What commands print looks as it did when it was last looked at."""

import re
import sys

import pytest

from runner.command.table import COMMANDS
from tests.looks import COLORS, form_of, page_of, styled


@pytest.fixture
def varied(write_run, runner):
    """Runs of every kind: repeats, another option with keys of its own, unfinished and failed ones, tags and notes."""
    adam = {"optimizer._target_": "runner.optimizer.adam", "optimizer.betas": [0.9, 0.999], "optimizer.lr": 0.001}
    for seed, score in enumerate([0.9, 0.92, 0.91, 0.905]):
        write_run(f"outputs/digits/s{seed}", [0.5, score], seed=seed)
    for seed in range(2):
        write_run(f"outputs/digits/a{seed}", [0.4, 0.93], seed=seed, choices={"optimizer": "adam"}, **adam)
    write_run("outputs/digits/failed", [], status="failed", **{"optimizer.lr": 10.0})
    write_run("outputs/other/diverged", [0.3, None], status="diverged", **{"optimizer.lr": 3.0})
    write_run("outputs/other/long", [0.5, 0.6, 0.7], **{"engine.epochs": 30})
    runner("tag", "outputs/digits/s1", "good")
    runner("note", "outputs/digits/s1", "the first of its kind")


@pytest.mark.parametrize("width", [220, 90, 40])
def test_a_comparison_looks_as_it_did(varied, runner, looks, width):
    looks(f"cli/compare_{width}", runner("compare", env={"COLUMNS": str(width)}).stdout)


@pytest.mark.parametrize("form", ["markdown", "csv", "json"])
def test_a_comparison_in_other_forms_looks_as_it_did(varied, runner, looks, form):
    text = runner("compare", "--format", form, "--by", "optimizer").stdout
    # Another numpy or scipy sums in another order.
    looks(f"cli/compare_{form}", re.sub(r"\d+\.\d{7,}", lambda number: f"{float(number[0]):.6g}", text))


def test_a_comparison_as_a_page_looks_as_it_did(varied, runner, looks, tmp_path):
    runner("compare", "--html", "page.html")
    looks("cli/compare_page", page_of((tmp_path / "page.html").read_text()))


def test_a_list_looks_as_it_did(varied, runner, looks):
    looks("cli/list", runner("list", env={"COLUMNS": "120"}).stdout)


@pytest.fixture
def say(runner):
    """`say("train", "seed=1")` runs a command at a terminal with colors, and notes it with what it prints."""

    def noted(*words, status=0):
        done = runner(*words, env=COLORS, status=status)
        noted.said.append(f"$ runner {' '.join(map(str, words))}\n{styled(done.stdout)}{styled(done.stderr)}")

    noted.said = []
    return noted


def test_a_run_and_what_is_made_of_it_looks_as_it_did(runner, say, looks, tmp_path):
    """Of what was trained the form alone is compared."""
    words = ["model=mlp", "engine.epochs=10", "data.images_per_class=100", "reg=[l2,dropout]", "average=ema"]
    say("train", *words, "log.progress=lines")
    (folder,) = runner.runs()
    run = folder.relative_to(tmp_path)
    for words in (["test", run], ["report", run], ["export", run], ["average", run, run, "--out", "mean.pt"]):
        say(*words)
    page = page_of((folder / "report.html").read_text())
    looks("cli/run", form_of("\n".join([*say.said, page])))


def test_what_other_commands_print_at_a_terminal_looks_as_it_did(say, looks):
    """Of trainings whose scores are far apart, so that the order of their rows is that on any machine."""
    small = ["model=linear", "log.tensorboard=false", "log.progress=lines", "name=it"]
    good, bad = "optimizer.lr=0.05", "optimizer.lr=1e-9"
    say("train", *small, good, "engine.epochs=2")
    say("train", *small, bad, "engine.epochs=2", "seed=2")
    diverging = ["optimizer=sgd", "optimizer.lr=1e9", "engine.epochs=2", "engine.divergence_factor=1.01"]
    say("train", *small, *diverging, status=3)
    say("resume", "1", "engine.epochs=3")
    say("resume", "1", "engine.epochs=3")
    say("test", "1", "2", "--greedy")
    say("test", "1", "tta=flip")
    say("test", "1")
    say("tag", "1", "good", "first.one")
    say("note", "1", "is it /this/path, [bold] or 42?")
    say("list")
    say("compare", "--by", "optimizer")
    say("compare", "--html", "page.html")
    say("check", *small, "data=synthetic", "data.num_images=100", "--only", "loss,layers", "log.progress=none")
    say("check", "--list")
    say("options", "average")
    rounds = ["sweep.rounds=[{trials: 2, epochs: 1}]", "sweep.num_finalists=0", "sweep.vectorize=off"]
    say("sweep", *small, "optimizer.lr=choice(1e-9,0.05)", *rounds)
    say("resume", "last")
    say("train", *small, "engine.epochs=1", "optimizer.lr=1e-9,0.05", "-m")
    say("remove", "2", "--yes")
    looks("cli/commands", form_of("\n".join(say.said)))


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="argparse lays out its help otherwise from there on")
@pytest.mark.parametrize("command", [*COMMANDS, ""])
def test_the_help_of_a_command_looks_as_it_did(runner, looks, command):
    words = [command, "--help"] if command else ["--help"]
    looks(f"cli/help_{command or 'runner'}", runner(*words, env={"COLUMNS": "100"}).stdout)
