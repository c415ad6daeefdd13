"""fastai on class folders, as its documentation has it: python fastai_folder.py ROOT SIDE EPOCHS BATCH_SIZE."""

import sys

from fastai.callback.schedule import Learner
from fastai.losses import CrossEntropyLossFlat
from fastai.metrics import accuracy
from fastai.vision.augment import Flip
from fastai.vision.data import ImageDataLoaders, Normalize, imagenet_stats
from torchvision.models import resnet18


def main(root: str, side: str, epochs: str, batch_size: str) -> None:
    transforms = [Flip(), Normalize.from_stats(*imagenet_stats)]
    loaders = ImageDataLoaders.from_folder(root, valid="val", batch_tfms=transforms, bs=int(batch_size))
    assert loaders.one_batch()[0].shape[-1] == int(side)
    network = resnet18(num_classes=len(loaders.vocab))
    learner = Learner(loaders, network, loss_func=CrossEntropyLossFlat(), metrics=accuracy)
    learner.fit_one_cycle(int(epochs), 1e-3)
    learner.save("last")


if __name__ == "__main__":
    main(*sys.argv[1:])
