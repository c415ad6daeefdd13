"""The parts of the table gpu: cases in the order of their worth."""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

import runner
from bench import airbench, data, step
from bench.harness import CUDA, ROOT, Row, synchronize
from runner import build, store
from runner.engine.checkpoint import Checkpoints
from runner.engine.loop import fit
from runner.signals import Stop

DEVICE = torch.device("cuda" if CUDA else "cpu")
NEEDS_CUDA = [{"result": "needs CUDA"}]
SMALL = ["data=synthetic", "data.num_images=80", "data.batch_size=16"]
VARIANTS = {
    "fp16": ["engine.precision=fp16"],
    "engine.compile=graph": ["engine.compile=graph"],
    "engine.compile=true": ["engine.compile=true"],
}


@dataclass(frozen=True)
class Case:
    """What is measured. `seconds`: about what it takes on a GPU; a case is skipped where less is left."""

    name: str
    seconds: float
    measure: Callable[[], list[Row]]


def timed(work: Callable[[], object], times: int) -> Row:
    """Microseconds of some work, those until the host is free, and those of the GPU by its own clock.

    Where the first two are equal, launches are the limit.
    """
    for _ in range(min(times, 3)):
        work()
    synchronize()
    events = [torch.cuda.Event(enable_timing=True) for _ in range(2)] if CUDA else []
    began = time.perf_counter()
    for event in events[:1]:
        event.record()
    for _ in range(times):
        work()
    for event in events[1:]:
        event.record()
    host = time.perf_counter() - began
    synchronize()
    row: Row = {"us": 1e6 * (time.perf_counter() - began) / times, "host us": 1e6 * host / times}
    return row | ({"GPU us": 1e3 * events[0].elapsed_time(events[1]) / times} if CUDA else {})


def peak_mib() -> float | None:
    return torch.cuda.max_memory_allocated() / 2**20 if CUDA else None


def words(*command: str, timeout: float = 100) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=timeout, cwd=ROOT)


# Facts and tests


def facts(options: argparse.Namespace) -> Iterator[Case]:
    yield Case("machine", 5, machine)
    yield Case("memory and products", 10, partial(ceilings, options.quick))
    yield Case("import", 20, imports)


def machine() -> list[Row]:
    about = {"torch": torch.__version__, "cores": os.cpu_count()}
    return [about | (store.environment(str(DEVICE))["gpu"] or {"gpu": "none"})]


def ceilings(quick: bool) -> list[Row]:
    """Bandwidths and a bf16 matrix product: what no step can exceed."""
    size = 128 if quick else 8192
    matrix = torch.randn(size, size, device=DEVICE, dtype=torch.bfloat16)
    host, device = torch.empty(size * size, pin_memory=CUDA), torch.empty(size * size, device=DEVICE)
    other = torch.empty_like(device)
    return [
        {
            "product tflops": 2e-6 * size**3 / timed(lambda: matrix @ matrix, 5)["us"],
            "copy GB a second": 8e-3 * size**2 / timed(lambda: other.copy_(device), 5)["us"],
            "host to device GB a second": 4e-3
            * size**2
            / timed(lambda: device.copy_(host, non_blocking=True), 5)["us"],
        }
    ]


def imports() -> list[Row]:
    row: Row = {}
    for module in ("torch", "runner.build"):
        began = time.perf_counter()
        words("-c", f"import {module}").check_returncode()
        row[f"import {module} seconds"] = time.perf_counter() - began
    return [row]


def tests(options: argparse.Namespace) -> Iterator[Case]:
    yield Case("pytest -m 'cuda and not slow'", 150, partial(run_tests, "cuda and not slow", 170))
    yield Case("pytest -m 'cuda and slow'", 240, partial(run_tests, "cuda and slow", 260))
    yield Case("deterministic: two trainings have the same bits", 20, partial(same_bits, options.quick))


def run_tests(marks: str, timeout: float) -> list[Row]:
    files = [f"tests/{name}.py" for name in ("contract/test_gpu", "engine/test_graph", "engine/test_step")]
    files += ["tests/engine/test_metrics.py", "tests/engine/vectorized"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "junit.xml"
        words("-m", "pytest", "-q", "-m", marks, "-W", "default", f"--junitxml={path}", *files, timeout=timeout)
        suite = ElementTree.parse(path).getroot()[0]
    row: Row = {name: int(suite.attrib[name]) for name in ("tests", "failures", "errors", "skipped")}
    return [row | {"failed": [case.attrib["name"] for case in suite if case.find("failure") is not None]}]


def same_bits(quick: bool) -> list[Row]:
    """Of the weights after 20 steps, which include a reading of the losses."""
    found = []
    for _ in range(2):
        cfg = runner.compose(["model=convnet", *(SMALL if quick else ["data=synthetic"]), "engine.deterministic=true"])
        training = build.training(cfg)
        steps = (batch for epoch in range(20) for batch in training.train.epoch(epoch, 0))
        for _, batch in zip(range(20), steps, strict=False):
            training.step(training.state, batch)
        found.append([tensor.cpu() for tensor in training.state.network.state_dict().values()])
    return [{"same bits": all(torch.equal(*pair) for pair in zip(*found, strict=True))}]


# Steps


def steps(options: argparse.Namespace) -> Iterator[Case]:
    cases = dict(list(step.CASES.items())[:1]) if options.quick else step.CASES
    for name in cases:
        beside = argparse.Namespace(quick=options.quick, only=[name], turns=1 if options.quick else 3)
        yield Case(f"{name}, beside others", 40, partial(step.measure, beside))
    for compile_ in ("false",) if options.quick else ("false", "graph", "reduce-overhead", "true"):
        for name, overrides in cases.items():
            yield Case(
                f"{name}, compile={compile_}",
                20 if compile_ in ("false", "graph") else 60,
                partial(own_step, [*overrides, f"engine.compile={compile_}"], 3 if options.quick else 50),
            )


def own_step(overrides: Sequence[str], times: int) -> list[Row]:
    if CUDA:
        torch.cuda.reset_peak_memory_stats()
    training = build.training(runner.compose(overrides))
    batch = next(iter(training.train.epoch(0, 0)))
    began = time.perf_counter()
    training.step(training.state, batch)
    synchronize()
    row = {"seconds of the first step": time.perf_counter() - began}
    row |= timed(lambda: training.step(training.state, batch), times)
    return [row | {"images a second": 1e6 * training.train.batch_size / row["us"], "peak MiB": peak_mib()}]


# A whole step as a CUDA graph


def graph(options: argparse.Namespace) -> Iterator[Case]:
    for name in ("MLP, digits", "ConvNet, 32x32"):
        yield Case(name, 20, partial(graph_beside_eager, step.CASES[name]))


def graph_beside_eager(overrides: Sequence[str]) -> list[Row]:
    """Forward, backward and update by hand, launched one by one and as one graph."""
    if not CUDA:
        return NEEDS_CUDA
    training = build.training(runner.compose(overrides))
    network, precision = training.state.network.train(), training.state.precision
    images, labels = (part[: training.train.batch_size] for part in next(iter(training.train.all_plain())))
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, fused=True, capturable=True)

    def update() -> None:
        with precision.autocast():
            loss = F.cross_entropy(network(images), labels)
        optimizer.zero_grad(set_to_none=False)
        loss.backward()
        optimizer.step()

    eager = timed(update, 100)
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            update()
    torch.cuda.current_stream().wait_stream(side)
    whole = torch.cuda.CUDAGraph()
    with torch.cuda.graph(whole):
        update()
    replayed = timed(whole.replay, 100)
    return [{"by": "eager", **eager}, {"by": "graph", **replayed}]


# Vectorized trials


def stack(options: argparse.Namespace) -> Iterator[Case]:
    networks = {"ConvNet, digits": ["model=convnet"], "MLP, digits": ["model=mlp"]}
    if not options.quick:
        networks["ConvNet, 32x32"] = step.CASES["ConvNet, 32x32"]
    if not options.quick:
        yield Case("64 trials of 5 epochs, runner sweep", 90, partial(sweep, 64, 5, "64"))
        yield Case("64 trials of 5 epochs one by one, runner sweep", 240, partial(sweep, 64, 5, "off"))
    for num_trials in (1, 4) if options.quick else (64, 16, 4, 1, 256):
        for name, overrides in networks.items():
            how = partial(trials, overrides, num_trials)
            yield Case(f"{name}, {num_trials} trials", 15, how)
    yield Case("batch normalization, compiled", 90, partial(compiled_norms, options))
    for num_trials in (2,) if options.quick else (16, 64):
        yield Case(f"a convolution, {num_trials} trials", 15, partial(convolutions, num_trials, options.quick))


def trials(overrides: Sequence[str], num_trials: int) -> list[Row]:
    cfgs = [runner.compose([*overrides, f"optimizer.lr={0.001 * (1 + n / 100)}"]) for n in range(num_trials)]
    if CUDA:
        torch.cuda.reset_peak_memory_stats()
    took = build.VectorizedTimer(cfgs[0]).time(cfgs)
    row = {"trials": num_trials, "ms together": 1e3 * took.together, "ms alone": 1e3 * took.alone}
    return [row | {"times one by one": took.speedup, "peak MiB": peak_mib()}]


def sweep(num_trials: int, epochs: int, vectorize: str) -> list[Row]:
    """The whole command, on small ConvNets."""
    rounds = f"sweep.rounds=[{{trials: {num_trials}, epochs: {epochs}}}]"
    overrides = ["model=convnet", "optimizer.lr=loguniform(1e-4,1e-1)", rounds, "sweep.num_finalists=0"]
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        more = [f"sweep.vectorize={vectorize}", f"output_dir={folder}", "log.progress=none"]
        words("-m", "runner", "sweep", *overrides, *more, timeout=300).check_returncode()
        return [{"trials": num_trials, "vectorize": vectorize, "seconds": time.perf_counter() - began}]


def compiled_norms(options: argparse.Namespace) -> list[Row]:
    """Vectorized trials with batch normalization under reduce-overhead: whether their steps become CUDA graphs."""
    rows = []
    for compile_ in ("false",) if options.quick else ("false", "reduce-overhead"):
        overrides = [
            "model=convnet",
            "model.norm=batch",
            f"engine.compile={compile_}",
            *(SMALL if options.quick else []),
        ]
        cfgs = [runner.compose([*overrides, f"optimizer.lr={0.001 * (1 + n / 100)}"]) for n in range(4)]
        made = build.vectorize(cfgs)
        batch = next(iter(made.train.epoch(0, 0)))
        rows.append({"compile": compile_, **timed(lambda made=made, batch=batch: made.step(made.state, batch), 5)})
    return rows


def convolutions(num_trials: int, quick: bool) -> list[Row]:
    """Forward and backward pass of one 3x3 convolution with a weight per trial, in several ways."""
    batch, channels, side = (4, 4, 8) if quick else (128, 32, 32)
    kind = torch.float32 if quick else torch.bfloat16
    images = torch.randn(num_trials, batch, channels, side, side, device=DEVICE, dtype=kind, requires_grad=True)
    weights = torch.randn(num_trials, channels, channels, 3, 3, device=DEVICE, dtype=kind, requires_grad=True)
    streams = [torch.cuda.Stream() for _ in range(num_trials)] if CUDA else []

    def grouped(memory_format: torch.memory_format) -> Tensor:
        joined = images.transpose(0, 1).reshape(batch, -1, side, side).contiguous(memory_format=memory_format)
        kernels = weights.flatten(0, 1).contiguous(memory_format=memory_format)
        return F.conv2d(joined, kernels, padding=1, groups=num_trials)

    def unfolded() -> Tensor:
        patches = F.unfold(images.flatten(0, 1), 3, padding=1)  # (T B, C 9, H W)
        patches = patches.view(num_trials, batch, channels * 9, -1).transpose(1, 2).flatten(2)
        return torch.bmm(weights.flatten(2), patches)

    def by_streams() -> Tensor:
        if not streams:
            return torch.stack([F.conv2d(x, w, padding=1) for x, w in zip(images, weights, strict=True)])
        outputs = []
        for stream, x, w in zip(streams, images, weights, strict=True):
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                outputs.append(F.conv2d(x, w, padding=1))
        for stream in streams:
            torch.cuda.current_stream().wait_stream(stream)
        return torch.stack(outputs)

    ways: Mapping[str, Callable[[], Tensor]] = {
        "grouped, NCHW": partial(grouped, torch.contiguous_format),
        "grouped, channels_last": partial(grouped, torch.channels_last),
        "unfold and bmm": unfolded,
        "streams": by_streams,
    }
    return [
        {"by": name, **timed(lambda way=way: torch.autograd.grad(way().sum(), (images, weights)), 2 if quick else 20)}
        for name, way in ways.items()
    ]


# airbench94, data and faults


def records(options: argparse.Namespace) -> Iterator[Case]:
    with tempfile.TemporaryDirectory() as folder:
        found: dict[str, airbench.Run] = {}

        def measure(seed: int) -> list[Row]:
            if not found:
                found.update(airbench.contestants(options, Path(folder)))
                for run in found.values():
                    run(100)  # warms up
            rows = []
            for name, run in found.items():
                accuracy, cost = run(seed)
                rows.append({"by": name, "accuracy": accuracy, "seconds": cost.wall, "CPU seconds": cost.cpu})
            return rows

        for seed in range(1 if options.quick else options.turns or 10):
            yield Case(f"seed {seed}", 15 if found else 45, partial(measure, seed))
    variants = {"as it is": []} | ({} if options.quick else VARIANTS)
    for name, more in variants.items():
        yield Case(f"airbench94 by our clocks, {name}", 60, partial(clocks, options, "airbench94", more))
    yield Case("airbench_muon by our clocks", 30, partial(clocks, options, "airbench_muon", []))
    yield Case("kernels of 20 steps of airbench94", 30, partial(kernels, options))


def clocks(options: argparse.Namespace, recipe: str, more: Sequence[str]) -> list[Row]:
    """Seconds of each part of a second training: what the record's script counts is all but the images."""
    overrides = airbench.overrides_of(options, recipe) + list(more)
    for _ in range(2):  # the first one warms up
        cfg = runner.compose([*overrides, "engine.checkpoint_every_epochs=1000"])
        images = build.data(cfg)
        for split in ("train", "test"):
            images.loaded(split, torch.device("cpu"))
        began = time.perf_counter()
        training = build.training(cfg, images)
        synchronize()
        built = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            with Checkpoints(Path(folder), training.settings, {}) as checkpoints:
                fit(training, [], checkpoints, Stop())
            synchronize()
            trained = time.perf_counter()
        accuracy = airbench.accuracy_on_test(training, images)
        row: Row = {"accuracy": accuracy, "seconds to build": built - began, "to train": trained - built}
        row["to test"] = time.perf_counter() - trained
    return [row | {"ms a step": 1e3 * row["to train"] / max(1, training.state.step)}]


def kernels(options: argparse.Namespace) -> list[Row]:
    """The ten kernels, or operations on a CPU, that take most of the time."""
    training = build.training(runner.compose(airbench.overrides_of(options, "airbench94")))
    batches = (batch for epoch in range(20) for batch in training.train.epoch(epoch, 0))
    count = 2 if options.quick else 20
    for _ in range(3):
        training.step(training.state, next(batches))
    activities = [torch.profiler.ProfilerActivity.CPU, *([torch.profiler.ProfilerActivity.CUDA] if CUDA else [])]
    with torch.profiler.profile(activities=activities) as profile:
        for _ in range(count):
            training.step(training.state, next(batches))
        synchronize()
    of_device = "self_device_time_total" if CUDA else "self_cpu_time_total"
    found = sorted(profile.key_averages(), key=lambda event: -getattr(event, of_device))[:10]
    return [{"kernel": event.key[:80], "us a step": getattr(event, of_device) / count} for event in found]


def loading(options: argparse.Namespace) -> Iterator[Case]:
    num_images = 80 if options.quick else 20000
    ways = {"in memory": ["data.loading=in_memory"]}
    for num_workers in (1,) if options.quick else (2, 8, 16):
        ways[f"{num_workers} workers"] = ["data.loading=workers", f"data.num_workers={num_workers}"]
    for side in (32,) if options.quick else (32, 224):
        images = ["data=synthetic", f"data.num_images={num_images * 32 // side}", f"data.image_size={side}"]
        for augment in ("[crop,flip]", "randaugment"):
            for name, way in ways.items():
                overrides = [*images, *way, f"augment={augment}"]
                yield Case(f"{side} pixels, {augment}, {name}", 15, partial(loaded, overrides))


def loaded(overrides: Sequence[str]) -> list[Row]:
    cost = data.by_runner(overrides)
    return [{"images a second": 1 / cost.wall, "CPU us an image": 1e6 * cost.cpu}]


def faults(options: argparse.Namespace) -> Iterator[Case]:
    yield Case("out of memory", 60, out_of_memory)
    yield Case("out of memory, engine.on_oom=shrink", 60, partial(out_of_memory, "engine.on_oom=shrink"))
    yield Case("data.batch_size=auto", 90, partial(out_of_memory, "data.batch_size=auto"))
    yield Case("a device that does not exist", 20, missing_device)
    yield Case("a stop by SIGTERM", 40, stopped)


def out_of_memory(*overrides: str) -> list[Row]:
    if not CUDA:
        return NEEDS_CUDA
    large = ["data.num_images=60000", "data.batch_size=50000", "model.channels=[4096,4096]", "engine.max_steps=2"]
    return [answer("data=synthetic", "model=convnet", *large, *overrides)]


def missing_device() -> list[Row]:
    return [answer("engine.device=cuda:99")]


def answer(*overrides: str) -> Row:
    """The exit status of a training that cannot be, and the last line of its answer."""
    with tempfile.TemporaryDirectory() as folder:
        done = words("-m", "runner", "train", *overrides, f"output_dir={folder}")
    return {"exit status": done.returncode, "answer": (done.stderr.strip().splitlines() or [""])[-1][:300]}


def stopped() -> list[Row]:
    """SIGTERM once a training has begun."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "runner", "train", "engine.epochs=100000", f"output_dir={folder}"]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and not any(Path(folder).rglob("last.pt")):
            time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        began = time.perf_counter()
        status = process.wait(60)
        took = time.perf_counter() - began
        return [{"exit status": status, "seconds to end": took, "checkpoint": any(Path(folder).rglob("last.pt"))}]


PARTS: dict[str, Callable[[argparse.Namespace], Iterator[Case]]] = {
    "facts": facts,
    "tests": tests,
    "step": steps,
    "graph": graph,
    "stack": stack,
    "airbench": records,
    "data": loading,
    "faults": faults,
}
