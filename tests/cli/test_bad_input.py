"""Files that are not what they should be, folders that cannot be written to, and a system that gives nothing."""
import os
import resource
import subprocess

import pytest

from support import SANITIZED, read_png, refused, run, write_png

FEW = ["--iterations", "2", "--size", "32"]


def optimize(folder, *more, photo="photo.png", style="style.png", output="out.png", **kinds):
    return refused("optimize", photo, "--style", style, "-o", output, *FEW, *more, folder=folder, **kinds)


TEXT = b"This is no picture but a text of some length, saved under the name of one.\n" * 20


NO_PICTURES = {"text": TEXT, "empty": b"", "jpeg start": b"\xff\xd8\xff\xe0", "png start": b"\x89PNG\r\n\x1a\n",
               "page": b"<!DOCTYPE html><html></html>",
               "lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"}


@pytest.mark.parametrize("kind", NO_PICTURES)
@pytest.mark.parametrize("place", ["photo", "style", "init"])
def test_no_picture(folder, kind, place):
    (folder / "cat.jpg").write_bytes(NO_PICTURES[kind])
    if place == "init":
        optimize(folder, "--init", "cat.jpg", mentions="cat.jpg")
    else:
        optimize(folder, **{place: "cat.jpg"}, mentions="cat.jpg")


def test_cut_picture(folder):
    whole = (folder / "photo.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[:len(whole) // 2])
    optimize(folder, photo="cut.png", mentions="cut.png")


@pytest.mark.parametrize("place", ["photo", "style"])
def test_missing_picture(folder, place):
    optimize(folder, **{place: "missing.jpg"}, mentions="missing.jpg")


def test_missing_start_picture(folder):
    optimize(folder, "--init", "missing.jpg", mentions="missing.jpg")


def test_a_folder_is_no_picture(folder):
    (folder / "album").mkdir()
    optimize(folder, photo="album", mentions="album")
    optimize(folder, style="album", mentions="album")


def test_a_name_with_a_line_break(folder):
    optimize(folder, photo="a\nb.png", mentions="a?b.png")


@pytest.mark.parametrize("output", ["missing/out.png", "photo.png/out.png", "out", "out.xyz", ".png/", "/dev/null/x.png"])
def test_output_that_cannot_be(folder, output):
    (folder / "album").mkdir()
    optimize(folder, output=output)


def test_output_folder_without_permission(folder):
    (folder / "locked").mkdir()
    (folder / "locked").chmod(0o555)
    if os.access(folder / "locked", os.W_OK):  # root may write everywhere, except where the kernel itself answers
        optimize(folder, output="/proc/out.png")
    else:
        optimize(folder, output="locked/out.png", mentions="locked")


@pytest.mark.parametrize("output", ["photo.png", "style.png", "other.png", "./photo.png", "link.png"])
def test_output_is_never_an_input(folder, output):
    os.symlink("photo.png", folder / "link.png")
    optimize(folder, "--init", "other.png", output=output, mentions="itself")


def test_a_failure_leaves_the_older_result(folder):
    (folder / "out.png").write_bytes(b"older")
    optimize(folder, style="missing.png")
    assert (folder / "out.png").read_bytes() == b"older"


@pytest.mark.parametrize("option", ["--content-layers", "--style-layers"])
@pytest.mark.parametrize("layers", ["conv9_9", "conv4_2,conv9_9", "conv4_2:-1", "conv4_2:nan", "conv4_2:inf", "conv4_2:1e999",
                                    "conv4_2:", "conv4_2:5x", ",", "conv4_2,,conv3_1", "conv4_2 conv3_1"])
def test_bad_layers(folder, option, layers):
    optimize(folder, option, layers)


def test_unknown_layer_is_named(folder):
    optimize(folder, "--style-layers", "conv9_9", mentions="conv9_9")


def test_nothing_to_paint_by(folder):
    optimize(folder, "--content-weight", "0", "--style-weight", "0", mentions="content weight")


# ---- models --------------------------------------------------------------------------------------------------------

def test_no_model_installed(folder):
    (folder / "empty").mkdir()
    optimize(folder, environment={"IMPASTO_MODELS": str(folder / "empty")}, mentions=["make demo", "model import"])
    refused("bench", "optimize", folder=folder, environment={"IMPASTO_MODELS": str(folder / "empty")},
            mentions="model import")


@pytest.mark.parametrize("model", ["unknown", "./missing.safetensors"])
def test_missing_model(folder, model):
    optimize(folder, "--model", model, mentions=model)


@pytest.mark.parametrize("option, model, words", [
    ("--model", "vgg18", "did you mean 'vgg19'?"),
    ("--model", "thim", "did you mean 'thin'?"),  # of those that come with the program
    ("--features", "vgg19,mobilenet:2", "there is no model 'mobilenet', neither"),
    ("--features", "vgg19,mobilenet:2", "did you mean 'mobilenetv3'?"),
    ("--sketch", "thine", "did you mean 'thin'?"),
    ("--model", "unknown", "beside the program; see 'impasto model list'"),  # none is near
])
def test_a_model_that_is_nearly_one(folder, option, model, words):
    optimize(folder, option, model, mentions=words)


NO_MODELS = {"text": TEXT, "empty": b"", "no tensors": b"\x08\0\0\0\0\0\0\0{}      ", "ones": b"\xff" * 100}


@pytest.mark.parametrize("kind", NO_MODELS)
def test_no_model(folder, kind):
    (folder / "model.safetensors").write_bytes(NO_MODELS[kind])
    optimize(folder, "--model", "model.safetensors", mentions="model.safetensors")


def test_cut_model(folder, models):
    with open(models / "vgg19.safetensors", "rb") as whole:
        (folder / "cut.safetensors").write_bytes(whole.read(1 << 20))
    optimize(folder, "--model", "cut.safetensors", mentions="cut.safetensors")


# ---- a system that gives nothing -------------------------------------------------------------------------------------

@pytest.mark.parametrize("limit", ["1M", "30M"])
def test_memory_limit(folder, limit):
    refused("optimize", "photo.png", "--style", "style.png", "-o", "out.png", "--size", "512", "--enlarge", "--max-memory",
            limit, folder=folder, mentions="memory")


@pytest.mark.skipif(SANITIZED, reason="sanitizers reserve terabytes of address space")
@pytest.mark.parametrize("megabytes", [100, 600])
def test_address_space(folder, megabytes):
    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20))

    refused("optimize", "photo.png", "--style", "style.png", "-o", "out.png", "--size", "2048", "--enlarge", "--threads",
            "1", folder=folder, limits=limit)


@pytest.mark.skipif(SANITIZED, reason="a sanitizer wants to be loaded first, and to start threads of its own")
def test_threads_that_cannot_be_made(folder, tmp_path_factory):
    build = tmp_path_factory.mktemp("shim")
    (build / "shim.c").write_text("#include <errno.h>\n#include <pthread.h>\n"
                                  "int pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*f)(void *), void *u)\n"
                                  "{ (void)t, (void)a, (void)f, (void)u; return EAGAIN; }\n")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", build / "shim.so", build / "shim.c"], check=True)
    shim = {"LD_PRELOAD": str(build / "shim.so")}
    optimize(folder, "--threads", "2", environment=shim, mentions="threads")
    result = run("optimize", "photo.png", "--style", "style.png", "-o", "out.png", *FEW, "--threads", "1", folder=folder,
                 environment=shim)
    assert result.code == 0, result.err  # one thread needs none to be made


def test_disk_full_for_the_picture(folder):
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))

    write_png(folder / "photo.png", 64, 64)
    optimize(folder, "--size", "64", limits=limit, mentions="out.png")


def test_disk_full_for_the_output(folder):
    with open("/dev/full", "w") as full:
        result = run("optimize", "photo.png", "--style", "style.png", "-o", "out.png", *FEW, folder=folder, stdout=full)
    assert result.code == 1 and result.err.splitlines() == ["impasto: standard output: No space left on device"]
    assert read_png(folder / "out.png").width == 32  # the picture itself was not to blame
    with open("/dev/full", "w") as full:
        assert run("help", stdout=full).code == 1
