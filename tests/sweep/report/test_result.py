"""What a sweep has found: the winner, how sure that is, and edges."""

import math

import pytest

from runner.statistics import Estimate
from runner.sweep.record.trial import TrialRecord
from runner.sweep.report.finish import report_on
from runner.sweep.report.result import command_of_best, summarize
from runner.sweep.report.text import format_estimate, format_score
from runner.sweep.space.space import Categorical, Interval, Space
from runner.sweep.strategy.finals import final_seeds


def test_the_winner_is_the_best_mean_and_what_cannot_be_told_from_it_is_named(plan, run):
    space = Space({"o": Categorical(("good", "as_good", "bad"))})
    scores = {"good": (0.90, 0.92, 0.94), "as_good": (0.91, 0.90, 0.93), "bad": (0.5, 0.51, 0.52)}

    def score(point):
        return scores[point["o"]][seeds.index(int(point["seed"])) if "seed" in point else 0]

    the_plan = plan(space=space, rounds=((3, 2),), num_finalists=3, num_final_seeds=3)
    seeds = final_seeds(the_plan.settings, 3)
    begun, trials = run(the_plan, score)
    result = summarize(the_plan, begun, trials)
    assert [finalist.point["o"] for finalist in result.finalists] == ["good", "as_good", "bad"]
    assert result.best.point == {"o": "good"}
    assert [finalist.point["o"] for finalist in result.same] == ["as_good"]
    assert result.finalists[0].estimate.mean == pytest.approx(0.92)
    assert result.counts == {"finished": 12}


@pytest.mark.parametrize("mode", ["max", "min"])
def test_a_score_of_zero_counts_as_such(plan, run, mode):
    space = Space({"o": Categorical(("none", "some"))})
    the_plan = plan(space=space, rounds=((2, 2),), num_finalists=2, num_final_seeds=2, mode=mode)
    begun, trials = run(the_plan, lambda point: {"none": 0.0, "some": 0.5}[point["o"]])
    result = summarize(the_plan, begun, trials)
    assert {one.point["o"]: one.estimate.mean for one in result.finalists} == {"none": 0.0, "some": 0.5}
    assert result.best.point == {"o": "some" if mode == "max" else "none"}
    assert result.same == []


def test_an_edge_is_named_where_the_best_lies_at_it(plan, run):
    space = Space({"lr": Interval(1e-5, 1e-3, "log"), "wd": Interval(1e-4, 1.0, "log")})
    the_plan = plan(space=space, rounds=((12, 2),))
    begun, trials = run(the_plan, lambda point: float(point["lr"]))
    edges = summarize(the_plan, begun, trials).edges
    (edge,) = [edge for edge in edges if edge.startswith("lr")]
    assert "is at the upper edge of 1e-05 to 0.001" in edge


def test_no_edge_is_named_that_coordinate_search_has_moved(plan, run):
    space = Space({"lr": Interval(1e-4, 1e-1, "log"), "wd": Interval(1e-4, 1.0, "log")})
    made = plan(space=space, rounds=((12, 1), (12, 2), (12, 3)), strategy="coordinate")
    begun, trials = run(made, lambda point: -abs(math.log10(float(point["lr"])) + 0.5))
    found = summarize(made, begun, trials)
    assert any("widened" in note for note in found.notes)
    assert not any(edge.startswith("lr") for edge in found.edges), found.edges


def test_finals_before_a_sweep_was_lengthened_count_too(plan, run, distance):
    made = plan(num_finalists=1, num_final_seeds=2, rounds=((6, 1),))
    begun, trials = run(made, lambda point: 0.9 if "seed" in point else -distance(point))
    longer = plan(num_finalists=1, num_final_seeds=2, rounds=((6, 1), (6, 2)))
    while round_ := longer.next_round(begun, trials):
        begun.append(round_)
        for suggestion in longer.suggestions(round_):
            number, seed = len(trials), suggestion.seed
            trials[number] = TrialRecord(number, round_.index, suggestion.point, seed, round_.epochs, "")
            # Other points look better in the search and are worse on fresh seeds.
            trials[number].status, trials[number].score = "finished", 1.0 + number if seed is None else 0.5
    found = summarize(longer, begun, trials)
    assert [round_.kind for round_ in begun] == ["search", "finals", "search", "finals"]
    assert [round(finalist.estimate.mean, 3) for finalist in found.finalists] == [0.9, 0.5]
    again = TrialRecord(len(trials), 1, trials[6].point, trials[6].seed, 1, "", status="finished", score=0.9)
    found = summarize(longer, begun, trials | {again.trial: again})
    assert [finalist.estimate.n for finalist in found.finalists] == [2, 2], "a seed that ran twice counts once"


def test_the_command_repeats_the_best_alone_at_full_length(plan, run, distance):
    the_plan = plan(rounds=((3, 2),))
    begun, trials = run(the_plan, lambda point: -distance(point))
    result = summarize(the_plan, begun, trials)
    command = command_of_best(result, ["model=mlp", "engine.epochs=20", "wd=0"])
    point = result.best.point
    assert command == f"runner train model=mlp engine.epochs=20 wd={point['wd']} lr={point['lr']}"


@pytest.mark.parametrize(
    ("score", "text"), [(None, ""), (0.5, "0.5000"), (9999.0, "9999.0000"), (10000.0, "1e+04"), (-2e5, "-2e+05")]
)
def test_scores_of_any_size_are_legible(score, text):
    assert format_score(score) == text


@pytest.mark.parametrize(
    ("estimate", "words"),
    [
        (Estimate(0.5, math.nan, math.nan, math.nan, 1), "0.5000 on one fresh seed, which says nothing"),
        (Estimate(0.5, 0.0, 0.5, 0.5, 3), "0.5000 on each of 3 fresh seeds, too alike"),
        (Estimate(3.0, 1.0, -1.0, 7.0, 2), "3.0000 (95% confidence interval 0.0000 to 7.0000) over 2 fresh seeds"),
    ],
)
def test_an_estimate_is_as_sure_as_its_seeds_allow(estimate, words):
    assert words in format_estimate(estimate, "val/loss")


def test_a_report_is_told_with_a_folder_whose_name_has_brackets(write_sweep, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "500")
    sweep = write_sweep([{"lr": Interval(0.0, 1.0)}], [[({"lr": "0.1"}, 0.5, "finished")]], name="[bold]a")
    report_on(sweep.folder, sweep.plan, [])
    assert capsys.readouterr().out == f"wrote {sweep.folder.path / 'report.html'}\n"
    assert (sweep.folder.path / "report.html").is_file()
