"""`--max-memory`: strips paint the same picture in less memory, and what cannot be is said before it begins."""
import json

import pytest

from support import SANITIZED, painted, refused, write_png

# Of the classic preset at 256x256: the weights of a VGG19 are 80 MB of it, the maps 50 MB where all are kept.
AMPLE, STRIPS, TOO_LITTLE = "2G", "155M", "120M"
PRINT = ["--preset", "classic", "--iterations", "3", "--size", "256", "--enlarge"]


@pytest.fixture
def large(folder, vgg19):
    write_png(folder / "photo.png", 256, 256, seed=1)
    write_png(folder / "style.png", 128, 128, seed=2)
    return folder


def losses(folder, limit):
    result = painted("optimize", "photo.png", "--style", "style.png", "-o", "out.png", *PRINT, "--json", "--max-memory",
                     limit, folder=folder)
    start, *steps = [event for event in result.events() if event["event"] in ("start", "progress")]
    return start, [[step[name + "_loss"] for name in ("total", "content", "style")] for step in steps]


def test_strips_paint_the_same(large):
    whole, expected = losses(large, AMPLE)
    strips, got = losses(large, STRIPS)
    assert strips["memory_bytes"] < 0.8 * whole["memory_bytes"]
    assert strips["operations"] > 1.2 * whole["operations"]
    # The same sums in another order; Adam's first steps, of the gradient's sign, enlarge that where it is near 0.
    for ours, theirs in zip(got, expected):
        assert ours == pytest.approx(theirs, rel=1e-3, abs=1e-9)


def test_verbose_tells_of_strips(large):
    result = painted("optimize", "photo.png", "--style", "style.png", "-o", "out.png", *PRINT, "--verbose",
                     "--max-memory", STRIPS, folder=large)
    assert "strips to keep to the memory limit" in result.out


@pytest.mark.skipif(SANITIZED, reason="sanitizers take memory of their own")
@pytest.mark.parametrize("limit", [400, 170])
def test_resident_memory_keeps_to_the_limit(tmp_path, limit):
    result = painted("bench", "optimize", "--size", "256", "-n", "1", "--max-memory", f"{limit}M", "--json",
                     folder=tmp_path)
    bench = json.loads(result.out)
    assert bench["peak_rss_mb"] <= limit
    # What is told before the start; the rest is stacks, small blocks and what the system rounds up.
    assert bench["expected_rss_mb"] == pytest.approx(bench["peak_rss_mb"], rel=0.1)


def test_too_little(large):
    refused("optimize", "photo.png", "--style", "style.png", "-o", "out.png", *PRINT, "--max-memory", TOO_LITTLE,
            folder=large, mentions=["out of memory", "need at least"])
