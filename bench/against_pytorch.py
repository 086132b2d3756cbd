#!/usr/bin/env python3
"""One iteration of Gatys' method in Impasto and in PyTorch, turn by turn on the same machine.

usage: against_pytorch.py [--impasto build/impasto] [--size 512] [--iterations 4] [--rounds 5] [--threads 2]
                          [--modes f32,f32cl,bf16cl] [--impasto-modes f32,bf16] [--instruction-set avx2]

Both: VGG19 up to conv5_1, content loss at conv4_2, Gram losses at conv1_1..conv5_1, Adam on the pixels; one iteration
that is not counted, then --iterations. Every round runs Impasto in each of its precisions, then PyTorch in each mode
(cl: channels-last memory; bf16: weights, pixels and maps), each in a process of its own. --instruction-set avx2 holds
both to AVX2. Prints a line a run and at the end the medians over the rounds of: seconds (least of a run), ratio to each
of Impasto's in the same round, peak memory. The weights in PyTorch are random: their values do not change the
time."""
import argparse
import json
import os
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
    element = torch.bfloat16 if "bf16" in mode else torch.float32
    weights, channels = [], 3
    for c in CHANNELS:
        if c != "pool":
            weights.append(torch.randn(c, channels, 3, 3).mul_((2 / (9 * channels)) ** 0.5).to(element, memory_format=memory))
            channels = c

    def features(x):
        maps, convolutions, x = [], iter(weights), x.to(element)
        for c in CHANNELS:
            if c == "pool":
                x = F.max_pool2d(x, 2)
            else:
                x = F.relu(F.conv2d(x, next(convolutions), torch.zeros(c, dtype=element), padding=1))
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
        loss = (maps[CONTENT] - target).float().square().mean()
        for i, g in zip(STYLE, grams):
            loss = loss + 1e6 * (gram(maps[i]) - g).float().square().mean()
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
    parser.add_argument("--impasto-modes", default="f32,bf16")
    parser.add_argument("--instruction-set", choices=["avx2"])
    parser.add_argument("--pytorch")
    a = parser.parse_args()
    if a.pytorch:
        return pytorch(a.pytorch, a.size, a.iterations, a.threads)
    common = ["--size", str(a.size), "--iterations", str(a.iterations), "--threads", str(a.threads)]
    held = ["--instruction-set", a.instruction_set] if a.instruction_set else []
    if held:
        os.environ |= {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
    ours = [f"impasto {m}" for m in a.impasto_modes.split(",")]
    commands = {name: [a.impasto, "bench", "optimize", "--json", "--precision", name.split()[1], *held, *common] for name in ours}
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
        ratios = [statistics.median(t / o for t, o in zip(seconds[name], seconds[our])) for our in ours]
        memory = max(r["peak_rss_mb"] for r in rounds[name])
        times = ", ".join(f"{ratio:.2f} times {our}'s" for ratio, our in zip(ratios, ours))
        print(f"{name}: {statistics.median(seconds[name]):.3f} s an iteration, {times}, {memory:.0f} MB at most")


main()
