"""Commands as functions of Python: `runner.sweep`, `runner.test`, `runner.compare`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner import config
from runner.errors import HydraExit, UserError

if TYPE_CHECKING:
    from runner.compare.table import Table
    from runner.inference.predict import Predictions
    from runner.training.run import Run


@dataclass(frozen=True)
class Sweep:
    """A sweep on disk: its folder, and what its record says of the best trial."""

    folder: Path
    record: dict[str, Any]

    @property
    def status(self) -> str:
        """running, finished, failed or interrupted."""
        return str(self.record["status"])

    @property
    def best(self) -> dict[str, Any] | None:
        """The best trial: its overrides, its score, its folder."""
        found: dict[str, Any] | None = self.record["best"]
        return found

    def best_run(self) -> Run:
        """The run of the best trial.

        Raises:
            UserError: no trial has finished.
        """
        from runner.training.run import load

        if self.best is None:
            raise UserError(f"{self.folder}: no trial has finished")
        return load(self.folder / "trials" / f"{self.best['trial']:04d}")


def sweep(*overrides: str | Sequence[str], **keys: Any) -> Sweep:
    """Search as `runner sweep OVERRIDES` would; see `runner.train` for how they are given.

    Raises:
        UserError: an override, the space or the data is wrong.
        SweepFailed: no trial has finished.
    """
    from runner.command.sweep import main
    from runner.store import SweepFolder
    from runner.sweep.plugin.training_sweep import latest_folder

    arguments = sys.argv
    try:
        main(config.words_of(overrides, keys))
    except HydraExit as error:
        raise UserError(str(error)) from None
    except UserError as error:
        raise error from None
    finally:
        sys.argv = arguments
    folder = SweepFolder.open(latest_folder())
    return Sweep(folder.path, folder.record)


def test(
    run: str | Path | Run, *overrides: str | Sequence[str], weights: str = "best", trust: bool = False
) -> dict[str, Any]:
    """Score a run on the test split as `runner test RUN OVERRIDES` would; gives its scores, as test.json has them.

    Raises:
        UserError: the run, its checkpoint or its data cannot be read.
    """
    from runner.inference.scoring import score_run
    from runner.store import RunFolder, find_folder

    return score_run(RunFolder.open(find_folder(_path(run))), config.words_of(overrides, {}), weights, trust)


def predict(
    run: str | Path | Run | Sequence[str | Path | Run],
    images: Any,
    *overrides: str | Sequence[str],
    weights: str = "best",
    trust: bool = False,
) -> Predictions:
    """Classify images as `runner predict RUN PATH..` would.

    Args:
        run: a run, or several that are averaged.
        images: paths of files, folders or patterns, one or a list; or a tensor [B, C, S, S] in [0, 1].

    Raises:
        UserError: a run, its checkpoint or an image cannot be read.
    """
    from runner.inference.predict import predict_with
    from runner.store import RunFolder, find_folder

    runs = [*run] if isinstance(run, Sequence) and not isinstance(run, str) else [run]
    folders = [RunFolder.open(find_folder(_path(one))) for one in runs]
    return predict_with(folders, images, config.words_of(overrides, {}), weights, trust)


def compare(
    *paths: str | Path | Run,
    by: Sequence[str] = (),
    metric: str | None = None,
    where: Sequence[str] = (),
    include_search_trials: bool = False,
) -> Table:
    """Compare runs as `runner compare PATH..` would; the rows of the table, best first, have estimates and verdicts.

    `paths`: runs, or folders with runs; outputs, if there are none.

    Raises:
        UserError: there is no run, or a key or the metric is in none.
    """
    from runner.command.compare import compare as compare_runs
    from runner.store import find_folder
    from runner.store.run_index import find_runs

    folders = [find_folder(_path(path)) for path in paths or ("outputs",)]
    found, _ = find_runs(folders)
    if not found:
        raise UserError(f"{', '.join(map(str, folders))}: no run here can be read; name another folder")
    return compare_runs(found, by, metric, None, where, include_search_trials)


def _path(run: str | Path | Run) -> str | Path:
    return run if isinstance(run, str | Path) else run.folder
