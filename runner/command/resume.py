"""`runner resume FOLDER [KEY=VALUE ..]`: go on with a run or a sweep that was stopped, or lengthen a finished one."""

from collections.abc import Sequence

from runner.command.multirun import go_on
from runner.command.stored import begin_again, stored_run_parser
from runner.errors import EXIT_DIVERGED
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
        return begin_again(arguments.folder, arguments.overrides, arguments.trust, arguments.accept_changed_data)
    from runner.training.resume import resume

    run = resume(arguments.folder, arguments.overrides, arguments.trust, arguments.accept_changed_data)
    if run.config.log.progress != "none":
        run.print_summary()
    return EXIT_DIVERGED if run.status == "diverged" else 0
