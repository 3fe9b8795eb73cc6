"""The sampler's log-softmax on a CPU: exact over a large vocabulary, in the place of torch's kernel."""

import subprocess
import sys

import torch

from rl.actors.log_softmax import log_softmax

LOGITS = 3 * torch.randn(16, 262_144, generator=torch.Generator().manual_seed(0))
"""As a Gemma 3's: its vocabulary and the size of its logits."""


def test_it_is_exact_where_torchs_is_not():
    wanted = LOGITS.double().log_softmax(-1)
    assert (log_softmax(LOGITS, -1) - wanted).abs().max() < 5e-6
    assert (LOGITS.log_softmax(-1) - wanted).abs().max() > 1e-5, "torch sums by halves now: remove ours"


def test_types_and_tokens_that_are_ruled_out():
    some = LOGITS[:2, :64].clone()
    some[:, 5:] = -torch.inf  # as after top-p
    torch.testing.assert_close(log_softmax(some, -1), some.log_softmax(-1))
    assert log_softmax(some.double(), -1).dtype == torch.float64
    half, wanted = some.bfloat16(), some.bfloat16().float().log_softmax(-1)
    torch.testing.assert_close(log_softmax(half, -1), wanted.bfloat16())
    torch.testing.assert_close(log_softmax(half, -1, half_to_float=True), wanted)


ENGINE = """
import sys, types
import torch
sys.modules["vllm"] = types.SimpleNamespace(LLM=dict)  # which takes half a minute to start
from rl.actors.vllm_engine import EngineSpec, build
from rl.config.schema import ModelConfig, RolloutConfig
for _ in range(2):
    assert build(EngineSpec(ModelConfig(), RolloutConfig(), "folder", "cpu", 0))["dtype"] == "float32"
logits = 3 * torch.randn(4, 262_144, generator=torch.Generator().manual_seed(0))
wanted = logits.double() - logits.double().logsumexp(-1, keepdim=True)
for found in (logits.log_softmax(dim=-1, dtype=torch.float32), torch.nn.functional.log_softmax(logits, -1)):
    assert (found - wanted).abs().max() < 5e-6
few = logits[:, :50].requires_grad_()
few.log_softmax(-1)[:, 3].sum().backward()
torch.testing.assert_close(few.grad.sum(-1), torch.zeros(4), atol=1e-5, rtol=0)
"""


def test_it_takes_the_place_of_torchs_in_the_process_of_an_engine():
    done = subprocess.run([sys.executable, "-W", "error", "-c", ENGINE], capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr, done.stderr
