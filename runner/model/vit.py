"""The vision transformer (Dosovitskiy et al. 2020): patches of the image as a sequence.

B images, C channels, S by S pixels, N tokens (the patches and the class token), D features a token, h heads.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from runner.constraints import FractionBelowOne, PositiveInt
from runner.errors import UserError

EPS = 1e-6  # of the normalizations, as in the paper's own code


class ViT(nn.Module):
    """Patches of `patch_size` pixels, `depth` blocks of self-attention and an MLP, scores of the class token.

    A patch of `auto` has 2 pixels up to an image of 16, 4 up to 64, else 16. Images whose side is no multiple of it are
    filled up with zeros at the right and below. The MLPs have `4 * width` hidden units. Blocks normalize first.
    With patch_size 16, width 768, depth 12 and heads 12 it is torchvision's vit_b_16.
    Source: Dosovitskiy et al. 2020, An Image is Worth 16x16 Words, arXiv 2010.11929.

    Raises:
        UserError: the heads do not divide the width.
    """

    def __init__(
        self,
        in_channels: int,
        image_size: int,
        num_classes: int,
        patch_size: PositiveInt | Literal["auto"] = "auto",
        width: PositiveInt = 192,
        depth: PositiveInt = 6,
        heads: PositiveInt = 3,
        dropout: FractionBelowOne = 0.0,
    ) -> None:
        super().__init__()
        if width % heads:
            raise UserError(f"model.heads: must divide model.width={width}, and {heads} does not")
        size = patch_of(image_size) if patch_size == "auto" else patch_size
        self.fill = -image_size % size
        num_patches = ((image_size + self.fill) // size) ** 2
        self.patches = nn.Conv2d(in_channels, width, size, stride=size)
        # Of one dimension, as what weight decay leaves alone is.
        self.class_token = nn.Parameter(torch.zeros(width))
        self.positions = nn.Parameter(torch.randn((1 + num_patches) * width) * 0.02)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.Sequential(*(Block(width, heads, dropout) for _ in range(depth)))
        self.norm = nn.LayerNorm(width, eps=EPS)
        self.head = nn.Linear(width, num_classes)
        nn.init.trunc_normal_(self.patches.weight, std=self.patches.weight[0].numel() ** -0.5)
        nn.init.zeros_(self.patches.bias)  # type: ignore[arg-type]
        nn.init.trunc_normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    def forward(self, images_BCSS: Tensor) -> Tensor:
        patches_BND = self.patches(F.pad(images_BCSS, (0, self.fill, 0, self.fill))).flatten(2).mT
        B, _, D = patches_BND.shape
        tokens_BND = torch.cat([self.class_token.expand(B, 1, D), patches_BND], dim=1)
        tokens_BND = self.blocks(self.dropout(tokens_BND + self.positions.view(-1, D)))
        return self.head(self.norm(tokens_BND[:, 0]))


def patch_of(image_size: int) -> int:
    """The side of a patch for images of that size."""
    return next((patch for largest, patch in ((16, 2), (64, 4)) if image_size <= largest), 16)


class Block(nn.Module):
    """`x + attention(norm(x))`, then `x + mlp(norm(x))`; either branch may be dropped by reg=stochastic_depth."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        from torchvision.ops import StochasticDepth

        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=EPS)
        self.attention = Attention(width, heads)
        self.dropout = nn.Dropout(dropout)
        self.drop1 = StochasticDepth(0.0, "row")
        self.norm2 = nn.LayerNorm(width, eps=EPS)
        hidden, out = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        for layer in (hidden, out):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.normal_(layer.bias, std=1e-6)
        self.mlp = nn.Sequential(hidden, nn.GELU(), nn.Dropout(dropout), out, nn.Dropout(dropout))
        self.drop2 = StochasticDepth(0.0, "row")

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop1(self.dropout(self.attention(self.norm1(x))))
        return x + self.drop2(self.mlp(self.norm2(x)))


class Attention(nn.Module):
    """`softmax(q k^T / sqrt(D / h)) v` in each head, over all tokens. Source: Vaswani et al. 2017, equation 1."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.qkv.weight)
        nn.init.zeros_(self.qkv.bias)
        nn.init.zeros_(self.out.bias)

    def forward(self, x_BND: Tensor) -> Tensor:
        heads = self.qkv(x_BND).unflatten(-1, (3, self.heads, -1)).movedim(-3, 0).transpose(-3, -2)  # [3, B, h, N, D/h]
        q, k, v = heads.unbind(0)
        weights = (q * q.shape[-1] ** -0.5 @ k.mT).softmax(-1)
        return self.out((weights @ v).transpose(-3, -2).flatten(-2))
