"""Fixtures: a folder with pictures, and a model."""
import os
import pathlib
import shutil

import pytest

import support


@pytest.fixture
def folder(tmp_path):
    """A folder with a photo and two paintings, in which nothing else may appear."""
    support.write_png(tmp_path / "photo.png", 48, 36, seed=1)
    support.write_png(tmp_path / "style.png", 40, 40, seed=2)
    support.write_png(tmp_path / "other.png", 30, 50, seed=3)
    return tmp_path


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """Random weights of a VGG19 with torchvision's names, as another program would have saved them."""
    path = tmp_path_factory.mktemp("weights") / "torchvision.safetensors"
    support.write_safetensors(path, support.vgg19_tensors())
    return path


def installed_model():
    data = os.environ.get("XDG_DATA_HOME") or pathlib.Path.home() / ".local" / "share"
    folder = pathlib.Path(os.environ.get("IMPASTO_MODELS") or pathlib.Path(data) / "impasto" / "models")
    return folder if (folder / "vgg19.safetensors").is_file() else None


@pytest.fixture(scope="session")
def real_models(tmp_path_factory):
    """The folder with VGG19 as it is installed, or with one of random weights where it is not."""
    folder = installed_model()
    if folder is None:
        folder = tmp_path_factory.mktemp("models")
        saved = folder / "saved.safetensors"
        support.write_safetensors(saved, support.vgg19_tensors())
        done = support.run("model", "import", str(saved), "-o", str(folder / "vgg19.safetensors"))
        assert done.code == 0, done.err
        saved.unlink()
    return folder


@pytest.fixture(scope="session", autouse=True)
def models(real_models, tmp_path_factory):
    """The models folder of all tests: `real_models`, but under a sanitizer one in which a network with the same taps and a
    twentieth of the weights is named vgg19, since VGG19's weights would take most of the time."""
    folder = real_models
    if support.SANITIZED:
        folder = tmp_path_factory.mktemp("small")
        shutil.copy(support.SOURCE / "models" / "thin.safetensors", folder / "vgg19.safetensors")
    os.environ["IMPASTO_MODELS"] = str(folder)
    return folder


@pytest.fixture
def vgg19(real_models, monkeypatch):
    """For what is told of VGG19 itself: its name and its memory."""
    monkeypatch.setenv("IMPASTO_MODELS", str(real_models))
