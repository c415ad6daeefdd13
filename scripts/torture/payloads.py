"""Hands runner hostile folders: foreign targets, words, links, modules, pickles and rubbish; none of it may run.

Each folder is a stored run or sweep with one change. Whatever is done with it must leave alone what lies outside it,
and end well or be refused in one line. Hostile code, wherever it hides, would leave a file behind, the canary.
"""

import hashlib
import io
import json
import pickle
import random
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from torture.harness import (
    Done,
    Loss,
    Options,
    Process,
    Row,
    Server,
    Torture,
    command_environment,
    json_lines,
    shuffled,
    single,
)

RUN = ["model=linear", "engine.epochs=1", "engine.limit_batches=2", "log.progress=none", "name=it"]
SWEEP = [
    "model=linear",
    "optimizer.lr=loguniform(1e-3,1e-1)",
    "engine.epochs=1",
    "engine.limit_batches=2",
    "sweep.rounds=[{trials:2,epochs:1}]",
    "sweep.num_finalists=1",
    "sweep.num_final_seeds=2",
    "sweep.report=false",
    "log.progress=none",
    "log.tensorboard=false",
    "name=it",
]
MODEL = """
import sys, torch, runner
from runner.errors import UserError
try:
    runner.load({folder!r}).model()(torch.zeros(1, 1, 8, 8))
except UserError as error:
    print(f"runner: {{error}}", file=sys.stderr)
    sys.exit(2)
"""
GROUPS = ("data", "model", "init", "optimizer", "schedule", "loss", "reg", "augment", "average", "tta", "engine", "log")
HOSTILE = {"_target_": "hostile.run"}
OWN = "torch.nn.CrossEntropyLoss"
PAYLOADS: dict[str, Any] = {
    "mapping": HOSTILE,
    "list": [HOSTILE],
    "deep": {"a": [{"b": {"c": [[HOSTILE]]}}]},
    "_args_": {"_target_": OWN, "_args_": [HOSTILE]},
    "own class around it": {"_target_": OWN, "weight": {"_target_": "torch.nn.Parameter", "data": HOSTILE}},
    "_partial_": {**HOSTILE, "_partial_": True},
    "_recursive_": {"_target_": OWN, "_recursive_": False, "weight": HOSTILE},
    "_convert_": {**HOSTILE, "_convert_": "all"},
    "os.system": {"_target_": "os.system", "command": "touch {canary}"},
    "builtins.exec": {"_target_": "builtins.exec", "_args_": ["open('{canary}', 'w')"]},
    "class below a class": {"_target_": "torch.nn.Module.register_module", "_args_": [None, "a", HOSTILE]},
    "method of an own module": {"_target_": "runner.optimizer.factories.torch.hub.load", "_args_": ["a/b", "c"]},
    "other group": {"_target_": "runner.data.Folder", "root": "/"},
    "spaces": {"_target_": " hostile.run "},
    "list as target": {"_target_": ["hostile.run"]},
    "interpolated target": {"_target_": "${name}"},
    "interpolation": {"weight": "${oc.env:HOME}"},
    "decoded interpolation": {"weight": "${oc.decode:'{_target_: hostile.run}'}"},
    "interpolated key": {"evil": HOSTILE, "weight": "${.evil}"},
    "escaped interpolation": {"_target_": "\\${name}"},
}
WORDS: list[Any] = [
    "loss._target_=hostile.run",
    "+loss.weight=[{_target_:hostile.run}]",
    "loss={_target_:hostile.run}",
    "++loss.weight={_target_:hostile.run}",
    "+evil={_target_:hostile.run}",
    "sweep._target_=hostile.run",
    "sweep.space=[loss._target_=hostile.run]",
    "sweep.space=['optimizer.lr=0.1,0.2','+loss.weight={_target_:hostile.run}']",
    "sweep.conditional={loss:{hinge:[loss._target_=hostile.run]}}",
    "optimizer._target_=hostile.run,runner.optimizer.sgd",
    "+hydra.callbacks.x._target_=hostile.run",
    "hydra/launcher=joblib",
    "hydra.sweeper._target_=hostile.run",
    "hydra.run.dir=outside",
    "~hydra",
    "+job.trust=true",
    "+job.main={host:a,pid:1,started:0}",
    "loss@hydra.callbacks=hinge",
    "loss@_global_=hinge",
    "+configs@hydra.callbacks.x=evil",
    "--config-dir=.",
    "-cd",
    "--info",
    "--multirun",
    "optimizer.lr=${oc.env:HOME}",
    "optimizer.lr=tag(evil,1)",
    "optimizer.lr=extend_list(1)",
    "name=../../../outside/it",
    "output_dir=../outside",
    "name=${oc.env:HOME}",
    "data=folder",
    "data.root=/",
    "=",
    "",
    "a",
    3,
    None,
    {},
    ["a"],
]
POINTS: list[Any] = [
    {"loss._target_": "hostile.run"},
    {"loss": "{_target_:hostile.run}"},
    {"+loss.weight": "{_target_:hostile.run}"},
    {"+hydra.callbacks.x._target_": "hostile.run"},
    {"hydra/launcher": "joblib"},
    {"+job.trust": "true"},
    {"optimizer.lr": "${oc.env:HOME}"},
    {"optimizer.lr": "0.1,0.2"},
    {"optimizer.lr": "choice(0.1,0.2)"},
    {"optimizer.lr": None},
    {"--config-dir": "."},
    {"output_dir": "../outside"},
    "optimizer.lr=0.1",
    None,
    [],
    3,
]
RUBBISH: dict[str, bytes] = {
    "empty": b"",
    "null": b"null",
    "a number": b"3",
    "a list": b"[1, [2]]",
    "a text": b'"text"',
    "an empty mapping": b"{}",
    "not UTF-8": b"\xff\xfe\x00\x01",
    "NULs": b"\x00" * 100,
    "NaN": b"NaN",
    "deep lists": b"[" * 100_000,
    "deep mappings": b'{"a":' * 100_000,
    "a huge number": b"9" * 5000,
    "an object of YAML": b"!!python/object/apply:os.system ['touch {canary}']\n",
    "a new object of YAML": b"!!python/object/new:os.system ['touch {canary}']\n",
    "many aliases": b"a: &a [x,x,x,x,x,x,x,x,x]\n"
    + b"".join(b"%c: &%c [%s]\n" % (n, n, b",".join([b"*%c" % (n - 1)] * 9)) for n in range(98, 106)),
}
VALUES: list[Any] = [None, "text", "", -1, 0, 10**30, 0.5, True, [], {}, [[]], {"_target_": "hostile.run"}]
TEMPORARIES = ["{}.tmp", ".{}.tmp", ".{}.1.tmp", "{}.new", "{}.bak"]
NEVER_YET = [
    ".events.tmp",
    "images.json",
    ".images.lock",
    ".vectorize.lock",
    "vectorize.json",
    "report.html",
    "test.json",
]
FOLDERS_NEVER_YET = ["figures", "trials/0004"]

Change = Callable[[Path, Path], object]  # of a folder; told where the canary is


@dataclass
class Case:
    """One change of a stored folder.

    Args:
        kind: run or sweep.
        refused: commands that must refuse it; the others may as well leave out what is wrong.
    """

    name: str
    kind: str
    change: Change
    refused: tuple[str, ...] = ()


def torture(options: Options) -> Iterator[Row]:
    """A row for each kind of payload."""
    with Server(folder=options.work) as server:
        store = Store(server, options.work / "stored")
        kinds: dict[str, Callable[[Store, random.Random], Iterable[Case]]] = {
            "foreign targets in configs": targets,
            "words, rounds and points of sweeps": words_and_points,
            "links": links,
            "pickles": pickles,
            "rubbish in whole files": rubbish,
            "values of another type in JSON": wrong_values,
        }
        for what, make in kinds.items():
            torture = Torture(what, options, 1 / (len(kinds) + 1))
            if not torture.is_wanted:
                continue
            cases = shuffled(make(store, options.random(what)), options.random(what, "order"))
            yield torture.cases(attempts(store, cases))
    for what, make_attempts in {
        "plug-ins in the working folder": plugins_in_the_working_folder,
        "other modules in the working folder": modules_in_the_working_folder,
    }.items():
        torture = Torture(what, options, 1 / (len(kinds) + 1))
        if torture.is_wanted:
            yield torture.cases(make_attempts(store))


def attempts(store: "Store", cases: Iterable[Case]) -> Iterator[tuple[str, Callable[[Path], object]]]:
    for case in cases:
        for command in COMMANDS[case.kind]:
            yield f"{case.name}, {command}", partial(try_command, store, case, command)


def try_command(store: "Store", case: Case, command: str, folder: Path) -> None:
    """Change a copy of the stored folder, run a command on it, and see that nothing else was touched."""
    work, outside, canary = folder / "work", folder / "outside", folder / "canary"
    subject = store.copy(case.kind, work)
    outside.mkdir()
    (outside / "precious").write_text("as it was")
    (work / "hostile.py").write_text(f"open({str(canary)!r}, 'w')\ndef run(*a, **k): pass\n")
    case.change(subject, canary)
    before = digest(outside)
    done = COMMANDS[case.kind][command](store.server, work, subject.relative_to(work))
    if canary.exists():
        raise Loss("hostile code was run")
    if digest(outside) != before:
        raise Loss("something outside the folder was changed")
    if command == "compare":
        done.expect(0, 2)  # with a line for every run that it leaves out
    elif command in case.refused or done.status not in (0, 3):
        done.expect_refusal()
    done.expect(0, 2, 3)


def _runs(command: str, *words: str) -> Callable[[Server, Path, Path], Done]:
    return lambda server, work, folder: server.run(work, command, folder, *words)


COMMANDS: Mapping[str, Mapping[str, Callable[[Server, Path, Path], Done]]] = {
    "run": {
        "resume": _runs("resume", "engine.epochs=2"),
        "test": _runs("test"),
        "model": lambda server, work, folder: server.run(work, python=MODEL.format(folder=str(folder))),
        "compare": _runs("compare"),
    },
    "sweep": {"resume": _runs("resume"), "compare": _runs("compare")},
}


def digest(folder: Path) -> str:
    """Of the names and contents of all that is below a folder."""
    told = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        content = path.read_bytes() if path.is_file() else b""
        told.update(path.relative_to(folder).as_posix().encode() + b"\0" + content + b"\0")
    return told.hexdigest()


class Store:
    """A run and a sweep as they were left, the last trial of which has not ended, to be copied."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server = server
        self.folders = {}
        for kind, command, words in (("run", "train", RUN), ("sweep", "sweep", SWEEP)):
            (folder / kind).mkdir(parents=True)
            server.run(folder / kind, command, *words).expect(0)
            self.folders[kind] = single((folder / kind).glob("outputs/it/*"))
        server.run(folder / "run", "test", self.folders["run"]).expect(0)
        _reopen_last_trial(self.folders["sweep"])

    def copy(self, kind: str, work: Path) -> Path:
        folder = work / "outputs/it" / self.folders[kind].name
        shutil.copytree(self.folders[kind], folder)
        return folder

    def files(self, kind: str) -> list[str]:
        folder = self.folders[kind]
        return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def _reopen_last_trial(sweep: Path) -> None:
    """As if the sweep had been killed when it began its last trial."""
    events = list(json_lines(sweep / "journal.jsonl"))
    last = max(event["trial"] for event in events)
    kept = [event for event in events if event["trial"] != last or event["event"] == "queued"]
    _write_lines(sweep / "journal.jsonl", kept)
    trial = sweep / f"trials/{last:04d}"
    for path in trial.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif not path.name.startswith(("config", "overrides")):
            path.unlink()
    _change_json(sweep / "sweep.json", lambda record: record | {"status": "running", "best": None})


def _last_trial(sweep: Path) -> Path:
    return max((sweep / "trials").iterdir())


# Foreign targets


def targets(store: Store, draws: random.Random) -> Iterator[Case]:
    """Every payload in every group, for the group, in it, or in the place of one of its values; in one of the files."""
    for name, payload in PAYLOADS.items():
        for group in (*GROUPS, "objective", "evil"):
            for place in ("for it", "beside its keys", "for a value"):
                where = draws.choice(["config.yaml", "both", "config.json"])
                about = f"{name} in {group}, {place}, {where}"
                edit = partial(_plant, payload, group, place)
                refused = ("resume", "test", "model") if group != "evil" else ()
                yield Case(about, "run", partial(_edit_config, edit, where), refused)
                if draws.random() < 0.5:
                    yield Case(f"trial, {about}", "sweep", partial(_edit_config, edit, where, trial=True), ("resume",))
    for name, payload in PAYLOADS.items():
        edit = partial(_plant, payload, draws.choice(GROUPS), "for it")
        yield Case(
            f"config of the sweep, {name}", "sweep", partial(_edit_config, edit, draws.choice(["both", "config.json"]))
        )


def _plant(payload: Any, group: str, place: str, config: dict[str, Any]) -> None:
    """Put a payload into a config."""
    at = config.get(group)
    if place == "for it" or not isinstance(at, dict):
        config[group] = payload
    elif place == "beside its keys" or not at:
        at["weight"] = payload
    else:
        at[sorted(at)[-1]] = payload


def _edit_config(
    edit: Callable[[dict[str, Any]], None], where: str, folder: Path, canary: Path, trial: bool = False
) -> None:
    """Change a frozen config, in YAML, in the JSON that is read in its place, or in both."""
    from runner.store.flat import flatten

    folder = _last_trial(folder) if trial else folder
    config = yaml.safe_load((folder / "config.yaml").read_text())
    edit(config)
    config = json.loads(json.dumps(config).replace("{canary}", str(canary)))
    if where != "config.json":
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
    if where != "config.yaml":
        checksum = hashlib.sha256((folder / "config.yaml").read_bytes()).hexdigest()
        _change_json(folder / "config.json", lambda flat: flat | {"yaml_sha256": checksum, "values": flatten(config)})


# What a sweep's record says


def words_and_points(store: Store, draws: random.Random) -> Iterator[Case]:
    """Words, folders of configs, rounds, points and spaces that a sweep's record or journal would not have."""
    for word in WORDS:
        yield Case(
            f"word {word!r}", "sweep", partial(_set_record, "overrides", lambda words, word=word: [*words, word])
        )
        yield Case(f"word {word!r} alone", "sweep", partial(_set_record, "overrides", lambda words, word=word: word))
    for folders in ([".."], ["../outside"], ["."], "text", [3], [None], {}, 3):
        yield Case(
            f"config_folders {folders!r}", "sweep", partial(_set_record, "config_folders", lambda _, f=folders: f)
        )
    for point in POINTS:
        for config_is_there in (True, False):
            about = f"point {point!r} of a trial{'' if config_is_there else ' without config'}"
            yield Case(about, "sweep", partial(_set_queued, {"point": point}, config_is_there))
        yield Case(f"point {point!r} of the finals", "sweep", partial(_set_round, -1, {"points": [point]}))
        yield Case(f"space {point!r}", "sweep", partial(_set_record, "space", lambda _, point=point: point))
    for key, values in {
        "folder": ["../../../../outside", "/", ".", 3, None],
        "trial": [-1, 10**9, "x", 0.5, True],
        "seed": ["1,2", "hostile", -1, {}, 10**30],
        "epochs": ["x", -1, 0.5, {}, "1,2"],
        "round": [-1, 99, "x", None],
        "choices": [None, 3, {"loss": "evil"}, {"hydra": "x"}],
        "signature": [3, {}, "x"],
    }.items():
        for value in values:
            for config_is_there in (True, False):
                about = f"{key} {value!r} of a trial{'' if config_is_there else ' without config'}"
                yield Case(about, "sweep", partial(_set_queued, {key: value}, config_is_there))
    for key in ("kind", "index", "epochs", "num_trials", "ranges", "notes", "strategy", "points", "seeds", "evil"):
        for value in [value for value in VALUES if value != 10**30]:
            number = draws.choice([0, -1])
            yield Case(f"{key} {value!r} of round {number}", "sweep", partial(_set_round, number, {key: value}))


def _set_record(key: str, change: Callable[[Any], Any], folder: Path, canary: Path) -> None:
    _change_json(folder / "sweep.json", lambda record: record | {key: change(record.get(key))})


def _set_round(number: int, fields: dict[str, Any], folder: Path, canary: Path) -> None:
    def change(record: dict[str, Any]) -> dict[str, Any]:
        record["rounds"][number] |= fields
        return record

    _change_json(folder / "sweep.json", change)


def _set_queued(fields: dict[str, Any], config_is_there: bool, folder: Path, canary: Path) -> None:
    """Change the last trial in the journal."""
    if not config_is_there:
        for path in _last_trial(folder).iterdir():
            path.unlink()
    events = list(json_lines(folder / "journal.jsonl"))
    next(event for event in reversed(events) if event["event"] == "queued").update(fields)
    _write_lines(folder / "journal.jsonl", events)


# Links


def links(store: Store, draws: random.Random) -> Iterator[Case]:
    """A link for every file and folder of a run and a sweep, for those still to come, and for temporary files."""
    for kind, folder in store.folders.items():
        files = [path for path in store.files(kind) if "/events.out" not in path]
        below = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_dir()}
        temporary = [_beside(path, name) for path in files for name in TEMPORARIES]
        for path in [*files, *NEVER_YET, *draws.sample(temporary, min(40, len(temporary)))]:
            for to in ("a file", "nothing", "a folder"):
                yield Case(f"{kind}: {path} is a link to {to}", kind, partial(_link, path, to))
        for path in [*sorted(below), *FOLDERS_NEVER_YET]:
            yield Case(f"{kind}: {path} is a link to a folder", kind, partial(_link, path, "a folder"))


def _beside(path: str, name: str) -> str:
    folder, slash, file = path.rpartition("/")
    return folder + slash + name.format(file)


def _link(path: str, to: str, folder: Path, canary: Path) -> None:
    """Move what has the name outside, if anything has, and put a link in its place."""
    place, target = folder / path, canary.parent / "outside/target"
    if to == "a folder" and not place.is_dir():
        target.mkdir()
    elif to != "nothing" and place.exists():
        shutil.move(place, target)
    elif to == "a file":
        target.write_text("as it was")
    if place.is_dir():
        shutil.rmtree(place)
    place.unlink(missing_ok=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(target)


# Contents


class _Leaves:
    """An object whose pickle makes a file when it is read."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.canary), "w")


def pickles(store: Store, draws: random.Random) -> Iterator[Case]:
    """A hostile pickle in every file, plain or as an archive of torch, with the checksum that the manifest asks for."""
    for kind in store.folders:
        for path in store.files(kind):
            for form in ("plain", "archive", "numpy"):
                yield Case(f"{kind}: {path} is a pickle, {form}", kind, partial(_write_pickle, path, form))
    yield Case("cache of images", "run", partial(_poison_cache, store))


def _write_pickle(path: str, form: str, folder: Path, canary: Path) -> None:
    data = _pickled(form, canary)
    (folder / path).write_bytes(data)
    manifest = (folder / path).parent / "manifest.json"
    if path.endswith(".pt") and manifest.exists():
        told = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
        name = Path(path).name

        def change(content: dict[str, Any]) -> dict[str, Any]:
            content["files"][name] |= told
            return content

        _change_json(manifest, change)


def _pickled(form: str, canary: Path) -> bytes:
    plain = pickle.dumps({"format": 2, "state": _Leaves(canary)})
    if form == "plain":
        return plain
    if form == "numpy":
        import numpy as np

        file = io.BytesIO()
        np.save(file, np.array([_Leaves(canary)], dtype=object), allow_pickle=True)
        return file.getvalue()
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", plain)
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/byteorder", "little")
    return file.getvalue()


def _poison_cache(store: Store, folder: Path, canary: Path) -> None:
    """Train on images of files, whose decoded pixels are then a pickle."""
    import numpy as np
    from PIL import Image

    root = folder.parents[2]
    for split in ("train", "test"):
        for label in ("a", "b"):
            (root / f"images/{split}/{label}").mkdir(parents=True)
            for number in range(8):
                pixels = np.full((8, 8), 16 * number, np.uint8)
                Image.fromarray(pixels).save(root / f"images/{split}/{label}/{number}.png")
    shutil.rmtree(folder)
    data = ["data=folder", "data.root=images", "data.cache=cache", "data.in_channels=1", "data.val_fraction=0.25"]
    store.server.run(root, "train", *RUN, *data).expect(0)
    made = single((root / "outputs/it").iterdir())
    made.rename(folder)
    caches = list((root / "cache").rglob("*.npy"))
    if not caches:
        raise Loss("nothing is in the cache")
    for path in caches:
        path.write_bytes(_pickled("numpy", canary))


def rubbish(store: Store, draws: random.Random) -> Iterator[Case]:
    """Something else in the place of each file's content, or a part of it."""
    for kind in store.folders:
        for path in store.files(kind):
            for name, content in RUBBISH.items():
                yield Case(f"{kind}: {path} is {name}", kind, partial(_write_rubbish, path, content))
            for share in (0.3, 0.9):
                yield Case(f"{kind}: {path} is cut off", kind, partial(_cut, path, share))
            yield Case(f"{kind}: {path} is gone", kind, lambda folder, canary, path=path: (folder / path).unlink())


def _write_rubbish(path: str, content: bytes, folder: Path, canary: Path) -> None:
    (folder / path).write_bytes(content.replace(b"{canary}", str(canary).encode()))


def _cut(path: str, share: float, folder: Path, canary: Path) -> None:
    data = (folder / path).read_bytes()
    (folder / path).write_bytes(data[: int(share * len(data))])


def wrong_values(store: Store, draws: random.Random) -> Iterator[Case]:
    """Another type for one value of a JSON file or of a line of one, with matching checksums where there are any."""
    for kind, folder in store.folders.items():
        for path in store.files(kind):
            if not path.endswith((".json", ".jsonl")):
                continue
            text = (folder / path).read_text()
            contents = [json.loads(line) for line in text.splitlines()] if path.endswith("l") else [json.loads(text)]
            for line, content in enumerate(contents):
                for place in _places(content):
                    for value in draws.sample(VALUES, 3):
                        about = f"{kind}: {path}, line {line}, {'.'.join(map(str, place))} is {value!r}"
                        yield Case(about, kind, partial(_set_value, path, line, place, value))


def _places(content: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in items:
        yield (*above, key)
        yield from _places(value, (*above, key))


def _set_value(path: str, line: int, place: tuple[Any, ...], value: Any, folder: Path, canary: Path) -> None:
    file = folder / path
    lines = file.read_text().splitlines() if path.endswith("l") else [file.read_text()]
    content = at = json.loads(lines[line])
    for key in place[:-1]:
        at = at[key]
    at[place[-1]] = value
    lines[line] = json.dumps(content)
    file.write_text("\n".join(lines) + "\n")


# Modules


FINDS_MISSING = """
import sys
class Recorder:
    def find_spec(name, path=None, target=None):
        if path is None:
            print(name, file=open({log!r}, "a"))
sys.meta_path.append(Recorder)
from runner import cli
cli.main({words!r})
"""


def plugins_in_the_working_folder(store: Store) -> Iterator[tuple[str, Callable[[Path], object]]]:
    """The folder that Hydra takes plug-ins from."""
    yield "train", partial(_with_plugins, store, "", ["train", *RUN])
    yield "resume", partial(_with_plugins, store, "run", ["resume", "FOLDER", "engine.epochs=2"])
    yield "resume of a sweep", partial(_with_plugins, store, "sweep", ["resume", "FOLDER"])
    yield "workers", partial(_with_plugins, store, "", ["sweep", *SWEEP, "sweep.num_workers=2"])


def modules_in_the_working_folder(store: Store) -> Iterator[tuple[str, Callable[[Path], object]]]:
    """Modules of every name that a command looks for in vain."""
    words = {
        "train": ("", ["train", *RUN]),
        "resume": ("run", ["resume", "FOLDER", "engine.epochs=2"]),
        "test": ("run", ["test", "FOLDER"]),
        "compare": ("run", ["compare", "FOLDER"]),
        "resume of a sweep": ("sweep", ["resume", "FOLDER"]),
        "sweep by workers": ("", ["sweep", *SWEEP, "sweep.num_workers=2"]),
    }
    for name, (kind, line) in words.items():
        yield f"{name}", partial(_with_modules, store, kind, line)


def _with_plugins(store: Store, kind: str, words: list[str], folder: Path) -> None:
    """Run a command where plug-ins of Hydra lie."""
    canary, work = folder / "canary", folder / "work"
    work.mkdir()
    subject = store.copy(kind, work).relative_to(work) if kind else ""
    for name in ("hydra_plugins", "hydra_plugins/hostile"):
        (work / name).mkdir()
        (work / name / "__init__.py").write_text(f"open({str(canary)!r}, 'a')\n")
    Process(work, *(subject if word == "FOLDER" else word for word in words)).wait().expect(0)
    if canary.exists():
        raise Loss("a plug-in of the working folder was run")


def _with_modules(store: Store, kind: str, words: list[str], folder: Path) -> None:
    """Run a command to see what it looks for in vain, then again with modules of these names in its folder."""
    log, canary = folder / "missing", folder / "canary"
    log.touch()
    for work in (folder / "first", folder / "work"):
        work.mkdir()
        subject = store.copy(kind, work).relative_to(work) if kind else ""
        line = [str(subject) if word == "FOLDER" else word for word in words]
        if work.name == "work":
            names = {*log.read_text().split(), "hostile", "hydra_plugins.hostile", "sitecustomize", "usercustomize"}
            _plant_modules(work, names, canary)
        code = FINDS_MISSING.format(log=str(log), words=line)
        command = [sys.executable, "-P", "-c", code]
        done = subprocess.run(command, cwd=work, env=command_environment(), capture_output=True, text=True, timeout=120)
        if canary.exists():
            raise Loss(f"modules of the working folder were run: {' '.join(sorted(set(canary.read_text().split())))}")
        Done(line, done.returncode, done.stdout, done.stderr).expect(0)


def _plant_modules(folder: Path, names: Iterable[str], canary: Path) -> None:
    for name in names:
        if re.fullmatch(r"[A-Za-z_][\w.]*", name):
            place = folder / name.replace(".", "/")
            place.mkdir(parents=True, exist_ok=True)
            code = f"print(__name__, file=open({str(canary)!r}, 'a'))\nraise ModuleNotFoundError('hostile')\n"
            (place / "__init__.py").write_text(code)


def _change_json(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    path.write_text(json.dumps(change(json.loads(path.read_text()))) + "\n")


def _write_lines(path: Path, lines: Iterable[Any]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
