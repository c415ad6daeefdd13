"""Data sets: each word of the group is a class here; all are a `Data` with three splits."""

from runner.data.arrays import Arrays
from runner.data.batches import Batches
from runner.data.builtin import Digits, Synthetic
from runner.data.dataset import Data
from runner.data.folder import Folder
from runner.data.huggingface import HuggingFace
from runner.data.named_files import NamedFiles
from runner.data.preprocess import Preprocess
from runner.data.source import Files, Images, Source
from runner.data.table import Table
from runner.data.torchvision import Torchvision
from runner.data.torchvision_sets import CIFAR10, CIFAR100, MNIST, FashionMNIST
