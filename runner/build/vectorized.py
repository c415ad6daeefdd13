"""Several trials as one batched network, and how that compares with one by one."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from omegaconf import DictConfig
from torch import nn
from torch.fx import GraphModule, Node

from runner.augment import Pipeline
from runner.build.parts import augment, data, regularizers, tta
from runner.build.pretrained import transfers
from runner.build.single import SharedSetup, build_trial, training
from runner.data import Batches, Data
from runner.data.batches import VectorizedBatches
from runner.engine import memory
from runner.engine.device import num_sharing
from runner.engine.loop import Training
from runner.engine.rng import seed_everything
from runner.engine.state import TrainState
from runner.engine.step import seconds_per_step
from runner.engine.vectorized.evaluate import VectorizedEvaluate
from runner.engine.vectorized.state import VectorizedState
from runner.engine.vectorized.step import VectorizedStep
from runner.engine.vectorized.template import Template
from runner.errors import CannotVectorize
from runner.machine import free_memory
from runner.vectorizable import check_alike


def vectorize(cfgs: Sequence[DictConfig], dataset: Data | None = None) -> Training:
    """Several trials of one architecture as one batched network, to be trained by the same loop.

    They differ in numbers alone (see `runner.vectorizable`), and each ends as it would alone; with noise inside the
    network (dropout and its kin) that holds for its statistics, and the draws depend on the trial's seed alone.

    Raises:
        CannotVectorize: they can only train one by one.
    """
    check_alike(cfgs)
    setup = SharedSetup(cfgs[0], dataset)
    if setup.precision.name == "fp16":
        raise CannotVectorize(
            "engine.precision: fp16 scales all gradients by one number, so trials cannot be vectorized"
        )
    states, steps = [], []
    for cfg in cfgs:
        seed_everything(cfg.seed)
        state, step = build_trial(cfg, setup, regularizers(cfg))
        states.append(state)
        steps.append(step)
    setup.choose_threads(states[0].network, len(states))
    networks = [step.forward for step in steps]
    if transfers(cfgs[0]):
        _check_transfer(states[0], networks[0], setup)
    template = Template(networks, [cfg.seed for cfg in cfgs], setup.device)
    stacked = VectorizedState(states, networks)
    step = VectorizedStep(steps, template, stacked, setup.settings)
    train = _batches(cfgs, setup, stacked.present)
    evaluate = VectorizedEvaluate(
        setup.val, step.criterion, setup.precision, tta(cfgs[0], setup.dataset), template, steps
    )
    step.try_out(stacked, next(iter(train.epoch())))
    return setup.training(stacked, step, train, evaluate)


def _check_transfer(state: TrainState, network: nn.Module, setup: SharedSetup) -> None:
    """Hold a network that is partly frozen to what trials can share: features of all images, and one part that learns.

    Raises:
        CannotVectorize: they cannot.
    """
    if all(parameter.requires_grad for parameter in state.network.parameters()):
        return
    if setup.cut is None or setup.rest_of is None:
        raise CannotVectorize("transfer: the frozen part of the network has to see the images in every epoch")
    if state.average is not None:
        raise CannotVectorize("average: of a network that is partly frozen it cannot be vectorized")
    if isinstance(network, GraphModule) and any("dropout" in str(node.target) for node in _functions(network)):
        raise CannotVectorize("model: its dropout is no layer, so evaluation cannot leave it out")


def _functions(network: GraphModule) -> Iterator[Node]:
    return (node for node in network.graph.nodes if node.op == "call_function")


def _batches(cfgs: Sequence[DictConfig], setup: SharedSetup, present: Sequence[int]) -> Batches | VectorizedBatches:
    """One batch for all where the seed and the augmentation are the same, else each trial's own."""
    pipelines: list[Pipeline | None] = []  # trials with the same augmentation share one
    for number, cfg in enumerate(cfgs):
        alike = next((place for place in range(number) if cfgs[place].augment == cfg.augment), None)
        pipelines.append((augment(cfg, setup.source) or None) if alike is None else pipelines[alike])
    if len({cfg.seed for cfg in cfgs}) == 1 and all(pipeline is pipelines[0] for pipeline in pipelines):
        return setup.train
    members = [setup.train.of_trial(cfg.seed, pipeline) for cfg, pipeline in zip(cfgs, pipelines, strict=True)]
    return VectorizedBatches(members, present)


@dataclass(frozen=True)
class Timing:
    """Seconds of a step of trials that train together, and of one of them alone."""

    num_trials: int
    together: float
    alone: float

    @property
    def speedup(self) -> float:
        """How many times as fast they train together as one by one."""
        return self.num_trials * self.alone / self.together


def time_vectorized(cfgs: Sequence[DictConfig], dataset: Data | None = None, num_steps: int = 10) -> Timing:
    """How fast these trials train together and alone, by a few steps of each on this machine.

    Raises:
        CannotVectorize: they can only train one by one.
    """
    dataset = dataset or data(cfgs[0])
    seconds = []
    for make_ in (lambda: vectorize(cfgs, dataset), lambda: training(cfgs[0], dataset)):
        made = make_()  # it also sets the number of threads
        seconds.append(seconds_per_step(made.state, made.step, made.train, num_steps))
    return Timing(len(cfgs), *seconds)


def most_together(cfg: DictConfig, dataset: Data | None = None) -> int:
    """How many trials of this config fit into half of the memory that is free, of a GPU into this worker's share."""
    made = training(cfg, dataset)
    last = made.train.epoch(max(0, made.settings.epochs - 1))  # whose images are the largest
    needed = memory.of_trial(made.state, made.step, next(iter(last)))
    device = made.state.device
    return max(1, free_memory(device) // (2 * needed * num_sharing(device)))
