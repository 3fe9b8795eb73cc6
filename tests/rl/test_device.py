"""What follows from the device, by hand, and that every vLLM engine is built from one place."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from rl.actors import inference, judge, trainer, vllm_engine
from rl.actors.rollout import RolloutSpec
from rl.actors.trainer import TrainerSpec
from rl.actors.vllm_engine import EngineSpec
from rl.config.schema import JudgeConfig, ModelConfig, RolloutConfig, TrainerConfig
from rl.device import CPU, CUDA, DEVICES, chosen, named
from rl.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
ROLLOUT = RolloutConfig(
    threads=3, kv_cache_gb=5, gpu_memory_utilization=0.4, max_num_seqs=17, enforce_eager=False, weight_transfer="shm"
)


def engine(device):
    return EngineSpec(ModelConfig(max_length=96, trust_remote_code=True), ROLLOUT, "/m", device, 7)


def test_precision_and_process_groups():
    assert (CPU.dtype, CPU.process_group, CPU.exact) == ("float32", "cpu:gloo", True)
    assert (CUDA.dtype, CUDA.process_group, CUDA.exact) == ("bfloat16", "cpu:gloo,cuda:nccl", False)
    assert (CPU.compiles, CUDA.compiles) == (False, True)


@pytest.mark.parametrize(
    ("device", "split", "backend", "takes_turns"),
    [(CPU, False, "shm", False), (CPU, True, "shm", False), (CUDA, False, "ipc", True), (CUDA, True, "nccl", False)],
)
def test_weights_go_as_the_placement_allows(device, split, backend, takes_turns):
    assert device.transfer("auto", split) == backend and device.transfer("adapter", split) == "adapter"
    assert device.takes_turns(split) == takes_turns


def test_ray_is_asked_for_gpus_where_there_are_any():
    assert CPU.bundle(2) == {"CPU": 1.0} and CPU.request(0.5, 0.25) == {"num_cpus": 0.5, "num_gpus": 0}
    assert CUDA.bundle() == {"CPU": 1.0, "GPU": 1.0} and CUDA.bundle(2) == {"CPU": 1.0, "GPU": 2.0}
    assert CUDA.request(0.5, 0.25) == {"num_cpus": 0.5, "num_gpus": 0.25}


@pytest.mark.parametrize(
    ("choice", "gpus", "device"),
    [("auto", 0, CPU), ("auto", 0.5, CPU), ("auto", 1, CUDA), ("cpu", 8, CPU), ("cuda", 0, CUDA)],
)
def test_auto_takes_a_whole_gpu(choice, gpus, device):
    assert chosen(choice, gpus) is device


@pytest.mark.parametrize("ask", [named, lambda name: chosen(name, 1), lambda name: vllm_engine.options(engine(name))])
def test_an_unknown_device_is_refused_with_a_sentence(ask):
    with pytest.raises(UserError, match="there is no device 'cdua'; use cpu or cuda"):
        ask("cdua")


def test_the_configuration_offers_these_devices():
    assert set(DEVICES) | {"auto"} == set(TrainerConfig.model_fields["device"].annotation.__args__)


def test_environment_of_a_trainer():
    def environment(device):
        spec = TrainerSpec(ModelConfig(), TrainerConfig(threads=3), "/m", device, 0, 0, "shm", "/w")
        return trainer.environment(spec)

    assert environment("cuda") == {"TOKENIZERS_PARALLELISM": "false", "HYDRA_FULL_ERROR": "1"}
    assert environment("cpu") == environment("cuda") | {
        "VERL_PLATFORM": "cpu",
        "VERL_USE_EXTERNAL_MODULES": "rl.engines.cpu_platform",
        "OMP_NUM_THREADS": "3",
        "OMP_WAIT_POLICY": "PASSIVE",
        "KMP_BLOCKTIME": "0",
    }


def test_environment_of_an_engine():
    assert vllm_engine.environment(engine("cuda")) == {
        "VLLM_LOGGING_LEVEL": "ERROR",
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_NO_USAGE_STATS": "1",
    }
    assert vllm_engine.environment(engine("cpu")) == vllm_engine.environment(engine("cuda")) | {
        "VLLM_CPU_KVCACHE_SPACE": "5",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "OMP_NUM_THREADS": "3",
        "OMP_WAIT_POLICY": "PASSIVE",
        "KMP_BLOCKTIME": "0",
    }
    assert CPU.vllm_environment(1, eager=True) == {
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "TORCHDYNAMO_DISABLE": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
        "KMP_BLOCKTIME": "0",
    }


def test_options_of_an_engine():
    cpu = {
        "model": "/m",
        "max_model_len": 96,
        "enforce_eager": False,
        "dtype": "float32",
        "seed": 7,
        "max_num_seqs": 17,
        "trust_remote_code": True,
    }
    assert vllm_engine.options(engine("cpu")) == cpu
    assert vllm_engine.options(engine("cuda")) == cpu | {"dtype": "bfloat16", "gpu_memory_utilization": 0.4}


def test_rollout_and_inference_build_from_the_same_options(monkeypatch):
    spec = engine("cpu")
    rollout = RolloutSpec(spec.model, spec.rollout, spec.path, spec.device, spec.seed, "shm")
    assert vllm_engine.options(rollout) == vllm_engine.options(spec)
    given = []
    monkeypatch.setattr(inference, "build", lambda spec, **own: given.append((vllm_engine.options(spec), own)))
    for device, width, shorten in (("cpu", 1, True), ("cuda", 2, False)):
        inference.InferenceActor(engine(device), width, shorten)
    assert given == [
        (
            vllm_engine.options(spec),
            {"enable_chunked_prefill": False, "max_num_batched_tokens": 2048, "max_model_len": -1},
        ),
        (
            vllm_engine.options(engine("cuda")),
            {"tensor_parallel_size": 2, "distributed_executor_backend": "mp"},
        ),
    ]


def test_options_of_a_served_judge():
    config = JudgeConfig(kind="llm", model="/j", max_model_len=512, gpu_memory_utilization=0.3)
    form = '{"backend": "xgrammar", "disable_any_whitespace": true}'
    common = ["--model", "/j", "--max-model-len", "512", "--enforce-eager"]
    own = ["--structured-outputs-config", form, "--generation-config", "vllm"]
    memory = ["--gpu-memory-utilization", "0.3"]
    whole = ["--no-enable-chunked-prefill", "--max-num-batched-tokens", "2048"]
    assert vllm_engine.flags(judge.server_options(config, "cpu")) == common + whole + own
    assert vllm_engine.flags(judge.server_options(config, "cuda")) == common + memory + own
    assert vllm_engine.flags({"trust_remote_code": False, "seed": 0}) == ["--no-trust-remote-code", "--seed", "0"]


def test_vllm_is_built_in_one_place():
    sources = [path for folder in ("rl", "tools") for path in sorted((ROOT / folder).rglob("*.py"))]
    found = {
        str(path.relative_to(ROOT))
        for path in sources
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and {alias.name for alias in node.names} & {"LLM", "LLMEngine", "AsyncLLM"}
    }
    assert found == {"rl/actors/vllm_engine.py"}


def test_it_is_light():
    code = (
        "import sys, rl.device, rl.actors.vllm_engine, rl.actors.inference\n"
        "print({'torch', 'ray', 'verl', 'vllm', 'transformers'} & set(sys.modules) or 'none')"
    )
    answer = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert answer.stdout.strip() == "none"
