"""Search: how far from the best a sweep ends, beside random search and Optuna, with equal budgets of epochs.

Each method may spend the same number of training epochs on a problem, and names one configuration in the end. What is
measured is its regret: how far its true score is below the best. The problems are functions with a known optimum, which
show a noisy score after each epoch, and a real one, `digits`. There the true score is the mean validation accuracy over
fresh seeds, and the best is the best that any method named. A row has the median and the quartiles over the seeds, and
the wall and CPU time of a search: its decisions and, on `digits`, its training.

runner                            the default settings by the product's own code; as many trials as the budget affords
runner, without finals            the same with sweep.num_finalists=0
runner, without finals, halving   the same with sweep.pruner=halving
random search                     random points at full length
Optuna                            its random sampler, TPE, and TPE with Hyperband
"""

from __future__ import annotations

import argparse
import itertools
import math
import statistics
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import numpy as np

import runner
from bench.harness import Cost, Row, choose, cost_of, median, num_turns, takes_part, turns_of
from runner import build, config
from runner.objective import Objective
from runner.seeds import derive
from runner.sweep.record.rounds import Round
from runner.sweep.record.trial import TrialRecord, rank
from runner.sweep.report.result import summarize
from runner.sweep.settings import RoundPlan, SweepSettings, read_settings
from runner.sweep.space.sampling import sample
from runner.sweep.space.space import Categorical, Interval, Point, Space
from runner.sweep.space.trial_configs import TrialConfigs
from runner.sweep.strategy.halving import better_half, half_epochs
from runner.sweep.strategy.plan import Plan

Values = dict[str, float | str]
Train = Callable[[Values, int, int], Iterator[float]]  # values, number of epochs, seed: the score after each epoch
OBJECTIVE = Objective("score", "max")


def measure(options: argparse.Namespace) -> list[Row]:
    """Regret by problem and method; the methods take turns, a seed at a time."""
    default_settings()  # composed once, before time is taken
    rows = []
    for make in choose(PROBLEMS, options).values():
        rows += measure_problem(make(options.quick), methods(options), num_turns(options, 10))
    return rows


def measure_problem(problem: Problem, methods: dict[str, Method], num_seeds: int) -> list[Row]:
    scores: dict[str, list[float]] = {name: [] for name in methods}
    costs: dict[str, list[Cost]] = {name: [] for name in methods}
    for seed in range(num_seeds):
        for name, search in methods.items():
            named: list[Values] = []
            costs[name].append(
                cost_of(lambda search=search, named=named, seed=seed: named.append(search(problem, seed)))
            )
            scores[name].append(problem.truth(named[0]))
        print(f"{problem.name}: seed {seed + 1} of {num_seeds}", file=sys.stderr)
    best = max(map(max, scores.values())) if problem.best is None else problem.best
    rows = []
    for name in methods:
        regrets = [best - score for score in scores[name]]
        low, middle, high = map(float, np.quantile(regrets, [0.25, 0.5, 0.75]))
        row = {"problem": problem.name, "epochs": problem.budget, "method": name}
        row |= {"regret": middle, "lower quartile": low, "upper quartile": high}
        row |= {"seconds": median(costs[name]).wall, "CPU seconds": median(costs[name]).cpu}
        rows.append(row | {"regrets": regrets} | turns_of(costs[name]))
    return rows


# Problems


@dataclass(frozen=True)
class Problem:
    """What is searched.

    Args:
        epochs: of a run at full length.
        budget: epochs that a method may spend.
        train: shows scores epoch by epoch.
        truth: what a configuration is worth.
        best: None where it is not known.
    """

    name: str
    space: Space
    epochs: int
    budget: int
    train: Train
    truth: Callable[[Values], float]
    best: float | None


def function(name: str, space: Space, truth: Callable[[Values], float], quick: bool) -> Problem:
    """A function whose best is 0, seen through scores that rise towards its value as one over the epochs."""

    def train(values: Values, epochs: int, seed: int) -> Iterator[float]:
        numbers = np.random.default_rng([seed, zlib.crc32(repr(sorted(values.items())).encode())])
        for epoch in range(1, epochs + 1):
            yield truth(values) - 0.3 / epoch + 0.01 * float(numbers.normal())

    return Problem(name, space, 20, 240, train, truth, 0.0)


def log10(values: Values, key: str) -> float:
    return math.log10(float(values[key]))


def bowl(values: Values) -> float:
    """A round valley in the logarithms; the best is far from the middle."""
    return -((log10(values, "lr") + 2.3) ** 2 + 0.5 * (log10(values, "wd") + 4.4) ** 2) / 4


def ridge(values: Values) -> float:
    """The best learning rate depends on the weight decay: a narrow ridge along their product."""
    along, across = log10(values, "lr") - log10(values, "wd"), log10(values, "lr") + log10(values, "wd") + 6
    return -(across**2) / 2 - ((along - 1) ** 2) / 40


def cliff(values: Values) -> float:
    """As learning rates are: better and better, then divergence."""
    lr = log10(values, "lr")
    return -0.25 * (lr + 1.2) ** 2 if lr < -1.2 else -min(4.0, 6 * (lr + 1.2))


def mixed(values: Values) -> float:
    """One option out of three is good, with a learning rate of its own; three more keys matter little."""
    center, worth = {"sgd": (-1.0, -0.15), "adam": (-3.0, 0.0), "rmsprop": (-4.0, -0.3)}[str(values["optimizer"])]
    small = sum((float(values[key]) - 0.4) ** 2 for key in ("a", "b", "c"))
    return worth - (log10(values, "lr") - center) ** 2 / 6 - 0.05 * small


def digits(quick: bool) -> Problem:
    """Learning rate, L2 strength and dropout probability of an MLP on the digits."""
    overrides = ["model=mlp", "model.hidden=[64]", "data.batch_size=64", "reg=[l2,dropout]", "optimizer=momentum"]
    data = build.data(runner.compose(overrides))
    configs = TrialConfigs(config.compose_with_choices, overrides)
    space = Space(
        {
            "optimizer.lr": Interval(1e-5, 1.0, "log"),
            "reg.l2.strength": Interval(1e-7, 1e-1, "log"),
            "reg.dropout.p": Interval(0.0, 0.9, hard_low=0.0, hard_high=0.9),
        }
    )

    def train(values: Values, epochs: int, seed: int) -> Iterator[float]:
        point = {**values, "engine.epochs": epochs, "seed": seed}
        cfg, _ = configs.of({key: str(value) for key, value in point.items()})
        training = build.training(cfg, data)
        state, first, best = training.state, math.inf, 0.0
        for epoch in range(epochs):
            for batch in training.train.epoch(epoch):
                loss = float(training.step(state, batch)[0])
                first = loss if first == math.inf else first
            if not loss <= cfg.engine.divergence_factor * first:
                return
            best = max(best, training.evaluate(state)[0]["val/accuracy"])
            yield best

    epochs, num_seeds = (2, 1) if quick else (10, 5)

    def truth(values: Values) -> float:
        return statistics.fmean(last(train(values, epochs, 10**6 + seed)) for seed in range(num_seeds))

    return Problem("digits", space, epochs, 12 * epochs, train, truth, None)


def last(scores: Iterator[float]) -> float:
    """The final score; of a training that diverged at once, 0."""
    return next(reversed([0.0, *scores]))


LR_AND_WD = Space({"lr": Interval(1e-6, 1.0, "log"), "wd": Interval(1e-6, 1.0, "log")})
MIXED = Space(
    {"optimizer": Categorical(("sgd", "adam", "rmsprop")), "lr": Interval(1e-6, 1.0, "log")}
    | {key: Interval(0, 1) for key in ("a", "b", "c")}
)
PROBLEMS: dict[str, Callable[[bool], Problem]] = {
    "bowl": partial(function, "bowl", LR_AND_WD, bowl),
    "ridge": partial(function, "ridge", LR_AND_WD, ridge),
    "cliff": partial(function, "cliff", LR_AND_WD, cliff),
    "mixed": partial(function, "mixed", MIXED, mixed),
    "digits": digits,
}


# Methods: each spends the budget and names a configuration

Method = Callable[[Problem, int], Values]


def methods(options: argparse.Namespace) -> dict[str, Method]:
    found: dict[str, Method] = {
        "runner": by_runner,
        "runner, without finals": partial(by_runner, num_finalists=0),
        "runner, without finals, halving": partial(by_runner, num_finalists=0, pruner="halving"),
        "random search": by_random_search,
    }
    if takes_part("optuna", options):
        found["Optuna, random"] = partial(by_optuna, sampler="random")
        found["Optuna, TPE"] = partial(by_optuna, sampler="tpe")
        found["Optuna, TPE and Hyperband"] = partial(by_optuna, sampler="tpe", hyperband=True)
    return found


def to_values(point: Point) -> Values:
    return {key: value if value.isalpha() else float(value) for key, value in point.items()}


def by_runner(problem: Problem, seed: int, **changes: Any) -> Values:
    """A sweep by its default settings but for some changes, with as many trials as the budget affords."""
    settings = replace(default_settings(), seed=seed, **changes)
    plan = Plan(settings, problem.space, affordable_rounds(settings, problem), problem.epochs, OBJECTIVE)
    begun: list[Round] = []
    trials: dict[int, TrialRecord] = {}
    left = problem.budget
    while round_ := plan.next_round(begun, trials):
        begun.append(round_)
        assert round_.epochs is not None
        running = []
        for suggestion in plan.suggestions(round_):
            point, own_seed = suggestion.point, seed if suggestion.seed is None else suggestion.seed
            trial = TrialRecord(len(trials), round_.index, point, suggestion.seed, round_.epochs, "")
            trials[trial.trial] = trial
            running.append((trial, problem.train(to_values(point), round_.epochs, own_seed)))
        left -= run_round(running, round_.epochs, half_epochs(round_, settings) or 0, left)
    best = summarize(plan, begun, trials).best
    return to_values((best or trials[0]).point)


@cache
def default_settings() -> SweepSettings:
    return read_settings(runner.compose(command="sweep").sweep)


def affordable_rounds(settings: SweepSettings, problem: Problem) -> list[RoundPlan]:
    """The rounds of the settings with fewer or more trials, so that they and the finals use up the budget."""
    rounds = settings.plan_rounds(problem.epochs)
    finals = settings.num_finalists * settings.num_final_seeds * problem.epochs
    cost = sum(round_.trials * (round_.epochs or 0) for round_ in rounds)
    if settings.pruner == "halving":
        cost *= 3 / 4
    scale = (problem.budget - finals) / cost
    return [replace(round_, trials=max(2, int(round_.trials * scale))) for round_ in rounds]


def run_round(running: Sequence[tuple[TrialRecord, Iterator[float]]], epochs: int, half: int, left: int) -> int:
    """Train the trials of a round, and prune some after `half` epochs if it is not 0.

    Gives the epochs spent, never more than are left; a trial that finds none left is pruned.
    """
    spent = 0
    if half:
        for trial, scores in running:
            if spent + half <= left:
                trial.half_score = score_after(scores, half)
                spent += half
    pruned = {trial.trial for trial in better_half([trial for trial, _ in running], OBJECTIVE)[1]}
    for trial, scores in running:
        lost = half and trial.half_score is None
        if trial.trial in pruned or lost or spent + epochs - half > left:
            trial.status = "pruned"
            continue
        trial.score = score_after(scores, epochs - half)
        trial.status = "diverged" if trial.score is None else "finished"
        spent += epochs - half
    return spent


def score_after(scores: Iterator[float], number: int) -> float | None:
    """The score after so many more epochs; None where it ends before."""
    some = list(itertools.islice(scores, number))
    return some[-1] if len(some) == number else None


def by_random_search(problem: Problem, seed: int) -> Values:
    """Random points at full length."""
    number = problem.budget // problem.epochs
    points = itertools.islice(sample(problem.space, "random", derive(seed, "random"), number), number)
    trials = []
    for place, point in enumerate(points):
        trial = TrialRecord(place, 0, point, None, problem.epochs, "")
        trial.score = score_after(problem.train(to_values(point), problem.epochs, seed), problem.epochs)
        trial.status = "diverged" if trial.score is None else "finished"
        trials.append(trial)
    return to_values((rank(trials, OBJECTIVE) or trials)[0].point)


def by_optuna(problem: Problem, seed: int, sampler: str, hyperband: bool = False) -> Values:
    """A study that goes on until the epochs are spent."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    samplers = {"random": optuna.samplers.RandomSampler, "tpe": optuna.samplers.TPESampler}
    pruner = optuna.pruners.HyperbandPruner(1, problem.epochs) if hyperband else optuna.pruners.NopPruner()
    study = optuna.create_study(direction="maximize", sampler=samplers[sampler](seed=seed), pruner=pruner)
    left = problem.budget

    def objective(trial: Any) -> float:
        nonlocal left
        values: Values = {}
        for key, dimension in problem.space.dimensions.items():
            if isinstance(dimension, Categorical):
                values[key] = trial.suggest_categorical(key, list(dimension.options))
            else:
                values[key] = trial.suggest_float(key, dimension.low, dimension.high, log=dimension.scale == "log")
        score, epoch = 0.0, 0
        for epoch, score in enumerate(problem.train(values, problem.epochs, seed), 1):
            left -= 1
            trial.report(score, epoch)
            if epoch < problem.epochs and (trial.should_prune() or left <= 0):
                raise optuna.TrialPruned
        if epoch < problem.epochs:  # it diverged, which costs an epoch as well
            left -= 1
            raise optuna.TrialPruned
        return score

    while left >= (1 if hyperband else problem.epochs):
        study.optimize(objective, n_trials=1)
    finished = [trial for trial in study.trials if trial.state == optuna.trial.TrialState.COMPLETE]
    return dict(study.best_params if finished else study.trials[0].params)
