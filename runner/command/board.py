"""`runner board [RUN..]`: TensorBoard on the runs that are named or found, without the trials of sweeps."""

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from runner.arguments import ArgumentParser
from runner.command.stored import add_selection, select
from runner.errors import UserError
from runner.log.event_files import PATTERN
from runner.store.listing import Entry

ADDRESS = re.compile(rb"TensorBoard \S+ at (https?://\S+)")


def main(words: Sequence[str]) -> int:
    """Read the command's arguments, serve until Ctrl-C, and give the exit status."""
    parser = ArgumentParser(
        prog="runner board",
        description="Start TensorBoard on runs and sweeps, print its address, and end with Ctrl-C.",
        epilog="example: runner board --where optimizer=sgd --where 'val/accuracy>0.9'",
    )
    add_selection(parser, nargs="*", help="runs or folders with runs (outputs)")
    parser.add_argument("--trials", action="store_true", help="the trials of sweeps too")
    parser.add_argument("--port", type=int, default=0, help="of the server (any that is free)")
    arguments = parser.parse_intermixed_args(list(words))
    paths = arguments.paths or [Path("outputs")]
    entries = select(paths, arguments.where)
    if not entries:
        raise UserError(f"{', '.join(map(str, paths))}: no runs here; name a run, or a folder that holds runs")
    with tempfile.TemporaryDirectory(prefix="runner-board-") as tree:
        for entry in entries:
            _link(entry, Path(tree), arguments.trials)
        return _serve(tree, arguments.port)


def _link(entry: Entry, tree: Path, trials: bool) -> None:
    """A place for a run in the tree, under its name; of a sweep the events of its own, or all of it."""
    place = tree / entry.path.absolute().parent.name / entry.path.name
    place.parent.mkdir(exist_ok=True)
    if entry.kind == "run" or trials:
        place.symlink_to(entry.path.absolute())
        return
    place.mkdir()
    for file in entry.path.glob(PATTERN):
        (place / file.name).symlink_to(file.absolute())


def _serve(logdir: str, port: int) -> int:
    """Run TensorBoard until it ends, or this process is told to end: by Ctrl-C, by a signal, by its terminal's end."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # as nohup has it
            signal.signal(number, signal.default_int_handler)
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", logdir, "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
    assert server.stdout is not None
    said = b""
    try:
        for line in server.stdout:
            said += line
            if found := ADDRESS.search(line):
                print(f"TensorBoard: {found[1].decode()}  (end with Ctrl-C)", flush=True)
                break
        else:
            raise UserError(f"TensorBoard did not start: {said.decode(errors='replace').strip().splitlines()[-1]}")
        for _ in server.stdout:  # so that it never waits for a reader
            pass
        return server.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        os.killpg(server.pid, signal.SIGTERM)  # its data server too
        server.wait()
        server.stdout.close()
