"""A grid of learning rates by Ray Tune, a process for each core: python ray_tune.py TASK FOLDER."""

import json
import sys
from typing import Any

import ray
import torch
from ray import tune

task = json.loads(sys.argv[1])


def objective(config: dict[str, Any]) -> None:
    import runner
    from bench.competitors.by_hand import train
    from runner import build

    torch.set_num_threads(1)
    cfg = runner.compose([*task["overrides"], f"engine.epochs={task['epochs']}"])
    for metrics in train(build.training(cfg), config["lr"], task["epochs"]):
        tune.report(metrics)


ray.init(include_dashboard=False, log_to_driver=False, logging_level="ERROR")
results = tune.Tuner(
    objective,
    param_space={"lr": tune.grid_search(task["rates"])},
    tune_config=tune.TuneConfig(reuse_actors=True),
    run_config=tune.RunConfig(storage_path=sys.argv[2], verbose=0),
).fit()
assert not results.errors, results.errors[0]
