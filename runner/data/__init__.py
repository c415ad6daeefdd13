"""Data sets: each word of the group is a class here; all are a `Data` with three splits."""

from runner.data.batches import Batches
from runner.data.builtin import Digits, Synthetic
from runner.data.dataset import Data
from runner.data.folder import Folder
from runner.data.preprocess import Preprocess
from runner.data.source import Files, Images, Source
from runner.data.torchvision_sets import CIFAR10, CIFAR100, MNIST, FashionMNIST
