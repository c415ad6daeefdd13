"""What commands print looks as it did when it was last looked at."""

import re
import sys

import pytest

from runner.command.table import COMMANDS
from tests.looks import form_of, page_of


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


def test_a_run_and_what_is_made_of_it_looks_as_it_did(runner, looks, tmp_path):
    """Of what was trained the form alone is compared."""
    words = ["model=mlp", "engine.epochs=10", "data.images_per_class=100", "reg=[l2,dropout]", "average=ema"]
    said = [runner("train", *words).stdout]
    (folder,) = runner.runs()
    run = folder.relative_to(tmp_path)
    for words in (["test", run], ["report", run], ["export", run], ["average", run, run, "--out", "mean.pt"]):
        done = runner(*words)
        said.append(f"$ runner {words[0]}\n{done.stdout}{done.stderr}")
    said.append(page_of((folder / "report.html").read_text()))
    looks("cli/run", form_of("\n".join(said)))


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="argparse lays out its help otherwise from there on")
@pytest.mark.parametrize("command", [*COMMANDS, ""])
def test_the_help_of_a_command_looks_as_it_did(runner, looks, command):
    words = [command, "--help"] if command else ["--help"]
    looks(f"cli/help_{command or 'runner'}", runner(*words, env={"COLUMNS": "100"}).stdout)
