"""`runner train -m`: every combination of values as a job of its own, checked before the first one begins."""

import shlex
import sys
import traceback
from collections.abc import Sequence
from datetime import datetime
from itertools import product
from pathlib import Path
from typing import Any

from rich.console import Console

from runner import config
from runner.command.hydra_app import TrainJob, import_quickly, run_hydra
from runner.errors import EXIT_DIVERGED, EXIT_USER_ERROR, Interrupted, UserError, as_mistake, is_full_disk
from runner.store.multirun_folder import MultirunFolder

FLAGS = ("-m", "--multirun")
ENDED = ("finished", "diverged")


def is_multirun(words: Sequence[str]) -> bool:
    """Whether it is our own: with another sweeper, or a question about the config, it is Hydra's alone."""
    others = ("hydra/sweeper=", "hydra.sweep.dir=", "--cfg", "-c", "--info", "--hydra-help", "--help")
    return any(word in FLAGS for word in words) and not any(word.startswith(others) for word in words)


def train_many(words: Sequence[str]) -> int:
    """Begin a multirun; gives the exit status.

    Raises:
        UserError: a value is wrong; no job has begun.
    """
    said = [word for word in words if not word.startswith("-")]
    for folder in config.named_folders(words):
        config.add_user_folder(folder)
    jobs = combinations(said)
    first = check_values(said)
    path = Path(first.output_dir) / "multirun" / datetime.now().strftime("%Y-%m-%d_%H-%M-%S-%f")
    return _run(words, MultirunFolder.create(path, words, jobs), trust=True)


def go_on(path: Path, trust: bool) -> int:
    """Go on with a multirun: jobs that are done are kept, others trained on or begun; gives the exit status.

    Raises:
        UserError: its record cannot be read, or holds words that are no overrides.
    """
    folder = MultirunFolder.open(path)
    words = folder.record["overrides"]
    if not trust:
        if flags := [word for word in words if word.startswith("-") and word not in FLAGS]:
            raise UserError(f"{path}: was begun with {' '.join(flags)}; pass --trust if you trust what that names")
        config.check_stored_words([word for word in words if word not in FLAGS], path)
    return _run(words, folder, trust)


def _run(words: Sequence[str], folder: MultirunFolder, trust: bool) -> int:
    place = str(folder.path).replace("'", r"\'")
    try:
        run_hydra("train", [*words, f"hydra.sweep.dir='{place}'"], JobOfMany(folder, trust))
    except (Interrupted, KeyboardInterrupt):
        again = f"interrupted; go on with: runner resume {shlex.quote(str(folder.path))}"
        Console().print(again, highlight=False, soft_wrap=True)
        raise
    jobs = folder.jobs
    _compare(jobs)
    statuses = {job["status"] for job in jobs}
    if "failed" in statuses:
        crashed = any(job["status"] == "failed" and not job["error"].startswith("mistake: ") for job in jobs)
        return 1 if crashed else EXIT_USER_ERROR
    return EXIT_DIVERGED if "diverged" in statuses else 0


class JobOfMany(TrainJob):
    """One job of a multirun: its failure is noted, and the others go on."""

    __module__ = __name__
    __name__ = __qualname__ = "JobOfMany"

    def __init__(self, folder: MultirunFolder, trust: bool) -> None:
        super().__init__()
        self.folder = folder
        self.trust = trust

    def __call__(self, cfg: Any) -> float | None:
        from hydra.core.hydra_config import HydraConfig

        hydra = HydraConfig.get()
        number, jobs = hydra.job.num, self.folder.jobs
        name = f"job {number + 1}/{len(jobs)}"
        overrides = jobs[number]["overrides"]  # as they were said, and not as Hydra writes them
        print(f"{name}: {' '.join(overrides)}", flush=True)
        import_quickly("runner.engine.device").set_job_number(number)
        before = jobs[number]
        try:
            if not self.trust:
                config.check_trusted(cfg)
            run = self._train(cfg, overrides, hydra, before, number)
            self.folder.note(number, status=run.status, folder=str(run.folder), error=run.record["error"])
            run.print_summary(brief=True)
            objective: float | None = run.objective
            return objective
        except (Interrupted, KeyboardInterrupt):
            self.folder.note(number, status="interrupted")
            raise
        except Exception as error:
            is_mistake = isinstance(error, UserError) or is_full_disk(error)
            text = str(as_mistake(error)) if is_mistake else f"{type(error).__name__}: {error}"
            self.folder.note(number, status="failed", error=f"mistake: {text}" if is_mistake else text)
            if not is_mistake:
                traceback.print_exc()
            print(f"runner: {name}: {text}", file=sys.stderr)
            return None

    def _train(self, cfg: Any, overrides: Sequence[str], hydra: Any, before: dict[str, Any], number: int) -> Any:
        """Train the job's run, or on from where it stands, or take it as it is where it has ended."""
        from runner.store import RUN

        stored = Path(before["folder"] or "")
        if before["folder"] and (stored / RUN).exists():
            if before["status"] in ENDED:
                return import_quickly("runner.training.run").Run(stored)
            return import_quickly("runner.training.resume").resume(stored, trust=self.trust)
        config.check(cfg, auto=True)
        training = import_quickly("runner.training.train")

        def begun(path: Path) -> None:
            self.folder.note(number, status="running", folder=str(path))

        choices = config.choices(cfg, hydra.runtime.choices)
        return training.train(cfg, overrides, choices, with_header=False, begun=begun)


def combinations(said: Sequence[str]) -> list[list[str]]:
    """The overrides of each job, in the order in which Hydra runs them.

    Raises:
        UserError: a word is no override.
    """
    return [list(job) for job in product(*_values(said))]


def _values(said: Sequence[str]) -> list[list[str]]:
    """Each override as a list of those that it stands for: several where it has several values."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    parser, values = OverridesParser.create(), []
    for word in said:
        try:
            override = parser.parse_override(word)
            is_discrete = override.is_discrete_sweep()
            texts = list(override.sweep_string_iterator()) if is_discrete else []
        except HydraException as error:
            raise config.explain(error, [word]) from None
        if override.is_sweep_override() and not is_discrete:
            raise UserError(
                "config: a range is searched by runner sweep; runner train -m takes values, as in seed=1,2,3"
            )
        values.append([f"{override.get_key_element()}={text}" for text in texts] if is_discrete else [word])
    return values


def check_values(said: Sequence[str]) -> Any:
    """Compose and check a config for each value, with the first of the others; gives that of the first of all.

    Raises:
        UserError: a value is wrong.
    """
    values = _values(said)
    first = [words[0] for words in values]
    for place, words in enumerate(values):
        for word in words if len(words) > 1 else []:
            job = [*first[:place], word, *first[place + 1 :]]
            config.check(config.compose_with_choices(job)[0], auto=True)
    cfg, _ = config.compose_with_choices(first)
    config.check(cfg, auto=True)
    return cfg


def _compare(jobs: Sequence[dict[str, Any]]) -> None:
    """Print the table of the runs, where there are several."""
    from runner.command.compare import compare, show
    from runner.store.run_index import find_runs

    paths = [Path(job["folder"]) for job in jobs if job["folder"] and Path(job["folder"]).is_dir()]
    if len(paths) < 2:
        return
    found, _ = find_runs(paths)
    if any(run.finished for run in found):
        table = compare(found)
        print()
        show(Console(highlight=False), table, table.rows)
