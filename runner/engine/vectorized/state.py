"""The state of T trials that train together, whose rows are the states of its trials.

The trials are of one architecture and differ in numbers. Each has an ordinary `TrainState`, whose tensors are rows of
the stacked ones, so that what saves, scores or watches one trial needs to know nothing of the others. A trial that has
ended leaves at the next epoch's start. N parameters a trial.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from runner.engine.state import TrainState
from runner.engine.vectorized.average import VectorizedAverage
from runner.engine.vectorized.optimizer import VectorizedOptimizer
from runner.engine.vectorized.parameters import StackedParameters
from runner.errors import CannotVectorize
from runner.optimizer.param_groups import all_params


class VectorizedState(TrainState):
    """The states of T trials at the same position, as one.

    Args:
        networks: the parts of the trials' networks that train, where not all of each does.

    Attributes:
        members: each trial's own state.
        rows: the networks' tensors; row r belongs to trial `present[r]`.

    Raises:
        CannotVectorize: the optimizer or the average has no form for T trials.
    """

    def __init__(self, members: Sequence[TrainState], networks: Sequence[nn.Module] | None = None) -> None:
        first = members[0]
        networks = networks or [member.network for member in members]
        self.members = list(members)
        self._present = list(range(len(members)))
        optimizers = [member.optimizer for member in members]
        names: dict[Tensor, str] = {parameter: name for name, parameter in networks[0].named_parameters()}
        order = [names[parameter] for parameter in all_params(first.optimizer.param_groups)]
        self.rows = StackedParameters(networks, order)
        self._optimizer = VectorizedOptimizer(optimizers, self.rows)
        averages = [member.average for member in members]
        self._average = VectorizedAverage(averages, self.rows) if first.average else None
        # What the step uses of these has the same form; each trial saves and loads its own.
        optimizer: Any = self._optimizer
        schedule: Any = VectorizedSchedule(self.members, self._present)
        average: Any = self._average
        super().__init__(
            network=nn.ModuleList([member.network for member in members]),
            optimizer=optimizer,
            schedule=schedule,
            precision=first.precision,
            device=first.device,
            average=average,
            preprocess=first.preprocess,
            trials=[member.trials[0] for member in members],
        )
        self.bind()

    def bind(self) -> None:
        """Make each trial's own state a view of the stacked one, which holds the values.

        Called whenever stacked tensors are made anew; then `is_bound` holds until they are.
        """
        self.rows.bind()
        self._optimizer.bind()
        if self._average:
            self._average.rows.bind()
        for number, member in enumerate(self.members):
            member.sums = self.sums.part(number)
        assert self.is_bound(), "a trial's own tensors are not rows of the stacked ones"

    def is_bound(self) -> bool:
        """Whether what a trial saves is what the step updates."""
        averaged = self._average is None or self._average.rows.is_bound()
        return self.rows.is_bound() and averaged and self._optimizer.is_bound()

    @property
    def present(self) -> list[int]:
        return self._present

    @property
    def scored_rows(self) -> StackedParameters:
        """The tensors of the networks whose scores count."""
        return self._average.rows if self._average else self.rows

    def of(self, trial: int) -> TrainState:
        member = self.members[trial]
        if trial in self._present:  # an ended one stands where it ended
            member.epoch, member.batch, member.step = self.epoch, self.batch, self.step
            self.sums.settle()
            member.sums.num_images = self.sums.num_images
            self._optimizer.note_count(member.optimizer)
        return member

    def drop_ended(self) -> None:
        kept = [row for row, trial in enumerate(self._present) if self.trials[trial].status == "running"]
        if len(kept) == len(self._present):
            return
        self._present[:] = [self._present[row] for row in kept]
        self.rows.keep(kept)
        self._optimizer.keep(kept)
        if self._average:
            self._average.keep(kept)
        self.bind()

    def state_dict(self) -> dict[str, Any]:
        return {"members": [self.of(trial).state_dict() for trial in range(len(self.members))]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for member, saved in zip(self.members, state["members"], strict=True):
            member.load_state_dict(saved)
        self.gather()

    def gather(self) -> None:
        """Take up what each trial's state has loaded.

        Raises:
            CannotVectorize: they stand at different positions.
        """
        positions = [(member.epoch, member.batch, member.step) for member in self.members]
        if len(set(positions)) > 1:
            places = ", ".join(f"epoch {epoch} step {step}" for epoch, _, step in sorted(set(positions)))
            raise CannotVectorize(f"the trials' checkpoints stand at different positions: {places}")
        self.epoch, self.batch, self.step = positions[0]
        self.sums.num_images = self.members[0].sums.num_images
        self.trials[:] = [member.trials[0] for member in self.members]
        self._optimizer.gather()
        self.bind()


class VectorizedSchedule:
    """Moves each trial's own schedule on."""

    def __init__(self, members: Sequence[TrainState], present: Sequence[int]) -> None:
        self.members = members
        self.present = present

    def step(self) -> None:
        for trial in self.present:
            self.members[trial].schedule.step()
