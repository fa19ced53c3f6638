"""Reading DeepSTORM3D's PyTorch weights."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from ds3d_tf.common.errors import InputError
from ds3d_tf.model.torch_weights import network_from_state, read_state

torch = pytest.importorskip("torch", reason="the extra [torch] is not installed")


def test_sizes_come_from_the_weights(data):
    state = read_state(data / "weights" / "tetrapod_telomere_demo3.pkl")
    model = network_from_state(state, max_dilation=4, scaling_factor=100.0)
    assert (model.depth_voxels, model.filters, model.max_dilation, model.scaling_factor) == (81, 64, 4, 100.0)
    assert len(model.weights) == len([name for name in state if "num_batches" not in name])


def tiny_state(filters: int = 2, depth: int = 3) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    shapes = {"norm": (1,)}
    channels = {"layer1": (1, filters)}
    channels |= {f"layer{i}": (filters + 1, filters) for i in range(2, 7)}
    channels |= {"deconv1": (filters + 1, filters), "deconv2": (filters, filters)}
    channels |= {"layer7": (filters, depth), "layer8": (depth, depth), "layer9": (depth, depth)}
    state = {f"norm.{name}": rng.normal(size=shapes["norm"]) for name in ("weight", "bias", "running_mean")}
    state["norm.running_var"] = rng.random(1)
    for name, (before, after) in channels.items():
        state[f"{name}.conv.weight"] = rng.normal(size=(after, before, 3, 3))
        for part in ("conv.bias", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var"):
            state[f"{name}.{part}"] = rng.random(after)
        state[f"{name}.bn.num_batches_tracked"] = np.array(7.0)
    state["layer10.weight"], state["layer10.bias"] = rng.normal(size=(depth, depth, 1, 1)), rng.random(depth)
    return state


def test_every_array_arrives_where_it_belongs():
    state = tiny_state()
    model = network_from_state(state)
    kernel = model.get_layer("upsampling_1").convolution.kernel.numpy()
    assert np.array_equal(kernel[2, 0, 1], state["deconv1.conv.weight"][:, 1, 2, 0].astype(np.float32))
    variance = model.get_layer("depth_3").norm.moving_variance.numpy()
    assert np.array_equal(variance, state["layer9.bn.running_var"].astype(np.float32))
    assert np.array_equal(model.frame_norm.beta.numpy(), state["norm.bias"].astype(np.float32))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("layer10.weight"), "layer10.weight is missing"),
        (lambda state: state.pop("deconv2.bn.bias"), "deconv2.bn.bias is missing"),
        (lambda state: state.update(extra=np.zeros(3)), "extra is unknown"),
        (lambda state: state.update({"layer8.conv.bias": np.zeros(5)}), r"layer8.conv.bias has shape \(5,\)"),
        (lambda state: state.update({"layer4.conv.weight": np.full((2, 3, 3, 3), np.nan)}), "not finite"),
        (lambda state: state.clear(), "weights of another network"),
    ],
)
def test_another_network(change, message):
    state = tiny_state()
    change(state)
    with pytest.raises(InputError, match=f"the file: .*{message}"):
        network_from_state(state, where="the file")


def test_files_that_are_no_weights(tmp_path, data):
    (tmp_path / "text.pkl").write_text("no weights")
    (tmp_path / "empty.pkl").touch()
    whole = (data / "weights" / "tetrapod_telomere_demo3.pkl").read_bytes()
    (tmp_path / "truncated.pkl").write_bytes(whole[:-1000])
    torch.save([1, 2], tmp_path / "list.pkl")
    for name, message in {
        "missing.pkl": "no such file",
        "text.pkl": "not a PyTorch weight file",
        "empty.pkl": "not a PyTorch weight file",
        "truncated.pkl": "truncated",
        "list.pkl": "expected a state_dict",
    }.items():
        with pytest.raises(InputError, match=message) as error:
            read_state(tmp_path / name)
        assert str(tmp_path / name) in str(error.value)
        assert "\n" not in str(error.value)


class Evil:
    """A pickle that would run code if it were trusted."""

    def __reduce__(self):
        return (exec, ("import os; os.environ['DS3D_TF_EVIL'] = '1'",))


def test_pickles_are_not_trusted(tmp_path, monkeypatch):
    import os
    import pickle

    monkeypatch.delenv("DS3D_TF_EVIL", raising=False)
    (tmp_path / "evil.pkl").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(InputError, match="not a PyTorch weight file"):
        read_state(tmp_path / "evil.pkl")
    assert "DS3D_TF_EVIL" not in os.environ


def test_without_torch(tmp_path, monkeypatch):
    (tmp_path / "weights.pkl").touch()
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(InputError, match=r"pip install 'ds3d-tf\[torch\]'"):
        read_state(tmp_path / "weights.pkl")
