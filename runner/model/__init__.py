"""Networks: each word of the group is a class or function here that gives class scores [B, K] from images [B, C, S, S].

`in_channels`, `image_size` and `num_classes` are filled in from the data for every constructor that takes them.
"""

from runner.model.convnet import ConvNet
from runner.model.mlp import MLP, Linear
from runner.model.resnet import resnet

__all__ = ["MLP", "ConvNet", "Linear", "resnet"]
