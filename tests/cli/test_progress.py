"""What is printed while it paints: JSON events, lines, a bar; and how it ends when it is interrupted."""
import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import termios
import time

import pytest

from support import PROGRAM, SANITIZED, TIMEOUT, painted, read_png

FIELDS = {"event", "photo", "scale", "scales", "width", "height", "iteration", "iterations", "total_loss", "content_loss", "style_loss",
          "iterations_per_second", "seconds", "seconds_left"}
LONG = ["optimize", "photo.png", "--style", "style.png", "-o", "out.png", "--size", "32", "--iterations", "1000000"]


def test_json_events(folder):
    result = painted("optimize", "photo.png", "--style", "style.png:2", "-o", "out.png", "--iterations", "9", "--json", folder=folder)
    start, *steps, done = result.events()
    assert start["event"] == "start" and (start["width"], start["height"]) == (48, 36) and start["iterations"] == 9
    assert start["styles"] == [{"path": "style.png", "weight": 2}] and start["memory_bytes"] > 0 and start["operations"] > 0
    assert start["resident_bytes"] > start["memory_bytes"] and start["seconds"] > 0
    assert [step["iteration"] for step in steps] == list(range(1, 10))
    for step in steps:
        assert set(step) == FIELDS and step["iterations"] == 9 and 1 <= step["scale"] <= step["scales"] == start["scales"]
        assert step["total_loss"] > 0 and step["content_loss"] >= 0 and step["style_loss"] > 0
    assert steps[0]["total_loss"] > steps[-1]["total_loss"] or start["scales"] > 1
    assert done["event"] == "done" and done["output"] == "out.png" and not done["interrupted"]


def test_half_precision(folder):
    """Feature maps in bf16 lead the same way: after a few iterations losses are as close as 8 bits of them are (2 %)."""
    losses = []
    for precision in ("f32", "bf16"):
        result = painted("optimize", "photo.png", "--style", "style.png", "-o", "out.png", "--preset", "classic", "--iterations", "8",
                         "--precision", precision, "--json", folder=folder)
        losses.append(result.events()[-2]["total_loss"])
    assert abs(losses[1] - losses[0]) < 0.02 * losses[0] and losses[0] != losses[1]


def test_no_iterations(folder):
    result = painted("optimize", "photo.png", "--style", "style.png", "-o", "out.png", "--iterations", "0", "--json", folder=folder)
    assert [event["event"] for event in result.events()] == ["start", "done"] and result.events()[0]["seconds"] == 0


def test_plain_lines(folder):
    begin = time.monotonic()
    result = painted("optimize", "photo.png", "--style", "style.png", "-o", "out.png", "--time", "2s", "--iterations", "1000000",
                     folder=folder)
    lines = result.out.splitlines()
    assert "\r" not in result.out and "\033" not in result.out
    assert "photo.png -> out.png: 48x36" in lines[0] and "2 s at" in lines[1] and "MB" in lines[1]
    assert lines[1].count("about") == 1  # the memory; the time is known
    steps = [line for line in lines if line.startswith("iteration ")]
    # One a second, the first and the last; under a sanitizer the first may take all the time that there is.
    assert steps[0].startswith("iteration 1,") and " 0 s left" in steps[-1]
    assert (1 if SANITIZED else 2) <= len(steps) <= time.monotonic() - begin + 2
    assert lines[-1].startswith("out.png: ")


def test_quiet(folder):
    result = painted("optimize", "photo.png", "--style", "style.png", "-o", "out.png", "--iterations", "2", "--quiet", folder=folder)
    assert result.out == ""


def test_verbose(folder):
    arguments = ["optimize", "photo.png", "--style", "style.png", "-o", "out.png", "--iterations", "2", "--verbose"]
    table = painted(*arguments, folder=folder).out
    assert "GFLOP/s" in table and "conv1_1" in table and "backward" in table and "forward" in table
    nodes = painted(*arguments, "--json", folder=folder).events()[-1]["nodes"]
    assert any(node["name"].startswith("conv3_1") and node["backward"] and node["calls"] > 0 for node in nodes)
    assert sum(node["seconds"] for node in nodes) > 0


def in_terminal(folder, columns, *arguments):
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen([PROGRAM, *arguments], cwd=folder, stdout=slave, stderr=slave, stdin=subprocess.DEVNULL)
    os.close(slave)
    text = b""
    while True:
        try:
            text += os.read(master, 4096)
        except OSError:  # the program has ended
            break
    os.close(master)
    return process.wait(TIMEOUT), text.decode()


@pytest.mark.parametrize("columns", [20, 60, 200])
def test_bar(folder, columns):
    code, text = in_terminal(folder, columns, *LONG, "--time", "1s")
    assert code == 0
    drawn = [part.split("\033[K")[0] for part in text.split("\r") if "%" in part]
    assert drawn and all(len(part) < columns for part in drawn)
    assert len(drawn) <= 15  # ten a second, and the last
    assert any("[#" in part or "[." in part for part in drawn) == (columns == 200)  # where there is room for it
    assert text.splitlines()[-1].replace("\r", "").replace("\033[K", "").startswith("out.png: ")


# ---- interruptions -------------------------------------------------------------------------------------------------------

def begin(folder, *more):
    """Starts a long run and returns when it paints. A shell's & may have had SIGINT ignored: that is undone."""
    process = subprocess.Popen([PROGRAM, *LONG, "--json", *more], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               stdin=subprocess.DEVNULL, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    for line in process.stdout:
        event = json.loads(line)
        if event["event"] == "progress" and event["iteration"] >= 3:
            break
    return process


@pytest.mark.parametrize("number,code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interruption_writes_the_picture(folder, number, code):
    process = begin(folder)
    process.send_signal(number)
    out, err = process.communicate(timeout=TIMEOUT)
    assert process.returncode == code and err == b""
    done = json.loads(out.splitlines()[-1])
    assert done["event"] == "done" and done["interrupted"] and 3 <= done["iterations"] < 1000000
    assert read_png(folder / "out.png").width == 32
    assert sorted(path.name for path in folder.iterdir()) == ["other.png", "out.png", "photo.png", "style.png"]


def test_a_listener_that_goes_away(folder):
    process = begin(folder, "--time", "2s")
    process.stdout.close()
    assert process.wait(TIMEOUT) == 0 and process.stderr.read() == b""
    process.stderr.close()
    assert read_png(folder / "out.png").width == 32
