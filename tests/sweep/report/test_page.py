"""The report of a sweep, and how it comes about."""

import base64
import json
import re
import shlex
from html.parser import HTMLParser
from pathlib import Path

import pytest

from runner import cli
from runner.plot.html import SCRIPT
from runner.sweep.report import finish as module
from runner.sweep.report import page as page_module
from runner.sweep.report.figures import parallel_coordinates, search_space
from runner.sweep.report.figures.draw import ReportFigure
from runner.sweep.report.finish import finish
from runner.sweep.report.page import report, write_report
from runner.sweep.report.text import sentences
from runner.sweep.space.space import Categorical, Interval

PNG = b"\x89PNG picture"
PICTURES = [
    ReportFigure("search_space", "How to <read> it.", PNG),
    ReportFigure("importance", "", reason="too few trials"),
]


class Page(HTMLParser):
    """The text of a page, its tables' rows, its links and its images."""

    def __init__(self, html):
        super().__init__()
        self.rows, self.links, self.images, self.texts, self.tags = [], [], [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        about = dict(attributes)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
        elif tag == "a":
            self.links.append(about["href"])
        elif tag == "img":
            self.images.append(about["src"])

    def handle_data(self, data):
        self.texts.append(data)
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data.strip("\n")

    @property
    def text(self):
        return "\n".join(self.texts)


def test_the_result_is_told_in_words(two_rounds):
    found = sentences(two_rounds.history.result, "val/accuracy")
    assert found[0] == (
        "Best: optimizer.lr=0.02 reg.l2.strength=0.001. val/accuracy 0.9500 "
        "(95% confidence interval 0.8229 to 1.0000) over 2 fresh seeds."
    )
    assert found[1] == "Not distinguishable from it: optimizer.lr=0.005 reg.l2.strength=0.0002 (mean 0.9400)."
    assert (
        "Widened on the way: optimizer.lr: the best, 0.9, is at the upper edge of 0.0001 to 1: widened to 10." in found
    )


def test_without_finals_the_one_seed_is_said(options):
    (first,) = sentences(options.history.result, "val/accuracy")
    assert first.startswith("Best: optimizer=adam model.activation=tanh. val/accuracy 0.8000 in trial 3, on one seed;")


def test_an_edge_is_said(write_sweep):
    space = {"lr": Interval(1e-3, 1.0, "log")}
    trials = [({"lr": "0.99"}, 0.9, "finished"), ({"lr": "0.01"}, 0.5, "finished")]
    found = sentences(write_sweep([space], [trials]).history.result, "val/accuracy")
    assert (
        found[-1]
        == "At an edge still: lr: 0.99 is at the upper edge of 0.001 to 1; a wider range may hold a better one."
    )


def test_every_trial_has_its_row(two_rounds):
    (two_rounds.folder.path / "trials/0001").mkdir(parents=True)
    page = Page(report(two_rounds.folder, two_rounds.history, [], "runner train optimizer.lr=0.02"))
    rows = [row for row in page.rows if len(row) == 10]
    keys = ["optimizer.lr", "reg.l2.strength"]
    assert rows[0] == ["trial", "round", "status", "val/accuracy", "epochs", "seconds", *keys, "folder", "reason"]
    assert len(rows) == 1 + 11
    assert rows[2] == ["1", "1", "finished", "0.9000", "1", "1.5", "0.02", "0.001", "trials/0001", ""]
    assert rows[3] == ["2", "1", "diverged", "", "1", "1.5", "0.9", "0.02", "trials/0002", "diverged: <b>1 & 2</b>"]
    assert rows[8][1] == "finals"
    assert page.links == ["trials/0001"]  # the one folder that is there
    assert "11 trials: 1 diverged, 1 failed, 8 finished, 1 pruned, in 0.0 s." in page.text


def test_nothing_of_a_trial_becomes_markup(write_sweep):
    evil = "<script>alert('1')</script>"
    space = {"model.name": Categorical((evil, "a&b"))}
    trials = [({"model.name": evil}, 0.5, "finished"), ({"model.name": "a&b"}, None, "failed")]
    sweep = write_sweep([space], [trials], metric="<i>score</i>")
    sweep.folder.update(overrides=[evil])
    html = report(sweep.folder, sweep.history, PICTURES, f"runner train {evil}")
    page = Page(html.replace(f"<script>{SCRIPT}</script>", ""))
    assert not {"script", "b", "i", "read"} & set(page.tags)
    assert page.text.count(evil) >= 4  # as text, in the result, the command and the tables
    assert f"runner sweep {shlex.quote(evil)}" in page.text
    assert "How to <read> it." in page.text


def test_the_page_needs_nothing_but_itself(two_rounds):
    html = report(two_rounds.folder, two_rounds.history, PICTURES, "runner train")
    html = html.replace(f"<script>{SCRIPT}</script>", "")
    page = Page(html)
    assert page.images == ["data:image/png;base64," + base64.b64encode(PNG).decode()]
    assert not re.search(r"https?://|<link|<script|src=\"[^d]", html)
    assert "prefers-color-scheme: dark" in html
    assert "importance: too few trials." in page.text
    assert "Not drawn" in page.texts
    assert "Not drawn" not in Page(report(two_rounds.folder, two_rounds.history, PICTURES[:1], None)).texts


def test_rounds_and_repetition_are_there(two_rounds):
    page = Page(report(two_rounds.folder, two_rounds.history, [], None))
    rounds = [row for row in page.rows if len(row) == 6]
    assert rounds[1] == ["1", "5", "1", "0.9000", "1e-4 to 1", "1e-5 to 0.1, or 0 (20%)"]
    assert rounds[2][4:] == ["0.001 to 0.1", "1e-4 to 0.01, or 0 (10%)"]
    assert rounds[3][:4] == ["finals", "4", "2", "0.9600"]
    for text in ("runner sweep sweep=lr", "Seed of the points: 7.", "Versions: python 3.11.7."):
        assert text in page.text


def test_a_lengthened_sweep_counts_its_searches_and_says_how_it_was_asked_for_at_last(lengthened):
    lengthened.folder.update(overrides=["sweep=lr", "sweep.rounds=[{trials: 2, epochs: 1}]"])
    page = Page(report(lengthened.folder, lengthened.history, [], None))
    assert [row[0] for row in page.rows if len(row) == 5] == ["round", "1", "finals", "2", "finals"]
    trials = [row[1] for row in page.rows if len(row) == 9]
    assert trials == ["round", "1", "1", "finals", "finals", "2", "2", "finals"]
    assert "runner sweep sweep=lr 'sweep.rounds=[{trials: 2, epochs: 1}]'" in page.text


@pytest.mark.parametrize(("seconds", "text"), [(0.0312, "0.031"), (0.5, "0.5"), (1.26, "1.3"), (125.0, "125.0")])
def test_the_seconds_of_short_trials_are_told(two_rounds, seconds, text):
    two_rounds.folder.journal.write_text(
        two_rounds.folder.journal.read_text().replace('"seconds": 1.5', f'"seconds": {seconds}')
    )
    page = Page(report(two_rounds.folder, two_rounds.history, [], None))
    assert {row[5] for row in page.rows if len(row) == 10} == {"seconds", text}


def test_a_sweep_in_which_nothing_finished_has_a_report(write_sweep):
    sweep = write_sweep([{"lr": Interval(0.0, 1.0)}], [[({"lr": "0.5"}, None, "failed")]])
    path = write_report(sweep.folder, sweep.history, [], None)
    assert "No trial has finished, so there is no best point." in Page(path.read_text()).text


def test_pictures_that_fail_cost_neither_result_nor_report(two_rounds, monkeypatch, capsys):
    monkeypatch.setattr(search_space, "draw_search_space", lambda *_: 1 / 0)
    monkeypatch.setattr(parallel_coordinates, "draw_parallel_coordinates", lambda *_: 1 / 0)
    result = finish(two_rounds.folder, two_rounds.plan, ["model=mlp"])
    printed = capsys.readouterr()
    assert result.best is not None
    assert json.loads((two_rounds.folder.path / "sweep.json").read_text())["best"]["mean"] == pytest.approx(0.95)
    assert [line.split(" could")[0] for line in printed.err.splitlines()] == [
        "warning: search_space.png",
        "warning: parallel_coordinates.png",
    ]
    assert f"report  {two_rounds.folder.path / 'report.html'}" in printed.out
    page = Page((two_rounds.folder.path / "report.html").read_text())
    assert len(page.images) == 3  # slice, history and importance
    assert (
        "search_space, parallel_coordinates: it could not be drawn (ZeroDivisionError: division by zero)." in page.text
    )


def test_a_report_that_cannot_be_written_is_a_warning(two_rounds, monkeypatch, capsys):
    monkeypatch.setattr(module, "draw_figures", lambda *_: 1 / 0)
    monkeypatch.setattr(module, "write_report", lambda *_: 1 / 0)
    finish(two_rounds.folder, two_rounds.plan, [])
    printed = capsys.readouterr()
    assert printed.err.count("warning:") == 2
    assert "best    optimizer.lr=0.02" in printed.out
    assert "report  " not in printed.out


def test_a_real_sweep_ends_with_its_report(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["model=linear", "engine.epochs=1", "optimizer.lr=tag(log,interval(1e-3,1e-1))", "log.histograms=false"]
    words += [
        "sweep.rounds=[{trials: 3, epochs: 1},{trials: 2, epochs: 1}]",
        "sweep.num_finalists=1",
        "sweep.num_final_seeds=2",
    ]
    with pytest.raises(SystemExit) as ended:
        cli.main(["sweep", *words, "log.num_images=0", "sweep.report=true"])
    assert ended.value.code == 0
    (path,) = Path("outputs").glob("*/*/report.html")
    assert f"report  {path}" in capsys.readouterr().out
    folder = path.parent
    page = Page(path.read_text())
    assert len([row for row in page.rows if len(row) == 9]) == 1 + 7
    assert all((folder / link).is_dir() for link in page.links)
    assert len(page.links) == 7
    drawn = sorted(file.stem for file in (folder / "figures").iterdir())
    assert drawn == ["history", "parallel_coordinates", "search_space", "slice"]
    assert len(page.images) == 4
    command = next(text for text in page.texts if text.startswith("runner train"))
    best = json.loads((folder / "sweep.json").read_text())["best"]
    assert next(word for word in best["overrides"] if word.startswith("optimizer.lr=")) in command
    assert list(folder.glob("events.out.tfevents.*"))


@pytest.fixture
def by_turns(write_sweep):
    """Coordinate search over a, b and c: a had its turn, then b, while a was held at its best; c had none yet."""
    space = {key: Interval(0.0, 1.0) for key in "abc"}
    trials = [[({"a": "0.25"}, 0.6, "finished"), ({"a": "0.75"}, 0.5, "finished")]]
    trials.append([({"a": "0.25", "b": "0.5"}, 0.7, "finished")])
    sweep = write_sweep([space, space], trials, strategy="coordinate")
    for round_, key, held in zip(sweep.rounds, "ab", ({}, {"a": "0.25"}), strict=True):
        round_.ranges = {key: round_.ranges[key]}
        round_.strategy = {"key": key, "held": held}
    sweep.folder.update(rounds=[round_.to_json() for round_ in sweep.rounds])
    sweep.folder.trial(0).mkdir(parents=True)
    (sweep.folder.trial(0) / "config.yaml").write_text("a: 0.25\nb: 0.125\nc: [1, 2]\n")
    return sweep


def test_of_a_search_by_turns_the_rounds_say_what_was_held_and_what_was_as_configured(by_turns):
    page = Page(report(by_turns.folder, by_turns.history, [], None))
    rounds = [row for row in page.rows if len(row) == 7]
    assert rounds[1][4] == "0 to 1"
    assert rounds[2][4:6] == ["held at 0.25", "0 to 1"]
    assert rounds[2][6].startswith("as configured")


def test_a_key_that_had_no_turn_yet_is_shown_as_configured_where_that_is_one_value(by_turns):
    page = Page(report(by_turns.folder, by_turns.history, [], None))
    assert [row[6:9] for row in page.rows if len(row) == 11][1:] == [
        ["0.25", "0.125", ""],
        ["0.75", "0.125", ""],
        ["0.25", "0.5", ""],
    ]


def test_of_other_searches_a_key_that_a_trial_lacks_stays_empty(two_rounds):
    two_rounds.folder.trial(0).mkdir(parents=True)
    (two_rounds.folder.trial(0) / "config.yaml").write_text("optimizer: {lr: 0.5}\nreg: {l2: {strength: 0.25}}\n")
    history = two_rounds.history
    history.trials[3].point.clear()
    assert [history.value(history.trials[3], key) for key in history.keys] == [None, None]


def test_without_the_first_trials_config_nothing_is_known_of_keys_without_a_turn(by_turns):
    (by_turns.folder.trial(0) / "config.yaml").unlink()
    assert by_turns.history.value(by_turns.history.trials[0], "b") is None


def test_a_value_comes_from_the_range_of_its_choice_wherever_that_was_made(write_sweep):
    space = {
        "optimizer": Categorical(("sgd", "adam")),
        "lr": Interval(0.0, 1.0),
        "lr[optimizer=sgd]": Interval(0.0, 1.0),
        "wd[optimizer=sgd]": Interval(0.0, 1.0),
    }
    trials = [
        ({"optimizer": "sgd", "lr": "0.5"}, 0.5, "finished"),
        ({"optimizer": "adam", "lr": "0.5"}, 0.5, "finished"),
    ]
    history = write_sweep([space], [[*trials, ({"lr": "0.5"}, 0.5, "finished")]]).history
    first, second, third = history.trials
    third.choices["optimizer"] = "sgd"
    found = [history.dimension_name(trial, "lr") for trial in (first, second, third)]
    assert found == ["lr[optimizer=sgd]", "lr", "lr[optimizer=sgd]"]
    assert [history.dimension_name(trial, "wd") for trial in (first, second)] == ["wd[optimizer=sgd]", "wd"]
    assert history.keys == ["optimizer", "lr", "wd"]


def test_the_best_score_of_a_round_is_that_of_a_trial_that_finished(write_sweep):
    space = {"lr": Interval(0.0, 1.0)}
    trials = [({"lr": "0.1"}, 0.5, "finished"), ({"lr": "0.2"}, 0.9, "pruned"), ({"lr": "0.3"}, None, "finished")]
    sweep = write_sweep([space], [trials])
    rounds = "".join(page_module._rounds(sweep.history))
    assert "0.5000" in rounds
    assert "0.9000" not in rounds
