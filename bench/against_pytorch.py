#!/usr/bin/env python3
"""One iteration of Gatys' method in Impasto and in PyTorch, turn by turn on the same machine.

usage: against_pytorch.py [--impasto build/impasto] [--size 512] [--iterations 4] [--rounds 5] [--threads 2]
                          [--modes f32,f32cl]

Both: VGG19 up to conv5_1, content loss at conv4_2, Gram losses at conv1_1..conv5_1, Adam on the pixels; one iteration
that is not counted, then --iterations. Every round runs Impasto, then PyTorch in each mode (cl: channels-last memory),
each in a process of its own. Prints a line a run and at the end the medians over the rounds of: seconds (least of a
run), ratio to Impasto in the same round, peak memory. The weights in PyTorch are random: their values do not change the
time."""
import argparse
import json
import resource
import statistics
import subprocess
import sys
import time

CHANNELS = [64, 64, "pool", 128, 128, "pool", 256, 256, 256, 256, "pool", 512, 512, 512, 512, "pool", 512]
STYLE, CONTENT = [0, 2, 4, 8, 12], 9  # convolutions, counted from 0


def pytorch(mode, size, iterations, threads):
    """Runs in a process of its own: prints what `impasto bench optimize --json` prints."""
    import torch
    import torch.nn.functional as F

    torch.manual_seed(0)
    torch.set_num_threads(threads)
    memory = torch.channels_last if "cl" in mode else torch.contiguous_format
    weights, channels = [], 3
    for c in CHANNELS:
        if c != "pool":
            weights.append(torch.randn(c, channels, 3, 3).mul_((2 / (9 * channels)) ** 0.5).to(memory_format=memory))
            channels = c

    def features(x):
        maps, convolutions = [], iter(weights)
        for c in CHANNELS:
            if c == "pool":
                x = F.max_pool2d(x, 2)
            else:
                x = F.relu(F.conv2d(x, next(convolutions), torch.zeros(c), padding=1))
                maps.append(x)
        return maps

    def gram(f):
        v = f.reshape(f.shape[1], -1)
        return v @ v.t() / v.numel()

    def picture():
        return (torch.randn(1, 3, size, size) * 50).to(memory_format=memory)

    with torch.no_grad():
        style = features(picture())
        grams = [gram(style[i]) for i in STYLE]
        target = features(picture())[CONTENT]
        del style
    x = picture().requires_grad_(True)
    adam, seconds = torch.optim.Adam([x], lr=2.0), []
    for _ in range(iterations + 1):
        start = time.perf_counter()
        adam.zero_grad()
        maps = features(x)
        loss = (maps[CONTENT] - target).square().mean()
        for i, g in zip(STYLE, grams):
            loss = loss + 1e6 * (gram(maps[i]) - g).square().mean()
        loss.backward()
        adam.step()
        seconds.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    per_iteration = {"min": min(seconds[1:]), "median": statistics.median(seconds[1:])}
    print(json.dumps({"seconds_per_iteration": per_iteration, "peak_rss_mb": peak}))


def run(command):
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--impasto", default="build/impasto")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--iterations", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--modes", default="f32,f32cl")
    parser.add_argument("--pytorch")
    a = parser.parse_args()
    if a.pytorch:
        return pytorch(a.pytorch, a.size, a.iterations, a.threads)
    common = ["--size", str(a.size), "--iterations", str(a.iterations), "--threads", str(a.threads)]
    commands = {"impasto": [a.impasto, "bench", "optimize", "--json", "--precision", "f32", *common]}
    commands |= {f"pytorch {m}": [sys.executable, __file__, "--pytorch", m, *common] for m in a.modes.split(",")}
    rounds = {name: [] for name in commands}
    for i in range(a.rounds):
        for name, command in commands.items():
            rounds[name].append(run(command))
            figures = rounds[name][-1]
            least = figures["seconds_per_iteration"]["min"]
            print(f"round {i + 1} {name}: {least:.3f} s, {figures['peak_rss_mb']:.0f} MB", flush=True)
    seconds = {name: [r["seconds_per_iteration"]["min"] for r in runs] for name, runs in rounds.items()}
    for name in commands:
        ratio = statistics.median(theirs / ours for theirs, ours in zip(seconds[name], seconds["impasto"]))
        memory = max(r["peak_rss_mb"] for r in rounds[name])
        print(f"{name}: {statistics.median(seconds[name]):.3f} s an iteration, {ratio:.2f} times Impasto's, "
              f"{memory:.0f} MB at most")


main()
