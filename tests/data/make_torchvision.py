#!/usr/bin/env python3
"""Makes torchvision.json: figures of PyTorch, in double precision, that the engine's VGG16, ResNet18 and ResNet50 are
compared with.

The networks are written down here as torchvision has them (its keys, batch norm in evaluation), without the classifier.
Weights and pixels are numbers of noise.py, seeded by the tensors' names, so that names and order are compared too; they
show the mechanics, and nothing of how pictures look. Usage: python3 make_torchvision.py > torchvision.json   (needs torch;
made with 2.15)
"""
import json
import math

import torch
import torch.nn.functional as F

from noise import noise, summary

torch.set_default_dtype(torch.float64)
SAMPLES = 24
HEIGHT, WIDTH = 75, 58  # odd numbers on the way down: 38, 19, 10, 5, 3
RESNETS = {"resnet18": (False, [2, 2, 2, 2]), "resnet50": (True, [3, 4, 6, 3])}
VGG16 = [(2, 64), (2, 128), (3, 256), (3, 512), (3, 512)]  # convolutions of a block, and their channels


def seed_of(name):
    """FNV-1a."""
    h = 2166136261
    for byte in name.encode():
        h = (h ^ byte) * 16777619 & 0xFFFFFFFF
    return h


def tensor(name, shape):
    return noise(seed_of(name), math.prod(shape)).reshape(shape)


def convolution(x, name, norm, channels, kernel, stride):
    """And its batch norm."""
    fan = x.shape[1] * kernel * kernel
    weight = tensor(name + ".weight", (channels, x.shape[1], kernel, kernel)) * math.sqrt(6 / fan)
    y = F.conv2d(x, weight, None, stride, kernel // 2)
    return F.batch_norm(y, 0.1 * tensor(norm + ".running_mean", (channels,)),
                        1 + 0.5 * tensor(norm + ".running_var", (channels,)),
                        0.75 + 0.25 * tensor(norm + ".weight", (channels,)), 0.1 * tensor(norm + ".bias", (channels,)),
                        eps=1e-5)


def block(x, prefix, bottleneck, channels, stride):
    outputs = channels * 4 if bottleneck else channels
    shapes = [(channels, 1, 1), (channels, 3, stride), (outputs, 1, 1)] if bottleneck else \
        [(channels, 3, stride), (channels, 3, 1)]
    y = x
    for number, (width, kernel, step) in enumerate(shapes, 1):
        y = convolution(y, f"{prefix}.conv{number}", f"{prefix}.bn{number}", width, kernel, step)
        if number < len(shapes):
            y = F.relu(y)
    if stride != 1 or x.shape[1] != outputs:
        x = convolution(x, prefix + ".downsample.0", prefix + ".downsample.1", outputs, 1, stride)
    return F.relu(y + x)


def resnet(x, bottleneck, blocks):
    """{name: map} of the taps."""
    maps = {"conv1": F.relu(convolution(x, "conv1", "bn1", 64, 7, 2))}
    x = maps["maxpool"] = F.max_pool2d(maps["conv1"], 3, 2, 1)
    for stage, count in enumerate(blocks):
        for number in range(count):
            name = f"layer{stage + 1}.{number}"
            x = maps[name] = block(x, name, bottleneck, 64 << stage, 2 if stage and not number else 1)
    ends = {f"layer{stage + 1}.{count - 1}" for stage, count in enumerate(blocks)}
    return {name: maps[name] for name in maps if name in ends | {"conv1", "maxpool", "layer1.0", "layer2.0"}}


def vgg16(x):
    """The same; torchvision counts all layers in "features"."""
    maps, index = {}, 0
    for number, (count, channels) in enumerate(VGG16, 1):
        for k in range(1, count + 1):
            weight = tensor(f"features.{index}.weight", (channels, x.shape[1], 3, 3)) * math.sqrt(6 / (9 * x.shape[1]))
            x = F.relu(F.conv2d(x, weight, 0.1 * tensor(f"features.{index}.bias", (channels,)), 1, 1))
            index += 2
            if k in (1, count):
                maps[f"conv{number}_{k}"] = x
        x = maps[f"pool{number}"] = F.max_pool2d(x, 2)
        index += 1
    return maps


def figures(name):
    pixels = (127.5 + 127.5 * tensor("pixels", (1, 3, HEIGHT, WIDTH))).requires_grad_()
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = (pixels / 255 - mean[:, None, None]) / deviation[:, None, None]
    maps, taps = resnet(x, *RESNETS[name]) if name in RESNETS else vgg16(x), {}
    for tap in maps:
        loss = (maps[tap].sum((2, 3)) * tensor("gradient", (maps[tap].shape[1],))).sum()
        gradient, = torch.autograd.grad(loss, pixels, retain_graph=True)
        taps[tap] = {"shape": list(maps[tap].shape[1:]), "map": summary(maps[tap], SAMPLES),
                     "gradient": summary(gradient, SAMPLES)}
    return taps


print(json.dumps({"height": HEIGHT, "width": WIDTH, "networks": {name: figures(name) for name in ("vgg16", *RESNETS)}}, indent=1))
