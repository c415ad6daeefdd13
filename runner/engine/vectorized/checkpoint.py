"""The checkpoints of vectorized trials, each in its own folder as if it had trained alone."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from runner.engine.checkpoint import AsyncWriter, Checkpoints, Wanted
from runner.engine.settings import Settings
from runner.engine.state import TrainState
from runner.errors import CannotVectorize


class VectorizedCheckpoints(AsyncWriter):
    """The checkpoints of T trials that train together, each in its own folder as if it had trained alone.

    Args:
        folders, identities, wanted: of each trial; the options are those of all. See `Checkpoints`.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        settings: Settings,
        identities: Sequence[Mapping[str, Any]],
        wanted: Sequence[Wanted | None] | None = None,
        **options: Any,
    ) -> None:
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        options |= {"writer": self._writer, "num_trials": len(folders)}
        self.members = [
            Checkpoints(folder, settings, identity, wanted=want, **options)
            for folder, identity, want in zip(folders, identities, wanted or [None] * len(folders), strict=True)
        ]

    @property
    def warnings(self) -> list[str]:
        return [warning for member in self.members for warning in member.warnings]

    def due_at_step(self, step: int) -> bool:
        return self.members[0].due_at_step(step)

    def epoch_ended(self, state: TrainState, is_last: bool) -> None:
        for trial in state.present:
            # A trial that ends before the others is saved in any case, to stay with them.
            if self.members[trial].wants(state.trials[trial], is_last):
                member = state.of(trial)
                self.members[trial].save_epoch(member, is_last or not member.active)

    def save(self, state: TrainState) -> None:
        for trial in state.present:
            self.members[trial].save(state.of(trial))

    def trim(self, state: TrainState) -> None:
        for trial, member in enumerate(self.members):
            member.trim(state.of(trial))

    def wait(self) -> None:
        for member in self.members:
            member.wait()

    def restore(self, state: Any) -> bool:
        """Load every trial's newest undamaged state, if there are any.

        Raises:
            CannotVectorize: some trials have none, or they stand at different positions.
            UserError: as `Checkpoints.restore`.
        """
        restored = [member.restore(state.of(trial)) for trial, member in enumerate(self.members)]
        if any(restored) and not all(restored):
            lacking = self.members[restored.index(False)].folder
            raise CannotVectorize(f"{lacking}: this trial of the vectorized ones has no checkpoint")
        if any(restored):
            state.gather()
        return any(restored)
