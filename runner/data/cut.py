"""How images are dealt to splits and folds: the same share of every class, and no group in two of them.

N images. All draws come from a seed, a purpose and a class, so a split does not depend on what else is drawn. Groups
are numbers [N] of images that belong together, such as the photos of one patient or the frames of one video.
"""

import torch
from torch import Tensor

from runner.seeds import generator


def stratified(labels: Tensor, fraction: float, seed: int, groups: Tensor | None = None) -> Tensor:
    """Sorted indices of a share of every class, rounded; at least one of a class that has two or more.

    With groups the shares are as near as whole groups allow, and no class is taken whole where that can be helped.
    """
    if groups is not None:
        return _stratified_groups(labels, fraction, seed, groups)
    chosen = []
    for label in labels.unique():
        members = (labels == label).nonzero().flatten()
        count = round(len(members) * fraction)
        if len(members) > 1:
            count = min(max(count, 1), len(members) - 1)
        chosen.append(_shuffled(members, seed, "split", int(label))[:count])
    return torch.cat(chosen).sort().values if chosen else torch.empty(0, dtype=torch.long)


def fold_numbers(labels: Tensor, count: int, seed: int, groups: Tensor | None = None) -> Tensor:
    """The fold [N] of every image, from 0 to count - 1: sizes differ by one at most, of all images and of each class.

    With groups both are as even as whole groups allow.
    """
    found = torch.empty(len(labels), dtype=torch.long)
    if groups is None:
        dealt = 0  # each class begins at the fold where the one before it ended, so that none gets all the remainders
        for label in labels.unique():
            members = _shuffled((labels == label).nonzero().flatten(), seed, "folds", int(label))
            found[members] = (torch.arange(len(members)) + dealt) % count
            dealt += len(members)
        return found
    tables, order, inverse = _group_tables(labels, groups, seed, "folds")
    held = torch.zeros(count, tables.shape[1], dtype=torch.double)
    totals = tables.sum(0).clamp(min=1)
    fold_of_group = torch.empty(len(tables), dtype=torch.long)
    for group in order.tolist():
        # What the fold would hold of each class of the group, as a share of the class: the emptiest takes it.
        load = ((held + tables[group]).square() - held.square()) / totals
        fold_of_group[group] = fold = int(load.sum(1).argmin())
        held[fold] += tables[group]
    return fold_of_group[inverse]


def share_of_class(labels: Tensor, fraction: float, per_class: int | None, seed: int) -> Tensor:
    """Sorted indices of a fraction of every class, and no more than `per_class`; at least one of each.

    A smaller share is a part of a larger one of the same seed.
    """
    chosen = []
    for label in labels.unique():
        members = (labels == label).nonzero().flatten()
        count = max(1, round(len(members) * fraction))
        count = count if per_class is None else min(count, per_class)
        chosen.append(_shuffled(members, seed, "share", int(label))[:count])
    return torch.cat(chosen).sort().values if chosen else torch.empty(0, dtype=torch.long)


def _shuffled(members: Tensor, seed: int, purpose: str, label: int) -> Tensor:
    return members[torch.randperm(len(members), generator=generator(seed, purpose, label))]


def _stratified_groups(labels: Tensor, fraction: float, seed: int, groups: Tensor) -> Tensor:
    tables, order, inverse = _group_tables(labels, groups, seed, "split")
    totals = tables.sum(0)
    wanted, scale = totals * fraction, totals.clamp(min=1)
    left = (tables > 0).sum(0)  # groups that have images of each class and are not taken
    taken = torch.zeros(len(tables), dtype=torch.bool)
    held = torch.zeros_like(totals)

    def take(group: int) -> None:
        held.add_(tables[group])
        left.sub_((tables[group] > 0).long())
        taken[group] = True

    def leaves_some(group: int) -> bool:
        return not ((tables[group] > 0) & (left == 1)).any()

    for group in order.tolist():
        before, after = (held - wanted).square() / scale, (held + tables[group] - wanted).square() / scale
        if after.sum() < before.sum() and leaves_some(group):
            take(group)
    for group in order.flip(0).tolist():  # the smallest that brings a class which is lacking
        if not taken[group] and ((tables[group] > 0) & (held == 0)).any() and leaves_some(group):
            take(group)
    return taken[inverse].nonzero().flatten()


def _group_tables(labels: Tensor, groups: Tensor, seed: int, purpose: str) -> tuple[Tensor, Tensor, Tensor]:
    """Images of each group by class [G, K], the order in which groups are dealt [G], the group of each image [N].

    Large groups come first, for small ones then even out; those of one size in an order that the seed gives.
    """
    numbers, inverse = groups.unique(return_inverse=True)
    num_classes = int(labels.max()) + 1
    tables = torch.zeros(len(numbers), num_classes, dtype=torch.double)
    tables.index_put_((inverse, labels), torch.ones(len(labels), dtype=torch.double), accumulate=True)
    shuffled = torch.randperm(len(numbers), generator=generator(seed, purpose, num_classes))
    order = shuffled[tables.sum(1)[shuffled].sort(descending=True, stable=True).indices]
    return tables, order, inverse
