"""Which parameters weight decay and the penalties on weights shrink: one rule for every optimizer and regularizer."""

from torch import Tensor


def is_decayed(parameter: Tensor) -> bool:
    """Whether it is the weight of a linear or convolutional layer: of two dimensions or more.

    Biases, the scale and shift of normalization layers and the slopes of PReLU have one dimension or none. A shift or a
    scale makes no unit fit noise, and a slope that is decayed ends as a ReLU. Source: He et al. 2015, Delving Deep into
    Rectifiers, section 2.2 (slopes); He et al. 2018, Bag of Tricks, section 3.1 (biases and normalization).
    """
    return parameter.ndim > 1
