"""A state goes on as it was, whatever the memory layout that it was saved in."""

import copy

import pytest

import runner
from runner import config

WORDS = ["model=convnet", "model.channels=[4,6]", "model.hidden=8", "engine.deterministic=true"]
OPTIMIZERS = sorted(path.stem for path in (config.folder() / "optimizer").glob("*.yaml"))


def words_for(optimizer):
    full_batch = ["data.batch_size=2000", "optimizer.max_iter=3"] if optimizer == "lbfgs" else []
    return [*WORDS, f"optimizer={optimizer}", *full_batch]


def training(*words):
    return runner.build.training(runner.compose(list(words)))


def steps(made, num_steps):
    """Losses of the next steps."""
    found = []
    for batch in made.train.epoch(0, made.state.batch):
        if len(found) == num_steps:
            break
        found.append(made.step(made.state, batch)[0].tolist())
        made.state.step += 1
        made.state.batch += 1
    return found


@pytest.mark.parametrize("layouts", [("false", "true"), ("true", "false")], ids=["to channels_last", "from it"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_state_saved_in_another_layout_goes_on_as_if_it_had_been_in_this_one(optimizer, layouts):
    saved, resumed = (training(*words_for(optimizer), f"engine.channels_last={layout}") for layout in layouts)
    num_steps = 1 if optimizer == "lbfgs" else 4
    steps(saved, num_steps)
    resumed.state.load_state_dict(copy.deepcopy(saved.state.state_dict()))
    resumed.state.batch = saved.state.batch = 0  # of the same images again
    for got, expected in zip(steps(resumed, num_steps), steps(saved, num_steps), strict=True):
        assert got == pytest.approx(expected, rel=1e-3)
    for mine, theirs in zip(resumed.state.network.parameters(), saved.state.network.parameters(), strict=True):
        assert (mine - theirs).norm() <= 2e-3 * theirs.norm()
