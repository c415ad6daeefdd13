"""`runner resume FOLDER [KEY=VALUE ..]`: go on with a run or a sweep that was stopped, or lengthen a finished one."""

from collections.abc import Sequence
from pathlib import Path

from runner.command.stored import stored_run_parser
from runner.errors import EXIT_DIVERGED
from runner.store import SWEEP


def main(words: Sequence[str]) -> int:
    """Read the command's arguments, go on, and give the exit status."""
    parser = stored_run_parser(
        "resume",
        "Go on with a run or a sweep that was stopped, or lengthen a finished one.",
        "engine.epochs=40, or of a sweep sweep.num_final_seeds=8",
        "resume outputs/digits-convnet/2026-01-31_12-00-00-000000-4711 engine.epochs=40",
    )
    arguments = parser.parse_intermixed_args(list(words))
    if (arguments.folder / SWEEP).is_file():
        return _resume_sweep(arguments.folder, arguments.overrides)
    from runner.training.resume import resume

    run = resume(arguments.folder, arguments.overrides, arguments.trust)
    if run.config.log.progress != "none":
        run.print_summary()
    return EXIT_DIVERGED if run.status == "diverged" else 0


def _resume_sweep(path: Path, overrides: Sequence[str]) -> int:
    """Begin the sweep again on what is there."""
    from runner import config
    from runner.command import sweep
    from runner.store import SweepFolder
    from runner.sweep.execution.task import folder_override
    from runner.sweep.space.overrides import merge_overrides

    folder = SweepFolder.open(path)
    for configs in folder.record.get("config_folders", []):
        config.add_user_folder(Path(configs))
    return sweep.main([*merge_overrides(folder.record["overrides"], overrides), folder_override(folder)])
