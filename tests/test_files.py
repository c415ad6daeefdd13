"""How files are written and locked; those that runs and sweeps leave are those of docs/files.md.

Their JSON follows its schemas.
"""

import json
import os
import re
from pathlib import Path

import pytest

import runner
from runner import cli
from runner.errors import UserError
from runner.files import make_lock, write_temporary
from runner.inference.scoring import score_run
from runner.store import RunFolder

jsonschema = pytest.importorskip("jsonschema")

DOCS = Path(__file__).parents[1] / "docs"
SCHEMAS = {
    path.name.removesuffix(".schema.json"): json.loads(path.read_text()) for path in DOCS.glob("schemas/*.schema.json")
}
SCHEMA_OF_LINE = {"metrics.jsonl": "metrics-line", "journal.jsonl": "journal-line"}
SMALL = ["model=linear", "engine.epochs=2", "log.progress=none", "engine.limit_batches=3"]


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """A finished run that was tested and tagged, a check, runs that diverged and crashed, and a sweep with finals."""
    root = tmp_path_factory.mktemp("files") / "outputs"
    where = f"output_dir={root}"
    run = runner.train([*SMALL, where, "engine.eval_every_epochs=2", "log.histograms=true"])
    score_run(RunFolder.open(run.folder), calibrate=True)
    assert cli.run(["tag", str(run.folder), "baseline"]) == 0
    assert runner.train([*SMALL, where, "optimizer=sgd", "optimizer.lr=1e30"]).status == "diverged"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("runner.engine.evaluate.Evaluate.__call__", _crash)
        with pytest.raises(RuntimeError):
            runner.train([*SMALL, where])
    rounds = "sweep.rounds=[{trials: 3, epochs: 1}, {trials: 2, epochs: 2}]"
    space = ["optimizer=sgd,adam", "optimizer.lr=loguniform(1e-3,1e-1)"]
    assert cli.run(["check", "--skip", "reproducibility", *SMALL, where]) in (0, 4)
    assert cli.run(["train", "-m", *SMALL, where, "seed=1,2"]) == 0
    cli.run(["sweep", *SMALL, where, rounds, "sweep.num_finalists=1", "sweep.num_final_seeds=2", *space])
    return root


def _crash(*_):
    raise RuntimeError("broken on purpose")


def test_every_json_file_follows_its_schema(outputs):
    checked = set()
    for path in [*outputs.rglob("*.json"), *outputs.rglob("*.jsonl")]:
        name = SCHEMA_OF_LINE.get(path.name, path.stem)
        texts = path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]
        for text in texts:
            jsonschema.validate(json.loads(text), SCHEMAS[name], jsonschema.Draft202012Validator)
        checked.add(name)
    assert checked == set(SCHEMAS), "no schema is without a file"


def test_a_schema_refuses_what_is_not_in_it(outputs):
    (run,) = outputs.glob("*/0001*/run.json")
    record = json.loads(run.read_text())
    for wrong in ({"status": "done"}, {"format": 1}, {"seconds": "1"}, {"new": 1}, {"metrics": {"epoch": 1}}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(record | wrong, SCHEMAS["run"], jsonschema.Draft202012Validator)


def test_every_file_is_named_in_the_docs(outputs):
    named = re.findall(r"`([^`]+)`", (DOCS / "files.md").read_text())
    patterns = [re.sub(r"\\\*", "[^/]*", re.escape(word)) for word in named if "." in word]
    for path in (path for path in outputs.rglob("*") if path.is_file()):
        place = f"{path.parent.name}/{path.name}"
        assert any(re.fullmatch(pattern, name) for pattern in patterns for name in (path.name, place)), path


def test_every_tag_of_tensorboard_is_named_in_the_docs(outputs):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    text = (DOCS / "files.md").read_text()
    rows = re.findall(r"^\| (`.*?) \|", text, re.MULTILINE)
    named = set()
    for words in re.findall(r"`([^`]+)`", " ".join(rows)):
        group, slash, names = words.partition("/")
        named |= {f"{group}/{name}" for name in names.split(", ")} if slash else {words}
    (run,) = outputs.glob("*/0001*/run.json")
    events = EventAccumulator(str(run.parent)).Reload()
    for kind in ("scalars", "images", "histograms", "tensors"):
        for tag in events.Tags()[kind]:
            tag = tag.removesuffix("/text_summary")
            if not tag.startswith(("weights", "pr/", "_hparams_", "custom_scalars")):
                assert tag in named, tag


def test_a_file_that_may_replace_another_is_on_the_disk_whole(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr("os.fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_size))
    path = write_temporary(tmp_path / "last.pt", b"12345")
    assert synced == [5]
    assert path.read_bytes() == b"12345"


def test_no_lock_is_held_on_what_a_link_leads_to(tmp_path):
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="lock"):
        make_lock(tmp_path / "lock")
    assert not (tmp_path / "elsewhere").exists()
