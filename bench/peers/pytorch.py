"""An iteration of Gatys' method in PyTorch, in a process of its own.

usage: pytorch.py f32|f32cl|bf16|bf16cl SIZE ITERATIONS THREADS

VGG19 up to conv5_1, content loss at conv4_2, Gram losses at conv1_1..conv5_1, Adam on the pixels (cl: channels-last
memory; bf16: weights, pixels and maps). Prints one JSON line: the least seconds of the iterations after one that is not
counted, and the most memory. The weights are random: their values do not change the time."""
import json
import resource
import sys
import time

import torch
import torch.nn.functional as F

CHANNELS = [64, 64, "pool", 128, 128, "pool", 256, 256, 256, 256, "pool", 512, 512, 512, 512, "pool", 512]
STYLE, CONTENT = [0, 2, 4, 8, 12], 9  # convolutions, counted from 0

mode, size, iterations, threads = sys.argv[1], *map(int, sys.argv[2:5])
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
print(json.dumps({"version": "PyTorch " + torch.__version__, "seconds": min(seconds[1:]), "peak_rss_mb": peak}))
