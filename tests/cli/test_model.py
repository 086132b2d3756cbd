"""`impasto model`: imports weights, lists, describes and checks models; refuses what is none."""
import io
import json
import os
import pathlib
import pickle
import struct
import zipfile

import pytest

from support import halves_to_floats, painted, refused, run, vgg19_tensors, write_safetensors


@pytest.fixture(scope="module")
def imported(weights, tmp_path_factory):
    """A models folder with the random weights, imported under their network's name."""
    folder = tmp_path_factory.mktemp("imported") / "new" / "folder"
    result = painted("model", "import", str(weights), folder=folder.parent.parent, environment={"IMPASTO_MODELS": str(folder)})
    assert "vgg19" in result.out
    return folder


def test_import_into_the_models_folder(imported):
    assert [path.name for path in imported.iterdir()] == ["vgg19.safetensors"]


def test_default_folders(weights, tmp_path):
    for variables, folder in [({"XDG_DATA_HOME": str(tmp_path / "data")}, "data/impasto/models"),
                              ({"XDG_DATA_HOME": "", "HOME": str(tmp_path)}, ".local/share/impasto/models"),
                              ({"XDG_DATA_HOME": "relative", "HOME": str(tmp_path)}, ".local/share/impasto/models")]:
        environment = {"IMPASTO_MODELS": "", **variables}
        painted("model", "import", str(weights), folder=tmp_path, environment=environment)
        (tmp_path / folder / "vgg19.safetensors").unlink()


def test_list(imported, tmp_path):
    environment = {"IMPASTO_MODELS": str(imported)}
    listed = painted("model", "list", folder=tmp_path, environment=environment).out
    assert "vgg19" in listed and "thin" in listed and "model import" not in listed
    model, *_ = json.loads(painted("model", "list", "--json", folder=tmp_path, environment=environment).out)["models"]
    assert model["name"] == model["architecture"] == "vgg19" and model["path"] == str(imported / "vgg19.safetensors")


def test_list_of_what_comes_with_the_program(tmp_path):
    environment = {"IMPASTO_MODELS": str(tmp_path / "missing")}
    assert "model import" in painted("model", "list", folder=tmp_path, environment=environment).out
    models = json.loads(painted("model", "list", "--json", folder=tmp_path, environment=environment).out)["models"]
    assert [model["name"] for model in models] == ["mobilenetv3", "thin"]


def test_list_with_a_damaged_model(tmp_path):
    (tmp_path / "broken.safetensors").write_bytes(b"nothing")
    environment = {"IMPASTO_MODELS": str(tmp_path)}
    assert "damaged" in painted("model", "list", folder=tmp_path, environment=environment).out
    model, *_ = json.loads(painted("model", "list", "--json", folder=tmp_path, environment=environment).out)["models"]
    assert model["name"] == "broken" and "broken.safetensors" in model["error"]


def test_info(imported, tmp_path):
    path = str(imported / "vgg19.safetensors")
    assert "conv4_2" in painted("model", "info", path, folder=tmp_path).out
    info = json.loads(painted("model", "info", path, "--json", folder=tmp_path).out)
    assert info["architecture"] == "vgg19" and info["path"] == path and info["feature_scale"] > 0
    assert info["layers"][0] == "conv1_1" and "conv5_1" in info["layers"]
    assert info["tensor_count"] == len(info["tensors"])
    first = next(tensor for tensor in info["tensors"] if tensor["shape"] == [64, 3, 3, 3])
    values = halves_to_floats(vgg19_tensors()[0][3])
    mean = sum(values) / len(values)
    assert first["dtype"] == "F32" and "conv1_1" in first["name"]
    assert abs(first["mean"] - mean) < 1e-6  # printed with nine digits; channels may have been turned around, which keeps it
    assert first["minimum"] < 0 < first["maximum"]


def test_verify(imported, tmp_path):
    assert painted("model", "verify", str(imported / "vgg19.safetensors"), folder=tmp_path).out.startswith("ok: ")
    environment = {"IMPASTO_MODELS": str(imported)}
    result = painted("model", "verify", "vgg19", "--json", folder=tmp_path, environment=environment)
    assert json.loads(result.out)["ok"] is True
    refused("model", "verify", "unknown", folder=tmp_path, mentions="unknown")


@pytest.mark.parametrize("half,dtype", [("f16", "F16"), ("bf16", "BF16")])
def test_half(imported, weights, tmp_path, half, dtype):
    painted("model", "import", str(weights), "-o", "half.safetensors", "--half", half, folder=tmp_path)
    whole = (imported / "vgg19.safetensors").stat().st_size
    # Half the bytes but for the header, which is a few kilobytes of eighty megabytes.
    assert abs((tmp_path / "half.safetensors").stat().st_size / whole - 0.5) < 0.01
    info = json.loads(painted("model", "info", "./half.safetensors", "--json", folder=tmp_path).out)
    assert {tensor["dtype"] for tensor in info["tensors"] if "weight" in tensor["name"]} == {dtype}


@pytest.mark.parametrize("preprocessing", ["caffe", "torchvision"])
def test_preprocessing(weights, tmp_path, preprocessing):
    result = painted("model", "import", str(weights), "-o", "m.safetensors", "--preprocessing", preprocessing, "--json",
                     folder=tmp_path)
    summary = json.loads(result.out)
    assert summary["preprocessing"] == preprocessing and summary["path"] == "m.safetensors"


def test_the_file_itself_is_not_overwritten(imported, tmp_path):
    os.symlink(imported / "vgg19.safetensors", tmp_path / "vgg19.safetensors")
    refused("model", "import", "vgg19.safetensors", "-o", "vgg19.safetensors", folder=tmp_path, mentions="itself")
    refused("model", "import", "vgg19.safetensors", folder=tmp_path, environment={"IMPASTO_MODELS": str(imported)},
            mentions="itself")


def test_output_that_cannot_be(weights, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    refused("model", "import", str(weights), "-o", "missing/m.safetensors", folder=tmp_path, mentions="missing")
    refused("model", "import", str(weights), folder=tmp_path, environment={"IMPASTO_MODELS": str(tmp_path / "file" / "m")},
            mentions="file")


# ---- what is no model ------------------------------------------------------------------------------------------------------

class Command:
    """Pickled, it asks whoever loads it to run a command."""

    def __reduce__(self):
        return os.system, ("touch owned",)


def torch_archive(pickled):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/version", b"3\n")
    return stream.getvalue()


def doubling_memo():
    """Lists that hold the one before twice: thirty of them are a billion."""
    code = b"\x80\x02]q\x00"
    for level in range(30):
        code += b"]q" + bytes([level + 1]) + b"(h" + bytes([level]) + b"h" + bytes([level]) + b"e"
    return code + b"."


BAD_MODELS = {
    "os.system": torch_archive(pickle.dumps({"weight": Command()}, 2)),
    "plain os.system": pickle.dumps(Command(), 2),
    "nested": torch_archive(b"\x80\x02" + b"]" * 100000 + b"a" * 99999 + b"."),
    "doubling memo": torch_archive(doubling_memo()),
    "cut pickle": torch_archive(pickle.dumps({"weight": [1.0] * 100}, 2)[:-20]),
    "no tensors": torch_archive(pickle.dumps({"a": 1}, 2)),
    "cut zip": torch_archive(pickle.dumps({"a": 1}, 2))[:60],
    "lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:0000\nsize 80000000\n",
    "page": b"<!DOCTYPE html>\n<html><head><title>404</title></head></html>\n",
    "text": b"weights\n" * 1000,
    "empty": b"",
    "zeros": bytes(4096),
    "header longer than the file": struct.pack("<Q", 1 << 40) + b"{}",
    "header is no JSON": struct.pack("<Q", 8) + b"{\"a\":   ",
}


@pytest.mark.parametrize("kind", BAD_MODELS)
@pytest.mark.parametrize("command", ["import", "info", "verify"])
def test_no_model(tmp_path, kind, command):
    (tmp_path / "model.pth").write_bytes(BAD_MODELS[kind])
    options = ["-o", "out.safetensors"] if command == "import" else []
    refused("model", command, "./model.pth", *options, folder=tmp_path, mentions="model.pth")


@pytest.mark.parametrize("kind,words", [("lfs", "LFS"), ("page", "page")])
def test_what_it_is_instead(tmp_path, kind, words):
    (tmp_path / "model.pth").write_bytes(BAD_MODELS[kind])
    refused("model", "import", "model.pth", "-o", "out.safetensors", folder=tmp_path, mentions=words)


def header_of(entries):
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text + bytes(64)


@pytest.mark.parametrize("entries", [
    {"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}, "b": {"dtype": "F32", "shape": [4], "data_offsets": [8, 24]}},
    {"a": {"dtype": "F32", "shape": [400], "data_offsets": [0, 1600]}},
    {"a": {"dtype": "F32", "shape": [4], "data_offsets": [16, 0]}},
    {"a": {"dtype": "F32", "shape": [1 << 62, 4], "data_offsets": [0, 64]}},
    {"a": {"dtype": "F32", "shape": [-4], "data_offsets": [0, 16]}},
    {"a": {"dtype": "X9", "shape": [4], "data_offsets": [0, 16]}},
    {"a": {"dtype": "F32", "shape": [16], "data_offsets": [0, 64]}},
])
def test_bad_safetensors(tmp_path, entries):
    (tmp_path / "bad.safetensors").write_bytes(header_of(entries))
    refused("model", "import", "bad.safetensors", "-o", "out.safetensors", folder=tmp_path, mentions="bad.safetensors")


def changed_weights(path, change):
    tensors = vgg19_tensors()
    change(tensors)
    write_safetensors(path, tensors)


def remove_a_layer(tensors):
    del tensors[4:6]


def put_a_nan(tensors):
    name, dtype, shape, data = tensors[6]
    tensors[6] = (name, dtype, shape, b"\x00\x7e" + data[2:])


def change_a_shape(tensors):
    name, dtype, shape, data = tensors[6]
    tensors[6] = (name, dtype, [shape[1], shape[0] // 2, 3, 6], data)


@pytest.mark.parametrize("change", [remove_a_layer, put_a_nan, change_a_shape])
def test_damaged_weights(tmp_path, change):
    changed_weights(tmp_path / "w.safetensors", change)
    refused("model", "import", "w.safetensors", "-o", "out.safetensors", folder=tmp_path, mentions="w.safetensors")


def test_missing_file(tmp_path):
    refused("model", "import", "missing.pth", folder=tmp_path, mentions="missing.pth")
    result = run("model", "info", "./missing.safetensors", "--json", folder=pathlib.Path(tmp_path))
    assert result.code == 1 and json.loads(result.out)["event"] == "error"
