"""What runs next, from coarse to fine, and who wins."""

from __future__ import annotations

import math

import pytest

from runner.sweep.record.journal import Standing
from runner.sweep.report import result as outcome
from runner.sweep.settings import Round, SweepSettings
from runner.sweep.space.space import Choice, Range, Space
from runner.sweep.strategy.plan import Plan, better_half, rank

SPACE = Space({"lr": Range(1e-5, 1e-1, "log"), "wd": Range(1e-4, 1.0, "log")})


def plan(*, space=SPACE, mode="max", rounds=((12, 2), (8, 6)), **settings):
    settings = SweepSettings(**{"finals": 0, **settings})
    return Plan(settings, space, [Round(*round_) for round_ in rounds], 20, mode)


def distance(point, best=(-2.5, -2.0)):
    return math.hypot(math.log10(float(point["lr"])) - best[0], math.log10(float(point["wd"])) - best[1])


def run(plan, score, status=lambda point: "finished"):
    """Every round to its end, as if each trial had scored by the function."""
    begun, standings = [], {}
    while record := plan.next_round(begun, standings):
        begun.append(record)
        for point in plan.points(record):
            words = [f"{key}={value}" for key, value in point.items()]
            number = len(standings)
            trial = Standing(number, record["index"], words, f"trials/{number:04d}", record["epochs"], status(point))
            trial.score = score(point) if trial.status == "finished" else None
            standings[number] = trial
    return begun, standings


@pytest.mark.parametrize(("mode", "sign"), [("max", -1), ("min", 1)])
def test_later_rounds_close_in_on_the_optimum_in_either_direction(mode, sign):
    begun, standings = run(plan(mode=mode), lambda point: sign * distance(point))
    first, second = begun
    assert second["ranges"]["lr"]["high"] / second["ranges"]["lr"]["low"] < 1e4
    assert second["ranges"]["lr"]["low"] < 10**-2.5 < second["ranges"]["lr"]["high"]
    best = rank(list(standings.values()), mode)[0]
    assert best.round == 1
    assert abs(best.score) == min(abs(trial.score) for trial in standings.values())
    assert (first["num_trials"], first["epochs"], second["num_trials"], second["epochs"]) == (12, 2, 8, 6)


def test_the_best_of_a_round_runs_again_first_in_the_next():
    _, standings = run(plan(), lambda point: -distance(point))
    first = [trial for trial in standings.values() if trial.round == 0]
    second = [trial for trial in standings.values() if trial.round == 1]
    assert second[0].overrides == rank(first, "max")[0].overrides


def test_a_fifth_of_later_points_comes_from_the_whole_space():
    space = Space({"lr": Range(1e-5, 1e-1, "log")})
    begun, standings = run(plan(space=space, rounds=((30, 2), (40, 2))), lambda p: -abs(math.log10(float(p["lr"])) + 3))
    low, high = (begun[1]["ranges"]["lr"][bound] for bound in ("low", "high"))
    outside = [
        trial for trial in standings.values() if trial.round == 1 and not low <= float(trial.overrides[0][3:]) <= high
    ]
    assert 3 <= len(outside) <= 8, "of the 8 from the whole space, two thirds lie outside the narrow one"


@pytest.mark.parametrize("share", [0.0, 0.6, 1.0])
def test_any_share_of_later_points_may_come_from_the_whole_space(share):
    begun, standings = run(plan(rounds=((40, 1), (41, 1)), explore=share, seed=1), lambda point: -distance(point))
    narrow, whole = (made["ranges"] for made in begun[::-1])
    second = [plan().point(trial) for trial in standings.values() if trial.round == 1][1:]
    inside = [all(narrow[key]["low"] <= float(point[key]) <= narrow[key]["high"] for key in point) for point in second]
    width = {key: [math.log10(made[key]["high"] / made[key]["low"]) for made in (narrow, whole)] for key in narrow}
    part = math.prod(one / other for one, other in width.values())  # of the whole space, which the narrow one takes
    assert sum(inside) / len(inside) == pytest.approx(1 - share + share * part, abs=0.1)


def test_what_diverged_or_failed_is_never_chosen():
    def status(point):
        return "diverged" if float(point["lr"]) > 1e-3 else "finished"

    begun, _ = run(plan(finals=2), lambda point: -distance(point), status)
    finals = begun[-1]
    assert finals["kind"] == "finals"
    assert all(float(point["lr"]) <= 1e-3 for point in finals["settings"])


def test_a_round_without_any_success_leaves_the_space_as_it_was():
    begun, _ = run(plan(finals=2), lambda point: 0.0, lambda point: "failed")
    assert [record["kind"] for record in begun] == ["search", "search"]
    assert begun[1]["ranges"] == begun[0]["ranges"]


def test_the_finals_run_the_best_settings_on_the_same_fresh_seeds():
    begun, standings = run(plan(finals=2, final_seeds=3), lambda point: -distance(point))
    finals = [trial for trial in standings.values() if trial.round == begun[-1]["index"]]
    assert len(finals) == 6
    seeds = [word for trial in finals for word in trial.overrides if word.startswith("seed=")]
    assert len(set(seeds)) == 3
    longest = [trial for trial in standings.values() if trial.round == 1]
    best = [dict(word.split("=") for word in trial.overrides) for trial in rank(longest, "max")[:2]]
    assert begun[-1]["settings"] == best
    assert begun[-1]["epochs"] == 20


def test_more_points_begin_with_those_that_ran():
    few, many = plan(rounds=((12, 2),)), plan(rounds=((20, 2),))
    (record,), _ = run(few, lambda point: -distance(point))
    assert many.points({**record, "num_trials": 20})[:12] == few.points(record)


def test_a_choice_that_wins_is_drawn_more_often():
    space = Space({"o": Choice(("a", "b", "c")), "lr": Range(1e-5, 1e-1, "log")})
    begun, _ = run(plan(space=space, rounds=((30, 1), (30, 1))), lambda point: 1.0 * (point["o"] == "b"))
    shares = begun[1]["ranges"]["o"]["options"]
    assert shares["b"] > 0.9


def test_a_finite_space_is_halved_instead_of_drawn_anew():
    space = Space({"o": Choice(("a", "b", "c", "d", "e", "f"))})
    begun, standings = run(plan(space=space, rounds=((24, 1), (12, 2))), lambda point: -ord(point["o"]))
    assert (begun[0]["num_trials"], begun[1]["num_trials"]) == (6, 2)
    assert [trial.overrides for trial in standings.values() if trial.round == 1] == [["o=a"], ["o=b"]]


def test_coordinate_search_moves_one_key_at_a_time_and_holds_the_others_at_their_best():
    begun, standings = run(plan(strategy="coordinate", rounds=((12, 2), (12, 4))), lambda point: -partial(point))
    assert [record["key"] for record in begun] == ["lr", "wd", "lr", "wd"]
    second = [dict(word.split("=") for word in trial.overrides) for trial in standings.values() if trial.round == 1]
    best_lr = min((trial for trial in standings.values() if trial.round == 0), key=lambda t: -t.score).overrides[0]
    assert {f"lr={point['lr']}" for point in second} == {best_lr}
    assert len({point["wd"] for point in second}) == 6
    assert begun[2]["ranges"]["lr"]["low"] > 1e-5, "the second pass is narrower"


def partial(point):
    """As the distance, with a key that is not set far away."""
    return distance({"lr": point.get("lr", "1e-5"), "wd": point.get("wd", "1")})


def test_ties_go_to_the_earlier_trial_and_trials_without_a_score_are_left_out():
    trials = [Standing(number, 0, [], "", 1, "finished", score) for number, score in enumerate([0.5, 0.9, 0.9, None])]
    assert [trial.trial for trial in rank(trials, "max")] == [1, 2, 0]
    assert [trial.trial for trial in rank(trials, "min")] == [0, 1, 2]


def test_halving_keeps_the_better_half_by_the_score_at_the_pause():
    trials = [
        Standing(number, 0, [], "", 4, "paused", half_score=score) for number, score in enumerate([3, 1, 2, 5, 4])
    ]
    kept, stopped = better_half(trials, "min")
    assert ({trial.trial for trial in kept}, {trial.trial for trial in stopped}) == ({1, 2, 0}, {3, 4})


def test_the_winner_is_the_best_mean_and_what_cannot_be_told_from_it_is_named():
    space = Space({"o": Choice(("good", "as_good", "bad"))})
    scores = {"good": (0.90, 0.92, 0.94), "as_good": (0.91, 0.90, 0.93), "bad": (0.5, 0.51, 0.52)}

    def score(point):
        return scores[point["o"]][seeds.index(int(point["seed"])) if "seed" in point else 0]

    the_plan = plan(space=space, rounds=((3, 2),), finals=3, final_seeds=3)
    seeds = the_plan.seeds(3)
    begun, standings = run(the_plan, score)
    result = outcome.judge(the_plan, begun, standings)
    assert [setting.point["o"] for setting in result.finals] == ["good", "as_good", "bad"]
    assert result.best.overrides[0] == "o=good"
    assert [setting.point["o"] for setting in result.same] == ["as_good"]
    assert result.finals[0].estimate.mean == pytest.approx(0.92)
    assert result.counts == {"finished": 12}


def test_an_edge_is_named_where_the_best_lies_at_it():
    space = Space({"lr": Range(1e-5, 1e-3, "log"), "wd": Range(1e-4, 1.0, "log")})
    the_plan = plan(space=space, rounds=((12, 2),))
    begun, standings = run(the_plan, lambda point: float(point["lr"]))
    edges = outcome.judge(the_plan, begun, standings).edges
    (edge,) = [edge for edge in edges if edge.startswith("lr")]
    assert "is at the upper edge of 1e-05 to 0.001" in edge


def test_no_edge_is_named_that_coordinate_search_has_moved():
    space = Space({"lr": Range(1e-4, 1e-1, "log"), "wd": Range(1e-4, 1.0, "log")})
    made = plan(space=space, rounds=((12, 1), (12, 2), (12, 3)), strategy="coordinate")
    begun, standings = run(made, lambda point: -abs(math.log10(float(point["lr"])) + 0.5))
    found = outcome.judge(made, begun, standings)
    assert any("widened" in note for note in found.notes)
    assert not any(edge.startswith("lr") for edge in found.edges), found.edges


def test_finals_before_a_sweep_was_lengthened_count_too():
    made = plan(finals=1, final_seeds=2, rounds=((6, 1),))
    begun, standings = run(made, lambda point: 0.9 if "seed" in point else -distance(point))
    longer = plan(finals=1, final_seeds=2, rounds=((6, 1), (6, 2)))
    while record := longer.next_round(begun, standings):
        begun.append(record)
        for point in longer.points(record):
            words = [f"{key}={value}" for key, value in point.items()]
            trial = Standing(len(standings), record["index"], words, "", record["epochs"], "finished")
            # Other settings look better in the search and are worse on fresh seeds.
            trial.score = 0.5 if "seed" in point else 1.0 + trial.trial
            standings[trial.trial] = trial
    found = outcome.judge(longer, begun, standings)
    assert [record["kind"] for record in begun] == ["search", "finals", "search", "finals"]
    assert [round(setting.estimate.mean, 3) for setting in found.finals] == [0.9, 0.5]
    again = Standing(len(standings), 1, standings[6].overrides, "", 1, "finished", score=0.9)
    found = outcome.judge(longer, begun, standings | {again.trial: again})
    assert [setting.estimate.n for setting in found.finals] == [2, 2], "a seed that ran twice counts once"


def test_the_command_repeats_the_best_alone_at_full_length():
    the_plan = plan(rounds=((3, 2),))
    begun, standings = run(the_plan, lambda point: -distance(point))
    result = outcome.judge(the_plan, begun, standings)
    result.best.overrides.append("engine.epochs=2")
    command = outcome.command(result, ["model=mlp", "engine.epochs=20", "wd=0"])
    point = the_plan.point(result.best)
    assert command == f"runner train model=mlp engine.epochs=20 wd={point['wd']} lr={point['lr']}"
