"""What a sweep runs next: rounds from coarse to fine, and the finals. Pure: everything follows from the plan, the
rounds begun so far (as sweep.json has them) and how their trials stand.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Any, Literal

from runner.seeds import derive
from runner.sweep.record.journal import Standing
from runner.sweep.settings import Round, SweepSettings
from runner.sweep.space.space import Point, Space, distinct, key_of, points

Record = dict[str, Any]  # a round, in sweep.json
Mode = Literal["max", "min"]


@dataclass(frozen=True)
class Plan:
    """All that decides what a sweep runs.

    Args:
        epochs: of a run at full length; None where the task knows no epochs.
        mode: which way the score is better.
    """

    settings: SweepSettings
    space: Space
    rounds: Sequence[Round]
    epochs: int | None
    mode: Mode

    def __post_init__(self) -> None:
        if self.settings.strategy == "coordinate":
            spread = [
                Round(max(2, round_.trials // len(self.space.dimensions)), round_.epochs)
                for round_ in self.rounds
                for _ in self.space.dimensions
            ]
            object.__setattr__(self, "rounds", spread)

    def next_round(self, begun: Sequence[Record], standings: Mapping[int, Standing]) -> Record | None:
        """The record of the round to begin, once all begun ones have ended; None at the end."""
        searches = [record for record in begun if record["kind"] == "search"]
        if len(searches) < len(self.rounds):
            return self._search(len(begun), searches, standings)
        finals = [record for record in begun if record["kind"] == "finals"][-1:]
        best = self._best_settings(searches, standings)
        if best and [record["settings"] for record in finals] != [best]:
            return self._finals(len(begun), best)
        return None

    def points(self, record: Record) -> list[Point]:
        """The points of a begun round, the same ones however often and whenever this is asked."""
        if record["kind"] == "finals":
            return [{**point, "seed": str(seed)} for seed in record["seeds"] for point in record["settings"]]
        number = record["num_trials"]
        space = self._space_of(record)
        seed = derive(self.settings.seed, "round", record["index"])
        drawn: Iterator[Point]
        if "fixed" in record:
            drawn = iter(record["fixed"])
        elif record["held"] is not None:
            held: Point = record["held"]
            drawn = ({**held, **point} for point in points(space, self.settings.draw, seed, number))
        else:
            drawn = self._mixed(record, space, seed, number)
        return list(itertools.islice(drawn, number))

    # -----------------------------------------------------------------------------------------------------------------

    def _search(self, index: int, searches: Sequence[Record], standings: Mapping[int, Standing]) -> Record:
        place = len(searches)
        round_ = self.rounds[place]
        record: Record = {"index": index, "kind": "search", "ranges": self.space.describe()}
        record |= {"num_trials": round_.trials, "epochs": round_.epochs, "notes": [], "held": None, "best": None}
        if self.settings.strategy == "coordinate":
            return record | self._coordinate(place, searches, standings)
        if not searches:
            record["whole"] = self.space.describe()
            return record | {"num_trials": len(self.points(record))}  # a grid, or a finite space, may have fewer
        last = searches[-1]
        ranked = rank([trial for trial in standings.values() if trial.round == last["index"]], self.mode)
        best = [self.point(trial) for trial in ranked]
        # of all trials of the round, not of those that finished, so that failures make the search no less narrow
        elite = best[: max(2, ceil(self.settings.keep * last["num_trials"]))]
        before = self._space_of(last)
        space, notes = before.narrowed(elite, self.settings.shrink) if elite else (before, [])
        whole = self.space.restored(last["whole"]).joined(space)
        record |= {"ranges": space.describe(), "whole": whole.describe(), "notes": notes}
        record["best"] = best[0] if best else None
        if space.size <= last["num_trials"] and best:  # nothing to draw: the better ones again, for longer
            record |= {"fixed": best[: max(2, min(round_.trials, len(elite)))]}
            record["num_trials"] = len(record["fixed"])
        return record

    def _coordinate(self, place: int, searches: Sequence[Record], standings: Mapping[int, Standing]) -> dict[str, Any]:
        """One key's turn: the others are held at their best, or as configured before they had their turn."""
        name = list(self.space.dimensions)[place % len(self.space.dimensions)]
        one = replace(self.space, dimensions={name: self.space.dimensions[name]})
        ranked = self.candidates(searches, standings)
        held = self.point(ranked[0]) if ranked else {}
        notes: list[str] = []
        previous = next((record for record in reversed(searches) if record["key"] == name), None)
        if previous:
            one = one.restored(previous["ranges"])
            trials = rank([trial for trial in standings.values() if trial.round == previous["index"]], self.mode)
            elite = [self.point(trial) for trial in trials][: max(2, ceil(self.settings.keep * len(trials)))]
            if elite:
                one, notes = one.narrowed(elite, self.settings.shrink)
        return {"key": name, "held": held, "ranges": one.describe(), "notes": notes}

    def _finals(self, index: int, settings: list[Point]) -> Record:
        """The best settings, each on fresh seeds at full length."""
        seeds = self.seeds(self.settings.final_seeds)
        about = {"settings": settings, "seeds": seeds, "num_trials": len(settings) * len(seeds)}
        return {"index": index, "kind": "finals", "ranges": {}, "epochs": self.epochs, "notes": []} | about

    def seeds(self, number: int) -> list[int]:
        """Those of the finals."""
        return [derive(self.settings.seed, "finals", place) % 10**6 for place in range(number)]

    def _best_settings(self, searches: Sequence[Record], standings: Mapping[int, Standing]) -> list[Point]:
        ranked = self.candidates(searches, standings)
        return distinct(self.point(trial) for trial in ranked)[: self.settings.finals]

    def candidates(self, searches: Sequence[Record], standings: Mapping[int, Standing]) -> list[Standing]:
        """Finished trials of the search, best first; those of the longest rounds come before the others."""
        indices = {record["index"] for record in searches}
        trials = [trial for trial in standings.values() if trial.round in indices]
        ranked = rank(trials, self.mode)
        return sorted(ranked, key=lambda trial: -(trial.epochs or 0))

    def _mixed(self, record: Record, space: Space, seed: int, number: int) -> Iterator[Point]:
        """The best so far, then points of the narrow space with some of the whole one among them."""
        narrow = points(space, self.settings.draw, seed, number)
        if record["best"] is None:
            yield from narrow
            return
        whole = points(self.space.restored(record["whole"]), self.settings.draw, derive(seed, "whole"), number)
        explore = self.settings.explore
        seen = [record["best"]]
        yield record["best"]
        for place in itertools.count(1):
            explores = int(place * explore + 1e-9) > int((place - 1) * explore + 1e-9)
            stream = whole if explores else narrow
            point = next((point for point in stream if point not in seen), None)
            if point is None:
                return
            seen.append(point)
            yield point

    def _space_of(self, record: Record) -> Space:
        names = record["ranges"]
        dimensions = {name: dim for name, dim in self.space.dimensions.items() if name in names}
        return replace(self.space, dimensions=dimensions).restored(names)

    def point(self, trial: Standing) -> Point:
        """The searched keys of a trial."""
        keys = {key_of(name) for name in self.space.dimensions}
        pairs = (word.partition("=") for word in trial.overrides)
        return {key: value for key, _, value in pairs if key in keys}


def number_of(record: Record, rounds: Sequence[Record]) -> str:
    """What a round is called: a search 1, 2, 3 and so on, whatever finals lie between; or finals."""
    if record["kind"] == "finals":
        return "finals"
    return str(sum(other["kind"] == "search" for other in rounds[: record["index"] + 1]))


def rank(trials: Sequence[Standing], mode: Mode) -> list[Standing]:
    """Finished trials with a score, best first; of equal ones the earlier."""
    scored = [trial for trial in trials if trial.status == "finished" and trial.score is not None]
    sign = -1 if mode == "max" else 1
    return sorted(scored, key=lambda trial: (sign * (trial.score or 0.0), trial.trial))


def better_half(trials: Sequence[Standing], mode: Mode) -> tuple[list[Standing], list[Standing]]:
    """Of trials paused at half their epochs, those that go on and those that stop here."""
    sign = -1 if mode == "max" else 1
    paused = [trial for trial in trials if trial.half_score is not None]
    ordered = sorted(paused, key=lambda trial: (sign * (trial.half_score or 0.0), trial.trial))
    kept = ceil(len(ordered) / 2)
    return ordered[:kept], ordered[kept:]
