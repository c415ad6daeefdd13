"""Which classes of a data set are trained, under which names: some of them alone, and several as one."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from runner.data.source import Source
from runner.errors import UserError, did_you_mean


@dataclass(frozen=True)
class ClassChoice:
    """`names` are the classes that are trained; `labels` has for each stored class which of them it is, or -1."""

    names: list[str]
    labels: list[int]

    def of(self, source: Source) -> Source:
        """The images of the chosen classes, with their labels among these."""
        labels = torch.tensor(self.labels)[source.labels]
        kept = (labels >= 0).nonzero().flatten()
        chosen = copy.copy(source) if len(kept) == len(labels) else source.subset(kept)
        chosen.labels = labels[kept]
        return chosen


def choose(
    stored: Sequence[str], classes: Sequence[str | int] | None, merge: Mapping[str, str | int] | None
) -> ClassChoice | None:
    """The choice of `data.classes` and `data.merge` among the stored classes; None where all are trained as they are.

    Merged first: a class then has the name, and the place, of the first of those that it was made of.

    Raises:
        UserError: a name is none of the data set's, or stands there twice, or fewer than two classes are left.
    """
    if not classes and not merge:
        return None
    targets = {str(old): str(new) for old, new in (merge or {}).items()}
    for old in targets:
        if old not in stored:
            raise UserError(f"data.merge: no class {old!r}{did_you_mean(old, stored)}")
    merged = [targets.get(name, name) for name in stored]
    names = list(dict.fromkeys(merged))
    if classes:
        wanted = [str(name) for name in classes]
        for name in wanted:
            if name not in names:
                gone = f"; data.merge made it {targets[name]!r}" if name in targets else did_you_mean(name, names)
                raise UserError(f"data.classes: no class {name!r}{gone}")
        if len(set(wanted)) < len(wanted):
            twice = next(name for name in wanted if wanted.count(name) > 1)
            raise UserError(f"data.classes: {twice!r} stands there twice; name every class once")
        names = wanted
    if len(names) < 2:
        key = "data.classes" if classes else "data.merge"
        raise UserError(f"{key}: leaves a single class ({', '.join(names)}); two or more are needed")
    place = {name: label for label, name in enumerate(names)}
    return ClassChoice(names, [place.get(name, -1) for name in merged])
