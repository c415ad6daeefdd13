"""Hyperparameter importance: how much each searched key decides the score, by a random forest over the trials."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from runner.sweep.record.trial import TrialRecord
from runner.sweep.report.figures.axes import Axis, key_axis, score_axis, shown_score
from runner.sweep.report.figures.style import INK, QUIET, NothingToDraw, panels, wrapped
from runner.sweep.report.history import SweepHistory
from runner.sweep.report.text import format_number

MIN_TRIALS = 10
NUM_TREES = 200
NUM_REPEATS = 10
MAX_BARS = 12
CAPTION = (
    "The fraction of the explained score that each key decides. It says nothing of which value is best, and it holds "
    "for the ranges of this sweep: a key whose whole range is good decides little. A trial that diverged counts as the "
    "worst that finished in its round."
)


@dataclass(frozen=True)
class Importance:
    """The result of a forest.

    Args:
        fractions: by key, of all that permuting a key's values costs the forest; the largest first.
        r2: of trials that a tree has not seen, averaged over the trees; near 0 or below, the fractions mean nothing.
        num_trials: that the forest was grown on.
        num_diverged: of these.
    """

    fractions: dict[str, float]
    r2: float
    num_trials: int
    num_diverged: int = 0


def compute_importance(history: SweepHistory) -> Importance | str:
    """The importance of every key; or why there is none to tell.

    A forest learns the score from the keys, in the scales that they were drawn in, and from the epochs, so that longer
    trials are told apart from better points. The importance of a key is how much the squared error grows when its
    values are permuted among the trials, by scikit-learn's permutation_importance (Breiman, Random Forests, 2001). A
    diverged trial counts as the worst of its round, or else a key that decides what diverges would decide nothing.
    """
    if len(history.keys) < 2:
        return "one key was searched, so there is none to compare it with"
    scores = score_axis(history)
    trials = [trial for trial in history.trials if scores and _score(history, trial) is not None]
    if len(trials) < MIN_TRIALS or scores is None:
        return f"it takes {MIN_TRIALS} trials with a score to tell, and there are {len(trials)}"
    y = np.array([scores.place(_score(history, trial)) for trial in trials], dtype=float)
    if np.ptp(y) == 0:
        return "all trials have the same score"
    axes = [key_axis(history, key) for key in history.keys]
    # The epochs after which a trial had its score.
    epochs = [(trial.epochs or 0) // (2 if trial.status == "pruned" else 1) for trial in trials]
    X = np.column_stack([*(_column(history, axis, trials) for axis in axes), epochs])
    losses, r2 = _permuted_losses(X, y, [number for number, axis in enumerate(axes) if axis.options])
    lost = {axis.label: max(0.0, float(loss)) for axis, loss in zip(axes, losses, strict=False)}
    total = sum(lost.values())
    if total == 0:
        return "the score does not depend on the keys, as far as a forest can tell"
    ordered = sorted(lost, key=lambda key: -lost[key])
    num_diverged = sum(trial.status == "diverged" for trial in trials)
    return Importance({key: lost[key] / total for key in ordered}, r2, len(trials), num_diverged)


def most_important(history: SweepHistory, importance: Importance | str, most: int) -> list[str]:
    """The keys of greatest importance, in the sweep's order; the first ones where there is none to tell."""
    ordered = list(importance.fractions) if isinstance(importance, Importance) else history.keys
    return [key for key in history.keys if key in ordered[:most]]


def left_out(history: SweepHistory, importance: Importance | str, most: int) -> str:
    """A sentence that names the keys that are not among the most important, to go after another one."""
    shown = most_important(history, importance, most)
    others = ", ".join(key for key in history.keys if key not in shown)
    why = ", since they decide less" if isinstance(importance, Importance) else ""
    return f" Left out{why}: {others}." if others else ""


def _score(history: SweepHistory, trial: TrialRecord) -> float | None:
    """What the forest learns of a trial: its score, or of a diverged one the worst score of its round, else of all."""
    if trial.status != "diverged":
        return shown_score(trial)
    finished = [other for other in history.trials if other.status == "finished" and other.score is not None]
    same_round = [other for other in finished if other.round == trial.round]
    return history.plan.objective.worst(other.score for other in same_round or finished if other.score is not None)


def _column(history: SweepHistory, axis: Axis, trials: list[TrialRecord]) -> np.ndarray:
    """A key's values as the forest reads them: coordinates in their scale, or the numbers of options."""
    values = [history.value(trial, axis.label) for trial in trials]
    if axis.options:
        return np.array([axis.options.index(value) if value in axis.options else -1 for value in values], dtype=float)
    # Where a key has no place, a value that tells nothing, so that it takes no credit from the choice that decides so.
    places = [axis.place(value) if value is not None else None for value in values]
    middle = float(np.median([place for place in places if place is not None] or [axis.low]))
    return np.array([middle if place is None else place for place in places], dtype=float)


def _permuted_losses(X: np.ndarray, y: np.ndarray, categorical: list[int]) -> tuple[np.ndarray, float]:
    """The squared error that permuting each column adds, and the out-of-bag R^2."""
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.inspection import permutation_importance
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    forest = RandomForestRegressor(NUM_TREES, min_samples_leaf=2, oob_score=True, random_state=0, n_jobs=1)
    one_hot = ColumnTransformer([("options", OneHotEncoder(), categorical)], remainder="passthrough")
    model = make_pipeline(one_hot, forest).fit(X, y)
    found: Any = permutation_importance(
        model, X, y, scoring="neg_mean_squared_error", n_repeats=NUM_REPEATS, random_state=0, n_jobs=1
    )
    return found.importances_mean, float(forest.oob_score_)


def draw_importance(importance: Importance | str) -> Any:
    """The importance of each key as bars.

    Raises:
        NothingToDraw: there is no importance to tell.
    """
    if isinstance(importance, str):
        raise NothingToDraw(importance)
    fractions = dict(list(importance.fractions.items())[:MAX_BARS])
    figure, panel = panels(7.6, 1.3 + 0.34 * len(fractions))
    panel.barh(range(len(fractions)), list(fractions.values()), color="#0072B2", height=0.62)
    panel.set_yticks(range(len(fractions)), [wrapped(key, 30) for key in fractions])
    panel.invert_yaxis()
    for place, fraction in enumerate(fractions.values()):
        panel.text(fraction + 0.01, place, f"{fraction:.0%}", va="center", color=INK)
    panel.set_xlim(0, min(1.12, max(fractions.values()) + 0.12))
    panel.set_xticks([])
    panel.tick_params(axis="y", length=0)
    panel.spines["bottom"].set_visible(False)
    poor = ": a poor fit, read little into this" if importance.r2 < 0.5 else ""
    diverged = format_number(importance.num_diverged, "trial")
    lost = f"\ndiverged: {diverged}, counted as the worst of the round" if importance.num_diverged else ""
    fit = f"out-of-bag R² {importance.r2:.2f} over {importance.num_trials} trials{poor}{lost}"
    panel.set_xlabel(f"fraction of the explained score that the key decides\n{fit}", color=QUIET, loc="left")
    return figure
