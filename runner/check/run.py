"""All checks of a training, from a config to a verdict: a table, check.json and figures."""

import importlib
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table
from rich.text import Text

from runner import build, config, store
from runner.check import batch_size, lr
from runner.check.families import FAMILIES
from runner.check.subject import CheckFolder, Subject
from runner.check.verdict import Check, Verdict, worst
from runner.errors import UserError
from runner.formatting import seconds_text
from runner.log import progress
from runner.stages import stage
from runner.store import to_plain
from runner.store.config_file import write_config
from runner.warnings import note

COLORS: dict[Verdict, str] = {"ok": "green", "warning": "yellow", "wrong": "bold red", "skipped": "dim"}


def check(
    cfg: DictConfig,
    overrides: Sequence[str],
    choices: Mapping[str, str],
    families: Sequence[str] = tuple(FAMILIES),
    profile: bool = False,
) -> Verdict:
    """Check the training that a checked config describes, in a new folder; prints a table.

    Raises:
        UserError: the data, the device or a combination of choices is wrong; no folder is left behind.
    """
    config.settle(cfg)
    config.check_combinations(cfg)
    for text in config.notes(cfg):
        note(text)
    console = Console()
    began = time.perf_counter()
    with progress.showing_stages(cfg.log.progress, console):
        dataset = build.data(cfg)
        cfg = batch_size.settled(cfg, dataset)
        cfg, _ = lr.settled(cfg, dataset)
        subject = Subject(cfg, profile=profile, dataset=dataset)
        folder = subject.folder = _new_folder(cfg, overrides, choices, str(subject.device))
        try:
            checks: list[Check] = []
            seconds: dict[str, float] = {}
            folder.update(verdict=None, checks=[])
            for name in families:
                start = time.perf_counter()
                with stage(f"checking: {name}"):
                    checks += measured(subject, name)
                seconds[name] = round(time.perf_counter() - start, 2)
            verdict = worst(checks)
            folder.update(
                status="finished",
                finished=store.now(),
                seconds=round(time.perf_counter() - began, 3),
                verdict=verdict,
                checks=[_written(one) for one in checks],
                seconds_by_family=seconds,
            )
        except BaseException:
            folder.update(status="failed", finished=store.now())
            raise
        finally:
            folder.unlock()
    print_table(console, checks)
    took = seconds_text(time.perf_counter() - began)
    color = COLORS[verdict]
    console.print(f"[{color}]{verdict}[/]  {len(checks)} checks in {took} s", highlight=False)
    console.print(f"folder   {folder.path}", highlight=False, markup=False, soft_wrap=True)
    return verdict


def measured(subject: Subject, family: str) -> Iterator[Check]:
    """The checks of a family; one that breaks on the training is a check that went wrong, and ends no others."""
    try:
        yield from importlib.import_module(FAMILIES[family].module).check(subject)
    except UserError:
        raise
    except (RuntimeError, ValueError, TypeError, IndexError, ArithmeticError) as error:
        text = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        values = {"traceback": traceback.format_exc()}
        yield Check(f"{family}.error", "wrong", text, "no error", "see the traceback in check.json", values)


def print_table(console: Console, checks: Sequence[Check]) -> None:
    """Print a row for each check, and below them what to do."""
    table = Table(box=None, pad_edge=False)
    table.add_column("check", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("measured", overflow="fold")
    table.add_column("expected", overflow="fold")
    for one in checks:
        verdict = Text(one.verdict, style=COLORS[one.verdict])
        table.add_row(one.name, verdict, Text(one.measured), Text(one.expected))
    console.print(table, highlight=False)
    advised = [one for one in checks if one.advice]
    if advised:
        console.print("\nwhat to do", style="bold")
    width = max((len(one.name) for one in advised), default=0)
    for one in advised:
        line = Text.assemble((f"{one.name:<{width}}", COLORS[one.verdict]), f"  {one.advice}")
        console.print(line, highlight=False, soft_wrap=True)
    console.print()


def _written(one: Check) -> dict[str, object]:
    fields = {"name": one.name, "verdict": one.verdict, "measured": one.measured, "expected": one.expected}
    plain: dict[str, object] = to_plain({**fields, "advice": one.advice, "values": dict(one.values)})
    return plain


def _new_folder(cfg: DictConfig, overrides: Sequence[str], choices: Mapping[str, str], device: str) -> CheckFolder:
    name = cfg.name or "-".join(choices.get(group, "run") for group in ("data", "model"))
    path = store.make_folder(Path(cfg.output_dir), name, ["check", *config.said(overrides, cfg, choices)])
    folder = CheckFolder.begun(path, name, overrides, store.environment(device), choices=dict(choices))
    write_config(path, cfg, overrides)
    return folder
