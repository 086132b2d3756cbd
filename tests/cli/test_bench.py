"""`impasto bench optimize` prints one line that a program can read."""
import json
import os

import pytest

from support import SANITIZED, painted


def test_json(tmp_path, vgg19):
    result = painted("bench", "optimize", "--size", "32", "--iterations", "3", "--precision", "f32", "--threads", "2", "--json",
                     folder=tmp_path)
    [line] = result.out.splitlines()
    bench = json.loads(line)
    assert 0 < bench["seconds_per_iteration"]["min"] <= bench["seconds_per_iteration"]["median"]
    assert bench["peak_rss_mb"] > 20  # the weights alone are more
    assert (bench["width"], bench["height"], bench["iterations"], bench["threads"]) == (32, 32, 3, 2)
    assert bench["precision"] == "f32" and bench["model"] == "vgg19" and bench["version"] and bench["instruction_set"]
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(SANITIZED, reason="sanitizers take memory of their own")
def test_half_precision(tmp_path):
    """Feature maps of half the size show in the memory."""
    peaks = {}
    for precision in ("f32", "bf16"):
        result = painted("bench", "optimize", "--size", "512", "-n", "1", "--precision", precision, "--json", folder=tmp_path)
        bench = json.loads(result.out)
        assert bench["precision"] == precision
        peaks[precision] = bench["peak_rss_mb"]
    assert peaks["bf16"] < peaks["f32"] - 75  # of 300 MB of maps half are gone; AMX has 52 MB of weights of its own


def test_batch(tmp_path):
    memory = {}
    for batch in (1, 3):
        result = painted("bench", "optimize", "--size", "32", "-n", "1", "--batch", str(batch), "--json", folder=tmp_path)
        bench = json.loads(result.out)
        assert bench["batch"] == batch
        assert bench["pictures_per_hour"] == pytest.approx(3600 * batch / 500 / bench["seconds_per_iteration"]["median"])
        memory[batch] = bench["memory_bytes"]
    assert memory[3] > memory[1]


def test_text(tmp_path, vgg19):
    result = painted("bench", "optimize", "--size", "16", "--iterations", "1", folder=tmp_path)
    assert "vgg19 at 16x16 in f32, 1 picture," in result.out and "iterations an hour" in result.out


def test_plain_c(tmp_path):
    result = painted("bench", "optimize", "--size", "16", "-n", "1", "--instruction-set", "c", "--json", folder=tmp_path)
    assert json.loads(result.out)["instruction_set"] == "c"
