"""`impasto optimize` paints: sizes, kinds of pictures, every option, and the same bytes again."""
import os
import struct
import time

import pytest

from support import FEW, SANITIZED, Picture, optimize, painted, pattern, read_png, write_png


def start_picture(folder, *more, **kinds):
    """What --iterations 0 writes at the photo's own size."""
    return optimize(folder, *more, few=["--iterations", "0"], **kinds)


# ---- sizes ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("options,size", [
    ([], (48, 36)),
    (["--size", "32"], (32, 24)),
    (["--size", "100"], (48, 36)),
    (["--size", "100", "--enlarge"], (100, 75)),
])
def test_size(folder, options, size):
    picture = optimize(folder, *options, few=["--iterations", "1"])
    assert (picture.width, picture.height) == size and picture.channels == 3 and picture.depth == 8


# ---- kinds of pictures ------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("depth", [8, 16])
def test_kinds_of_png(folder, channels, depth):
    write_png(folder / "kind.png", 32, 24, channels=channels, depth=depth)
    assert optimize(folder, photo="kind.png", style="kind.png", few=["--iterations", "2"]).channels == 3


def test_start_picture_is_the_photo(folder):
    # Half a step of a sample is what 8 bits round.
    assert start_picture(folder).difference(pattern(48, 36, seed=1)) <= 0.5


def test_start_from_a_picture(folder):
    write_png(folder / "start.png", 48, 36, seed=9)
    assert start_picture(folder, "--init", "start.png").difference(pattern(48, 36, seed=9)) <= 0.5


def test_start_picture_of_another_size(folder):
    picture = start_picture(folder, "--init", "other.png")
    assert (picture.width, picture.height) == (48, 36)


def test_16_bits(folder):
    samples = pattern(40, 30, top=65535, seed=5)
    write_png(folder / "deep.png", 40, 30, samples, depth=16)
    picture = start_picture(folder, "--depth", "16", photo="deep.png")
    # A float of the 0..255 scale keeps 16 bits; a difference of one is its rounding. Through 8 bits it would be about 64.
    assert picture.depth == 16 and picture.difference(samples) <= 1
    assert start_picture(folder, "--depth", "8", photo="deep.png").depth == 8


def with_orientation(jpeg, orientation):
    """The JPEG with an EXIF block that holds its orientation alone."""
    exif = b"Exif\0\0" + b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x112, 3, 1, orientation, 0, 0)
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", 2 + len(exif)) + exif + jpeg[2:]


def test_upright_by_exif(folder):
    # Brighter to the right: turned a quarter clockwise (orientation 6) it is brighter to the bottom.
    write_png(folder / "ramp.png", 48, 32, [x * 5 for _ in range(32) for x in range(48) for _ in range(3)])
    optimize(folder, photo="ramp.png", few=["--iterations", "0"], output="ramp.jpg")
    (folder / "turned.jpg").write_bytes(with_orientation((folder / "ramp.jpg").read_bytes(), 6))
    picture = start_picture(folder, photo="turned.jpg")
    assert (picture.width, picture.height) == (32, 48)
    expected = [y * 5 for y in range(48) for _ in range(32) for _ in range(3)]
    assert picture.difference(expected) < 4  # what JPEG changes in a ramp


@pytest.mark.parametrize("quality", ["1", "100"])
def test_quality(folder, quality):
    optimize(folder, "--quality", quality, output="out.jpg")
    assert (folder / "out.jpg").read_bytes()[:3] == b"\xff\xd8\xff"
    optimize(folder, output="usual.jpg")
    larger = (folder / "out.jpg").stat().st_size > (folder / "usual.jpg").stat().st_size
    assert larger == (quality == "100")


# ---- options -----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("options", [
    *[["--preset", name] for name in ["default", "classic", "fast", "crowsonkb"]],
    *[["--optimizer", name] for name in ["adam", "lbfgs", "lbfgs-linesearch"]],
    *[["--pooling", name] for name in ["max", "average"]],
    *[["--padding", name] for name in ["zero", "replicate"]],
    *[["--keep-colors", when] for when in ["before", "after"]],
    *[["--start", name] for name in ["content", "noise"]],
    ["--instruction-set", "c"],
    ["--style-size", "24"], ["--style-size", "200"], ["--tv-weight", "1"], ["--learning-rate", "0.5"],
    ["--content-layers", "conv3_1"], ["--style-layers", "conv1_1"],
    ["--content-layers", "conv4_2:1,conv3_1:0.5" if SANITIZED else "conv4_2:1,conv3_2:0.5"],
    ["--style-layers", "conv1_1:4,conv2_1:2,conv3_1:1"], ["--style-layers", "conv1_1,conv4_2", "--content-layers", "conv4_2"],
    ["--style", "other.png"], ["--max-memory", "2G"], ["--time", "1s"], ["--size=32", "--"],
])
def test_options(folder, options):
    optimize(folder, *options)


def test_painting_comes_nearer_to_the_style(folder):
    result = painted("optimize", "photo.png", "--style", "style.png", "-o", "out.png", "--json", "--preset", "classic",
                     "--content-weight", "0", "--iterations", "12", folder=folder)
    losses = [event["total_loss"] for event in result.events() if event["event"] == "progress"]
    assert losses[-1] < 0.9 * losses[0]  # a dozen of Adam's steps of 2.0, of an unhindered style loss


def test_weights_of_styles(folder):
    both = optimize(folder, "--style", "other.png")
    even = optimize(folder, "--style", "other.png:8", style="style.png:8")  # a power of two rounds nothing
    uneven = optimize(folder, "--style", "other.png:1", style="style.png:9")
    first = optimize(folder)
    assert both.samples == even.samples != uneven.samples != first.samples


def test_a_colon_in_a_name(folder):
    os.rename(folder / "style.png", folder / "a:2")
    optimize(folder, style="a:2")
    optimize(folder, style="a:2:3")


@pytest.mark.parametrize("name", ["käse – 絵.png".encode(), b"\xff\xfe.png"])
def test_names_that_are_no_ascii(folder, name):
    os.rename(os.fsencode(folder / "photo.png"), os.path.join(os.fsencode(folder), name))
    result = painted("optimize", name, "--style", "style.png", "-o", b"out-" + name, *FEW, "--json", folder=folder)
    assert os.path.exists(os.path.join(os.fsencode(folder), b"out-" + name))
    assert result.events()[0]["photo"] == name.decode(errors="replace")


def test_an_option_may_stand_anywhere(folder):
    painted("optimize", "-oout.png", "--size=32", "--iterations=1", "-sstyle.png", "--", "photo.png", folder=folder)
    assert read_png(folder / "out.png").width == 32


def test_an_older_result_is_replaced(folder):
    (folder / "out.png").write_bytes(b"older")
    assert optimize(folder).width == 32


# ---- colours -------------------------------------------------------------------------------------------------------------

def chroma(picture):
    """The two colour differences to luma (Rec. 601) of every pixel."""
    values = []
    for at in range(0, len(picture.samples), 3):
        red, green, blue = picture.samples[at:at + 3]
        luma = 0.299 * red + 0.587 * green + 0.114 * blue
        values += [red - luma, blue - luma]
    return values


def test_keep_colors_after(folder):
    """The photo's hues come back, except where a sample would leave 0..255."""
    samples = [100 + (x * 3 + k * 20 + y) % 50 for y in range(32) for x in range(32) for k in range(3)]
    write_png(folder / "soft.png", 32, 32, samples)
    free = optimize(folder, "--preset", "classic", photo="soft.png")
    kept = optimize(folder, "--preset", "classic", "--keep-colors", "after", photo="soft.png")
    wanted = chroma(Picture(32, 32, 3, 8, samples))
    # Three steps of Adam change a sample by 6 at most, so nothing is clipped; 1.5 is the rounding of three samples.
    assert max(abs(a - b) for a, b in zip(chroma(kept), wanted)) <= 1.5
    assert max(abs(a - b) for a, b in zip(chroma(free), wanted)) > 1.5


def test_keep_colors_before(folder):
    assert optimize(folder).samples != optimize(folder, "--keep-colors", "before").samples


# ---- the same bytes again -----------------------------------------------------------------------------------------------------

def test_seed(folder):
    noise = ["--start", "noise", "--seed"]
    first = optimize(folder, *noise, "1").samples
    assert first == optimize(folder, *noise, "1").samples
    assert first != optimize(folder, *noise, "2").samples


# ---- time ------------------------------------------------------------------------------------------------------------------------

def test_time_limit(folder):
    begin = time.monotonic()
    result = painted("optimize", "photo.png", "--style", "style.png", "-o", "out.png", "--json", "--time", "2s",
                     "--iterations", "1000000", folder=folder)
    # Two seconds, what lies before and after them, and one iteration in the slowest build.
    assert time.monotonic() - begin < 30
    done = result.events()[-1]
    assert done["event"] == "done" and 1 <= done["iterations"] < 1000000 and done["seconds"] >= 1
