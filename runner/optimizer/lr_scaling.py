"""Learning rates for another batch size than the one that they were found with."""

from runner.errors import UserError

BASE = 256  # images a step, as in the sources
LINEAR = ("sgd", "momentum", "nesterov")  # the steps of the others do not grow with the gradient


def scaled_lr(lr: float, optimizer: str, images_per_step: int) -> float:
    """The rate for so many images a step, of one that is meant for 256.

    In proportion for gradient descent, by the square root for optimizers that normalize the gradient. Sources: Goyal et
    al. 2017, Accurate, Large Minibatch SGD, section 2.1; Krizhevsky 2014, One weird trick, section 5, for the root.

    Args:
        optimizer: word of the group.

    Raises:
        UserError: an optimizer that searches the length of its own step.
    """
    if optimizer == "lbfgs":
        raise UserError("optimizer.scale_lr: L-BFGS searches the length of its own step; set it to false")
    factor = images_per_step / BASE
    return lr * (factor if optimizer in LINEAR else factor**0.5)
