"""Kills a run and a sweep before every single file operation, and lets every one find the disk full."""

import random
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import count, product
from pathlib import Path

from torture.facts import Facts, compare, facts_of_run, facts_of_sweep
from torture.harness import (
    Done,
    Fault,
    Loss,
    Options,
    Row,
    Server,
    Torture,
    Writer,
    compiled_faults,
    last_lines,
    shuffled,
    single,
)

# Six steps an epoch: checkpoints fall on steps 4, 8 and 16, in the middle of epochs, and on 12, an epoch's last.
RUN = [
    "model=linear",
    "data.batch_size=16",
    "optimizer.lr=0.02",
    "engine.epochs=3",
    "engine.limit_batches=6",
    "engine.checkpoint_every_steps=4",
    "engine.deterministic=true",
    "log.every_steps=2",
    "log.progress=none",
    "name=it",
]
# Under adamw two trials are vectorized, those under lbfgs, which wants all images in a batch, train one by one.
SWEEP = [
    "model=linear",
    "data.batch_size=2000",
    "optimizer=adamw,lbfgs",
    "optimizer.lr=loguniform(1e-4,1e-1)",
    "engine.epochs=1",
    "engine.deterministic=true",
    "sweep.rounds=[{trials:4,epochs:1},{trials:1,epochs:1}]",
    "sweep.num_finalists=1",
    "sweep.num_final_seeds=2",
    "sweep.vectorize=2",
    "sweep.report=false",
    "log.progress=none",
    "name=it",
]
WHAT_HAPPENS = {
    Fault.KILL: "killed before each file operation",
    Fault.TORN: "killed in the middle of each write",
    Fault.FULL: "no space for one file operation",
    Fault.FULL_FROM: "no space from a file operation on",
}


def torture(options: Options) -> Iterator[Row]:
    """The rows of a run and of a sweep, for each thing that happens."""
    library = compiled_faults(options.work)
    if isinstance(library, str):
        yield Row("files", skipped=library)
        return
    with Server(library, options.work) as server:
        subjects = [
            Subject(server, "run", "train", RUN, facts_of_run),
            Subject(server, "sweep", "sweep", SWEEP, facts_of_sweep),
        ]
        for subject, fault in product(subjects, WHAT_HAPPENS):
            share = 1 / (len(subjects) * len(WHAT_HAPPENS))
            torture = Torture(f"{subject.name} {WHAT_HAPPENS[fault]}", options, share)
            if torture.is_wanted:
                yield from subject.torture(torture, fault)


class Subject:
    """A command, and what is to come of it."""

    def __init__(
        self, server: Server, name: str, command: str, words: list[str], facts: Callable[[Path], Facts]
    ) -> None:
        self.server = server
        self.name = name
        self.command = command
        self.words = words
        self.facts = facts
        self.expected: Facts = {}
        self.num_operations: Sequence[int] = ()

    def torture(self, torture: Torture, fault: Fault) -> Iterator[Row]:
        """Strike at every operation, in any order, then beyond those of the undisturbed command until none is left.

        Operations are counted by writer, yet commands differ a little in their number. A second row counts the
        commands that failed, and those of them that said so otherwise than in one line.
        """
        self.said = Row(f"{torture.row.what}: said in a line")
        if self.expected or torture.case("undisturbed", self._undisturbed):
            torture.cases(self._strikes(fault, torture.options.random(torture.row.what)))
        yield torture.row
        if self.said.tried:
            yield self.said

    def _strikes(self, fault: Fault, draws: random.Random) -> Iterator[tuple[str, Callable[[Path], object]]]:
        counted = [(writer, number) for writer in Writer for number in range(1, self.num_operations[writer] + 1)]
        for writer, number in shuffled(counted, draws):
            yield f"operation {number} of {writer.name}", partial(self._strike, fault, writer, number)
        for writer in Writer:
            for number in count(self.num_operations[writer] + 1):
                yield f"operation {number} of {writer.name}", partial(self._strike, fault, writer, number)
                if not self.struck:
                    break

    def _undisturbed(self, folder: Path) -> None:
        self.num_operations = self._begin(folder, Fault.COUNT).expect(0).counts
        self.expected = self.facts(single(folder.glob("outputs/*/*")))

    def _begin(self, folder: Path, fault: Fault, writer: Writer = Writer.MAIN, number: int = 0) -> Done:
        below = folder / "outputs"
        return self.server.run(
            folder, self.command, *self.words, fault=fault, writer=writer, number=number, below=below
        )

    def _strike(self, fault: Fault, writer: Writer, number: int, folder: Path) -> None:
        """Let a fault come to one operation, go on, and compare what comes of it."""
        done = self._begin(folder, fault, writer, number)
        self.struck = bool(done.struck)
        try:
            self._end(done, folder)
        except Loss as loss:
            raise Loss(f"at {done.struck}: {loss}") from None

    def _end(self, done: Done, folder: Path) -> None:
        if done.status > 0:
            self.said.tried += 1
            if done.crashed or done.err.count("\n") != 1:
                self.said.losses.append(f"at {done.struck}: {last_lines(done.err)}")
        record = "run.json" if self.command == "train" else "sweep.json"
        left = sorted(folder.glob("outputs/*/*"))
        if not any((path / record).exists() for path in left):
            self._begin(folder, Fault.NONE).expect(0)
            made = single(set(folder.glob("outputs/*/*")) - set(left))
        else:
            made = single(left)
            self.server.run(folder, "resume", made.relative_to(folder)).expect(0)
        compare(self.expected, self.facts(made))
