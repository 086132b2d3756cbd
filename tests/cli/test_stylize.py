"""`impasto stylize` and `impasto bench stylize`: paint at once with a small random model."""
import json
import os
import re
import signal
import subprocess
import struct
import subprocess

import pytest

from support import PROGRAM, SANITIZED, TIMEOUT, painted, pattern, read_png, refused, run, write_fine, write_png

STYLES = ["starry night", "wave", "a,b:c"]


@pytest.fixture
def shop(folder):
    """The folder, with photos, a model of three styles, one of a single style, and a folder for results."""
    write_fine(folder / "three.safetensors", STYLES)
    write_fine(folder / "single.safetensors", ["only"])
    write_png(folder / "second.png", 48, 36, seed=4)
    write_png(folder / "tall.png", 36, 49, seed=6)
    (folder / "out").mkdir()
    return folder


def stylize(folder, *more, photo="photo.png", model="single.safetensors", output="out.png"):
    painted("stylize", photo, "--model", model, "-o", output, *more, folder=folder)
    return read_png(folder / output) if output.endswith(".png") else None


# ---- what comes out ----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("options,size", [
    ([], (48, 36)),
    (["--size", "33"], (33, 25)),
    (["--size", "100"], (48, 36)),
    (["--size", "100", "--enlarge"], (100, 75)),
])
def test_size(shop, options, size):
    picture = stylize(shop, *options)
    assert (picture.width, picture.height) == size and picture.channels == 3 and picture.depth == 8


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("depth", [8, 16])
def test_kinds_of_png(shop, channels, depth):
    write_png(shop / "kind.png", 32, 24, channels=channels, depth=depth)
    assert stylize(shop, photo="kind.png").channels == 3


def test_strength(shop):
    photo = pattern(48, 36, seed=1)
    none, half, whole = (stylize(shop, "--strength", text) for text in ("0", "0.5", "1"))
    assert none.samples == photo
    assert whole.difference(photo) > 2
    middle = [(a + b) / 2 for a, b in zip(photo, whole.samples)]
    inside = [abs(h - m) for h, m, w in zip(half.samples, middle, whole.samples) if 0 < w < 255]
    assert len(inside) > len(photo) / 4 and max(inside) <= 1  # half a step of rounding of each of the two
    assert stylize(shop).samples == whole.samples


def test_16_bits(shop):
    samples = pattern(40, 30, top=65535, seed=5)
    write_png(shop / "deep.png", 40, 30, samples, depth=16)
    picture = stylize(shop, "--strength", "0", "--depth", "16", photo="deep.png")
    assert picture.depth == 16 and picture.difference(samples) <= 1  # rounding of floats on the 0..255 scale
    refused("stylize", "deep.png", "-m", "single.safetensors", "-o", "out.jpg", "--depth", "16", folder=shop,
            mentions="--depth")


def test_hues_are_kept(shop):
    write_png(shop / "red.png", 32, 32, [200, 60, 50] * 32 * 32)
    kept = stylize(shop, "--keep-colors", "after", photo="red.png")
    free = stylize(shop, photo="red.png")

    def far(picture):
        """Pixels that are not clamped and whose red is not 140 above their green."""
        pixels = [picture.samples[i:i + 3] for i in range(0, len(picture.samples), 3)]
        inside = [pixel for pixel in pixels if 0 < min(pixel) and max(pixel) < 255]
        return sum(abs(red - green - 140) > 1 for red, green, _ in inside), len(inside)  # both are rounded

    assert far(kept)[0] == 0 and far(kept)[1] > 0
    assert far(free)[0] > 0
    refused("stylize", "red.png", "-m", "single.safetensors", "-o", "x.png", "--keep-colors", "before", folder=shop,
            mentions=["--keep-colors", "after"])


def test_the_same_bytes_for_any_number_of_threads(shop):
    for precision in ("f32", "bf16"):
        one, three = (stylize(shop, "-j", threads, "--precision", precision).samples for threads in ("1", "3"))
        assert one == three
    assert stylize(shop, "--precision", "f32").samples != one


def test_instruction_set(shop):
    best, plain = stylize(shop, "--precision", "f32"), stylize(shop, "--precision", "f32", "--instruction-set", "c")
    assert plain.difference(best.samples) < 0.1  # the last bits of floats, seldom on the edge of a step


# ---- styles --------------------------------------------------------------------------------------------------------------

def in_style(shop, *styles):
    options = [word for style in styles for word in ("--style", style)]
    return stylize(shop, *options, model="three.safetensors").samples


def test_styles(shop):
    night, wave = in_style(shop, "starry night"), in_style(shop, "wave")
    assert night != wave
    assert in_style(shop, "wave:3") == wave
    mixed = in_style(shop, "starry night:1,wave:3")
    assert mixed not in (night, wave)
    assert mixed == in_style(shop, "wave:6", "starry night:2") != in_style(shop, "wave,starry night")
    third = in_style(shop, "a,b:c")  # a name may have commas and colons
    assert third == in_style(shop, "a,b:c:2") not in (night, wave)
    assert third != in_style(shop, "a,b:c:2,wave") == in_style(shop, "wave:1,a,b:c:2")


def test_shares_are_told(shop):
    result = painted("stylize", "photo.png", "-m", "three.safetensors", "-o", "out.png", "-s", "starry night:1,wave:3",
                     folder=shop)
    assert "starry night 0.25, wave 0.75" in result.out
    result = painted("stylize", "photo.png", "-m", "three.safetensors", "-o", "out.png", "-s", "starry night:1,wave:3",
                     "--json", folder=shop)
    assert result.events()[0]["styles"] == [{"name": "starry night", "share": 0.25}, {"name": "wave", "share": 0.75}]


@pytest.mark.parametrize("options,words", [
    ([], ["--style is missing", "starry night, wave, a,b:c"]),
    (["-s", "wawe"], ["'wawe'", "has: wave, starry night, a,b:c"]),
    (["-s", "starry night,"], ["''", "wave"]),
    (["-s", "wave,wave2"], ["'wave2'", "has: wave,"]),
    (["-s", "wave:0"], ["wave", "'0'", "above 0"]),
    (["-s", "wave:much"], ["'much'"]),
    (["-s", "wave:1e7"], ["'1e7'"]),
    (["-s", "x" * 5000], ["--style", "too long"]),
])
def test_styles_that_there_are_not(shop, options, words):
    refused("stylize", "photo.png", "-m", "three.safetensors", "-o", "out.png", *options, folder=shop, mentions=words)


def test_many_styles_are_not_all_listed(shop):
    write_fine(shop / "many.safetensors", [f"style {k}" for k in range(50)])
    refused("stylize", "photo.png", "-m", "many.safetensors", "-o", "out.png", folder=shop,
            mentions=["style 0, ", "style 19 and 30 more", "model info"])
    refused("stylize", "photo.png", "-m", "many.safetensors", "-o", "out.png", "-s", "stile 41", folder=shop,
            mentions=["has: style 41, style 0,"])


def test_a_name_cannot_touch_the_terminal(shop):
    write_fine(shop / "evil.safetensors", ["\x1b[31mred"])
    result = painted("stylize", "photo.png", "-m", "evil.safetensors", "-o", "out.png", folder=shop)
    assert "\x1b" not in result.out and "?[31mred" in result.out


def test_model_info_and_list(shop):
    assert "style 2: wave" in painted("model", "info", "./three.safetensors", folder=shop).out
    info = json.loads(painted("model", "info", "./three.safetensors", "--json", folder=shop).out)
    assert info["styles"] == STYLES
    environment = {"IMPASTO_MODELS": str(shop)}
    assert "paints starry night, wave, a,b:c\n" in painted("model", "list", folder=shop, environment=environment).out
    models = json.loads(painted("model", "list", "--json", folder=shop, environment=environment).out)["models"]
    assert [model["styles"] for model in models][:2] == [["only"], STYLES]
    assert json.loads(painted("model", "info", "vgg19", "--json", folder=shop).out)["styles"] == []


def test_networks_that_paint_need_names_of_their_own(shop, tmp_path):
    environment = {"IMPASTO_MODELS": str(tmp_path / "models")}
    painted("model", "import", "three.safetensors", folder=shop, environment=environment)
    before = (tmp_path / "models" / "fine.safetensors").read_bytes()
    refused("model", "import", "single.safetensors", folder=shop, environment=environment, mentions=["fine.safetensors", "-o "])
    assert (tmp_path / "models" / "fine.safetensors").read_bytes() == before
    painted("model", "import", "single.safetensors", "-o", str(tmp_path / "models" / "mine.safetensors"), folder=shop,
            environment=environment)


# ---- several photos ----------------------------------------------------------------------------------------------------

def test_several_photos(shop):
    photos = ["photo.png", "tall.png", "second.png"]
    result = painted("stylize", *photos, "-m", "single.safetensors", "-o", "out", "--json", folder=shop)
    assert [(event["event"], event["photo"]) for event in result.events()] == [
        ("start", "photo.png"), ("done", "photo.png"), ("start", "second.png"), ("done", "second.png"),
        ("start", "tall.png"), ("done", "tall.png")]
    done = {event["photo"]: event for event in result.events() if event["event"] == "done"}
    assert (done["tall.png"]["width"], done["tall.png"]["height"]) == (36, 49)
    assert all(event["output"] == "out/" + photo and event["seconds"] > 0 for photo, event in done.items())
    together = {photo: (shop / "out" / photo).read_bytes() for photo in photos}
    for photo in photos:
        stylize(shop, photo=photo, output="alone.png")
        assert (shop / "alone.png").read_bytes() == together[photo]


def test_text(shop):
    lines = painted("stylize", "photo.png", "second.png", "tall.png", "-m", "single.safetensors", "-o", "out", "-j", "2",
                    folder=shop).out.splitlines()
    assert re.fullmatch(r"2 photos, 48x36 pixels, only: about \d+ MB of memory, 2 threads \(\w+\)", lines[0])
    assert re.fullmatch(r"photo\.png -> out/photo\.png: \d+\.\d\d s", lines[1])
    assert lines[3].startswith("1 photo, 36x49 pixels, only: ")
    assert re.fullmatch(r"3 of 3 photos in \d+\.\d s, \d+ an hour", lines[5]) and len(lines) == 6
    result = painted("stylize", "photo.png", "second.png", "-m", "single.safetensors", "-o", "out", "--quiet", folder=shop)
    assert result.out == ""


def test_a_photo_that_cannot_be_read(shop):
    (shop / "bad.png").write_bytes(b"nothing")
    whole = (shop / "photo.png").read_bytes()
    (shop / "cut.png").write_bytes(whole[:len(whole) // 2])  # of the first photo's size, as its header says
    result = run("stylize", "cut.png", "bad.png", "photo.png", "-m", "single.safetensors", "-o", "out", folder=shop)
    assert result.code == 1
    errors = result.err.splitlines()
    assert len(errors) == 2 and "bad.png" in errors[0] and "cut.png" in errors[1]
    assert os.listdir(shop / "out") == ["photo.png"] and "1 of 3 photos" in result.out


def test_verbose(shop):
    result = painted("stylize", "photo.png", "second.png", "-m", "single.safetensors", "-o", "out", "--verbose", "--json",
                     folder=shop)
    nodes = result.events()[-1]["nodes"]
    assert {"down1", "block1.first", "up2", "paint"} <= {node["name"] for node in nodes}
    assert all(node["calls"] == 2 and not node["backward"] for node in nodes)
    assert "block1.first" in painted("stylize", "photo.png", "-m", "single.safetensors", "-o", "out.png", "-v",
                                     folder=shop).out


def test_an_interruption_ends_with_a_whole_picture(shop):
    photos = [f"{k}.png" for k in range(12)]
    for photo in photos:
        write_png(shop / photo, 400, 300, bytes(3 * 400 * 300))
    child = subprocess.Popen([PROGRAM, "stylize", *photos, "-m", "single.safetensors", "-o", "out", "--json"], cwd=shop,
                             stdout=subprocess.PIPE)
    while b'"done"' not in child.stdout.readline():
        pass
    child.send_signal(signal.SIGINT)
    rest = child.stdout.read()
    assert child.wait(TIMEOUT) in (130, 0)  # 0: it was done before the signal came
    written = sorted(path.name for path in (shop / "out").iterdir())
    assert len(written) == 1 + rest.count(b'"done"')
    for name in written:
        assert read_png(shop / "out" / name).width == 400


# ---- refusals ----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("arguments,words", [
    (["-o", "out.png"], ["--model is missing"]),
    (["-m", "single.safetensors"], ["-o is missing"]),
    (["-m", "vgg19", "-o", "out.png"], ["vgg19", "paints nothing", "optimize", "train"]),
    (["-m", "missing", "-o", "out.png"], ["missing"]),
    (["-m", "single.safetensors", "-o", "photo.png"], ["the photo itself"]),
    (["-m", "single.safetensors", "-o", "missing/out.png"], ["missing"]),
    (["-m", "single.safetensors", "-o", "out.xyz"], ["xyz"]),
    (["-m", "single.safetensors", "-o", "out.png", "--strength", "1.1"], ["--strength", "from 0 to 1"]),
    (["-m", "single.safetensors", "-o", "out.png", "--quiet", "--verbose"], ["exclude"]),
])
def test_refusals(shop, arguments, words):
    refused("stylize", "photo.png", *arguments, folder=shop, mentions=words)


@pytest.mark.parametrize("command", [
    ["optimize", "photo.png", "--style", "style.png", "-o", "out.png", "--model", "single.safetensors"],
    ["optimize", "photo.png", "--style", "style.png", "-o", "out.png", "--features", "vgg19,single.safetensors"],
    ["optimize", "photo.png", "--style", "style.png", "-o", "out.png", "--sketch", "single.safetensors"],
    ["evaluate", "second.png", "--photo", "photo.png", "--style", "style.png", "--model", "single.safetensors"],
])
def test_losses_do_not_look_through_a_network_that_paints(shop, command):
    result = refused(*command, folder=shop, mentions=["fine is a network that paints at once", "impasto stylize"])
    assert result.code == 2 and "down1" not in result.err  # its layers are no help


def test_too_little_memory(shop):
    write_png(shop / "photo.png", 512, 512, seed=1)
    write_png(shop / "second.png", 512, 512, seed=2)
    options = ["-m", "single.safetensors", "--precision", "f32"]
    # The program counts 24 MB for itself, the photo takes 0.8, the styler's pictures alone 12.
    refused("stylize", "photo.png", *options, "-o", "out.png", "--max-memory", "32M", folder=shop,
            mentions=["out of memory", "512 x 512", "the limit leaves"])
    refused("stylize", "photo.png", "second.png", *options, "-o", "out", "--max-memory", "32M", folder=shop,
            mentions=["photo.png and 1 more of its size", "out of memory"])
    painted("stylize", "photo.png", *options, "-o", "out.png", "--max-memory", "100M", folder=shop)


# ---- bench -------------------------------------------------------------------------------------------------------------

def bench(shop, *more):
    result = painted("bench", "stylize", "-m", "three.safetensors", "-n", "2", "--json", *more, folder=shop)
    [line] = result.out.splitlines()
    return json.loads(line)


def test_bench(shop):
    before = sorted(os.listdir(shop))
    told = bench(shop, "--size", "70x50", "--precision", "f32", "-j", "2")
    milliseconds = told["milliseconds_per_picture"]
    assert 0 < milliseconds["min"] <= milliseconds["median"]
    assert told["pictures_per_second"] == pytest.approx(1000 / milliseconds["median"])
    assert (told["width"], told["height"], told["threads"], told["pictures"]) == (70, 50, 2, 2)
    assert told["model"] == "fine" and told["precision"] == "f32" and told["instruction_set"] and told["version"]
    assert told["operations"] > 0 and sorted(os.listdir(shop)) == before
    text = painted("bench", "stylize", "-m", "three.safetensors", "-n", "1", "--size", "16x16", folder=shop).out
    assert "fine at 16x16 in f32" in text and "ms a picture" in text and "pictures/s" in text


@pytest.mark.skipif(SANITIZED, reason="sanitizers take memory of their own")
def test_bench_memory(shop):
    told = {precision: bench(shop, "--size", "800x600", "--precision", precision) for precision in ("f32", "bf16")}
    for one in told.values():
        # What is told before the start; the rest is stacks, small blocks and what the system rounds up.
        assert one["expected_rss_mb"] == pytest.approx(one["peak_rss_mb"], rel=0.1)
    assert told["bf16"]["memory_bytes"] < told["f32"]["memory_bytes"]


@pytest.mark.parametrize("size", ["70", "70x", "x50", "0x50", "70x65536", "70x50x2", "7e1x50", "-7x50", " 7x50", ""])
def test_bench_sizes(shop, size):
    refused("bench", "stylize", "-m", "three.safetensors", f"--size={size}", folder=shop, mentions="--size")


def test_bench_refusals(shop):
    refused("bench", "stylize", folder=shop, mentions="--model is missing")
    refused("bench", "stylize", "-m", "vgg19", folder=shop, mentions="paints nothing")
    refused("bench", "stylize", "-m", "three.safetensors", "--size", "2000x2000", "--max-memory", "64M", folder=shop,
            mentions="out of memory")
