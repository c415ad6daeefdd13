"""Runs commands in forked children of a process that has imported everything once, so that one takes no start.

A line of JSON on standard input asks for a command, a line on standard output says how it ended. A child goes through
the same `main` as `python -m runner`, waits for its threads and runs what is registered for the end; it only leaves out
the clearing of memory, which takes seconds. No thread of torch runs in the parent.
"""

import atexit
import ctypes
import importlib
import json
import os
import signal
import sys
import threading
import time
import traceback
from typing import Any

MODULES = (
    "runner.cli",
    "runner.command.compare",
    "runner.command.hydra_app",
    "runner.command.resume",
    "runner.command.sweep",
    "runner.command.test",
    "runner.command.train",
    "runner.compare.format",
    "runner.inference.scoring",
    "runner.sweep.execution.job",
    "runner.sweep.plugin.training_sweep",
    "runner.sweep.report.finish",
    "runner.training.resume",
    "runner.training.train",
    "filelock",
    "hydra.main",
    "psutil",
    "rich.live",
    "sklearn.datasets",
    "sklearn.metrics",
    "matplotlib.figure",
    "matplotlib.backends.backend_agg",
    "tensorboard.backend.event_processing.event_file_loader",
    "tensorboard.plugins.hparams.api_pb2",
    "tensorboard.plugins.hparams.plugin_data_pb2",
    "tensorboard.summary.writer.record_writer",
    "torch.utils.tensorboard.writer",
)


def main() -> None:
    faults = load_faults()
    prepare()
    answer({"ready": True})
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            try:
                become(request, faults)
            finally:
                leave(sys.exception())
        status = wait(child, request["seconds"])
        told: dict[str, Any] = {}
        if faults:
            counts = [faults.torture_count(writer) for writer in range(3)]
            told = {"counts": counts, "struck": faults.torture_struck().decode()}
        answer({"status": status, **told})


def load_faults() -> Any:
    """The preloaded library, if there is one."""
    path = os.environ.get("LD_PRELOAD")
    if not path:
        return None
    library = ctypes.CDLL(path)
    library.torture_arm.argtypes = [ctypes.c_char_p, ctypes.c_int, ctypes.c_long, ctypes.c_int]
    library.torture_count.restype = ctypes.c_long
    library.torture_struck.restype = ctypes.c_char_p
    return library


def prepare() -> None:
    """Import and set what every command would, as far as it starts no thread."""
    import torch

    torch.set_num_threads(1)
    for module in MODULES:
        importlib.import_module(module)
    torch.use_deterministic_algorithms(True)  # which imports much; commands ask for it by engine.deterministic=true
    from runner.command.hydra_app import import_quickly
    from runner.sweep.plugin import register

    import_quickly("runner.training.train")
    register()


def become(request: dict[str, Any], faults: Any) -> None:
    """Turn a fresh child into the command that is asked for, and run it."""
    os.setsid()
    os.chdir(request["folder"])
    for number, name in ((0, os.devnull), (1, request["out"]), (2, request["err"])):
        flags = os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        descriptor = os.open(name, flags, 0o644)
        os.dup2(descriptor, number)
        os.close(descriptor)
    if faults and request["fault"]:
        below = os.path.realpath(request["below"]).encode()
        faults.torture_arm(below, request["writer"], request["number"], request["fault"])
    from runner import cli

    sys.argv = ["runner"]
    if request["python"]:
        exec(request["python"], {"__name__": "__torture__"})
    else:
        cli.main(request["words"])


def leave(error: BaseException | None) -> None:
    """End this child as the interpreter would."""
    status = error.code if isinstance(error, SystemExit) else 0 if error is None else 1
    if error is not None and not isinstance(error, SystemExit):
        traceback.print_exception(error)
    threading._shutdown()  # as the interpreter: threads of executors end here
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status or 0)


def wait(child: int, seconds: float) -> int:
    """Exit status of a child, negative for a signal; after so many seconds it is killed."""
    end = time.monotonic() + seconds
    pause = 0.001
    while True:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > end:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return -signal.SIGALRM
        time.sleep(pause)
        pause = min(2 * pause, 0.02)


def answer(told: dict[str, Any]) -> None:
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
