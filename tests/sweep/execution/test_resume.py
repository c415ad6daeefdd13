"""What a sweep that goes on is held to."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest
from omegaconf import OmegaConf

from runner.errors import UserError
from runner.sweep.execution import resume as module
from runner.sweep.execution.resume import check_unchanged
from runner.sweep.record.rounds import FinalRound, SearchRound


@pytest.mark.parametrize("space", [None, 3, {"optimizer.lr": 3}])
def test_a_space_that_cannot_be_read_is_named_by_its_file(tmp_path, space):
    folder = SimpleNamespace(record={"rounds": [], "space": space}, path=tmp_path)
    plan = SimpleNamespace(space=SimpleNamespace(describe=dict))
    with pytest.raises(UserError) as raised:
        check_unchanged(folder, plan, None, None)
    assert str(raised.value) == f"{tmp_path}/sweep.json: its space cannot be read; restore the file from a copy"


def test_one_config_of_each_kind_of_trial_is_compared_with_what_it_would_be_now(tmp_path, monkeypatch):
    kinds = {0: "mlp", 1: "mlp", 2: "resnet", 3: "resnet", 4: "vgg"}
    trials = {n: SimpleNamespace(trial=n, choices={"model": kind}, values={"n": n}) for n, kind in kinds.items()}
    monkeypatch.setattr(module, "Journal", lambda path: SimpleNamespace(refresh=lambda: None, trials=trials))
    for number in (0, 1, 2, 3):  # of the last one no config is there
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "config.yaml").touch()
    monkeypatch.setattr(module.store, "read_config", lambda path: OmegaConf.create({"model": {"n": int(path.name)}}))
    folder = SimpleNamespace(
        record={"rounds": [], "space": {}},
        config=OmegaConf.create({}),
        path=tmp_path,
        journal=tmp_path / "journal.jsonl",
        trial=lambda number: tmp_path / str(number),
    )
    plan = SimpleNamespace(space=SimpleNamespace(describe=dict), search_plans=[], epochs=2)
    made = []

    def as_before(values):
        made.append(values["n"])
        return OmegaConf.create({"model": values}), None

    check_unchanged(folder, plan, OmegaConf.create({}), SimpleNamespace(of=as_before))
    assert made == [0, 2]
    changed = SimpleNamespace(of=lambda values: (OmegaConf.create({"model": {"n": 9}}), None))
    with pytest.raises(UserError, match=r"^model\.n: trial 0 was begun with 0, the configs now say 9; put it back"):
        check_unchanged(folder, plan, OmegaConf.create({}), changed)


@pytest.mark.parametrize(
    ("asked", "epochs", "grows", "said"),
    [
        ([(3, 1), (2, 2)], 4, True, None),
        ([(5, 1), (2, 2), (1, 4)], 4, True, None),
        ([(3, 1)], 4, True, "sweep.rounds: 2 have begun, asked for now are 1; put them back"),
        ([(3, 2), (2, 2)], 4, True, "sweep.rounds: round 1 has 1 epochs, asked for now are 2"),
        ([(3, 1), (1, 2)], 4, True, "sweep.rounds: round 2 has 2 trials, asked for now are 1"),
        ([(3, 1), (1, 2)], 4, False, None),
        ([(3, 1), (2, 2)], 5, True, "engine.epochs: the finals trained for 4, asked for now are 5; put it back"),
    ],
)
def test_rounds_may_be_added_and_what_has_run_keeps_its_length(asked, epochs, grows, said):
    begun = [
        SearchRound(index=0, num_trials=3, epochs=1),
        SearchRound(index=1, num_trials=2, epochs=2),
        FinalRound(index=2, num_trials=2, epochs=4, points=[{}], seeds=[1, 2]),
    ]
    plan = SimpleNamespace(
        search_plans=[SimpleNamespace(trials=trials, epochs=of_round) for trials, of_round in asked],
        epochs=epochs,
        strategy=SimpleNamespace(can_grow=lambda round_: grows),
    )
    with nullcontext() if said is None else pytest.raises(UserError, match=f"^{said}"):
        module._check_lengths(begun, plan)
