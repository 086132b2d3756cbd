#!/usr/bin/env python3
"""Makes operations.json: figures of PyTorch, in double precision, that the engine's operations are compared with.

Inputs, weights and gradients are numbers of noise.py. Usage: python3 make_operations.py > operations.json   (needs
torch; made with 2.15)
"""
import json
import math

import torch
import torch.nn.functional as F

from noise import noise, summary

torch.set_default_dtype(torch.float64)
SAMPLES = 24  # values kept of each tensor, evenly spread


def tensor(seed, shape):
    return noise(seed, math.prod(shape)).reshape(shape)


def pad(x, layer):
    mode = layer.get("padding_mode", "zero")
    n = layer.get("padding", 0)
    if n == 0:
        return x
    if mode == "zero":
        return F.pad(x, (n, n, n, n))
    return F.pad(x, (n, n, n, n), mode="replicate" if mode == "replicate" else "reflect")


ACTIVATIONS = {
    "leaky_relu": lambda x, slope: F.leaky_relu(x, slope),
    "relu6": lambda x, _: F.relu6(x),
    "hard_sigmoid": lambda x, _: F.hardsigmoid(x),
    "hard_swish": lambda x, _: F.hardswish(x),
    "sigmoid": lambda x, _: torch.sigmoid(x),
    "tanh": lambda x, _: torch.tanh(x),
}


def make_parameters(case):
    """[(name, tensor)] in the order in which the test makes them: weight, bias of each layer."""
    channels = [3 * case.get("factor", 1) ** 2]
    parameters = []
    for number, layer in enumerate(case["layers"], 1):
        inputs = channels[layer["input"]]
        kind = layer["kind"]
        seed = 100 + 10 * number
        if kind == "convolution":
            shape = (layer["channels"], inputs // layer.get("groups", 1), layer["kernel"], layer["kernel"])
            fan = shape[1] * shape[2] * shape[3]
            parameters.append(tensor(seed, shape) * math.sqrt(3 / fan))
            parameters.append(tensor(seed + 1, (layer["channels"],)) * 0.1)
            channels.append(layer["channels"])
        elif kind == "instance_norm":
            shape = (layer["styles"], inputs)
            parameters.append(1 + 0.5 * tensor(seed, shape))
            parameters.append(0.5 * tensor(seed + 1, shape))
            channels.append(inputs)
        elif kind == "batch_norm":
            for k, (offset, scale) in enumerate(((1, 0.5), (0, 0.5), (0, 0.5), (1, 0.5))):
                parameters.append(offset + scale * tensor(seed + k, (inputs,)))
            channels.append(inputs)
        elif kind == "concat":
            channels.append(inputs + channels[layer["second"]])
        elif kind == "shuffle":
            channels.append(inputs // layer["factor"] ** 2)
        elif kind == "unshuffle":
            channels.append(inputs * layer["factor"] ** 2)
        else:
            channels.append(inputs)
    for p in parameters:
        p.requires_grad_()
    return parameters


def batch_norm(x, scale, shift, mean, variance, training):
    """With the batch's moments or the kept ones; the former, in the place of gradients by the latter."""
    kept = (None, None) if training else (mean.detach(), variance.detach())
    y = F.batch_norm(x, *kept, scale, shift, training, eps=1e-5)
    if training:
        mean.grad, variance.grad = x.detach().mean((0, 2, 3)), x.detach().var((0, 2, 3))
    return y


def run(case, pixels, parameters, styles, training=False):
    maps = [(pixels - 127.5) / 127.5]
    if case.get("factor", 1) > 1:
        maps[0] = F.pixel_unshuffle(maps[0], case["factor"])
    rest = list(parameters)
    for layer in case["layers"]:
        x = maps[layer["input"]]
        kind = layer["kind"]
        if kind == "convolution":
            weight, bias = rest.pop(0), rest.pop(0)
            y = F.conv2d(pad(x, layer), weight, bias, layer.get("stride", 1), 0, layer.get("dilation", 1),
                         layer.get("groups", 1))
        elif kind == "relu":
            y = F.relu(x)
        elif kind == "pool":
            y = F.max_pool2d(x, 2)
        elif kind == "max_pool":
            y = F.max_pool2d(x, layer["kernel"], layer["stride"], layer.get("padding", 0))
        elif kind == "activation":
            y = ACTIVATIONS[layer["activation"]](x, layer.get("slope", 0))
        elif kind == "instance_norm":
            scale, shift = styles @ rest.pop(0), styles @ rest.pop(0)
            y = F.instance_norm(x, eps=1e-5) * scale[:, :, None, None] + shift[:, :, None, None]
        elif kind == "batch_norm":
            y = batch_norm(x, *[rest.pop(0) for _ in range(4)], training)
        elif kind == "add":
            y = x + maps[layer["second"]]
        elif kind == "concat":
            y = torch.cat([x, maps[layer["second"]]], 1)
        elif kind == "scale":
            y = x * maps[layer["second"]]
        elif kind == "average":
            y = x.mean((2, 3), keepdim=True)
        elif kind == "enlarge":
            y = F.interpolate(x, scale_factor=layer["factor"], mode="nearest")
        elif kind == "resize":
            y = F.interpolate(x, scale_factor=layer["factor"], mode="bilinear", align_corners=False)
        elif kind == "shuffle":
            y = F.pixel_shuffle(x, layer["factor"])
        elif kind == "unshuffle":
            y = F.pixel_unshuffle(x, layer["factor"])
        maps.append(y)
    return maps[-1]


def figures(case):
    shape = (case["batch"], 3, case["height"], case["width"])
    parameters = make_parameters(case)
    pixels = (127.5 + 127.5 * tensor(1, shape)).requires_grad_()
    other = 127.5 + 127.5 * tensor(2, shape)
    styles = (1 + tensor(3, (case["batch"], case.get("styles", 1)))) / 2
    training = any(layer["kind"] == "batch_norm" for layer in case["layers"])
    value = run(case, pixels, parameters, styles)
    if case.get("planes"):
        factor = int(math.sqrt(value.shape[1] // 3))
        value = 127.5 + 127.5 * (F.pixel_shuffle(value, factor) if factor > 1 else value)
        loss = (value * tensor(4, value.shape)).sum()
    else:
        target = run(case, other, parameters, styles).detach()
        by_sum = tensor(5, (value.shape[1],))
        loss = 0.35 * ((value - target) ** 2).sum() + (value.sum((2, 3)) * by_sum).sum()
    loss.backward()
    case["value"] = summary(value, SAMPLES)
    case["loss"] = float(loss.detach())
    case["pixel_gradient"] = summary(pixels.grad, SAMPLES)
    if training:  # the gradients by the parameters are those of other values
        for p in parameters:
            p.grad = None
        target = run(case, other, parameters, styles, True).detach()
        value = run(case, pixels, parameters, styles, True)
        loss = 0.35 * ((value - target) ** 2).sum() + (value.sum((2, 3)) * by_sum).sum()
        moments = [None if p.grad is None else p.grad.clone() for p in parameters]
        loss.backward()
        for p, m in zip(parameters, moments):
            p.grad = p.grad if m is None else m
        case["training_value"] = summary(value, SAMPLES)
    case["parameter_gradients"] = [summary(p.grad, SAMPLES) for p in parameters]
    return case


def conv(source, channels, kernel, padding=0, **more):
    return {"kind": "convolution", "input": source, "channels": channels, "kernel": kernel, "padding": padding, **more}


def of(kind, source, **more):
    return {"kind": kind, "input": source, **more}


def case(name, height, width, layers, batch=2, **more):
    return {"name": name, "batch": batch, "height": height, "width": width, "layers": layers, **more}


CASES = [
    case("convolution 3x3", 9, 11, [conv(0, 20, 3, 1), of("relu", 1), conv(2, 33, 3, 1)]),
    case("convolution 1x1, linear", 5, 6, [conv(0, 17, 1), of("average", 1), conv(2, 40, 1)]),
    case("convolution 5x5, 7x7", 13, 10, [conv(0, 16, 7, 3), of("relu", 1), conv(2, 9, 5, 2)]),
    case("convolution of stride 2, odd", 11, 14, [conv(0, 16, 3, 1, stride=2), of("relu", 1), conv(2, 18, 3, 1, stride=2)]),
    case("convolution of stride 2, even kernel", 12, 10, [conv(0, 16, 4, 1, stride=2), conv(1, 8, 2, 0, stride=2)]),
    case("convolution of stride 3", 13, 13, [conv(0, 16, 1), conv(1, 16, 3, 0, stride=3)]),
    case("convolution with dilation", 12, 11, [conv(0, 16, 3, 2, dilation=2), of("relu", 1), conv(2, 5, 3, 1, dilation=3)]),
    case("stride greater than the kernel", 14, 11, [conv(0, 16, 2, 0, stride=3), of("relu", 1), conv(2, 20, 1, stride=2)]),
    case("convolution of stride 2, 7x7 and 6x6", 21, 18, [conv(0, 17, 7, 3, stride=2), of("relu", 1),
                                                          conv(2, 5, 6, 2, stride=2)]),
    case("stride that pads more than it reads", 10, 9, [conv(0, 16, 3, 1), conv(1, 9, 1, 2, stride=2),
                                                        conv(2, 7, 2, 3, stride=3)]),
    case("stride with dilation", 19, 22, [conv(0, 16, 3, 3, dilation=3, stride=2), of("relu", 1),
                                          conv(2, 18, 3, 2, dilation=2, stride=2), conv(3, 5, 2, 2, dilation=4, stride=6)]),
    case("strides side by side", 11, 13, [conv(0, 18, 3, 1), of("relu", 1), conv(2, 20, 3, 1, stride=2),
                                          conv(2, 20, 1, stride=2), of("add", 3, second=4), of("relu", 5),
                                          conv(6, 20, 3, 1, stride=2, groups=20), conv(6, 20, 5, 2, stride=2),
                                          of("add", 7, second=8)]),
    case("groups of stride 2", 9, 8, [conv(0, 24, 3, 1), of("relu", 1), conv(2, 36, 4, 1, groups=4, stride=2)]),
    case("depthwise of strides", 15, 16, [conv(0, 20, 3, 1), of("relu", 1), conv(2, 20, 3, 1, groups=20, stride=2),
                                          conv(3, 20, 2, 0, groups=20, stride=3), conv(4, 20, 3, 2, groups=20, dilation=2)]),
    case("few outputs", 12, 15, [conv(0, 20, 3, 1), of("relu", 1), conv(2, 2, 9, 4), conv(3, 19, 5, 2), conv(4, 3, 2, 1)]),
    case("groups", 8, 9, [conv(0, 24, 3, 1), conv(1, 36, 3, 1, groups=4), of("relu", 2), conv(3, 12, 1, groups=3)]),
    case("depthwise", 10, 9, [conv(0, 20, 3, 1), conv(1, 20, 3, 1, groups=20), of("relu", 2),
                              conv(3, 20, 5, 2, groups=20, stride=2)]),
    case("reflect", 7, 8, [conv(0, 18, 3, 1, padding_mode="reflect"), of("relu", 1),
                           conv(2, 16, 5, 2, padding_mode="reflect"), conv(3, 3, 3, 1, padding_mode="reflect")]),
    case("replicate", 6, 7, [conv(0, 18, 3, 2, padding_mode="replicate"), of("relu", 1),
                             conv(2, 16, 3, 1, padding_mode="replicate")]),
    case("reflect, stride 2", 9, 8, [conv(0, 16, 3, 1), of("relu", 1),
                                     conv(2, 16, 3, 1, padding_mode="reflect", stride=2)]),
    case("replicate and reflect, 5x5 of stride 3", 11, 13, [conv(0, 16, 5, 2, padding_mode="replicate", stride=2),
                                                            of("relu", 1),
                                                            conv(2, 17, 5, 2, padding_mode="reflect", stride=3)]),
    case("max pool", 11, 12, [conv(0, 18, 3, 1), of("max_pool", 1, kernel=3, stride=2, padding=1), conv(2, 5, 1)]),
    case("max pool 2x2", 9, 8, [conv(0, 18, 3, 1), of("relu", 1), of("pool", 2), conv(3, 5, 3, 1)]),
    case("instance norm", 9, 7, [conv(0, 19, 3, 1), of("instance_norm", 1, styles=1), of("relu", 2), conv(3, 8, 3, 1)],
         styles=1, batch=1),
    case("instance norm of styles", 8, 10, [conv(0, 19, 3, 1), of("instance_norm", 1, styles=3), of("relu", 2),
                                            conv(3, 16, 3, 1), of("instance_norm", 4, styles=3)], styles=3, batch=3),
    case("batch norm", 7, 9, [conv(0, 19, 3, 1), of("batch_norm", 1), of("relu", 2), conv(3, 19, 3, 1),
                              of("batch_norm", 4), of("add", 3, second=5), of("relu", 6), conv(7, 5, 1)], batch=3),
    case("sum", 8, 9, [conv(0, 17, 3, 1), conv(1, 17, 3, 1), of("add", 1, second=2), of("relu", 3), conv(4, 4, 3, 1)]),
    case("residual block", 8, 7, [conv(0, 16, 3, 1, padding_mode="reflect"), of("relu", 1),
                                  conv(2, 16, 3, 1, padding_mode="reflect"), of("instance_norm", 3, styles=2),
                                  of("relu", 4), conv(5, 16, 3, 1, padding_mode="reflect"),
                                  of("instance_norm", 6, styles=2), of("add", 2, second=7),
                                  conv(8, 7, 3, 1, padding_mode="reflect")], styles=2),
    case("concat", 6, 9, [conv(0, 16, 3, 1), conv(0, 5, 1), of("concat", 1, second=2), of("relu", 3), conv(4, 6, 3, 1)]),
    case("squeeze and excite", 7, 8, [conv(0, 20, 3, 1), of("average", 1), conv(2, 8, 1), of("relu", 3), conv(4, 20, 1),
                                      of("activation", 5, activation="hard_sigmoid"), of("scale", 1, second=6),
                                      conv(7, 6, 1)]),
    case("enlarge", 5, 6, [conv(0, 17, 3, 1), of("relu", 1), of("enlarge", 2, factor=2), of("enlarge", 2, factor=2),
                           of("add", 3, second=4), conv(5, 6, 3, 1)]),
    case("enlarge by 3, reflect", 4, 5, [conv(0, 17, 3, 1), of("enlarge", 1, factor=3),
                                         conv(2, 6, 3, 1, padding_mode="reflect")]),
    case("resize", 5, 7, [conv(0, 17, 3, 1), of("relu", 1), of("resize", 2, factor=2), conv(3, 6, 3, 1)]),
    case("shuffle", 5, 4, [conv(0, 36, 3, 1), of("relu", 1), of("shuffle", 2, factor=3), conv(3, 5, 3, 1)]),
    case("unshuffle", 8, 6, [conv(0, 5, 3, 1), of("relu", 1), of("unshuffle", 2, factor=2), conv(3, 5, 3, 1)]),
    case("input of squares", 12, 8, [conv(0, 20, 3, 1)], factor=4),
    case("picture", 8, 12, [conv(0, 16, 3, 1), of("relu", 1), conv(2, 12, 3, 1), of("activation", 3, activation="tanh")],
         factor=2, planes=True),
    case("picture of its own size", 6, 5, [conv(0, 3, 3, 1)], planes=True),
] + [case("activation " + name, 6, 7, [conv(0, 18, 3, 1), of("activation", 1, activation=name, slope=0.2),
                                       conv(2, 5, 1)]) for name in ACTIVATIONS]

print(json.dumps({"cases": [figures(c) for c in CASES]}, indent=1))
