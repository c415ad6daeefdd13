"""Sweeps written by hand, to look at without training."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import pytest

from runner.store import SweepFolder
from runner.sweep.report.history import read_course
from runner.sweep.settings import Round, SweepSettings
from runner.sweep.space.space import Choice, Range, Space
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
        plans = [Round(len(own), number) for own, number in zip(trials, epochs, strict=False)]
        self.plan = Plan(SweepSettings(**settings), spaces[0], plans, epochs[-1], mode)
        records = [
            {"index": index, "kind": "search", "ranges": space.describe(), "num_trials": len(own)}
            | {"epochs": number, "notes": list(notes) if index else [], "held": None, "whole": spaces[0].describe()}
            for index, (space, own, number) in enumerate(zip(spaces, trials, epochs, strict=False))
        ]
        if finals:
            records.append(
                {"index": len(records), "kind": "finals", "ranges": {}, "num_trials": len(trials[-1])}
                | {"epochs": epochs[-1], "notes": [], "settings": list(finals), "seeds": [1, 2]}
            )
        self.folder = SweepFolder.create(path, "digits-mlp", ["sweep=lr"], 7, {"python": "3.11.7", "packages": {}})
        self.folder.unlock()
        self.folder.update(rounds=records, objective={"name": metric, "mode": mode})
        self.write(trials, records)

    def write(self, trials, records):
        """The journal: a trial every two seconds."""
        lines, number, moment = [], 0, BEGIN
        for record, own in zip(records, trials, strict=True):
            for point, score, status in own:
                words = [f"{key}={value}" for key, value in point.items()] + [f"engine.epochs={record['epochs']}"]
                about = {"trial": number, "round": record["index"], "overrides": words}
                about |= {"folder": f"trials/{number:04d}", "epochs": record["epochs"], "choices": {}}
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
    def course(self):
        return read_course(self.folder, self.plan)


@pytest.fixture
def write_sweep(tmp_path):
    """`write_sweep([{"lr": Range(..)}], [[({"lr": "0.1"}, 0.9, "finished")]])` writes a sweep's files."""

    def write(rounds, trials, name="sweep", **more):
        return WrittenSweep(tmp_path / name, rounds, trials, **more)

    return write


WIDE = {"optimizer.lr": Range(1e-4, 1.0, "log"), "reg.l2.strength": Range(1e-5, 1e-1, "log", zero=0.2)}
NARROW = {"optimizer.lr": Range(1e-3, 1e-1, "log"), "reg.l2.strength": Range(1e-4, 1e-2, "log", zero=0.1)}


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
        (point("0.004", "0.05"), 0.50, "stopped"),
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
    space = {"lr": Range(1e-3, 1.0, "log")}
    first = [({"lr": "0.1"}, 0.5, "finished"), ({"lr": "0.2"}, 0.6, "finished")]
    second = [({"lr": "0.2"}, 0.6, "finished"), ({"lr": "0.3"}, 0.7, "finished")]
    sweep = write_sweep([space, space], [first, second])
    one, two = sweep.folder.record["rounds"]

    def finals(index, lr, seeds):
        return {"index": index, "kind": "finals", "ranges": {}, "epochs": 2, "notes": []} | {
            "settings": [{"lr": lr}], "seeds": seeds, "num_trials": len(seeds)
        }  # fmt: skip

    records = [one, finals(1, "0.2", [1, 2]), {**two, "index": 2}, finals(3, "0.3", [1])]
    again = [({"lr": "0.2", "seed": str(seed)}, 0.6, "finished") for seed in (1, 2)]
    sweep.folder.update(rounds=records)
    sweep.write([first, again, second, [({"lr": "0.3", "seed": "1"}, 0.65, "finished")]], records)
    return sweep


@pytest.fixture
def options(write_sweep):
    """A space of two choices alone."""
    space = {"optimizer": Choice(("sgd", "adam")), "model.activation": Choice(("relu", "tanh"))}
    points = [{"optimizer": a, "model.activation": b} for a in ("sgd", "adam") for b in ("relu", "tanh")]
    return write_sweep([space], [[(point, 0.5 + 0.1 * n, "finished") for n, point in enumerate(points)]])
