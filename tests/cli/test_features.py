"""`--features` and `--sketch`: losses of several networks, and a network that paints the first part."""
import json

import pytest

from support import FEW, optimize, painted, refused

LAYERS = ["--content-layers", "conv2_1", "--style-layers", "conv1_1,conv2_1"]  # near the input: little work


def start_and_end(folder, *more):
    result = painted("optimize", "photo.png", "--style", "style.png", "-o", "out.png", *FEW, *LAYERS, "--json", *more,
                     folder=folder)
    events = result.events()
    return events[0], [event for event in events if event["event"] == "progress"], events[-1]


def test_one_network_is_as_before(folder):
    plain = optimize(folder, *LAYERS)
    assert optimize(folder, *LAYERS, "--features", "vgg19").samples == plain.samples
    # Halves are exact, and so is their sum.
    assert optimize(folder, *LAYERS, "--features", "vgg19:0.5,vgg19:0.5").samples == plain.samples


def test_weights_count(folder):
    _, [one, *_], _ = start_and_end(folder)
    _, [four, *_], _ = start_and_end(folder, "--features", "vgg19:3,vgg19")
    assert four["total_loss"] == pytest.approx(4 * one["total_loss"])


def test_events_tell_the_networks(folder, vgg19):
    start, _, end = start_and_end(folder, "--features", "vgg19:0.5,vgg19:2")
    assert start["features"] == [{"model": "vgg19", "weight": 0.5}, {"model": "vgg19", "weight": 2}]
    assert start["sketch"] is None and end["event"] == "done"


def test_sketch(folder, vgg19):
    start, steps, end = start_and_end(folder, "--sketch", "vgg19", "--sketch-share", "0.6")
    assert start["sketch"] == {"model": "vgg19", "weight": 1} and start["scales"] == 2
    assert [step["scale"] for step in steps] == [1, 1, 2] and end["iterations"] == 3


def test_more_networks_take_more_memory(folder, vgg19):
    memory = []
    for features in ("vgg19", "vgg19,vgg19"):
        result = painted("bench", "optimize", "--size", "64", "-n", "1", "--features", features, "--json", folder=folder)
        bench = json.loads(result.out)
        assert bench["model"] == features.replace(",", "+")
        memory.append(bench["memory_bytes"])
    assert memory[1] > 1.5 * memory[0]  # maps and targets of both; pictures and the optimiser are there once


@pytest.mark.parametrize("options,words", [
    (["--features", "vgg19", "--model", "vgg19"], "--model and --features exclude each other"),
    (["--features", "vgg19:0"], "the weight '0' of vgg19 is not a number above 0"),
    (["--features", "vgg19:-1,vgg19"], "the weight '-1' of vgg19"),
    (["--features", "vgg19,,vgg19"], "is no list of models"),
    (["--features", "vgg19,"], "is no list of models"),
    (["--features", "vgg19,unknown:2"], "there is no model 'unknown'"),
    (["--features", ",".join(["vgg19"] * 9)], "more than 8 models"),
    (["--features", "vgg19", "--style-layers", "layer1.0"], "unknown layer \"layer1.0\""),
    (["--sketch", "unknown"], "there is no model 'unknown'"),
    (["--sketch-share", "0.5"], "--sketch-share needs --sketch"),
    (["--sketch", "vgg19", "--sketch-share", "2"], "from 0 to 1"),
])
def test_what_cannot_be(folder, options, words):
    refused("optimize", "photo.png", "--style", "style.png", "-o", "out.png", *options, folder=folder, mentions=words)
