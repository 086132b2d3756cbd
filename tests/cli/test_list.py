"""Several photos with one command: each comes out as it would alone, and what is wrong with one is not another's."""
import json
import os
import signal
import subprocess

import pytest

from support import FEW, PROGRAM, SANITIZED, TIMEOUT, optimize, painted, read_png, refused, run, write_png

PHOTOS = ["photo.png", "second.png", "third.png", "tall.png"]


@pytest.fixture
def album(folder):
    """Three photos of one size and one of another, and a folder for the results."""
    write_png(folder / "second.png", 48, 36, seed=4)
    write_png(folder / "third.png", 48, 36, seed=5)
    write_png(folder / "tall.png", 36, 48, seed=6)
    (folder / "out").mkdir()
    return folder


def paint(album, *more, photos=PHOTOS, few=FEW):
    return painted("optimize", *photos, "--style", "style.png", "-o", "out", *few, *more, folder=album)


def bytes_of(album, folder="out"):
    return {path.name: path.read_bytes() for path in sorted((album / folder).iterdir())}


@pytest.mark.parametrize("preset", ["default", "classic"])
def test_each_as_alone(album, preset):
    """Over two scales, where there are two: 150 pixels of the default preset."""
    few = ["--iterations", "2" if SANITIZED else "6", "--size", "150", "--enlarge", "--preset", preset]
    paint(album, few=few)
    together = bytes_of(album)
    assert sorted(together) == sorted(PHOTOS)
    for photo in PHOTOS:
        optimize(album, photo=photo, output="alone.png", few=few)
        assert (album / "alone.png").read_bytes() == together[photo]
    paint(album, "--batch", "1", few=few)
    assert bytes_of(album) == together


def starts(result):
    return {event["photo"]: event for event in result.events() if event["event"] == "start"}


def test_those_of_one_size_go_together(album):
    result = paint(album, "--json")
    groups = {photo: (event["batch"], event["width"], event["height"]) for photo, event in starts(result).items()}
    assert groups == {"photo.png": (3, 32, 24), "second.png": (3, 32, 24), "third.png": (3, 32, 24), "tall.png": (1, 24, 32)}
    assert [event["batch"] for event in starts(paint(album, "--json", "--batch", "2")).values()] == [2, 2, 1, 1]


def test_losses_of_each(album):
    events = paint(album, "--json").events()
    for photo in PHOTOS:
        own = [event for event in events if event["event"] == "progress" and event["photo"] == photo]
        [done] = [event for event in events if event["event"] == "done" and event["photo"] == photo]
        assert [event["iteration"] for event in own] == [1, 2, 3]
        assert done["output"] == f"out/{photo}" and done["total_loss"] == own[-1]["total_loss"]
    assert len({event["total_loss"] for event in events if event["event"] == "done"}) == len(PHOTOS)


def test_lines(album):
    lines = paint(album).out.splitlines()
    assert lines[0] == "photo.png, second.png, third.png -> out: 32x24 pixels, 3 photos together, 1 style"
    assert any(line.startswith("photos 1-3/4, iteration 3/3") for line in lines)
    assert any(line.startswith("photos 4/4, iteration 3/3") for line in lines)
    for photo in PHOTOS:
        assert any(line.startswith(f"out/{photo}: 3 iterations in") for line in lines)
    assert lines[-1].startswith("4 of 4 photos in ") and lines[-1].endswith(" an hour")
    assert paint(album, "--quiet").out == ""


def test_one_photo_into_a_folder(album):
    paint(album, photos=["photo.png"])
    assert list(bytes_of(album)) == ["photo.png"]
    painted("optimize", "photo.png", "--style", "style.png", "-o", "out/", *FEW, folder=album)


def test_endings(album):
    """A photo whose ending cannot be written, or not in 16 bits, becomes a PNG."""
    os.rename(album / "second.png", album / "second.picture")
    optimize(album, photo="third.png", output="a.b.jpg")
    os.rename(album / "tall.png", album / "tall")
    paint(album, photos=["photo.png", "second.picture", "a.b.jpg", "tall"])
    assert list(bytes_of(album)) == ["a.b.jpg", "photo.png", "second.png", "tall.png"]
    paint(album, "--depth", "16", photos=["photo.png", "a.b.jpg"])
    assert read_png(album / "out" / "a.b.png").depth == 16


def test_start_pictures(album):
    """--init and noise are those of each photo alone, too."""
    for options in (["--init", "other.png"], ["--start", "noise", "--seed", "3"], ["--keep-colors", "after"],
                    ["--keep-colors", "before"]):
        paint(album, *options)
        optimize(album, *options, photo="third.png", output="alone.png")
        assert (album / "alone.png").read_bytes() == (album / "out" / "third.png").read_bytes()


# ---- what goes wrong ------------------------------------------------------------------------------------------------

def test_a_bad_photo_is_named_and_the_others_go_on(album):
    (album / "second.png").write_bytes(b"no picture")
    result = run("optimize", *PHOTOS, "missing.png", "--style", "style.png", "-o", "out", *FEW, folder=album)
    assert result.code == 1
    lines = result.err.splitlines()
    assert len(lines) == 2 and "second.png" in lines[0] and "missing.png" in lines[1]
    assert list(bytes_of(album)) == ["photo.png", "tall.png", "third.png"]
    assert result.out.splitlines()[-1].startswith("3 of 5 photos in ")


def test_a_photo_cut_behind_its_header_is_named_once(album):
    """Its size is known before its pixels are read, as the first of its size or not."""
    for name in PHOTOS[0], PHOTOS[2]:
        whole = (album / name).read_bytes()
        (album / name).write_bytes(whole[:len(whole) // 2])
    result = run("optimize", *PHOTOS, "--style", "style.png", "-o", "out", *FEW, folder=album)
    assert result.code == 1
    lines = result.err.splitlines()
    assert len(lines) == 2 and all("truncated PNG" in line for line in lines)
    assert PHOTOS[0] in lines[0] and PHOTOS[2] in lines[1]
    assert list(bytes_of(album)) == ["second.png", "tall.png"]
    assert result.out.splitlines()[-1].startswith("2 of 4 photos in ")


def test_a_size_that_cannot_be_painted(album):
    write_png(album / "tiny.png", 8, 8, seed=1)
    write_png(album / "small.png", 8, 8, seed=2)
    result = run("optimize", "tiny.png", *PHOTOS, "small.png", "--style", "style.png", "-o", "out", *FEW, folder=album)
    assert result.code == 2 and len(result.err.splitlines()) == 1
    assert "tiny.png and 1 more of its size: the picture would be 8 x 8 pixels" in result.err
    assert sorted(bytes_of(album)) == sorted(PHOTOS)


def test_a_bad_style_is_told_once(album):
    refused("optimize", *PHOTOS, "--style", "missing.png", "-o", "out", *FEW, folder=album, mentions="missing.png")


@pytest.mark.parametrize("photos,output,mentions", [
    (PHOTOS, "out.png", "make it first"), (PHOTOS, "missing/", "make it first"), (PHOTOS, "photo.png", "make it first"),
    (["photo.png"], "missing/", "make it first"), (["photo.png", "photo.png"], "out", "would both be written to"),
    (["photo.png", "out/../photo.png"], "out", "would both be written to"), (PHOTOS, ".", "is the photo itself"),
])
def test_outputs_that_cannot_be(album, photos, output, mentions):
    refused("optimize", *photos, "--style", "style.png", "-o", output, *FEW, folder=album, mentions=mentions)


def test_an_output_is_no_style(album):
    write_png(album / "out" / "photo.png", 40, 40, seed=2)
    refused("optimize", *PHOTOS, "--style", "out/photo.png", "-o", "out", *FEW, folder=album, mentions="the painting itself")


def test_memory_lowers_the_batch(folder, vgg19):
    """One photo of 256x256 pixels takes 160 MB with the model, each one more 63 MB: two or three fit, four do not."""
    (folder / "out").mkdir()
    names = [f"{i}.png" for i in range(4)]
    for i, name in enumerate(names):
        write_png(folder / name, 64, 64, seed=i)
    result = painted("optimize", *names, "--style", "style.png", "-o", "out", "--size", "256", "--enlarge",
                     "--iterations", "0" if SANITIZED else "1",
                     "--preset", "classic", "--precision", "f32", "--batch", "4", "--max-memory", "330M", "--json",
                     folder=folder)
    batches = [event["batch"] for event in starts(result).values()]
    assert len(batches) == 4 and 1 < batches[0] < 4


def test_interruption_writes_those_that_were_begun(album):
    process = subprocess.Popen([PROGRAM, "optimize", *PHOTOS, "--style", "style.png", "-o", "out", "--size", "32",
                                "--iterations", "1000000", "--json"], cwd=album, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
                               preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    for line in process.stdout:
        event = json.loads(line)
        if event["event"] == "progress" and event["iteration"] >= 3:
            break
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 130 and err == b""
    done = [json.loads(line) for line in out.splitlines() if b'"done"' in line]
    assert [event["photo"] for event in done] == PHOTOS[:3] and all(event["interrupted"] for event in done)
    assert list(bytes_of(album)) == ["photo.png", "second.png", "third.png"]
