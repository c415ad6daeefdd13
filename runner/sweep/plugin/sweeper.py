"""The sweep as a Hydra Sweeper, so that any Hydra launcher runs its trials."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice, product
from pathlib import Path
from typing import Any

from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, RunMode, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

from runner import config, store
from runner.engine.settings import Objective
from runner.errors import SweepFailed, UserError
from runner.store import SweepFolder
from runner.sweep.execution.batching import Jobs, workers_of
from runner.sweep.execution.resume import check_unchanged
from runner.sweep.execution.search import Search, status_of
from runner.sweep.plugin.workers import WorkersLauncher
from runner.sweep.report import finish as conclude
from runner.sweep.report import terminal as display
from runner.sweep.report.tensorboard import summarising
from runner.sweep.settings import Round, SweepSettings
from runner.sweep.space.overrides import Word, add_functions, read, under_words
from runner.sweep.space.space import Choice, Point, Range, Space, key_of
from runner.sweep.space.trial_configs import TrialConfigs, is_group
from runner.sweep.strategy.plan import Plan

NOT_SEARCHED = ("sweep=", "sweep.", "job.")
SET_BY_THE_SWEEP = {
    "engine.epochs": "sweep.rounds says how long trials are",
    "seed": "sweep.final_seeds repeats the best settings, and runner train -m seed=1,2,3 any",
}
MOST_COMBINATIONS = 256  # of group options, that are looked at before a sweep begins
BASIC_LAUNCHER = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"


def register() -> None:
    """Let Hydra accept our sweeper and our launcher, and let its parser know our ranges."""
    known = Plugins.is_in_toplevel_plugins_module
    if not known("runner.sweep.plugin.sweeper"):  # Hydra instantiates plug-ins of its own package alone

        def is_in_toplevel_plugins_module(clazz: str) -> bool:
            return clazz.startswith("runner.sweep.") or known(clazz)

        setattr(Plugins, known.__name__, staticmethod(is_in_toplevel_plugins_module))
    plugins = Plugins.instance()
    plugins.register(CoarseToFine)
    plugins.register(WorkersLauncher)
    add_functions()


class CoarseToFine(Sweeper):
    """Random search in rounds from coarse to fine.

    Args:
        max_batch_size: at most so many jobs at once; null for all of a round.
        params: ranges by key, as Hydra's basic sweeper has them; those of the command line win.
    """

    def __init__(self, max_batch_size: int | None = None, params: Mapping[str, str] | None = None) -> None:
        self.max_batch_size = max_batch_size
        self.params = dict(params or {})

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.context = hydra_context
        self.task = task_function
        self.whole = config

    def sweep(self, arguments: list[str]) -> list[Sequence[JobReturn]]:
        """Run the whole sweep, or what is left of it; gives what the jobs returned, batch by batch.

        Raises:
            UserError: the space or a setting makes no sense.
            SweepFailed: too many trials failed.
        """
        if "sweep" in self.whole and "_target_" in self.whole.sweep:
            return self._sweep_runs(arguments)
        return self._sweep_any(arguments)

    # -----------------------------------------------------------------------------------------------------------------

    def _sweep_runs(self, arguments: list[str]) -> list[Sequence[JobReturn]]:
        """A sweep of training runs."""
        config.check_sweep(self.whole)
        node = self.whole.sweep
        settings = settings_of(node)
        fixed, space, configs = self._space(arguments, settings)
        objective = Objective(name=self.whole.objective.name, mode=self.whole.objective.mode)
        mode: Any = objective.mode
        epochs = self.whole.engine.epochs
        plan = Plan(settings, space, settings.plan(epochs), epochs, mode)
        if not plan.rounds:
            raise UserError("sweep.rounds: must have at least one round, such as {trials: 24, epochs: 2}")
        folder = self._folder(arguments, plan, configs)
        folder.update(objective={"name": objective.name, "mode": mode})
        launcher = self._launcher(settings.workers)
        jobs = Jobs(settings.stack, workers_of(self.whole.hydra.launcher, settings.workers))
        search = Search(folder, plan, configs, fixed, launcher.launch, jobs, self.max_batch_size)
        log = self.whole.log
        finish = partial(conclude.conclude, folder, plan, fixed, settings.report, log.tensorboard)
        try:
            with (
                conclude.noted(folder),
                closing(launcher),
                summarising(folder, plan.mode, log.tensorboard),
                display.watching(folder, plan, log.progress),
            ):
                search.run()
        except SweepFailed as error:
            finish(quiet=True)
            error.status = status_of(list(search.journal.standings().values()))
            raise
        finish(quiet=log.progress == "none")
        return search.returns

    def _space(self, arguments: list[str], settings: SweepSettings) -> tuple[list[str], Space, TrialConfigs]:
        """What all trials share, what is searched, and the configs of both."""
        given = [word for word in arguments if not word.lstrip("+").startswith(NOT_SEARCHED)]
        read_ = partial(read, config_loader=self.context.config_loader)
        # What is fixed decides which bounds the ranges have, so ranges are read twice: for their keys, then in full.
        words = read_([*settings.space, *given])
        fixed = [f"{word.key}={word.value}" for word in words if isinstance(word.value, str)]
        sweep_words = [word for word in arguments if word not in given]
        configs = TrialConfigs(partial(self._compose, sweep_words), fixed)
        choices = {word.key: word.value.options for word in words if isinstance(word.value, Choice)}
        own = {word.bare_key for word in read_(given)}  # what the command line says holds whatever the file says
        says_under = any(word.lstrip("+").startswith("sweep.under") for word in sweep_words)
        dimensions: dict[str, Range | Choice] = {}
        bounds = partial(_bounds, configs, choices)
        for word in read_([*settings.space, *given], bounds=bounds):
            if not isinstance(word.value, str):
                dimensions[word.key] = word.value
        for group, option, conditional in under_words(settings.under or {}):
            if group in own and not _may_be(configs, choices, group, option):
                configs.choices([f"{group}={option}"])  # raises where it is no option at all
                continue
            for word in read_(conditional, bounds=partial(_bounds, configs, {**choices, group: (option,)})):
                if says_under or word.bare_key not in own:
                    dimensions[f"{word.key}[{group}={option}]"] = _as_dimension(word)
        for key, instead in SET_BY_THE_SWEEP.items():
            if any(key_of(name) == key for name in dimensions):
                raise UserError(f"{key}: a sweep sets it itself and cannot search it: {instead}")
        if not dimensions:
            example = "optimizer.lr='tag(log,interval(1e-5,1e-1))'"
            raise UserError(f"sweep.space: nothing to search; choose one, as in sweep=lr, or give a range: {example}")
        space = Space(dimensions, partial(_applies, configs, dimensions))
        narrowed = {name for name in _unused(space) if key_of(name) not in own and name.partition(".")[0] in own}
        for name in narrowed:  # the command line leaves no option that has it
            del dimensions[name]
        _check(space, configs)
        return fixed, space, configs

    def _compose(self, sweep_words: list[str], words: list[str]) -> tuple[DictConfig, dict[str, str]]:
        """A trial's config before its numbers are put in, with its choices."""
        overrides = [*self.whole.hydra.overrides.hydra, *sweep_words, *words]
        try:
            whole = self.context.config_loader.load_configuration("sweep", overrides, RunMode.RUN)
        except Exception as error:
            raise config.explained(error, words, "sweep") from error
        chosen = config.choices(whole, whole.hydra.runtime.choices)
        return OmegaConf.masked_copy(whole, [str(key) for key in whole if key != "hydra"]), chosen

    def _folder(self, arguments: list[str], plan: Plan, configs: TrialConfigs) -> SweepFolder:
        """The sweep's folder, new or gone on with, locked, with the sweep's whole config in it."""
        whole = self.whole.copy()
        with open_dict(whole):
            del whole["hydra"]
            job = whole.pop("job", None)
        said = [word for word in arguments if not word.startswith("+job.")]
        if job:
            folder = SweepFolder.open(Path(os.path.relpath(job.folder)))
            folder.lock()
            check_unchanged(folder, plan, whole, configs)
            for warning in store.changes(folder):
                display.warn(warning)
        else:
            choices = configs.choices([])
            name = whole.name or "-".join(choices[group] for group in ("data", "model"))
            path = store.make_folder(Path(whole.output_dir), name)
            folder = SweepFolder.create(path, name, said, plan.settings.seed, store.environment("by trial"))
        folder.update(status="running", overrides=said, space=plan.space.describe(), finished=None)
        folder.update(config_folders=[str(path) for path in config.user_folders()])
        store.write_config(folder.path, whole, said)
        return folder

    def _launcher(self, num_workers: int) -> Any:
        """Hydra's launcher, or our own worker processes."""
        if num_workers > 1:
            if self.whole.hydra.launcher._target_ != BASIC_LAUNCHER:
                raise UserError("sweep.workers: hydra/launcher brings workers of its own; leave one of them out")
            launcher: Any = WorkersLauncher(num_workers)
            launcher.setup(hydra_context=self.context, task_function=self.task, config=self.whole)
            return launcher
        return Plugins.instance().instantiate_launcher(
            hydra_context=self.context, task_function=self.task, config=self.whole
        )

    # -----------------------------------------------------------------------------------------------------------------

    def _sweep_any(self, arguments: list[str]) -> list[Sequence[JobReturn]]:
        """A sweep of any Hydra application, whose jobs return their score: all choices, or three rounds of points."""
        given = [*(f"{key}={value}" for key, value in self.params.items()), *arguments]
        words = read(given, self.context.config_loader)
        space = Space({word.key: word.value for word in words if not isinstance(word.value, str)})
        rounds = [24, 12, 6] if space.size == math.inf else [int(space.size)]
        settings = SweepSettings(finals=0)
        plan = Plan(settings, space, [Round(num_trials, None) for num_trials in rounds], None, "max")
        path = Path(self.whole.hydra.sweep.dir)
        path.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(self.whole, path / "multirun.yaml")
        own = store.make_folder(path, "coarse_to_fine")  # the application may choose one folder for all its sweeps
        folder = SweepFolder.create(own, path.name, arguments, settings.seed, {})
        launcher = self._launcher(1)
        fixed = [f"{word.key}={word.value}" for word in words]  # a point's word takes the place of a range's
        search = Search(folder, plan, None, fixed, launcher.launch, Jobs("off", None), self.max_batch_size)
        with conclude.noted(folder), closing(launcher):
            search.run()
        for returned in (job for batch in search.returns for job in batch):
            _ = returned.return_value  # raises what the job raised
        return search.returns


@contextmanager
def closing(launcher: Any) -> Iterator[None]:
    """Let the launcher's own processes go at the end; Hydra's launchers have none that stay."""
    try:
        yield
    finally:
        if isinstance(launcher, WorkersLauncher):
            launcher.close()


def settings_of(node: DictConfig) -> SweepSettings:
    """The settings of a composed `sweep` node.

    Raises:
        UserError: a value makes no sense.
    """
    keys = OmegaConf.to_container(node, resolve=True)
    assert isinstance(keys, dict)
    try:
        return SweepSettings(**{str(key): value for key, value in keys.items() if key != "_target_"})
    except ValueError as error:
        raise UserError(f"sweep.{error}") from None


def _as_dimension(word: Word) -> Range | Choice:
    return Choice((word.value,)) if isinstance(word.value, str) else word.value


def _bounds(configs: TrialConfigs, choices: Mapping[str, Sequence[str]], key: str) -> Any:
    """The hard bounds of a key's values, by the annotation of the argument it becomes under the first choice of group
    options that has it."""
    if is_group(key) or key[0] in "+~":
        return None
    for point in _combinations(choices):
        if configs.has(key, [f"{group}={option}" for group, option in point.items()]):
            return config.bounds(configs.of(point)[0], key)
    return None


def _may_be(configs: TrialConfigs, choices: Mapping[str, Sequence[str]], group: str, option: str) -> bool:
    """Whether a trial can have that option of that group."""
    return option in (choices[group] if group in choices else [configs.choices([]).get(group)])


def _applies(configs: TrialConfigs, dimensions: Mapping[str, Any], name: str, point: Point) -> bool:
    """Whether a dimension has a place in a point: its choice is made, no closer range holds, and the key is there."""
    options = [f"{key}={value}" for key, value in point.items() if is_group(key)]
    choices = configs.choices(options)
    key, _, condition = name.rstrip("]").partition("[")
    if condition:
        group, _, option = condition.partition("=")
        return choices.get(group) == option
    siblings = [other for other in dimensions if other.startswith(f"{key}[")]
    if any(_applies(configs, dimensions, other, point) for other in siblings):
        return False
    return configs.has(key, options)


def _combinations(choices: Mapping[str, Sequence[str]]) -> list[Point]:
    """Combinations of the groups' options among those choices; of very many, the first."""
    groups = {group: options for group, options in choices.items() if is_group(group)}
    combinations = islice(product(*groups.values()), MOST_COMBINATIONS)
    return [dict(zip(groups, chosen, strict=True)) for chosen in combinations]


def _options(space: Space) -> dict[str, Sequence[str]]:
    return {name: dim.options for name, dim in space.dimensions.items() if isinstance(dim, Choice)}


def _unused(space: Space) -> set[str]:
    """Dimensions that have a place in no trial."""
    unused = set(space.dimensions)
    for point in _combinations(_options(space)):
        unused -= {name for name in unused if space.applies(name, point)}
    return unused


def _check(space: Space, configs: TrialConfigs) -> None:
    """Hold every range to its key: it applies somewhere, and both of its ends fit."""
    combinations = _combinations(_options(space))
    for name in sorted(_unused(space)):
        configs.of({**combinations[0], key_of(name): "0"})  # raises with the nearest right key
        raise UserError(f"sweep.under: {name} never applies; name a group that is searched, and one of its options")
    for point in combinations:
        for u in (0.0, 1.0):
            cfg, _ = configs.of(space.corner(point, u))
            config.check(cfg)
