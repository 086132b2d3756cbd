"""`impasto optimize` with odd pictures and extreme settings: a finite picture, or one line that says why not."""
import pytest

from support import (halves_to_floats, optimize, painted, pattern, read_png, refused, run, vgg19_tensors, write_png,
                     write_safetensors)


@pytest.mark.parametrize("size,preset", [((33, 47), "default"), ((17, 64), "default"), ((64, 19), "classic"),
                                         ((49, 49), "classic"), ((31, 45), "crowsonkb")])
def test_odd_sizes(folder, size, preset):
    write_png(folder / "odd.png", *size)
    picture = optimize(folder, "--preset", preset, photo="odd.png", few=["--iterations", "3"])
    assert (picture.width, picture.height) == size


def ends_well(folder, *arguments):
    """A finite picture, or one line that says why not, without a picture or with the last good one."""
    result = run("optimize", *arguments, "-o", "out.png", folder=folder)
    if result.code == 0:
        assert result.err == ""
        read_png(folder / "out.png")
    else:
        assert result.code in (1, 2) and len(result.err.splitlines()) == 1 and result.err.startswith("impasto: ")
    return result


@pytest.mark.parametrize("size", [(1, 1), (1, 64), (64, 1), (3, 5), (16, 2)])
def test_tiny_photos(folder, size):
    write_png(folder / "tiny.png", *size)
    ends_well(folder, "tiny.png", "--style", "style.png", "--iterations", "2")


@pytest.mark.parametrize("size", [(1, 1), (1, 90), (200, 2), (7, 7), (150, 100)])
@pytest.mark.parametrize("preset", ["default", "crowsonkb"])
def test_styles_of_any_size(folder, size, preset):
    write_png(folder / "odd.png", *size)
    optimize(folder, "--preset", preset, style="odd.png")


@pytest.mark.parametrize("value,loss", [(0, "gram"), (128, "gram"), (255, "gram"), (128, "wasserstein")])
def test_constant_pictures(folder, value, loss):
    write_png(folder / "flat.png", 32, 32, [value] * 32 * 32 * 3)
    optimize(folder, "--style-loss", loss, photo="flat.png")
    optimize(folder, "--style-loss", loss, style="flat.png")
    optimize(folder, "--style-loss", loss, "--keep-colors", "before", photo="flat.png", style="flat.png")


def test_every_style_loss(folder):
    names = run("optimize", "--style-loss", "no such loss").err.split("choose one of ")[1].strip().split(", ")
    assert {"gram", "wasserstein"} <= set(names)
    plain = {name: optimize(folder, "--style-loss", name).samples for name in names}
    assert len(set(map(tuple, plain.values()))) == len(names)  # each of them is another loss


@pytest.mark.parametrize("options", [
    ["--style-weight", "1e12"], ["--content-weight", "1e12"], ["--tv-weight", "1e12"], ["--style-weight", "0"],
    ["--content-weight", "0"], ["--content-weight", "0", "--style-weight", "0"], ["--style-weight", "1e-30"],
    ["--style-weight", "1e12", "--optimizer", "lbfgs-linesearch"], ["--style-weight", "1e12", "--style-loss", "wasserstein"],
    ["--learning-rate", "255", "--optimizer", "adam"], ["--learning-rate", "1e-30", "--optimizer", "adam"],
])
def test_extreme_weights(folder, options):
    ends_well(folder, "photo.png", "--style", "style.png", "--iterations", "5", "--size", "32", *options)


@pytest.fixture(scope="module")
def large_model(tmp_path_factory):
    """A model whose conv5_1 gives features near the largest float, so that only a copy of the photo has a finite loss."""
    folder, tensors = tmp_path_factory.mktemp("large"), vgg19_tensors()
    at = next(i for i, tensor in enumerate(tensors) if tensor[0] == "features.28.weight")
    name, _, shape, data = tensors[at]
    tensors[at] = (name, "F32", shape, halves_to_floats(data, 1e36).tobytes())
    write_safetensors(folder / "weights.safetensors", tensors)
    painted("model", "import", str(folder / "weights.safetensors"), "-o", str(folder / "large.safetensors"), folder=folder)
    return str(folder / "large.safetensors")


def test_a_loss_that_becomes_infinite(folder, large_model):
    result = run("optimize", "photo.png", "--style", "style.png", "-o", "out.png", "--preset", "classic", "--learning-rate", "1",
                 "--style-layers", "conv1_1", "--content-layers", "conv5_1", "--json", "--model", large_model, folder=folder)
    assert result.code == 1 and len(result.err.splitlines()) == 1
    assert result.err.startswith("impasto: the loss") and "learning rate" in result.err and "out.png" in result.err
    *_, last, error = result.events()
    assert last["event"] == "progress" and error["event"] == "error" and error["message"] in result.err
    # What is written is finite, and no further from the photo than so many steps of one lead.
    assert read_png(folder / "out.png").difference(pattern(48, 36, seed=1)) <= last["iteration"] + 0.5


def test_a_loss_that_is_infinite_from_the_start(folder, large_model):
    refused("optimize", "photo.png", "--style", "style.png", "-o", "out.png", "--style-layers", "conv5_1", "--quiet", "--model",
            large_model, folder=folder, mentions="finite")


@pytest.mark.parametrize("preset", ["default", "classic", "fast", "crowsonkb"])
def test_any_number_of_threads_gives_the_same_bytes(folder, preset):
    write_png(folder / "odd.png", 45, 37)
    pictures = []
    for threads in ["1", "2", "3"]:
        optimize(folder, "--preset", preset, "--threads", threads, photo="odd.png", few=["--iterations", "4"])
        pictures.append((folder / "out.png").read_bytes())
    assert pictures[0] == pictures[1] == pictures[2]
