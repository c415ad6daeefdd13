"""T trials that train together: the state of a stack, whose rows are the states of its trials.

The trials are of one architecture and differ in numbers. Each has an ordinary `TrainState`, whose tensors are rows of
the stack's, so that what saves, scores or watches one trial needs to know nothing of stacks. A trial that has ended
leaves the stack at the next epoch's start. N parameters a trial.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from runner.average import EMA, Lookahead
from runner.engine.state import TrainState
from runner.engine.vectorized.parameters import Rows
from runner.errors import CannotStack
from runner.optimizer.rules import Rule, hyper_parameters, rule_for


class StackState(TrainState):
    """The states of T trials at the same position, as one.

    Attributes:
        members: each trial's own state.
        rows: the networks' tensors; row r belongs to trial `present[r]`.

    Raises:
        CannotStack: the optimizer or the average has no form for T trials.
    """

    def __init__(self, members: Sequence[TrainState]) -> None:
        first = members[0]
        self.members = list(members)
        self._present = list(range(len(members)))
        optimizers = [member.optimizer for member in members]
        self.rows = Rows([member.network for member in members], _order(first))
        # What the step uses of these has the same form; each trial saves and loads its own.
        optimizer: Any = StackOptimizer(optimizers, self.rows)
        schedule: Any = StackSchedule(self.members, self._present)
        average: Any = StackAverage([member.average for member in members], self.rows) if first.average else None
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
        for number, member in enumerate(members):
            member.tally = self.tally.part(number)

    @property
    def present(self) -> list[int]:
        return self._present

    @property
    def scored_rows(self) -> Rows:
        """The tensors of the networks whose scores count."""
        return self.average.rows if isinstance(self.average, StackAverage) else self.rows

    def of(self, trial: int) -> TrainState:
        member = self.members[trial]
        if trial in self._present:  # an ended one stands where it ended
            member.epoch, member.batch, member.step = self.epoch, self.batch, self.step
            self.tally.settle()
            member.tally.num_images = self.tally.num_images
            self.optimizer.note_count(member.optimizer)  # type: ignore[attr-defined]
        return member

    def drop_ended(self) -> None:
        kept = [row for row, trial in enumerate(self._present) if self.trials[trial].status == "running"]
        if len(kept) == len(self._present):
            return
        self._present[:] = [self._present[row] for row in kept]
        self.rows.keep(kept)
        for part in (self.optimizer, self.average):
            if part:
                part.keep(kept)  # type: ignore[union-attr]

    def state_dict(self) -> dict[str, Any]:
        return {"members": [self.of(trial).state_dict() for trial in range(len(self.members))]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for member, saved in zip(self.members, state["members"], strict=True):
            member.load_state_dict(saved)
        self.gather()

    def gather(self) -> None:
        """Take up what each trial's state has loaded.

        Raises:
            CannotStack: they stand at different positions.
        """
        positions = [(member.epoch, member.batch, member.step) for member in self.members]
        if len(set(positions)) > 1:
            places = ", ".join(f"epoch {epoch} step {step}" for epoch, _, step in sorted(set(positions)))
            raise CannotStack(f"the trials' checkpoints stand at different positions: {places}")
        self.epoch, self.batch, self.step = positions[0]
        self.tally.num_images = self.members[0].tally.num_images
        self.trials[:] = [member.trials[0] for member in self.members]
        self.optimizer.gather()  # type: ignore[attr-defined]


def _order(state: TrainState) -> list[str]:
    """Names of the trained parameters, in the order of the optimizer's groups."""
    names = {parameter: name for name, parameter in state.network.named_parameters()}
    return [names[parameter] for group in state.optimizer.param_groups for parameter in group["params"]]


class StackSchedule:
    """Moves each trial's own schedule on."""

    def __init__(self, members: Sequence[TrainState], present: Sequence[int]) -> None:
        self.members = members
        self.present = present

    def step(self) -> None:
        for trial in self.present:
            self.members[trial].schedule.step()


class StackAverage:
    """The averages of T trials, each with its own numbers."""

    def __init__(self, averages: Sequence[Any], trained: Rows) -> None:
        kind = type(averages[0])
        if kind not in (EMA, Lookahead) or any(type(average) is not kind for average in averages):
            raise CannotStack(f"average: {kind.__name__} does not stack")
        self.averages = list(averages)
        self.trained = trained
        self.rows = Rows([average.network for average in averages], trained.order)
        self.shares: list[float] = []
        self.share_T = self.rows.matrix.new_empty(0)

    @torch.no_grad()
    def update(self) -> None:
        due = [average.due() for average in self.averages]
        self._follow([share for share, _ in due])
        returns = [returned for _, returned in due]
        if any(returns):
            self._return(returns)

    def keep(self, rows: Sequence[int]) -> None:
        self.rows.keep(rows)
        self.averages = [self.averages[row] for row in rows]

    def _follow(self, shares: list[float]) -> None:
        """Each trial's average takes its share of the trained weights."""
        if shares != self.shares:
            self.shares, self.share_T = shares, self._moved(torch.tensor(shares))
        if any(shares):
            self.rows.matrix.lerp_(self.trained.matrix, self.share_T[:, None])
        for name, average in self.rows.others.items():
            current = self.trained.others[name]
            if not average.is_floating_point():
                average.copy_(current)
            elif any(shares):
                average.lerp_(current, _across(self.share_T.to(average.dtype), average))

    def _return(self, returns: Sequence[bool]) -> None:
        """The trained weights of those trials become the averaged ones."""
        chosen_T = self._moved(torch.tensor(returns))
        trained, rows = self.trained, self.rows
        trained.matrix.copy_(torch.where(chosen_T[:, None], rows.matrix, trained.matrix))
        for name, current in trained.others.items():
            if current.is_floating_point():
                current.copy_(torch.where(_across(chosen_T, current), rows.others[name], current))

    def _moved(self, numbers_T: Tensor) -> Tensor:
        return numbers_T.to(self.rows.matrix.device, non_blocking=True)


def _across(numbers_T: Tensor, stacked: Tensor) -> Tensor:
    """Numbers [T] as [T, 1, ...], to go with [T, ...]."""
    return numbers_T.view(-1, *[1] * (stacked.ndim - 1))


@dataclass
class Piece:
    """Parameters of one group that one call of a rule updates: x and g [T, n], or [T, ...] of a single one."""

    rule: Rule
    group: int
    names: list[str]
    x: Tensor
    g: Tensor
    state: dict[str, Tensor]
    hyper: dict[str, Tensor]  # each [T], on the CPU
    by_row: list[tuple[Tensor, Tensor, dict[str, Tensor]]] = field(default_factory=list)  # x, g, state of each trial

    def update(self, groups: Sequence[Mapping[str, Any]], t: int) -> None:
        """Move x for the t-th time, by each trial's own settings, of which the learning rate may have changed."""
        if self.by_row and self.rule.kernel is not None:
            self.by_row[0][2]["step"].fill_(t)
            for (x, g, state), group in zip(self.by_row, groups, strict=True):
                self.rule.kernel([x], [g], [state], group)
        else:
            self.hyper["lr"] = torch.tensor([group["lr"] for group in groups], dtype=torch.float64)
            self.rule.update(self.x, self.g, self.state, self.hyper, t)

    def cut_rows(self, group: Mapping[str, Any]) -> None:
        """Update trial by trial where that is faster."""
        self.by_row = []
        count = torch.tensor(0.0)
        if self.x.device.type == "cpu" and self.rule.kernel is not None and group.get("fused"):
            for row, (x, g) in enumerate(zip(self.x, self.g, strict=True)):
                state = {key: value[row] for key, value in self.state.items()}
                self.by_row.append((x, g, state | {"step": count}))

    def slices(self, rows: Rows) -> dict[str, dict[str, Tensor]]:
        """The state [T, ...] of each parameter, views of the piece's own."""
        start = rows.columns[self.names[0]].start
        found = {}
        for name in self.names:
            columns, shape = rows.columns[name], (-1, *rows.shapes[name])
            inside = slice(columns.start - start, columns.stop - start)
            found[name] = {
                key: value[:, inside].view(shape) if self.rule.elementwise else value
                for key, value in self.state.items()
            }
        return found


class StackOptimizer:
    """The optimizers of T trials as one: their rule, broadcast over trials.

    Each trial's own optimizer keeps the hyper-parameters and the learning rate that its schedule sets, and its state
    is made of views of this one's.
    """

    def __init__(self, optimizers: Sequence[Optimizer], rows: Rows) -> None:
        self.optimizers = list(optimizers)
        self.rows = rows
        self.num_updates = 0
        self.pieces: list[Piece] = []
        for number, (rule, names) in self._cut():
            x, g = self._tensors(rule, names)
            self.pieces.append(Piece(rule, number, names, x, g, rule.init(x), self._hyper(number)))
        self._share()

    def zero_grad(self) -> None:
        self.rows.clear_gradients()

    @torch.no_grad()
    def step(self) -> None:
        self.num_updates += 1
        for piece in self.pieces:
            piece.update([optimizer.param_groups[piece.group] for optimizer in self.optimizers], self.num_updates)

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with those rows; the optimizers of the others keep copies of their state."""
        for optimizer in self.optimizers:
            for state in optimizer.state.values():
                state.update({key: value.clone() for key, value in state.items() if isinstance(value, Tensor)})
        self.optimizers = [self.optimizers[row] for row in rows]
        for piece in self.pieces:
            piece.x, piece.g = self._tensors(piece.rule, piece.names)
            piece.state = {key: value[rows] for key, value in piece.state.items()}
            piece.hyper = self._hyper(piece.group)
        self._share()

    def note_count(self, optimizer: Optimizer) -> None:
        """Write the number of updates into a trial's own state."""
        for piece, _, parameter in self._parameters(optimizer):
            if piece.rule.count == "step":
                optimizer.state[parameter]["step"] = torch.tensor(float(self.num_updates))
            elif piece.rule.count == "t":
                optimizer.state[parameter]["t"] = self.num_updates

    def gather(self) -> None:
        """Take up the state that the trials' own optimizers have loaded."""
        self.num_updates = 0
        for row, optimizer in enumerate(self.optimizers):
            for piece, name, parameter in self._parameters(optimizer):
                loaded = optimizer.state[parameter]
                for key, value in piece.slices(self.rows)[name].items():
                    if key in loaded:
                        value[row].copy_(loaded[key])
                if piece.rule.count in loaded:  # of parameters that have ended, it stands still
                    self.num_updates = max(self.num_updates, int(loaded[piece.rule.count]))
        self._share()

    def _share(self) -> None:
        """Make the trials' own states views of the stacked one."""
        for row, optimizer in enumerate(self.optimizers):
            for piece, name, parameter in self._parameters(optimizer):
                own = {key: value[row] for key, value in piece.slices(self.rows)[name].items()}
                if own:
                    optimizer.state[parameter] = {"step": 0, **own} if piece.rule.count == "step" else own
            self.note_count(optimizer)
        for piece in self.pieces:
            piece.cut_rows(self.optimizers[0].param_groups[piece.group])

    def _cut(self) -> list[tuple[int, tuple[Rule, list[str]]]]:
        """Parameters, in their order, that one call of a rule can update: its group, the rule, their names."""
        cut: list[tuple[int, tuple[Rule, list[str]]]] = []
        left = iter(self.rows.order)
        for number, group in enumerate(self.optimizers[0].param_groups):
            for place, parameter in enumerate(group["params"]):
                rule = rule_for(self.optimizers[0], group, parameter)
                for other in self.optimizers:
                    own = other.param_groups[number]
                    if rule_for(other, own, own["params"][place]) != rule:
                        raise CannotStack("optimizer: its options, other than numbers, differ between the trials")
                if cut and rule.elementwise and cut[-1][0] == number and cut[-1][1][0] == rule:
                    cut[-1][1][1].append(next(left))
                else:
                    cut.append((number, (rule, [next(left)])))
        return cut

    def _tensors(self, rule: Rule, names: Sequence[str]) -> tuple[Tensor, Tensor]:
        rows = self.rows
        if not rule.elementwise:
            return rows.shaped(rows.matrix, names[0]), rows.shaped(rows.gradients, names[0])
        columns = slice(rows.columns[names[0]].start, rows.columns[names[-1]].stop)
        return rows.matrix[:, columns], rows.gradients[:, columns]

    def _hyper(self, group: int) -> dict[str, Tensor]:
        numbers = [hyper_parameters(optimizer, optimizer.param_groups[group]) for optimizer in self.optimizers]
        return {key: torch.tensor([own[key] for own in numbers], dtype=torch.float64) for key in numbers[0]}

    def _parameters(self, optimizer: Optimizer) -> list[tuple[Piece, str, Tensor]]:
        """Each parameter of a trial's optimizer, with its piece and its name."""
        parameters = (parameter for group in optimizer.param_groups for parameter in group["params"])
        places = ((piece, name) for piece in self.pieces for name in piece.names)
        return [(piece, name, parameter) for (piece, name), parameter in zip(places, parameters, strict=True)]
