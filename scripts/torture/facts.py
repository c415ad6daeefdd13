"""What must be the same, however often a run or a sweep was cut short: read from its folder, and held to each other."""

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from runner.log.tags import tag_of
from torture.harness import Loss, json_lines

SPEED = "images_per_second"  # the one metric that depends on the machine
Facts = dict[str, Any]


def facts_of_run(folder: Path) -> Facts:
    """Every fact of a finished run by name; under `wrong` what its files do not agree in with each other.

    Raises:
        Loss: a file cannot be read.
    """
    facts = _facts_without_checkpoints(folder)
    facts |= _checkpoints(folder / "checkpoints")
    facts["wrong"] += _wrong_checkpoints(folder / "checkpoints", _json(folder / "run.json"))
    return facts


def _facts_without_checkpoints(folder: Path) -> Facts:
    record = _json(folder / "run.json")
    metrics = [{key: value for key, value in line.items() if key != SPEED} for line in _lines(folder / "metrics.jsonl")]
    facts: Facts = {
        "status": record["status"],
        "error": record["error"],
        "objective": record["objective"],
        "metrics of run.json": {key: value for key, value in record["metrics"].items() if key != SPEED},
        "metrics.jsonl": metrics,
        "files": files_below(folder),
    }
    facts |= {f"run.json {key}": record[key] for key in ("name", "overrides", "choices")}
    facts["wrong"] = list(_wrong_scalars(folder, metrics))
    return facts


def facts_of_sweep(folder: Path) -> Facts:
    """The same of a sweep: its points, its scores, how every trial ended, and the best.

    Not the bits of weights: trials that train together differ in the last ones from those that train alone.
    """
    record = _json(folder / "sweep.json")
    best = {key: value for key, value in (record["best"] or {}).items() if key != "folder"}
    facts: Facts = {"status": record["status"], "best": best, "rounds": record["rounds"]}
    ends: Counter[int] = Counter()
    for event in _lines(folder / "journal.jsonl"):
        number = event["trial"]
        if event["event"] == "queued":
            facts[f"trial {number} point"] = (event["point"], event["seed"], event["epochs"], event["round"])
        elif number is not None and event["event"] != "started":
            ends[number] += 1
            facts[f"trial {number} end"] = (event["event"], event["score"], event["error"])
    facts["wrong"] = [f"trial {number} has ended {times} times" for number, times in ends.items() if times != 1]
    for path in sorted((folder / "trials").iterdir()):
        # Trials that lost keep no checkpoints; `files` says which ones do.
        known = facts_of_run(path) if (path / "checkpoints").exists() else _facts_without_checkpoints(path)
        facts |= {f"trial {int(path.name)} {key}": known[key] for key in ("status", "error", "objective", "wrong")}
    facts["files"] = files_below(folder)
    return facts


def compare(expected: Facts, found: Facts) -> None:
    """
    Raises:
        Loss: facts differ, or are missing.
    """
    keys = [*expected, *(key for key in found if key not in expected)]
    differing = [key for key in keys if expected.get(key, "nothing") != found.get(key, "nothing")]
    differing.sort(
        key=lambda key: key.partition(" ")[0] not in ("wrong", "status", "trial")
    )  # what explains others first
    if differing:
        said = [f"{key}: {_difference(expected.get(key), found.get(key))}" for key in differing[:3]]
        raise Loss(f"{len(differing)} facts differ: " + "; ".join(said))


def files_below(folder: Path) -> list[str]:
    """The names of all files, those of TensorBoard without their time."""
    names = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted({re.sub(r"tfevents\..*", "tfevents", name) for name in names})


def _difference(before: Any, now: Any) -> str:
    if isinstance(before, dict) and isinstance(now, dict):
        keys = [key for key in {**before, **now} if before.get(key) != now.get(key)]
        return f"{keys[0]} (one of {len(keys)}) was {before.get(keys[0])!r}, is {now.get(keys[0])!r}"
    if isinstance(before, list) and isinstance(now, list):
        lost, more = [one for one in before if one not in now], [one for one in now if one not in before]
        return f"without {lost[:2]}, with {more[:2]}"[:300] if lost or more else "another order or number"
    return f"was {str(before)[:150]}, is {str(now)[:150]}"


# Checkpoints


def _checkpoints(folder: Path) -> Facts:
    """The whole state in the last and the best checkpoint."""
    facts: Facts = {}
    for name in ("last.pt", "best.pt"):
        try:
            state = torch.load(folder / name, map_location="cpu", weights_only=True)["state"]
        except (OSError, EOFError, RuntimeError, ValueError) as error:
            raise Loss(f"checkpoints/{name} cannot be read: {error}") from None
        facts |= {f"{name} {key}": value for key, value in _leaves("state", state)}
    return facts


def _wrong_checkpoints(folder: Path, record: Mapping[str, Any]) -> Iterator[str]:
    """The manifest held to the files, and the best checkpoint to the record."""
    files = _json(folder / "manifest.json")["files"]
    yield from (f"the manifest lacks {name}" for name in ("last.pt", "best.pt") if name not in files)
    for name, entry in files.items():
        if not (folder / name).exists():
            yield f"the manifest has {name}, which is not there"
        elif hashlib.sha256((folder / name).read_bytes()).hexdigest() != entry["sha256"]:
            yield f"{name} does not have the checksum of the manifest"
        else:
            position = torch.load(folder / name, map_location="cpu", weights_only=True)["state"]["position"]
            if (position["epoch"], position["step"]) != (entry["epoch"], entry["step"]):
                yield f"{name} is not of the step that the manifest has"
            if name == "best.pt" and (position["epoch"], position["batch"]) != (record["objective"]["epoch"], 0):
                yield f"best.pt is of epoch {position['epoch']}, by run.json the best is {record['objective']['epoch']}"


def _leaves(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Every number of a checkpoint by its path; of tensors the digest of their bytes."""
    if isinstance(value, Tensor):
        data = value.contiguous().view(torch.uint8).numpy().tobytes() if value.dim() else str(value.item()).encode()
        yield key, (tuple(value.shape), hashlib.sha256(data).hexdigest()[:16])
    elif isinstance(value, Mapping | list | tuple):
        for name, item in value.items() if isinstance(value, Mapping) else enumerate(value):
            yield from _leaves(f"{key}.{name}", item)
    else:
        yield key, "nan" if value != value else value


# TensorBoard


def _wrong_scalars(folder: Path, metrics: list[dict[str, Any]]) -> Iterator[str]:
    """The scalars held to the metrics' file: none is there twice, none is missing, all have its values."""
    found: dict[tuple[str, int], float] = {}
    for tag, step, value in scalars(folder):
        if (tag, step) in found:
            yield f"TensorBoard has {tag} twice at step {step}"
        found[tag, step] = value
    if not found:
        return
    names = [(name, record) for record in metrics for name in record if name not in ("epoch", "step")]
    known = {(tag_of(name), record["step"]): record[name] for name, record in names}
    for (tag, step), value in known.items():
        shown = found.get((tag, step))
        if shown is None:
            yield f"TensorBoard lacks {tag} at step {step}"
        elif not math.isclose(shown, math.nan if value is None else value, rel_tol=1e-6, abs_tol=1e-9):
            yield f"TensorBoard has {shown} for {tag} at step {step}, metrics.jsonl {value}"
    others = {tag for tag, step in found if (tag, step) not in known} - {
        "train/batch_loss",
        "accuracy/best",
        tag_of(SPEED),
    }
    yield from (f"TensorBoard has {tag} where metrics.jsonl has none" for tag in sorted(others))


def scalars(folder: Path) -> Iterator[tuple[str, int, float]]:
    """Tag, step and value of every scalar in the event files of a folder."""
    from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
    from tensorboard.compat.proto.event_pb2 import Event

    for path in sorted(folder.glob("events.out.tfevents.*")):
        for data in RawEventFileLoader(str(path)).Load():
            event = Event.FromString(data)
            for value in event.summary.value:
                if value.WhichOneof("value") == "simple_value":
                    yield value.tag, event.step, value.simple_value


def _json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise Loss(f"{path.name} cannot be read: {error}") from None


def _lines(path: Path) -> list[dict[str, Any]]:
    try:
        return list(json_lines(path))
    except (OSError, ValueError) as error:
        raise Loss(f"{path.name} cannot be read: {error}") from None
