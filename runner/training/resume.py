"""Going on with a run from its newest undamaged checkpoint."""

from collections.abc import Sequence
from pathlib import Path

from runner import config
from runner.config import stored_config
from runner.store import RunFolder
from runner.training.run import Run
from runner.training.train import Member, go_on


def resume(path: Path, overrides: Sequence[str] = (), trust: bool = False, accept_changed_images: bool = False) -> Run:
    """Go on with the run in that folder.

    Raises:
        UserError: it is no run, its config conflicts, or another process trains in it.
    """
    folder = RunFolder.open(path)
    folder.check_has_checkpoints()
    cfg = stored_config(folder, overrides, "resume", trust)
    config.check_combinations(cfg)
    records = folder.metrics
    done = records[-1]["epoch"] if records else 0
    if folder.record["status"] in ("finished", "diverged") and done >= cfg.engine.epochs:
        print(f"{folder.record['status']} after epoch {done}; to train on, raise engine.epochs above {done}")
        return Run(path, trust)
    folder.lock()
    said = [*folder.record["overrides"], *overrides]
    return go_on(Member(cfg, said, folder, accept_changed_images=accept_changed_images))
