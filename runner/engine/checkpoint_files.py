"""The files of checkpoints: nothing unsafe is read, a damaged file is noticed."""

import hashlib
import io
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from runner.errors import UserError
from runner.files import parse_json, sync_folder, write_temporary

FORMAT = 2
LAST, PREVIOUS, BEST, MANIFEST = "last.pt", "previous.pt", "best.pt", "manifest.json"
WEIGHTS = ("network", "average", "preprocess", "trials", "position")  # of a state


def position(folder: Path) -> tuple[int, int] | None:
    """Epoch and step of the state that a folder's checkpoints would restore, by the manifest; None if there is none."""
    files = read_manifest(folder)["files"]
    found = next((files[name] for name in (LAST, PREVIOUS, BEST) if name in files), None)
    return None if found is None else (found["epoch"], found["step"])


def read(path: Path) -> dict[str, Any]:
    """The content of a checkpoint, tensors on the CPU.

    Raises:
        UserError: the file is damaged, or no checkpoint of ours.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: no checkpoint ({error.strerror})") from None
    manifest = read_manifest(path.parent)
    known = [manifest[part][path.name]["sha256"] for part in ("files", "replaced") if path.name in manifest[part]]
    if known and hashlib.sha256(data).hexdigest() not in known:
        raise UserError(f"{path}: the checkpoint is damaged (its checksum does not match)")
    try:
        content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a damaged or foreign file makes the unpickler raise
        reason = re.sub(r"\s+", " ", str(error)).partition(". ")[0][:100]
        raise UserError(f"{path}: the checkpoint is damaged ({type(error).__name__}: {reason})") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise UserError(f"{path}: not a checkpoint of this version of runner; train the run anew")
    return content


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a folder; an empty one where it is missing or damaged: the files can still be read."""
    try:
        manifest = parse_json((folder / MANIFEST).read_bytes())
        for entry in [*manifest["files"].values(), *manifest["replaced"].values()]:
            _ = entry["sha256"] + "", entry["epoch"] + entry["step"]  # text and numbers, in every entry
        return {"files": dict(manifest["files"]), "replaced": dict(manifest["replaced"])}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {"files": {}, "replaced": {}}


def mend_manifest(folder: Path) -> None:
    """Bring the manifest in line with the files, where a crash came between the two; a damaged file stays known."""
    manifest = read_manifest(folder)
    known = {entry["sha256"]: entry for part in ("replaced", "files") for entry in manifest[part].values()}
    paths = {name: folder / name for name in manifest["files"] if (folder / name).exists()}
    files = {
        name: known.get(hashlib.sha256(path.read_bytes()).hexdigest(), manifest["files"][name])
        for name, path in paths.items()
    }
    if files != manifest["files"]:
        _write_manifest(folder, files, {})


def weights_only(content: Mapping[str, Any]) -> dict[str, Any]:
    """The same checkpoint without what only a training needs: optimizer, schedule, random generators."""
    return {**content, "state": {key: content["state"][key] for key in WEIGHTS}}


def holds_weights_only(content: Mapping[str, Any]) -> bool:
    """Whether no training can go on from a checkpoint."""
    return "optimizer" not in content["state"]


def remove(folder: Path, names: Sequence[str]) -> None:
    """Remove checkpoints. A crash on the way leaves files that the manifest does not know, which can be read."""
    manifest = read_manifest(folder)
    files = {name: entry for name, entry in manifest["files"].items() if name not in names}
    if files != manifest["files"]:
        _write_manifest(folder, files, {})
    for name in names:
        (folder / name).unlink(missing_ok=True)


def _write_manifest(folder: Path, files: Mapping[str, Any], replaced: Mapping[str, Any]) -> None:
    text = json.dumps({"format": FORMAT, "files": files, "replaced": replaced}, indent=1)
    write_temporary(folder / MANIFEST, text.encode()).replace(folder / MANIFEST)


def write(folder: Path, content: Mapping[str, Any], names: Sequence[str]) -> None:
    """Write a checkpoint under each of these names, the last one being kept as the previous one.

    A crash between any two of its file operations leaves files that restore. The manifest comes before the new names
    and keeps what they replace, so it is right at every moment. The best comes before the last, so the newest of
    both is a state whose best is there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    torch.save(content, buffer)
    data = buffer.getbuffer()
    entry = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    entry |= {key: content["state"]["position"][key] for key in ("epoch", "step")}
    entry |= {"weights_only": True} if holds_weights_only(content) else {}
    names = sorted(names, key=LAST.__eq__)
    new = [write_temporary(folder / name, data) for name in names]
    manifest = read_manifest(folder)
    files = dict(manifest["files"])
    if LAST in names and LAST in files and (folder / LAST).exists():
        files[PREVIOUS] = files[LAST]
    files |= dict.fromkeys(names, entry)
    _write_manifest(folder, files, manifest["files"])
    for name, temporary in zip(names, new, strict=True):
        if name == LAST and (folder / LAST).exists():
            (folder / LAST).replace(folder / PREVIOUS)
        temporary.replace(folder / name)
    sync_folder(folder)
