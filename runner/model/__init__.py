"""Networks: each word of the group is a class or function here that gives class scores [B, K] from images [B, C, S, S].

`in_channels`, `image_size` and `num_classes` are filled in from the data for every constructor that takes them.
"""

from runner.model.classic import alexnet, vgg, zfnet
from runner.model.convnext import ConvNeXt
from runner.model.inception import InceptionV4, googlenet, inception_v3
from runner.model.inception_residual import InceptionResNetV2, InceptionV2
from runner.model.nin import NIN
from runner.model.resnet import resnet
from runner.model.small import MLP, ConvNet, Linear
from runner.model.timm import timm
from runner.model.torchvision import torchvision
from runner.model.vit import ViT
from runner.model.whitened import WhitenedConvNet
