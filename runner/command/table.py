"""Every command: its summary, and its module, whose function gives the exit status."""

from typing import NamedTuple


class Command(NamedTuple):
    """A command of the command line.

    Args:
        config: the name of its Hydra config; None where it reads its own arguments.
        function: of the module, that is called with the words.
    """

    summary: str
    module: str
    config: str | None = None
    function: str = "main"


COMMANDS = {
    "train": Command("train one network, or several with -m", "runner.command.train", "train"),
    "sweep": Command("search hyperparameters from coarse to fine", "runner.command.sweep", "sweep"),
    "resume": Command("go on with a stopped run or sweep, or lengthen it", "runner.command.resume"),
    "test": Command("score a run's best weights on the test split", "runner.command.test"),
    "predict": Command("classify new images with a run's best weights", "runner.command.predict"),
    "export": Command("write a network as one file: ONNX, torch.export or its weights", "runner.command.export"),
    "average": Command("average the weights of several checkpoints", "runner.command.average"),
    "check": Command("is this training sane? measured before hours are spent", "runner.command.check", "train"),
    "compare": Command("compare runs: which is better, and how sure is that", "runner.command.compare"),
    "report": Command("write a page about a run, or about several side by side", "runner.command.report"),
    "list": Command("list runs and sweeps: status, best value, size", "runner.command.list"),
    "board": Command("start TensorBoard on the runs that are named or found", "runner.command.board"),
    "stop": Command("ask a run or a sweep to save and end", "runner.command.stop"),
    "tag": Command("tag a run or a sweep", "runner.command.annotate", function="tag"),
    "note": Command("write a note to a run or a sweep", "runner.command.annotate", function="note"),
    "remove": Command("remove runs, or their checkpoints alone", "runner.command.remove"),
    "options": Command("list the config groups, their options and keys", "runner.command.options"),
}

HELP = """\
runner - train image classifiers from one command line

usage: runner COMMAND [KEY=VALUE ...]

commands:
{commands}

examples:
  runner train                                   a small ConvNet on handwritten digits
  runner train optimizer=adam reg=[l2,dropout]   other choices, several regularizers
  runner train -m optimizer=sgd,adam seed=1,2    four runs, one after another
  runner sweep sweep=lr_l2                       search learning rate and L2 strength, coarse to fine
  runner compare outputs                         which is better, and how sure is that

runner COMMAND --help says more; runner options lists every choice; tensorboard --logdir outputs shows the runs.
Completion: eval "$(runner -sc install=bash)", or zsh; in fish: runner -sc install=fish | source
"""
