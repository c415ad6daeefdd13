"""`runner stop RUN`: ask the process of a run or a sweep on this machine to save and end."""

import os
import shlex
import signal
import socket
import time
from collections.abc import Sequence

from runner.arguments import ArgumentParser
from runner.command.stored import add_folder
from runner.errors import UserError
from runner.store.listing import entry_at, is_locked

WAIT_SECONDS = 120.0  # for the step under way and the checkpoint


def main(words: Sequence[str]) -> int:
    """Read the command's arguments, stop, and give the exit status."""
    parser = ArgumentParser(
        prog="runner stop",
        description="Ask a run or a sweep on this machine to save and end, as Ctrl-C does. It can be resumed.",
        epilog="example: runner stop last",
    )
    add_folder(parser)
    entry = entry_at(parser.parse_args(list(words)).folder)
    if not is_locked(entry.path):
        raise UserError(f"{entry.path}: no process works in it ({entry.status}); there is nothing to stop")
    host, process = entry.record.get("host"), entry.record.get("process")
    if host != socket.gethostname() or not isinstance(process, int):
        raise UserError(f"{entry.path}: its process {process} is on {host}; run this command there")
    os.kill(process, signal.SIGTERM)
    until = time.monotonic() + WAIT_SECONDS
    while is_locked(entry.path):
        if time.monotonic() > until:
            raise UserError(f"{entry.path}: process {process} has not ended yet; look again with runner list")
        time.sleep(0.1)
    print(f"stopped; go on with: runner resume {shlex.quote(str(entry.path))}")
    return 0
