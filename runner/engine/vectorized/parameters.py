"""The tensors of T networks of one architecture, stacked; each network's own tensors are rows of them."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class StackedParameters:
    """Stacked parameters and buffers. `bind` makes the networks' tensors views of them, so each stays a network.

    Args:
        order: names of the parameters that are kept in one matrix [T, N], in that order; the others are stacked one by
            one.

    Attributes:
        matrix: those parameters [T, N].
        gradients: theirs [T, N].
        columns: the columns of each, by name.
        views: the same parameters [T, ...] by name, as leaves of the graph.
        others: the other parameters, and the buffers, [T, ...] by name.
    """

    def __init__(self, networks: Sequence[nn.Module], order: Sequence[str]) -> None:
        self.networks = list(networks)
        self.order = list(order)
        self._stack()

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with those rows; the networks of the others keep copies of what they have."""
        kept = [self.networks[row] for row in rows]
        for network in self.networks:
            for tensor in _tensors(network).values():
                tensor.data = tensor.data.clone()
        self.networks = kept
        self._stack()

    def _stack(self) -> None:
        named = [_tensors(network) for network in self.networks]
        first = named[0]
        ends = torch.tensor([first[name].numel() for name in self.order]).cumsum(0).tolist()
        starts = [0, *ends][: len(ends)]
        self.columns = {name: slice(*bounds) for name, *bounds in zip(self.order, starts, ends, strict=True)}
        self.shapes = {name: first[name].shape for name in self.order}
        self.matrix = torch.stack([torch.cat([row[name].detach().flatten() for name in self.order]) for row in named])
        self.gradients = torch.zeros_like(self.matrix)
        self._cleared = True
        self.views = {name: self.shaped(self.matrix, name).requires_grad_() for name in self.order}
        names = [name for name in first if name not in self.columns]
        self.others = {name: torch.stack([row[name].detach() for row in named]) for name in names}

    def bind(self) -> None:
        """Make the networks' own tensors rows of the stacked ones."""
        for number, network in enumerate(self.networks):
            for name, tensor in _tensors(network).items():
                tensor.data = self._stacked(name)[number]
                if name in self.views:
                    tensor.grad = self.shaped(self.gradients, name)[number]

    def is_bound(self) -> bool:
        """Whether the networks' own tensors are rows of the stacked ones."""
        return all(
            tensor.data_ptr() == self._stacked(name)[number].data_ptr()
            for number, network in enumerate(self.networks)
            for name, tensor in _tensors(network).items()
        )

    def _stacked(self, name: str) -> Tensor:
        return (self.views[name] if name in self.views else self.others[name]).detach()

    def shaped(self, matrix_TN: Tensor, name: str) -> Tensor:
        """The columns of one parameter [T, ...], a view."""
        return matrix_TN.detach()[:, self.columns[name]].view(-1, *self.shapes[name])

    def clear_gradients(self) -> None:
        """The next gradients take the place of those that are there."""
        self._cleared = True

    def add_gradients(self, found: Sequence[Tensor | None]) -> None:
        """Add the gradient of each view; None is 0."""
        flat = [
            (torch.zeros_like(view) if gradient is None else gradient).flatten(1)
            for view, gradient in zip(self.views.values(), found, strict=True)
        ]
        if self._cleared:
            torch.cat(flat, dim=1, out=self.gradients)
        else:
            self.gradients.add_(torch.cat(flat, dim=1))
        self._cleared = False


def _tensors(network: nn.Module) -> dict[str, Tensor]:
    return dict(network.named_parameters()) | dict(network.named_buffers())
