"""The forward pass of VGG19 from conv1_1 to conv5_1 in ncnn, in a process of its own.

usage: ncnn_vgg19.py make FOLDER                              converts the network, by PyTorch and pnnx
       ncnn_vgg19.py f32|bf16 SIZE REPEATS THREADS FOLDER     prints one JSON line: the least seconds of the repeats

The weights are random: their values do not change the time."""
import json
import os
import subprocess
import sys
import time

CHANNELS = [64, 64, "pool", 128, 128, "pool", 256, 256, 256, 256, "pool", 512, 512, 512, 512, "pool", 512]


def make(folder):
    import torch

    layers, channels = [], 3
    for c in CHANNELS:
        if c == "pool":
            layers.append(torch.nn.MaxPool2d(2, 2))
        else:
            layers += [torch.nn.Conv2d(channels, c, 3, padding=1), torch.nn.ReLU()]
            channels = c
    network = torch.nn.Sequential(*layers).eval()
    torch.jit.trace(network, torch.rand(1, 3, 256, 256)).save(folder + "/vgg19.pt")  # converted, it takes any size
    pnnx = os.path.join(os.path.dirname(sys.executable), "pnnx")
    subprocess.run([pnnx, "vgg19.pt", "inputshape=[1,3,256,256]"], cwd=folder, check=True, stdout=subprocess.DEVNULL)


def run(mode, size, repeats, threads, folder):
    import ncnn
    import numpy

    network, pixels, seconds = ncnn.Net(), numpy.random.rand(3, size, size).astype(numpy.float32), []
    network.opt.num_threads = threads
    network.opt.use_bf16_storage = mode == "bf16"
    network.load_param(folder + "/vgg19.ncnn.param")
    network.load_model(folder + "/vgg19.ncnn.bin")
    for _ in range(repeats + 1):
        start = time.perf_counter()
        extractor = network.create_extractor()
        extractor.input("in0", ncnn.Mat(pixels).clone())
        out = extractor.extract("out0")[1]
        seconds.append(time.perf_counter() - start)
    assert (out.c, out.h, out.w) == (512, size // 16, size // 16)
    print(json.dumps({"version": "ncnn " + ncnn.__version__, "seconds": min(seconds[1:])}))


if sys.argv[1] == "make":
    make(sys.argv[2])
else:
    run(sys.argv[1], *map(int, sys.argv[2:5]), sys.argv[5])
