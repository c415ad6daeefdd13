# ruff: noqa: F401 -- what is imported here are the words of the group
"""Networks: each word of the group is a class or function here that gives class scores [B, K] from images [B, C, S, S].

`in_channels`, `image_size` and `num_classes` are filled in from the data for every constructor that takes them.
"""

from runner.model.alexnet import alexnet, zfnet
from runner.model.convnet import ConvNet
from runner.model.googlenet import googlenet
from runner.model.inception_v3 import inception_v3
from runner.model.inception_v4 import InceptionV4
from runner.model.mlp import MLP, Linear
from runner.model.resnet import resnet
from runner.model.torchvision import torchvision
from runner.model.vgg import vgg
from runner.model.whitened import WhitenedConvNet
