"""Weights as a stream: the file that safetensors reads again, and parts of a bounded size."""

import weakref

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from rl.weights.stream import in_parts, write

DTYPES = [
    torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2, torch.int64,
    torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool,
]  # fmt: skip


def bits(tensor):
    return tensor.contiguous().reshape(-1).view(torch.uint8).tolist()


def metadata(tensors):
    return {name: torch.empty_like(tensor, device="meta") for name, tensor in tensors.items()}


@pytest.fixture
def tensors():
    """Of every type, some of an odd number of bytes, narrow ones before wide ones; views, a shared and an empty one."""
    torch.manual_seed(0)
    found = {f"{dtype}".removeprefix("torch."): torch.randn(3, 5).to(dtype) for dtype in reversed(DTYPES)}
    table = torch.randn(6, 4, dtype=torch.float32)
    return found | {
        "缝.weight": torch.tensor([[float("nan"), -0.0], [float("inf"), 1e-45]]),
        "transposed": table.T,
        "every second column": table.bfloat16()[:, ::2],
        "expanded": torch.ones(1, 3).expand(5, 3),
        "embedding": table,
        "head": table,
        "empty": torch.empty(0, 7),
        "scalar": torch.tensor(3.5),
    }


def test_a_file_written_one_tensor_at_a_time_has_every_bit(tmp_path, tensors):
    path = tmp_path / "w.safetensors"
    write(tensors.items(), metadata(tensors), path)
    found = load_file(path)
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert (found[name].dtype, found[name].shape) == (tensor.dtype, tensor.shape), name
        assert bits(found[name]) == bits(tensor), name
    with safe_open(path, framework="pt") as file:
        assert torch.equal(file.get_slice("transposed")[1:3], tensors["transposed"][1:3])


def test_the_order_in_which_weights_come_is_free(tmp_path, tensors):
    for name, items in {"one": tensors.items(), "two": reversed(tensors.items())}.items():
        write(items, metadata(tensors), tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_other_weights_than_announced_are_refused(tmp_path):
    announced = metadata({"a": torch.ones(2), "b": torch.ones(3)})
    with pytest.raises(ValueError, match="1 weights did not come, among them b"):
        write([("a", torch.ones(2))], announced, tmp_path / "w")
    for tensor in (torch.ones(2, 1), torch.ones(2).bfloat16()):
        with pytest.raises(ValueError, match="a is not the weight that was announced"):
            write([("a", tensor)], announced, tmp_path / "w")
    with pytest.raises(ValueError, match="came twice"):
        write([("a", torch.ones(2))] * 2, announced, tmp_path / "w")


def test_parts_are_bounded_whole_and_freed_before_the_next():
    sizes = [3, 3, 3, 10, 1, 1, 6, 2]  # numbers of 4 bytes
    alive = weakref.WeakSet()

    def weights():
        for number, size in enumerate(sizes):
            tensor = torch.full((size,), float(number))
            alive.add(tensor)
            yield str(number), tensor

    found, most = [], 0
    parts = in_parts(weights(), limit=32)
    while (part := next(parts, None)) is not None:
        assert sum(tensor.nbytes for _, tensor in part) <= 32 or len(part) == 1
        found.append([name for name, _ in part])
        most = max(most, sum(tensor.nbytes for tensor in alive))
        part = None
    assert found == [["0", "1"], ["2"], ["3"], ["4", "5", "6"], ["7"]]
    assert list(in_parts([], limit=32)) == []
    # A part, and the tensor that showed that it is full.
    assert most <= 32 + 4 * max(sizes)
