"""Shapes of stored weights from the headers of their files, and what does not fit."""

import json

import pytest
import torch
from safetensors.torch import save_file

from rl.errors import UserError
from rl.models.stored import misfit, stored_shapes, weight_files


def test_a_tensor_in_parts_has_the_shape_of_the_whole(tmp_path):
    for rank in (0, 1):
        sharding = {"w": {"saved_offsets": [3 * rank, 0]}, "step": {"saved_offsets": []}}
        tensors = {"w": torch.zeros(3 - rank, 4), "step": torch.zeros(())}
        save_file(tensors, tmp_path / f"{rank}.safetensors", {"DCP_SHARDING_INFO": json.dumps(sharding)})
    save_file({"b": torch.zeros(7)}, tmp_path / "plain.safetensors")
    assert stored_shapes(tmp_path.glob("*.safetensors")) == {"w": (5, 4), "step": (), "b": (7,)}


def test_files_are_those_of_the_index_or_the_only_one(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"")
    assert weight_files(tmp_path) == [tmp_path / "model.safetensors"]
    index = tmp_path / "model.safetensors.index.json"
    for name in ("a", "b"):
        (tmp_path / f"{name}.safetensors").write_bytes(b"")
    index.write_text(json.dumps({"weight_map": {"x": "b.safetensors", "y": "a.safetensors", "z": "a.safetensors"}}))
    assert weight_files(tmp_path) == [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    (tmp_path / "b.safetensors").unlink()
    with pytest.raises(UserError, match=r"has no b\.safetensors; give the model's weights, complete"):
        weight_files(tmp_path)
    for text in ("{", "[]", '{"weight_map": 3}', '{"weight_map": {"x": []}}'):
        index.write_text(text)
        with pytest.raises(UserError, match=r"index\.json is damaged"):
            weight_files(tmp_path)


def test_a_file_that_is_cut_short_is_named(tmp_path):
    file = tmp_path / "model.safetensors"
    save_file({"w": torch.zeros(100)}, file)
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(UserError, match=r"model\.safetensors can't be read as safetensors .*; get the file again"):
        stored_shapes([file])


def test_what_does_not_fit_is_said():
    wanted = {"a": (2, 3), "b": ()}
    assert misfit({"a": (2, 3), "b": (), "further": (1,)}, wanted) == ""
    assert misfit({"a": (2, 3)}, wanted) == "b is missing"
    assert misfit({"a": (2, 4), "b": ()}, wanted) == "a has the shape 2 x 4 and not 2 x 3"
    assert misfit({"a": (2, 3), "b": (1,)}, wanted) == "b has the shape 1 and not that of a number"
