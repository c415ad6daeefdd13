"""`engine.compile=graph`: passes that are captured once and replayed. The graphs are emulated on the CPU here.

An emulated graph runs its pass again at each replay, and writes the results where those of the capture lie.
"""

import copy

import pytest
import torch

import runner
from runner.engine import graph
from runner.errors import UserError

WORDS = ["model.channels=[4,4]", "model.hidden=8", "data.batch_size=64", "engine.device=cpu"]
CASES = {
    "batch norm": ["model.norm=batch", "optimizer=momentum"],
    "dropout": ["reg=[dropout,l2]", "optimizer=adam"],
    "clipped": ["engine.clip_grad_norm=0.1"],
    "accumulated": ["engine.accumulate_steps=2", "data.batch_size=32", "model.norm=none"],
    "uphill": ["optimizer=momentum", "optimizer.sam=0.05"],
    "class probabilities": ["reg=[mixup,label_smoothing]"],
    "frozen later": ["optimizer=sgd", "optimizer.param_groups=[{params: norms, freeze_after_epochs: 1}]"],
    "averaged": ["average=ema"],
}


@pytest.fixture
def emulated(monkeypatch):
    """Has the CPU capture graphs; the list of how often each has been replayed."""
    replays = []

    def record(self, run):
        for _ in range(graph.NUM_WARM_UPS):
            run()
        outputs = run()
        gradients = [weight.grad for weight in self.weights]
        number = len(replays)
        replays.append(0)

        def replay():
            replays[number] += 1
            fresh = run()
            for place, value in zip(outputs, fresh, strict=True):
                place.copy_(value)
            for place, weight in zip(gradients, self.weights, strict=True):
                if place is not None:
                    place.copy_(weight.grad)

        return replay, outputs

    monkeypatch.setattr(graph.GraphedPass, "_record", record)
    return replays


def made_with(*words, graphed):
    made = runner.build.training(runner.compose([*WORDS, *words]))
    made.step.graphed = graphed
    return made


def losses_of(made, num_epochs=2):
    found = []
    for epoch in range(num_epochs):
        for batch in made.train.epoch(epoch):
            found.append(made.step(made.state, batch)[0].item())
            made.state.step += 1
    return found


@pytest.mark.parametrize("name", CASES)
def test_replayed_passes_train_as_eager_ones_do(name, emulated):
    eager, graphed = (made_with(*CASES[name], graphed=graphed) for graphed in (False, True))
    random = torch.get_rng_state()
    expected = losses_of(eager)
    torch.set_rng_state(random)
    assert losses_of(graphed) == expected
    for one, other in zip(
        eager.state.network.state_dict().values(), graphed.state.network.state_dict().values(), strict=True
    ):
        assert torch.equal(one, other)
    assert sum(emulated) >= len(expected)
    forms = {"frozen later": 4, "accumulated": 3}  # else one for whole batches, and one for the last
    assert len(emulated) == forms.get(name, 2)


def test_what_a_step_gives_stays_when_the_next_one_is_replayed(emulated):
    made = made_with(graphed=True)
    first, second, *_ = made.train.epoch()
    losses, (scores, _) = made.step(made.state, first)
    kept = losses.clone(), scores.clone()
    made.step(made.state, second)
    assert torch.equal(losses, kept[0])
    assert torch.equal(scores, kept[1])


def test_a_resumed_training_repeats_the_rest(emulated):
    through, resumed = (made_with("model.norm=batch", graphed=True) for _ in range(2))
    losses_of(through, 1)
    saved = copy.deepcopy(through.state.state_dict())
    expected = losses_of(through, 1)
    resumed.state.load_state_dict(saved)
    assert losses_of(resumed, 1) == expected


def test_a_training_on_the_cpu_has_no_graphs():
    cfg = runner.compose([*WORDS, "engine.compile=graph"])
    runner.config.check(cfg)
    with pytest.raises(UserError, match=r"^engine.compile: graph .* runs on the cpu"):
        runner.build.training(cfg)


@pytest.mark.cuda
@pytest.mark.parametrize("name", CASES)
def test_graphs_train_as_eager_steps_do_on_the_gpu(name):
    words = [*WORDS, "engine.device=cuda", "engine.deterministic=true", *CASES[name]]
    found = []
    for how in ("false", "graph"):
        made = runner.build.training(runner.compose([*words, f"engine.compile={how}"]))
        found.append(losses_of(made))
    assert found[1] == pytest.approx(found[0], rel=1e-5)
