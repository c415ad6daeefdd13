"""A convolutional network whose first layer whitens patches: that of the CIFAR-10 speed records.

B images, C channels, S by S pixels, K classes.
"""

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn

from runner.constraints import Fraction, Positive, PositiveInt
from runner.errors import UserError
from runner.init.initializers import KEPT, SCORES
from runner.model.activation import ActivationName, copies
from runner.model.activation import activation as make_activation

Sample = Callable[[int], Iterable[Tensor]]  # a number of images to chunks [n, C, S, S] of them


class Whitening(nn.Conv2d):
    """A convolution with frozen filters that whiten patches, and a bias that is trained, 0 at first.

    The filters are the eigenvectors of the patches' second moments by `1 / sqrt(eigenvalue + eps)`, largest eigenvalue
    first, then their negatives: a rectifier after them loses nothing. Random until `fit`.
    """

    def __init__(self, in_channels: int, kernel: int, eps: float) -> None:
        super().__init__(in_channels, 2 * in_channels * kernel**2, kernel)
        assert self.bias is not None
        self.weight.requires_grad_(False)
        nn.init.zeros_(self.bias)
        setattr(self, KEPT, True)
        self.eps = eps

    @torch.no_grad()
    def fit(self, images: Iterable[Tensor]) -> None:
        """Set the filters for the patches of these images [n, C, S, S]; in double precision, on the images' device."""
        height, width = self.kernel_size
        num_values = self.weight[0].numel()
        products, count = torch.zeros(num_values, num_values, dtype=torch.float64), 0
        for chunk in images:
            chunk = chunk.cpu() if chunk.device.type == "mps" else chunk  # which has no double precision
            windows = chunk.double().unfold(2, height, 1).unfold(3, width, 1)  # [n, C, .., .., height, width]
            patches = windows.permute(0, 2, 3, 1, 4, 5).reshape(-1, num_values)
            products = products.to(chunk.device) + patches.T @ patches
            count += len(patches)
        eigenvalues, eigenvectors = torch.linalg.eigh(products.cpu() / count)  # ascending; eigenvectors are columns
        filters = (eigenvectors / (eigenvalues + self.eps).sqrt()).T.flip(0)
        self.weight.copy_(torch.cat([filters, -filters]).view_as(self.weight))


class WhitenedConvNet(nn.Module):
    """A whitening convolution, a group of 3x3 convolutions for each of `channels`, global max pooling, class scores.

    A group: convolution, 2x2 max pooling while it fits, normalization, activation; then `depth - 1` times convolution,
    normalization, activation. No layer but the first has a weight bias; normalization trains its shift alone. Scores
    are multiplied by `scale`.

    Args:
        whiten: false makes the first layer an ordinary convolution of the same shape, trained as the others.
        whiten_images: training images whose patches are looked at.
        norm_momentum: share of the newest batch in the running statistics, as torch counts it.

    Source: Jordan 2024, 94% on CIFAR-10 in 3.29 seconds on a single GPU, arXiv 2404.00498.
    """

    def __init__(
        self,
        in_channels: int,
        image_size: int,
        num_classes: int,
        channels: Sequence[PositiveInt] = (64, 256, 256),
        depth: PositiveInt = 2,
        kernel: PositiveInt = 2,
        whiten: bool = True,
        whiten_images: PositiveInt = 5000,
        whiten_eps: Positive = 5e-4,
        activation: ActivationName = "gelu",
        norm_momentum: Fraction = 0.4,
        norm_eps: Positive = 1e-12,
        scale: Positive = 1 / 9,
    ) -> None:
        super().__init__()
        if image_size < kernel:
            raise UserError(f"model.kernel: must be at most the image's {image_size} pixels, not {kernel}")
        self.whiten_images = whiten_images
        self.scale = scale
        outputs = 2 * in_channels * kernel**2
        self.first = Whitening(in_channels, kernel, whiten_eps) if whiten else nn.Conv2d(in_channels, outputs, kernel)
        self.activation = make_activation(activation)
        width, size = outputs // copies(activation), image_size - kernel + 1
        groups = []
        for out_channels in channels:
            layers: list[nn.Module] = []
            for number in range(depth):
                maps = out_channels * copies(activation)
                layers.append(nn.Conv2d(width, maps, 3, padding=1, bias=False))
                if number == 0 and size >= 4:
                    layers.append(nn.MaxPool2d(2))
                    size //= 2
                norm = nn.BatchNorm2d(maps, eps=norm_eps, momentum=norm_momentum)
                norm.weight.requires_grad_(False)
                layers += [norm, make_activation(activation)]
                width = out_channels
            groups.append(nn.Sequential(*layers))
        self.groups = nn.Sequential(*groups)
        self.pool = nn.MaxPool2d(size)
        self.linear = nn.Linear(width, num_classes, bias=False)
        setattr(self.linear, SCORES, scale == 1)  # else `scale` makes the first scores small

    def init_from_data(self, sample: Sample) -> None:
        """Take the whitening filters from training images."""
        if isinstance(self.first, Whitening):
            self.first.fit(sample(self.whiten_images))

    def forward(self, images_BCSS: Tensor) -> Tensor:
        x = self.groups(self.activation(self.first(images_BCSS)))
        return self.linear(self.pool(x).flatten(1)) * self.scale
