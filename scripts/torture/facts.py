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
from torture.harness import Loss, json_lines

SPEED = "images_per_second"  # the one metric that depends on the machine
Facts = dict[str, Any]


def facts_of_run(folder: Path) -> Facts:
    """Every fact of a finished run by name, after seeing that its files agree with each other.

    Raises:
        Loss: they do not.
    """
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
    facts |= _checkpoints(folder / "checkpoints", record["objective"]["epoch"])
    if any(folder.glob("events.out.tfevents.*")):
        facts["TensorBoard"] = _scalars(folder, metrics)
    return facts


def facts_of_sweep(folder: Path) -> Facts:
    """The same of a sweep: its points, its scores, how every trial ended, the best, and the facts of every trial."""
    record = _json(folder / "sweep.json")
    best = record["best"] or {}
    facts: Facts = {"status": record["status"], "best": best}
    facts["rounds"] = record["rounds"]
    ended: Counter[int] = Counter()
    for event in _lines(folder / "journal.jsonl"):
        number = event["trial"]
        if event["event"] == "queued":
            facts[f"trial {number} point"] = (event["point"], event["seed"], event["epochs"], event["round"])
        elif number is not None and event["event"] != "started":
            ended[number] += 1
            facts[f"trial {number} end"] = (event["event"], event["score"], event["error"])
    for number, times in ended.items():
        if times != 1:
            raise Loss(f"trial {number} has ended {times} times by the journal")
    for path in sorted((folder / "trials").iterdir()):
        facts |= {f"trial {int(path.name)} {key}": value for key, value in facts_of_run(path).items()}
    facts["files"] = files_below(folder)
    return facts


def compare(expected: Facts, found: Facts) -> None:
    """
    Raises:
        Loss: a fact differs, or is missing.
    """
    for key in [*expected, *(key for key in found if key not in expected)]:
        if (before := expected.get(key, "nothing")) != (now := found.get(key, "nothing")):
            raise Loss(f"{key} differs: {_difference(before, now)}")


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


def _checkpoints(folder: Path, best_epoch: int | None) -> Facts:
    manifest = _json(folder / "manifest.json")
    for name, entry in manifest["files"].items():
        data = (folder / name).read_bytes()
        if (hashlib.sha256(data).hexdigest(), len(data)) != (entry["sha256"], entry["bytes"]):
            raise Loss(f"checkpoints/{name} does not have the checksum of the manifest")
    facts: Facts = {}
    for name in ("last.pt", "best.pt"):
        if name not in manifest["files"]:
            raise Loss(f"checkpoints/manifest.json lacks {name}")
        state = torch.load(folder / name, map_location="cpu", weights_only=True)["state"]
        position = state["position"]
        if {key: manifest["files"][name][key] for key in ("epoch", "step")} != {
            key: position[key] for key in ("epoch", "step")
        }:
            raise Loss(f"checkpoints/{name} is not of the step that the manifest has")
        facts |= {f"{name} {key}": value for key, value in _leaves("state", state)}
        if name == "best.pt" and (position["epoch"], position["batch"]) != (best_epoch, 0):
            raise Loss(f"best.pt is of epoch {position['epoch']}, run.json says {best_epoch}")
    return facts


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


def _scalars(folder: Path, metrics: list[dict[str, Any]]) -> list[tuple[str, int]]:
    """Tag and step of every scalar, after seeing that none is there twice, none missing, and all as in metrics.jsonl."""
    found: dict[tuple[str, int], float] = {}
    for tag, step, value in scalars(folder):
        if (tag, step) in found:
            raise Loss(f"TensorBoard has {tag} twice at step {step}")
        found[tag, step] = value
    for record in metrics:
        for tag, value in record.items():
            if tag in ("epoch", "step"):
                continue
            shown = found.get((tag, record["step"]))
            if shown is None:
                raise Loss(f"TensorBoard lacks {tag} at step {record['step']}")
            if not math.isclose(shown, math.nan if value is None else value, rel_tol=1e-6, abs_tol=1e-9):
                raise Loss(f"TensorBoard has {shown} for {tag} at step {record['step']}, metrics.jsonl {value}")
    return sorted(found)


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
