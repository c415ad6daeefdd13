"""How much each searched key decides the score, by a random forest over the trials."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from runner.sweep.record.journal import Standing
from runner.sweep.report.figures.axes import Axis, key_axis, score_axis, shows_score
from runner.sweep.report.history import Course

LEAST_TRIALS = 10
NUM_TREES = 200
NUM_SHUFFLES = 10


@dataclass(frozen=True)
class Importance:
    """The result of a forest.

    Args:
        shares: by key, of all that shuffling a key's values costs the forest; the largest first.
        r2: of trials that a tree has not seen, averaged over the trees; near 0 or below, the shares mean nothing.
        num_trials: that the forest was grown on.
        num_diverged: of these.
    """

    shares: dict[str, float]
    r2: float
    num_trials: int
    num_diverged: int = 0


def weigh(course: Course) -> Importance | str:
    """The importance of every key; or why there is none to tell.

    A forest learns the score from the keys, in the scales that they were drawn in, and from the epochs, so that longer
    trials are told apart from better points. The importance of a key is how much of the explained variance is lost when
    its values are shuffled among the trials (Breiman, Random Forests, 2001). A diverged trial counts as the worst of
    its round, or else a key that decides what diverges would decide nothing.
    """
    if len(course.keys) < 2:
        return "one key was searched, so there is none to compare it with"
    scores = score_axis(course)
    trials = [trial for trial in course.trials if scores and _score(course, trial) is not None]
    if len(trials) < LEAST_TRIALS or scores is None:
        return f"it takes {LEAST_TRIALS} trials with a score to tell, and there are {len(trials)}"
    y = np.array([scores.place(_score(course, trial)) for trial in trials], dtype=float)
    if np.ptp(y) == 0:
        return "all trials have the same score"
    columns = {key: _columns(course, key, key_axis(course, key), trials) for key in course.keys}
    X = np.hstack([*columns.values(), np.array([[_epochs(trial)] for trial in trials])])
    forest, r2 = _grow(X, y)
    drops: dict[str, float] = {}
    generator = np.random.default_rng(0)
    first = 0
    for key, block in columns.items():
        drops[key] = _drop(forest, X, y, slice(first, first + block.shape[1]), generator)
        first += block.shape[1]
    total = sum(drops.values())
    if total == 0:
        return "the score does not depend on the keys, as far as a forest can tell"
    ordered = sorted(drops, key=lambda key: -drops[key])
    num_diverged = sum(trial.status == "diverged" for trial in trials)
    return Importance({key: drops[key] / total for key in ordered}, r2, len(trials), num_diverged)


def foremost(course: Course, weight: Importance | str, most: int) -> list[str]:
    """The keys of greatest importance, in the sweep's order; the first ones where there is none to tell."""
    ordered = list(weight.shares) if isinstance(weight, Importance) else course.keys
    return [key for key in course.keys if key in ordered[:most]]


def left_out(course: Course, weight: Importance | str, most: int) -> str:
    """A sentence that names the keys that are not among the foremost, to go after another one."""
    shown = foremost(course, weight, most)
    others = ", ".join(key for key in course.keys if key not in shown)
    why = ", since they decide less" if isinstance(weight, Importance) else ""
    return f" Left out{why}: {others}." if others else ""


def _score(course: Course, trial: Standing) -> float | None:
    """What the forest learns of a trial: its score, or of a diverged one the worst score of its round, else of all."""
    if trial.status != "diverged":
        return trial.score if shows_score(trial.status) else None
    finished = [other for other in course.trials if other.status == "finished" and other.score is not None]
    own = [other for other in finished if other.round == trial.round]
    worst = min if course.plan.mode == "max" else max
    return worst((other.score for other in own or finished if other.score is not None), default=None)


def _columns(course: Course, key: str, axis: Axis, trials: list[Standing]) -> np.ndarray:
    """A key's values as the forest reads them: a column of coordinates, or one for each option."""
    values = [course.value(trial, key) for trial in trials]
    if axis.options:
        return np.array([[float(value == option) for option in axis.options] for value in values])
    # Where a key has no place, a value that tells nothing, so that it takes no credit from the choice that decides so.
    places = [axis.place(value) if value is not None else None for value in values]
    middle = float(np.median([place for place in places if place is not None] or [axis.low]))
    return np.array([[middle if place is None else place] for place in places])


def _epochs(trial: Standing) -> float:
    """Those after which a trial had its score."""
    epochs = float(trial.epochs or 0)
    return epochs // 2 if trial.status == "stopped" else epochs


def _grow(X: np.ndarray, y: np.ndarray) -> tuple[Any, float]:
    """A forest and its R^2 on the trials that its trees have not seen."""
    from sklearn.ensemble import RandomForestRegressor

    forest = RandomForestRegressor(NUM_TREES, min_samples_leaf=2, oob_score=True, random_state=0, n_jobs=1)
    forest.fit(X, y)
    return forest, float(forest.oob_score_)


def _drop(forest: Any, X: np.ndarray, y: np.ndarray, block: slice, generator: np.random.Generator) -> float:
    """Squared error that shuffling some columns adds, on average over shuffles; at least 0."""
    rows = len(X)
    shuffled = np.concatenate([X] * (NUM_SHUFFLES + 1))
    for shuffle in range(1, NUM_SHUFFLES + 1):
        shuffled[shuffle * rows : (shuffle + 1) * rows, block] = X[generator.permutation(rows), block]
    errors = ((forest.predict(shuffled).reshape(-1, rows) - y) ** 2).mean(1)
    return max(0.0, float(errors[1:].mean() - errors[0]))
