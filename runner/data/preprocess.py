"""Preprocessing of the input: fixed shift and scale, from the training split alone."""

from collections.abc import Iterator, Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from runner.data.loader import PreprocessName
from runner.data.source import Files, Images, Source
from runner.seeds import generator

SAMPLE = 60_000  # images that are looked at, of a split that has more
CHUNK = 512
CPU = torch.device("cpu")


class Preprocess(nn.Module):
    """`(x - shift) * scale` of images [B, C, H, W] in [0, 1]. The numbers are saved with the weights."""

    shift: Tensor
    scale: Tensor

    def __init__(self, shift: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.register_buffer("shift", shift)
        self.register_buffer("scale", scale)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        shift = self.shift
        if shift.shape[-1] not in (1, images_BCHW.shape[-1]):  # a mean image, and larger images to cut from
            shift = F.interpolate(shift[None], images_BCHW.shape[-2:], mode="bilinear", align_corners=False)[0]
        return (images_BCHW - shift).mul_(self.scale)


def blank(image_shape: tuple[int, int, int], name: PreprocessName) -> Preprocess:
    """A preprocessing of the right shapes whose numbers are still to be loaded."""
    shape = image_shape if name == "mean_image" else (image_shape[0], 1, 1)
    return Preprocess(torch.zeros(shape), torch.ones(image_shape[0], 1, 1))


def blank_like(saved: Mapping[str, Tensor], image_shape: tuple[int, int, int]) -> Preprocess:
    """One whose numbers are still to be loaded from a saved one: of each channel, or of each pixel."""
    shift = saved.get("shift")
    return blank(image_shape, "mean_image" if shift is not None and shift.shape[-1] > 1 else "standardize")


def fit(source: Source, name: PreprocessName, device: torch.device = CPU) -> Preprocess:
    """The preprocessing of that name for this training split, on the CPU; `device` is where the pixels are added up.

    none: as it is. mean_image: minus the mean image (AlexNet). channel_mean: minus each channel's mean (VGG).
    standardize: minus each channel's mean, divided by its standard deviation (ResNet).
    """
    result = blank(source.image_shape, name)
    if name == "none":
        return result
    total_CHW, squares_C, count = _sums_on_gpu(source, device) if device.type == "cuda" else _sums(source)
    mean_CHW = total_CHW / (255 * count)
    mean_C = mean_CHW.mean(dim=(1, 2), keepdim=True)
    result.shift.copy_(mean_CHW if name == "mean_image" else mean_C)
    if name == "standardize":
        H, W = total_CHW.shape[1:]
        variance = (squares_C / (255**2 * count * H * W))[:, None, None] - mean_C.square()
        result.scale.copy_(1 / variance.clamp(min=1e-8).sqrt())
    return result


def _sums(source: Source) -> tuple[Tensor, Tensor, int]:
    """Sums [C, H, W] and channels' sums of squares [C] of pixels from 0 to 255, exact, and the number of images."""
    total_CHW = np.zeros(source.image_shape, dtype=np.int64)
    squares_C = np.zeros(source.image_shape[0], dtype=np.int64)
    count = 0
    for pixels in _chunks(source):
        array = pixels.numpy()  # torch sums integers by all its threads, slower than numpy does by one
        total_CHW += array.sum(0, dtype=np.int32)
        squares_C += np.square(array, dtype=np.uint16).sum((0, 2, 3), dtype=np.int64)
        count += len(pixels)
    return torch.from_numpy(total_CHW).double(), torch.from_numpy(squares_C).double(), count


def _sums_on_gpu(source: Source, device: torch.device) -> tuple[Tensor, Tensor, int]:
    """The same, by the GPU, which takes milliseconds where numpy takes a quarter of a second for CIFAR-10."""
    total_CHW = torch.zeros(source.image_shape, dtype=torch.int64, device=device)
    squares_C = torch.zeros(source.image_shape[0], dtype=torch.int64, device=device)
    count = 0
    for pixels in _chunks(source):
        on_device = pixels.to(device)
        total_CHW += on_device.sum(0, dtype=torch.int64)
        squares_C += on_device.int().square().sum((0, 2, 3), dtype=torch.int64)
        count += len(pixels)
    return total_CHW.cpu().double(), squares_C.cpu().double(), count


def look_at(source: Source) -> Iterator[Tensor]:
    """Chunks [n, C, H, W] of a split for statistics, in double precision from 0 to 1.

    All of it, or `SAMPLE` images of a larger one: the same ones in the same order, wherever they are read from.
    """
    for pixels in _chunks(source):
        yield pixels.to(torch.float64) / 255


def _chunks(source: Source) -> Iterator[Tensor]:
    if isinstance(source, Images) and len(source) <= SAMPLE:
        yield from source.pixels.split(CHUNK)
        return
    chosen = torch.arange(len(source))
    if len(source) > SAMPLE:
        chosen = torch.randperm(len(source), generator=generator(0, "preprocess"))[:SAMPLE].sort().values
    read = source.read_by_threads if isinstance(source, Files) else source.read
    for chunk in chosen.split(CHUNK):
        yield read(chunk.tolist())
