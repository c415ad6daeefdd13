"""Sweeps written by hand, to look at without training."""

import json
import math
from datetime import datetime, timedelta

import pytest

from runner.objective import Objective
from runner.store import SweepFolder
from runner.sweep.record.rounds import FinalRound, SearchRound
from runner.sweep.record.trial import TrialRecord
from runner.sweep.report.history import read_history
from runner.sweep.settings import RoundPlan, SweepSettings
from runner.sweep.space.space import Categorical, Interval, Space
from runner.sweep.strategy.plan import Plan

BEGIN = datetime(2026, 1, 1)


class WrittenSweep:
    """A folder with sweep.json and a journal.

    Args:
        rounds: the space of each round of the search, the first one being the whole.
        trials: of each round, (point, score, status); with `finals` the last list is theirs.
    """

    def __init__(self, path, rounds, trials, *, mode="max", finals=(), metric="val/accuracy", notes=(), **settings):
        path.mkdir(parents=True)
        spaces = [Space(dimensions) for dimensions in rounds]
        epochs = [2**index for index in range(len(rounds))]
        plans = [RoundPlan(len(own), number) for own, number in zip(trials, epochs, strict=False)]
        self.plan = Plan(SweepSettings(**settings), spaces[0], plans, epochs[-1], Objective(metric, mode))
        self.rounds = [
            SearchRound(
                index=index,
                epochs=number,
                num_trials=len(own),
                ranges=space.describe(),
                notes=list(notes) if index else [],
                strategy={"whole": spaces[0].describe(), "best": None},
            )
            for index, (space, own, number) in enumerate(zip(spaces, trials, epochs, strict=False))
        ]
        if finals:
            index, number = len(self.rounds), len(trials[-1])
            self.rounds.append(
                FinalRound(index=index, epochs=epochs[-1], num_trials=number, points=list(finals), seeds=[1, 2])
            )
        self.folder = SweepFolder.create(path, "digits-mlp", ["sweep=lr"], 7, {"python": "3.11.7", "packages": {}})
        self.folder.unlock()
        self.folder.update(objective={"name": metric, "mode": mode})
        self.write(trials, self.rounds)

    def write(self, trials, rounds):
        """The rounds, and the journal: a trial every two seconds."""
        self.folder.update(rounds=[round_.to_json() for round_ in rounds])
        lines, number, moment = [], 0, BEGIN
        for round_, own in zip(rounds, trials, strict=True):
            for point, score, status in own:
                point = dict(point)
                seed = point.pop("seed", None)
                about = {"trial": number, "round": round_.index, "point": point, "seed": seed and int(seed)}
                about |= {"folder": f"trials/{number:04d}", "epochs": round_.epochs, "choices": {}}
                error = (
                    None
                    if status == "finished"
                    else f"Traceback (most recent call last):\n  File\n{status}: <b>1 & 2</b>\nmore"
                )
                moment += timedelta(seconds=2)
                begun, ended = (moment - timedelta(seconds=2)).isoformat(), moment.isoformat()
                lines.append({"time": begun, "event": "queued", **about, "score": None})
                lines.append({"time": begun, "event": "started", **about, "score": None})
                lines.append({"time": ended, "event": status, **about, "score": score, "error": error, "seconds": 1.5})
                number += 1
        self.folder.journal.write_text("".join(json.dumps(line) + "\n" for line in lines))

    @property
    def history(self):
        return read_history(self.folder, self.plan)


@pytest.fixture
def write_sweep(tmp_path):
    """`write_sweep([{"lr": Interval(..)}], [[({"lr": "0.1"}, 0.9, "finished")]])` writes a sweep's files."""

    def write(rounds, trials, name="sweep", **more):
        return WrittenSweep(tmp_path / name, rounds, trials, **more)

    return write


WIDE = {"optimizer.lr": Interval(1e-4, 1.0, "log"), "reg.l2.strength": Interval(1e-5, 1e-1, "log", zero=0.2)}
NARROW = {"optimizer.lr": Interval(1e-3, 1e-1, "log"), "reg.l2.strength": Interval(1e-4, 1e-2, "log", zero=0.1)}


@pytest.fixture
def two_rounds(write_sweep):
    """Two keys, two rounds and finals, with every way that a trial ends; the best has lr=0.02."""

    def point(lr, l2):
        return {"optimizer.lr": lr, "reg.l2.strength": l2}

    first = [
        (point("0.0002", "0"), 0.30, "finished"),
        (point("0.02", "0.001"), 0.90, "finished"),
        (point("0.9", "0.02"), None, "diverged"),
        (point("0.3", "0.00002"), None, "failed"),
        (point("0.004", "0.05"), 0.50, "pruned"),
    ]
    second = [(point("0.02", "0.001"), 0.95, "finished"), (point("0.005", "0.0002"), 0.93, "finished")]
    finals = [point("0.02", "0.001"), point("0.005", "0.0002")]
    seeds = zip([1, 2, 1, 2], [0.96, 0.94, 0.95, 0.93], [0, 0, 1, 1], strict=True)
    last = [({**finals[which], "seed": str(seed)}, score, "finished") for seed, score, which in seeds]
    notes = ["optimizer.lr: the best, 0.9, is at the upper edge of 0.0001 to 1: widened to 10"]
    return write_sweep([WIDE, NARROW], [first, second, last], finals=finals, notes=notes)


@pytest.fixture
def lengthened(write_sweep):
    """A search, finals, then another round and its finals."""
    space = {"lr": Interval(1e-3, 1.0, "log")}
    first = [({"lr": "0.1"}, 0.5, "finished"), ({"lr": "0.2"}, 0.6, "finished")]
    second = [({"lr": "0.2"}, 0.6, "finished"), ({"lr": "0.3"}, 0.7, "finished")]
    sweep = write_sweep([space, space], [first, second])
    one, two = sweep.rounds
    two.index = 2

    def finals(index, lr, seeds):
        return FinalRound(index=index, epochs=2, num_trials=len(seeds), points=[{"lr": lr}], seeds=seeds)

    again = [({"lr": "0.2", "seed": str(seed)}, 0.6, "finished") for seed in (1, 2)]
    last = [({"lr": "0.3", "seed": "1"}, 0.65, "finished")]
    sweep.write([first, again, second, last], [one, finals(1, "0.2", [1, 2]), two, finals(3, "0.3", [1])])
    return sweep


@pytest.fixture
def options(write_sweep):
    """A space of two choices alone."""
    space = {"optimizer": Categorical(("sgd", "adam")), "model.activation": Categorical(("relu", "tanh"))}
    points = [{"optimizer": a, "model.activation": b} for a in ("sgd", "adam") for b in ("relu", "tanh")]
    return write_sweep([space], [[(point, 0.5 + 0.1 * n, "finished") for n, point in enumerate(points)]])


SPACE = Space({"lr": Interval(1e-5, 1e-1, "log"), "wd": Interval(1e-4, 1.0, "log")})


@pytest.fixture
def plan():
    """`plan(rounds=((12, 2), (8, 6)), mode="min", num_finalists=2)`: the plan of a search that trains nothing."""

    def make(*, space=SPACE, mode="max", rounds=((12, 2), (8, 6)), **settings):
        settings = SweepSettings(**{"num_finalists": 0, **settings})
        return Plan(settings, space, [RoundPlan(*round_) for round_ in rounds], 20, Objective("score", mode))

    return make


@pytest.fixture
def run():
    """`run(plan, score)`: every round to its end, as if each trial had scored by the function."""

    def simulate(plan, score, status=lambda point: "finished"):
        begun, trials = [], {}
        while round_ := plan.next_round(begun, trials):
            begun.append(round_)
            for suggestion in plan.suggestions(round_):
                number, point, seed = len(trials), suggestion.point, suggestion.seed
                trial = TrialRecord(number, round_.index, point, seed, round_.epochs, f"trials/{number:04d}")
                trial.status = status(point)
                shown = point if seed is None else {**point, "seed": seed}
                trial.score = score(shown) if trial.status == "finished" else None
                trials[number] = trial
        return begun, trials

    return simulate


@pytest.fixture
def distance():
    """How far a point lies from lr=10**-2.5, wd=0.01 in the logarithms; a key that is not set is far away."""

    def of(point, best=(-2.5, -2.0)):
        lr, wd = float(point.get("lr", "1e-5")), float(point.get("wd", "1"))
        return math.hypot(math.log10(lr) - best[0], math.log10(wd) - best[1])

    return of
