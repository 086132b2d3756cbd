#!/usr/bin/env python3
"""How long the loss of PyTorch's Adam takes here: to its total, and to both halves of it together.

usage: time_to_loss.py REFERENCE.json CONTENT STYLE [--impasto build/impasto] [--preset fast] [--rounds 3]

REFERENCE.json is what trajectory.py reads: {"size": 512, "trace": [[total, content, style], ...]} of PyTorch's Adam. Its
last iteration gives the bounds. Every round paints with the preset, then times PyTorch's iteration as
against_pytorch.py does (f32 and f32 channels-last), which times the length of the trace is what the same losses take
there. At the end the preset runs once more in f32 with conv5_1, which it leaves out otherwise, so that its losses are
PyTorch's own and not those of rounded maps. (Losses are of the pixels as the optimisers have them; a written picture's
are higher in both, since its pixels are cut off at black and white.) Needs Python 3 with torch."""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

FULL = ["--style-layers", "conv1_1,conv2_1,conv3_1,conv4_1,conv5_1"]


def events(command):
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        yield json.loads(line)
    if process.wait() != 0:
        sys.exit(f"{command[0]} failed")


def progress(command):
    return [e for e in events(command) if e["event"] == "progress"]


def total(event):
    return event["content_loss"] + 1e6 * event["style_loss"]


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("reference")
    parser.add_argument("content")
    parser.add_argument("style")
    parser.add_argument("--impasto", default="build/impasto")
    parser.add_argument("--preset", default="fast")
    parser.add_argument("--rounds", type=int, default=3)
    a = parser.parse_args()
    reference = json.load(open(a.reference))
    size, trace = str(reference["size"]), reference["trace"]
    goal = trace[-1]
    paint = [a.impasto, "optimize", a.content, "--style", a.style, "--size", size, "--json"]
    against = pathlib.Path(__file__).with_name("against_pytorch.py")
    print(f"PyTorch's Adam after {len(trace)} iterations: total {goal[0]:.3f}, content {goal[1]:.3f}, style {goal[2]:.3g}")
    reached = {"total": lambda e: total(e) <= goal[0],
               "both halves": lambda e: e["content_loss"] <= goal[1] and e["style_loss"] <= goal[2]}
    times = {name: [] for name in reached}
    with tempfile.TemporaryDirectory() as folder:
        picture = folder + "/out.png"
        for i in range(a.rounds):
            run = progress(paint + ["--preset", a.preset, "-o", picture])
            pytorch = {}
            for mode in ["f32", "f32cl"]:
                out = subprocess.run([sys.executable, against, "--pytorch", mode, "--size", size, "--iterations", "2"],
                                     check=True, stdout=subprocess.PIPE, text=True).stdout
                pytorch[mode] = json.loads(out.splitlines()[-1])["seconds_per_iteration"]["min"] * len(trace)
            for name, is_reached in reached.items():
                event = next((e for e in run if is_reached(e)), None)
                if event is None:
                    print(f"round {i + 1}, {name}: not reached in {len(run)} iterations")
                    continue
                times[name].append([t / event["seconds"] for t in pytorch.values()])
                print(f"round {i + 1}, {name}: {event['seconds']:.1f} s, {event['iteration']} iterations; PyTorch "
                      f"{pytorch['f32']:.0f} s, channels-last {pytorch['f32cl']:.0f} s", flush=True)
        exact = progress(paint + ["--preset", a.preset, "--precision", "f32", "-o", picture, *FULL])
    for name, ratios in times.items():
        if ratios:
            f32, cl = (statistics.median(r) for r in zip(*ratios))
            print(f"{name}: {f32:.0f} times less than PyTorch, {cl:.0f} times less than PyTorch channels-last")
    for name, is_reached in reached.items():
        iteration = next((str(e["iteration"]) for e in exact if is_reached(e)), "none")
        print(f"{name} in f32 with conv5_1: iteration {iteration} of {len(exact)}")


main()
