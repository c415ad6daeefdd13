"""What the header says of trained weights."""

import pytest
import torch

from runner.build import pretrained
from runner.transfer.weights import Fitted, Weights


@pytest.mark.parametrize(
    ("head_rows", "classes", "said"),
    [
        (0, ["cat", "dog"], "a new head"),
        (1, ["cat", "dog"], "1 of 2 rows of the head kept, by class name"),
        (2, None, "the whole head kept"),
    ],
)
def test_how_much_of_the_head_is_kept_is_told(head_rows, classes, said):
    weights = Weights({}, "file.pt", "digest", classes=classes, prepared="as there", size=32, strict=False)
    fitted = Fitted(num_loaded=4, new=[], misfits=[], unused=[], head_rows=head_rows, num_classes=2)
    (_, text), _ = pretrained.lines(weights, fitted, 32)
    assert text == f"file.pt: 4 tensors set, {said}"


def test_googlenets_normalization_is_what_torchvision_makes_of_imagenets():
    images = torch.rand(1, 3, 2, 2)

    def normalized(mean_and_std):
        mean, std = (torch.tensor(mean_and_std[key])[:, None, None] for key in ("mean", "std"))
        return (images - mean) / std

    from torchvision.models import googlenet

    ours = normalized(pretrained._for("googlenet", pretrained.IMAGENET))
    network = googlenet(init_weights=False, transform_input=True, aux_logits=False)
    torch.testing.assert_close(network._transform_input(normalized(pretrained.IMAGENET)), ours)
    assert pretrained._for("resnet18", pretrained.IMAGENET) == pretrained.IMAGENET
