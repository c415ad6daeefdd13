"""Which checkpoints the trials of a sweep keep."""

import json

import pytest

import runner
from runner.errors import UserError
from runner.store import remove_checkpoints
from runner.training.resume import resume

WORDS = [
    *("data=synthetic", "data.num_images=64", "model=linear", "engine.device=cpu", "engine.epochs=2"),
    *("sweep.rounds=[{trials: 4, epochs: 1}]", "sweep.num_finalists=1", "sweep.num_final_seeds=1"),
    *("sweep.report=false", "log.progress=none", "optimizer.lr=loguniform(1e-4,1e-1)"),
    *("objective.name=val/loss", "objective.mode=min"),  # which is another in each trial
]


def sweep(tmp_path, *words):
    runner.sweep([*WORDS, f"output_dir={tmp_path}", *words])
    (record,) = tmp_path.glob("*/*/sweep.json")
    return record.parent


def with_checkpoints(folder):
    return [path.name for path in sorted((folder / "trials").iterdir()) if list(path.glob("checkpoints/best.pt"))]


@pytest.mark.parametrize(("vectorize", "seed"), [("off", 0), ("off", 1), ("off", 2), ("2", 0)])
def test_of_a_round_that_is_over_the_best_trial_keeps_its_checkpoints_and_the_finals_keep_theirs(
    tmp_path, vectorize, seed
):
    folder = sweep(tmp_path, f"sweep.vectorize={vectorize}", f"sweep.seed={seed}")
    scores = {}
    for path in sorted((folder / "trials").iterdir())[:4]:
        scores[path.name] = json.loads((path / "run.json").read_text())["objective"]["value"]
    best = min(scores, key=scores.__getitem__)
    assert (best == "0000") == (seed == 0), "also one that is not the first"
    assert with_checkpoints(folder) == [best, "0004"]
    lost = next(name for name in scores if name != best)
    for use in (resume, lambda path: runner.load(path).model()):
        with pytest.raises(UserError, match=r"kept no checkpoint \(sweep\.keep_checkpoints\); train it again with"):
            use(folder / "trials" / lost)
    record = folder / "trials" / lost / "run.json"
    record.write_text(record.read_text().replace('"status": "finished"', '"status": "failed"'))
    with pytest.raises(UserError, match=r"best\.pt: no checkpoint \(No such file"):
        runner.load(record.parent).model()  # its failure is why, not what the sweep keeps


@pytest.mark.parametrize(("keep", "kept"), [("all", ["0000", "0001", "0002", "0003", "0004"]), ("none", ["0004"])])
def test_all_keep_their_checkpoints_or_none_but_the_finals(tmp_path, keep, kept):
    assert with_checkpoints(sweep(tmp_path, "sweep.vectorize=off", f"sweep.keep_checkpoints={keep}")) == kept


def test_checkpoints_behind_a_link_stay(tmp_path):
    outside, run = tmp_path / "outside", tmp_path / "trials" / "0000"
    outside.mkdir()
    run.mkdir(parents=True)
    (outside / "last.pt").write_text("mine")
    (run / "checkpoints").symlink_to(outside)
    remove_checkpoints(run)
    assert (outside / "last.pt").exists()
