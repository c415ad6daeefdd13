"""Several trials as one batched network, and how that compares with one by one."""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
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
from runner.engine.step import StepTimer
from runner.engine.vectorized.evaluate import VectorizedEvaluate
from runner.engine.vectorized.state import VectorizedState
from runner.engine.vectorized.step import VectorizedStep
from runner.engine.vectorized.template import Template
from runner.errors import CannotVectorize
from runner.machine import free_memory
from runner.vectorizable import check_alike

STEPS_PER_TURN, NUM_TURNS = 3, 5  # of a timing; the first turns are slower
ONE_THREAD_GAIN = 1.2  # one thread must be faster by so much, since a few turns are no exact measure


def vectorize(cfgs: Sequence[DictConfig], dataset: Data | None = None, num_threads: int = 0) -> Training:
    """Several trials of one architecture as one batched network, to be trained by the same loop.

    They differ in numbers alone (see `runner.vectorizable`), and each ends as it would alone; with noise inside the
    network (dropout and its kin) that holds for its statistics, and the draws depend on the trial's seed alone.

    Args:
        num_threads: of the CPU; 0 for as many as the network's size asks for.

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
    if num_threads:
        torch.set_num_threads(num_threads)
    else:
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
    """Seconds of a step of trials that train together, and of one of them alone.

    Args:
        num_threads: of the CPU, for the trials together; 0 for as many as they would have anyway.
    """

    num_trials: int
    together: float
    alone: float
    num_threads: int = 0

    @property
    def speedup(self) -> float:
        """How many times as fast they train together as one by one."""
        return self.num_trials * self.alone / self.together


class VectorizedTimer:
    """How fast trials train together and alone, by a few updates of each on this machine.

    Both take turns, each with its own number of CPU threads. Trials together that would have several threads are also
    timed with one, which is faster where other processes want the cores.

    Args:
        cfg: of one of the trials, which is built at once.
    """

    def __init__(self, cfg: DictConfig, dataset: Data | None = None) -> None:
        self._began = time.perf_counter()
        self.dataset = dataset or data(cfg)
        made = training(cfg, self.dataset)
        self.most_together = _most_together(made)
        self.num_updates = made.settings.epochs * made.train.num_batches
        self.build_seconds = self.spent
        self.alone = _timer(made)
        self.alone.take_turn(STEPS_PER_TURN)

    @property
    def spent(self) -> float:
        """Seconds since it began."""
        return time.perf_counter() - self._began

    @property
    def trial_seconds(self) -> float:
        """About what one trial takes alone."""
        return self.build_seconds + self.num_updates * self.alone.seconds

    def cost(self, num_trials: int) -> float:
        """Seconds that it takes to time so many trials, should they be no faster together."""
        return num_trials * self.build_seconds + NUM_TURNS * STEPS_PER_TURN * (1 + num_trials) * self.alone.seconds

    def time(self, cfgs: Sequence[DictConfig], until: float = math.inf) -> Timing:
        """Time these trials.

        Args:
            until: value of `spent` at which no more turns are taken; each has one.

        Raises:
            CannotVectorize: they can only train one by one.
        """
        made = vectorize(cfgs, self.dataset)
        ways = [_timer(made)]
        if made.state.device.type == "cpu" and not made.settings.num_threads and ways[0].num_threads > 1:
            ways.append(_timer(made, num_threads=1))
        for _ in range(NUM_TURNS):
            for timer in (self.alone, *ways):
                timer.take_turn(STEPS_PER_TURN)
            if self.spent > until:
                break
        one_thread = ways[-1].seconds * ONE_THREAD_GAIN < ways[0].seconds
        together = ways[-1] if one_thread else ways[0]
        return Timing(len(cfgs), together.seconds, self.alone.seconds, num_threads=1 if one_thread else 0)


def _timer(made: Training, num_threads: int | None = None) -> StepTimer:
    """Of a training that was built just now, which has set the threads."""
    return StepTimer(made.state, made.step, made.train, num_threads or torch.get_num_threads())


def _most_together(made: Training) -> int:
    """How many such trials fit into half of the memory that is free, of a GPU into this worker's share."""
    last = made.train.epoch(max(0, made.settings.epochs - 1))  # whose images are the largest
    needed = memory.of_trial(made.state, made.step, next(iter(last)))
    device = made.state.device
    return max(1, free_memory(device) // (2 * needed * num_sharing(device)))
