"""A training step of the styler `fine` in PyTorch, in a process of its own.

usage: pytorch_train.py f32|bf16 SIDE BATCH STEPS THREADS

The network of src/models/stylers.c (96 channels, 6 blocks, one style), a loss network of VGG19 up to conv4_1 (content there,
Gram losses at conv1_1..conv4_1), Adam. bf16: autocast, channels-last. Prints one JSON line: the least seconds of the
steps after one that is not counted, and the most memory. The weights are random: their values do not change the time."""
import contextlib
import json
import resource
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

mode, side, batch, steps, threads = sys.argv[1], *map(int, sys.argv[2:6])
torch.manual_seed(0)
torch.set_num_threads(threads)
half = mode == "bf16"


def convolution(inputs, outputs, stride=1):
    return nn.Conv2d(inputs, outputs, 3, stride, 1, padding_mode="reflect")


class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.first, self.second = convolution(c, c), convolution(c, c)
        self.norms = nn.ModuleList([nn.InstanceNorm2d(c, affine=True) for _ in range(2)])

    def forward(self, x):
        y = F.relu(self.norms[0](self.first(x)))
        return x + self.norms[1](self.second(y))


class Fine(nn.Module):
    def __init__(self, c=96, blocks=6):
        super().__init__()
        self.down1, self.down2, self.norm = convolution(12, c // 2), convolution(c // 2, c, 2), nn.InstanceNorm2d(c, affine=True)
        self.blocks = nn.Sequential(*[Block(c) for _ in range(blocks)])
        self.up1, self.up2, self.skip = convolution(c, c // 2), convolution(c // 2, 12), nn.Conv2d(12, 12, 1)

    def forward(self, x):
        x = F.pixel_unshuffle(x, 2)
        y = self.blocks(F.relu(self.norm(self.down2(F.relu(self.down1(x))))))
        y = self.up2(F.relu(self.up1(F.interpolate(y, scale_factor=2, mode="nearest"))))
        return F.pixel_shuffle((y + self.skip(x)), 2)


CHANNELS = [64, 64, "pool", 128, 128, "pool", 256, 256, 256, 256, "pool", 512]
STYLE = [0, 2, 4, 8]  # convolutions, counted from 0
weights, channels = [], 3
for c in CHANNELS:
    if c != "pool":
        weights.append(torch.randn(c, channels, 3, 3).mul_((2 / (9 * channels)) ** 0.5))
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
    v = f.flatten(2).float()
    return v @ v.transpose(1, 2) / v[0].numel()


def pictures():
    x = torch.rand(batch, 3, side, side) * 2 - 1
    return x.to(memory_format=torch.channels_last) if half else x


network = Fine()
if half:
    network = network.to(memory_format=torch.channels_last)
    weights = [w.to(memory_format=torch.channels_last) for w in weights]
with torch.no_grad():
    grams = [gram(f)[:1] for i, f in enumerate(features(pictures())) if i in STYLE]
adam, seconds = torch.optim.Adam(network.parameters(), lr=1e-3), []
for _ in range(steps + 1):
    photos, start = pictures(), time.perf_counter()
    adam.zero_grad()
    with torch.autocast("cpu", torch.bfloat16) if half else contextlib.nullcontext():
        with torch.no_grad():
            content = features(photos)[-1]
        maps = features(network(photos))
        loss = (maps[-1] - content).float().square().mean()
        for i, g in zip(STYLE, grams):
            loss = loss + (gram(maps[i]) - g).square().mean()
    loss.backward()
    adam.step()
    seconds.append(time.perf_counter() - start)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"version": "PyTorch " + torch.__version__, "seconds": min(seconds[1:]), "peak_rss_mb": peak}))
