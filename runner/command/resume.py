"""`runner resume FOLDER`: go on with a run from its newest undamaged checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from runner import build, config
from runner.arguments import ArgumentParser
from runner.errors import EXIT_DIVERGED
from runner.store import RunFolder
from runner.training.run import Run


def main(words: Sequence[str]) -> int:
    """Read the command's arguments, go on, and give the exit status."""
    parser = ArgumentParser(
        prog="runner resume",
        description="Go on with a run or a sweep that was stopped, or lengthen a finished one.",
        epilog="example: runner resume outputs/digits-convnet/2026-01-31_12-00-00-000000-4711 engine.epochs=40",
    )
    parser.add_argument("folder", type=Path, help="the folder of the run or the sweep")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="changes, such as engine.epochs=40")
    parser.add_argument(
        "--trust", action="store_true", help="let the stored config build classes that are not runner's"
    )
    arguments = parser.parse_intermixed_args(list(words))
    run = resume(arguments.folder, arguments.overrides, arguments.trust)
    if run.config.log.progress != "none":
        run.summarise()
    return EXIT_DIVERGED if run.status == "diverged" else 0


def resume(path: Path, overrides: Sequence[str] = (), trust: bool = False) -> Run:
    """Go on with the run in that folder.

    Raises:
        UserError: it is no run, its config conflicts, or another process trains in it.
    """
    from runner.training.train import train

    folder = RunFolder.open(path)
    stored = folder.config
    if "engine" in stored and stored.engine.get("pause_epoch") is not None:
        stored.engine.pause_epoch = None  # a pause is over when the run goes on
    cfg = config.with_overrides(stored, overrides, for_="resume")
    if not trust:
        build.check_trusted(cfg)
    config.check(cfg)
    records = folder.metrics
    done = records[-1]["epoch"] if records else 0
    if folder.record["status"] in ("finished", "diverged") and done >= cfg.engine.epochs:
        print(f"{folder.record['status']} after epoch {done}; to train on, raise engine.epochs above {done}")
        return Run(path, trust)
    folder.lock()
    said = [*folder.record["overrides"], *overrides]
    return train(cfg, said, folder.record.get("choices"), folder)
