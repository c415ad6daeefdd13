"""A study of the learning rate by Optuna, in memory: python optuna_study.py TASK FOLDER."""

import json
import sys
from typing import Any

import optuna

import runner
from bench.competitors.by_hand import train
from runner import build

task = json.loads(sys.argv[1])
cfg = runner.compose([*task["overrides"], f"engine.epochs={task['epochs']}"])
data = build.data(cfg)


def objective(trial: Any) -> float:
    lr = trial.suggest_float("lr", *task["bounds"], log=True)
    *_, metrics = train(build.training(cfg, data), lr, task["epochs"])
    accuracy: float = metrics["val/accuracy"]
    return accuracy


optuna.logging.set_verbosity(optuna.logging.ERROR)
optuna.create_study(direction="maximize").optimize(objective, n_trials=task["num_trials"])
