"""`runner resume FOLDER [KEY=VALUE ..]`: go on with a run or a sweep that was stopped, or lengthen a finished one."""

from collections.abc import Sequence
from pathlib import Path

from runner.command.multirun import go_on
from runner.command.stored import stored_run_parser
from runner.errors import EXIT_DIVERGED, UserError
from runner.store import SWEEP
from runner.store.multirun_folder import JOBS


def main(words: Sequence[str]) -> int:
    """Read the command's arguments, go on, and give the exit status."""
    parser = stored_run_parser(
        "resume",
        "Go on with a run, a sweep or a multirun (outputs/multirun/TIME) that was stopped, or lengthen a finished one.",
        "engine.epochs=40, or of a sweep sweep.num_final_seeds=8",
        "resume last engine.epochs=40",
    )
    parser.add_argument(
        "--accept-changed-data", action="store_true", help="go on although images were added, removed or edited"
    )
    arguments = parser.parse_intermixed_args(list(words))
    if (arguments.folder / JOBS).is_file():
        return go_on(arguments.folder, arguments.trust)
    if (arguments.folder / SWEEP).is_file():
        return _resume_sweep(arguments.folder, arguments.overrides, arguments.trust, arguments.accept_changed_data)
    from runner.training.resume import resume

    run = resume(arguments.folder, arguments.overrides, arguments.trust, arguments.accept_changed_data)
    if run.config.log.progress != "none":
        run.print_summary()
    return EXIT_DIVERGED if run.status == "diverged" else 0


def _resume_sweep(path: Path, overrides: Sequence[str], trust: bool, accept_changed_images: bool) -> int:
    """Begin the sweep again on what is there."""
    from runner import config
    from runner.command import sweep
    from runner.store import SweepFolder
    from runner.sweep.execution.task import folder_override
    from runner.sweep.space.overrides import merge_overrides

    folder = SweepFolder.open(path)
    record = path / SWEEP
    if not trust:
        config.check_stored_words(folder.record["overrides"], record)
    for configs in map(Path, folder.record.get("config_folders", [])):
        if not trust and configs not in config.user_folders():
            raise UserError(f"{record}: reads configs from {configs}; pass --trust if you trust both folders")
        config.add_user_folder(configs)
    words = merge_overrides(folder.record["overrides"], overrides)
    flags = [f"+job.trust={trust}", f"+job.accept_changed_images={accept_changed_images}"]
    return sweep.main([*words, folder_override(folder), *flags])
