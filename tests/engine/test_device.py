"""Which device and which arithmetic a training takes, on machines that are told to be others."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from runner import gpus
from runner.build.single import SharedSetup
from runner.engine import device as device_module
from runner.engine.device import select_device, set_job_number
from runner.engine.precision import Precision
from runner.engine.process import prepare, use_one_thread
from runner.engine.settings import Settings
from runner.errors import UserError


@pytest.fixture
def machine(monkeypatch):
    """`machine(gpus=2)`: have torch say that the machine is so."""

    def be(gpus=0, mps=False, current=0, capability=(9, 0)):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        monkeypatch.setattr(torch.cuda, "current_device", lambda: current)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    monkeypatch.delenv("RUNNER_JOB", raising=False)
    monkeypatch.delenv("RUNNER_WORKER", raising=False)
    return be


@pytest.mark.parametrize(
    ("about", "device"),
    [
        ({}, "cpu"),
        ({"mps": True}, "mps"),
        ({"gpus": 1, "mps": True}, "cuda:0"),
        ({"gpus": 2, "current": 1}, "cuda:1"),
    ],
)
def test_auto_takes_cuda_then_mps_then_the_cpu(machine, about, device):
    machine(**about)
    assert select_device("auto") == torch.device(device)


@pytest.mark.parametrize(("job", "worker", "gpu"), [("0", None, 0), ("5", None, 2), ("5", "1", 1), (None, "4", 1)])
def test_jobs_are_spread_over_the_gpus_by_their_worker_or_their_number(machine, monkeypatch, job, worker, gpu):
    machine(gpus=3)
    monkeypatch.setenv("RUNNER_JOB", "0")
    if worker is not None:
        monkeypatch.setenv("RUNNER_WORKER", worker)
    if job is not None:
        set_job_number(int(job))
    assert select_device("auto") == torch.device("cuda", gpu)


@pytest.mark.parametrize("name", ["cpu", "cuda:1", "mps"])
def test_a_device_that_is_there_is_taken_by_name(machine, name):
    machine(gpus=2, mps=True)
    assert select_device(name) == torch.device(name)


def test_a_gpu_without_a_number_is_the_current_one(machine):
    """So that nothing afterwards asks which it is, and makes a context on another."""
    machine(gpus=2, current=1)
    assert select_device("cuda") == torch.device("cuda:1")


def test_the_workspace_of_deterministic_products_is_set_before_any_product():
    code = "import os; import runner.engine.device; print(os.environ['CUBLAS_WORKSPACE_CONFIG'])"
    environment = {key: value for key, value in os.environ.items() if key != "CUBLAS_WORKSPACE_CONFIG"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout == ":4096:8\n"


@pytest.mark.parametrize(
    ("words", "matmul", "tf32"),
    [({}, "high", True), ({"precision": "fp32"}, "highest", False), ({"deterministic": True}, "highest", False)],
)
def test_a_gpu_is_made_current_and_fp32_means_fp32(monkeypatch, words, matmul, tf32):
    current = []
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    prepare(Settings(**words), 0, torch.device("cuda:1"))
    assert current == [torch.device("cuda:1")]
    assert torch.get_float32_matmul_precision() == matmul
    assert torch.backends.cudnn.allow_tf32 is tf32


@pytest.mark.parametrize(
    ("about", "name", "message"),
    [
        ({}, "cudaa", "engine.device: no device 'cudaa'; did you mean 'cuda'?"),
        ({}, "cuda", "engine.device: no device 'cuda' on this machine (0 CUDA devices); use auto or cpu"),
        ({"gpus": 2}, "cuda:2", "engine.device: no device 'cuda:2' on this machine (2 CUDA devices); use auto or cpu"),
        ({}, "mps", "engine.device: no device 'mps' on this machine; use auto or cpu"),
        ({}, "meta", "engine.device: 'meta' is not supported; choose from auto, cpu, cuda, mps"),
    ],
)
def test_a_device_that_is_not_there_is_refused_with_what_to_use(machine, about, name, message):
    machine(**about)
    with pytest.raises(UserError) as error:
        select_device(name)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("device", "capability", "name", "dtype"),
    [
        ("cpu", None, "fp32", torch.float32),
        ("mps", None, "fp32", torch.float32),
        ("cuda", (8, 0), "bf16", torch.bfloat16),
        ("cuda", (7, 5), "fp16", torch.float16),
    ],
)
def test_auto_is_the_fastest_arithmetic_that_the_device_has(machine, device, capability, name, dtype):
    machine(gpus=1, capability=capability)
    found = Precision("auto", torch.device(device))
    assert (found.name, found.dtype) == (name, dtype)


@pytest.mark.parametrize(
    ("name", "device", "message"),
    [
        ("bf16", "cuda", "engine.precision: this GPU has no bf16; use fp16 or fp32"),
        ("bf16", "mps", "engine.precision: bf16 is not supported on mps; use fp32"),
        ("fp16", "mps", "engine.precision: fp16 is not supported on mps; use fp32"),
    ],
)
def test_arithmetic_that_the_device_has_not_is_refused(machine, name, device, message):
    machine(gpus=1, capability=(7, 5))
    with pytest.raises(UserError) as error:
        Precision(name, torch.device(device))
    assert str(error.value) == message


@pytest.mark.parametrize(("name", "scaled"), [("fp32", False), ("bf16", False), ("fp16", True)])
def test_gradients_are_scaled_in_fp16_alone_and_autocast_is_off_in_fp32(name, scaled):
    made = Precision(name, torch.device("cpu"))
    assert made.scaler.is_enabled() == scaled
    with made.autocast():
        assert torch.is_autocast_enabled("cpu") == (name != "fp32")
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == made.dtype


@pytest.mark.parametrize(("gpus", "threads"), [(0, 1), (1, 3)])
def test_a_process_that_shares_the_cores_has_one_thread_but_on_a_gpu_machine(machine, gpus, threads):
    machine(gpus=gpus)
    torch.set_num_threads(3)
    use_one_thread()
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("wanted", [True, False])
def test_algorithms_are_deterministic_where_that_is_asked_for_whatever_was_before(before, wanted):
    torch.use_deterministic_algorithms(before)
    prepare(Settings(deterministic=wanted), 0, torch.device("cpu"))
    assert torch.are_deterministic_algorithms_enabled() == wanted


def test_a_gpu_that_cannot_be_used_is_told(monkeypatch, tmp_path):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(gpus, "DRIVER", tmp_path / "gpus")
    cpu = torch.device("cpu")
    assert device_module.unused_gpu("auto", cpu) is None  # no driver
    (tmp_path / "gpus/0000:01:00.0").mkdir(parents=True)
    for version, text in ((None, "torch has no CUDA"), ("13.0", "torch needs a driver for CUDA 13.0")):
        monkeypatch.setattr(torch.version, "cuda", version)
        assert text in device_module.unused_gpu("auto", cpu)
    assert device_module.unused_gpu("cpu", cpu) is None  # as asked for
    assert device_module.unused_gpu("auto", torch.device("cuda", 0)) is None
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert device_module.unused_gpu("auto", cpu) is None  # hidden on purpose


def test_workers_on_one_gpu_share_its_memory(monkeypatch):
    gpu = torch.device("cuda", 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv(device_module.NUM_WORKERS, raising=False)
    assert device_module.num_sharing(gpu) == 1
    monkeypatch.setenv(device_module.NUM_WORKERS, "5")
    assert device_module.num_sharing(gpu) == 3  # of five workers on two GPUs, three are on the first
    assert device_module.num_sharing(torch.device("cpu")) == 1


@pytest.mark.parametrize(
    ("num_threads", "device", "chooses"), [(0, "cpu", True), (2, "cpu", False), (0, "cuda", False)]
)
def test_threads_are_chosen_on_a_cpu_unless_their_number_is_set(num_threads, device, chooses, monkeypatch):
    chosen = []
    monkeypatch.setattr("runner.engine.process.set_num_threads", lambda *given: chosen.append(given))
    setup = SimpleNamespace(
        device=torch.device(device),
        settings=SimpleNamespace(num_threads=num_threads),
        dataset=SimpleNamespace(image_shape=(3, 8, 8)),
        train=SimpleNamespace(batch_size=32),
    )
    SharedSetup.choose_threads(setup, "network", num_trials=3)
    assert chosen == ([("network", (3, 8, 8), 96)] if chooses else [])
