"""The optimizers of T trials as one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from runner.engine.vectorized.parameters import StackedParameters
from runner.errors import CannotVectorize
from runner.optimizer.rules import Rule, hyper_parameters, rule_for
from runner.optimizer.torch_kernels import works


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
        kernel = self.rule.kernel
        if self.x.device.type == "cpu" and kernel is not None and group.get("fused") and works(kernel):
            for row, (x, g) in enumerate(zip(self.x, self.g, strict=True)):
                state = {key: value[row] for key, value in self.state.items()}
                self.by_row.append((x, g, state | {"step": count}))

    def state_of(self, name: str, rows: StackedParameters) -> dict[str, Tensor]:
        """The state [T, ...] of one parameter, views of the piece's own."""
        if not self.rule.elementwise:
            return self.state
        start, columns = rows.columns[self.names[0]].start, rows.columns[name]
        inside = slice(columns.start - start, columns.stop - start)
        return {key: value[:, inside].view(-1, *rows.shapes[name]) for key, value in self.state.items()}


class VectorizedOptimizer:
    """The optimizers of T trials as one: their rule, broadcast over trials.

    Each trial's own optimizer keeps the hyperparameters and the learning rate that its schedule sets, and its state
    is made of views of this one's.
    """

    def __init__(self, optimizers: Sequence[Optimizer], rows: StackedParameters) -> None:
        self.optimizers = list(optimizers)
        self.rows = rows
        self.num_updates = 0
        self.pieces: list[Piece] = []
        for number, rule, names in self._cut():
            x, g = self._tensors(rule, names)
            self.pieces.append(Piece(rule, number, names, x, g, rule.init(x), self._hyper(number)))

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

    def note_count(self, optimizer: Optimizer) -> None:
        """Write the number of updates into a trial's own state."""
        for piece, _, parameter in self._parameters(optimizer):
            if piece.rule.count == "step":
                optimizer.state[parameter]["step"] = torch.tensor(float(self.num_updates))
            elif piece.rule.count == "t":
                optimizer.state[parameter]["t"] = self.num_updates
            if piece.rule.numbers is not None:
                group = optimizer.param_groups[piece.group]
                optimizer.state[parameter].update(piece.rule.numbers(group, self.num_updates))

    def gather(self) -> None:
        """Take up the state that the trials' own optimizers have loaded."""
        self.num_updates = 0
        for row, optimizer in enumerate(self.optimizers):
            for piece, name, parameter in self._parameters(optimizer):
                loaded = optimizer.state[parameter]
                for key, value in piece.state_of(name, self.rows).items():
                    if key in loaded:
                        value[row].copy_(loaded[key])
                if piece.rule.count in loaded:  # of parameters that have ended, it stands still
                    self.num_updates = max(self.num_updates, int(loaded[piece.rule.count]))

    def bind(self) -> None:
        """Make the states of the trials' own optimizers views of the stacked one."""
        for row, optimizer in enumerate(self.optimizers):
            for piece, name, parameter in self._parameters(optimizer):
                own = {key: value[row] for key, value in piece.state_of(name, self.rows).items()}
                if own:
                    optimizer.state[parameter] = {"step": 0, **own} if piece.rule.count == "step" else own
            self.note_count(optimizer)
        for piece in self.pieces:
            piece.cut_rows(self.optimizers[0].param_groups[piece.group])

    def is_bound(self) -> bool:
        """Whether each trial's own state is a view of the stacked one."""
        return all(
            optimizer.state[parameter][key].data_ptr() == value[row].data_ptr()
            for row, optimizer in enumerate(self.optimizers)
            for piece, name, parameter in self._parameters(optimizer)
            for key, value in piece.state_of(name, self.rows).items()
        )

    def _cut(self) -> list[tuple[int, Rule, list[str]]]:
        """Parameters, in their order, that one call of a rule can update: its group, the rule, their names."""
        cut: list[tuple[int, Rule, list[str]]] = []
        left = iter(self.rows.order)
        for number, group in enumerate(self.optimizers[0].param_groups):
            for place, parameter in enumerate(group["params"]):
                rule = rule_for(self.optimizers[0], group, parameter)
                for other in self.optimizers:
                    own = other.param_groups[number]
                    if rule_for(other, own, own["params"][place]) != rule:
                        raise CannotVectorize("optimizer: its options, other than numbers, differ between the trials")
                if cut and rule.elementwise and cut[-1][:2] == (number, rule):
                    cut[-1][2].append(next(left))
                else:
                    cut.append((number, rule, [next(left)]))
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
