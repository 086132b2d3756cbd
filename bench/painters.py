#!/usr/bin/env python3
"""Photographs x paintings by several painters, beside each other as VGG19 sees them, or another network (--judge).

usage: painters.py OUT_FOLDER --photos A B ... --styles NAME=PICTURE ... --painter NAME="COMMAND" ...
                   [--judge vgg19] [--size 256] [--impasto build/impasto] [--content-layers conv4_2]
                   [--style-layers conv1_1,...]

A painter is what stands behind `impasto`, without the pictures: "optimize --iterations 60 --features thin" or "stylize
--model fine.safetensors", which gets the painting's NAME. Pictures that are there already are not painted again. Prints
a row for each painter, means over all pairs:

    loss         content loss + 1e6 x style loss, the total of preset classic; and how many times the first painter's it is
    style        each style layer's loss over that of the untouched photo, mean of the layers: 1 has nothing of the
                 painting; then the median of the pairs
    content, SSIM, Gram similarity   as `impasto evaluate` tells them

and writes figures.json with those of every pair."""
import argparse
import json
import os
import shlex
import statistics

from painted import evaluate, paint, stem

STYLE_WEIGHT = 1e6  # of preset classic


def parse():
    p = argparse.ArgumentParser(usage=__doc__)
    p.add_argument("folder")
    p.add_argument("--photos", nargs="+", required=True)
    p.add_argument("--styles", nargs="+", required=True)
    p.add_argument("--painter", action="append", required=True)
    p.add_argument("--judge", default="vgg19")
    p.add_argument("--size", type=int, default=256)
    p.add_argument("--impasto", default="build/impasto")
    p.add_argument("--content-layers", default="conv4_2")
    p.add_argument("--style-layers", default="conv1_1,conv2_1,conv3_1,conv4_1,conv5_1")
    return p.parse_args()


def arguments_of(a, command, photo, name, picture):
    words = shlex.split(command)
    style = ["--style", name] if words[0] == "stylize" else ["--style", picture, "--style-size", str(a.size)]
    return [*words, photo, *style, "--size", str(a.size)]


def figures_of(scores, untouched):
    shares = [layer["style_loss"] / untouched["layers"][name]["style_loss"] for name, layer in scores["layers"].items()]
    return {"loss": scores["content_loss"] + STYLE_WEIGHT * scores["style_loss"], "style": statistics.mean(shares),
            "content": scores["content_loss"], "ssim": scores["ssim"], "gram": scores["gram_similarity"]}


def main():
    a = parse()
    painters = dict(painter.split("=", 1) for painter in a.painter)
    styles = dict(style.split("=", 1) for style in a.styles)
    os.makedirs(a.folder, exist_ok=True)
    figures = {painter: {} for painter in painters}
    for photo in a.photos:
        for name, picture in styles.items():
            pair = f"{stem(photo)}--{name.replace(' ', '-')}"
            outputs = [paint(a.impasto, arguments_of(a, command, photo, name, picture),
                             os.path.join(a.folder, f"{pair}--{painter}.png")) for painter, command in painters.items()]
            untouched, *scores = evaluate(a.impasto, photo, picture, [photo, *outputs], a.size, "--model", a.judge,
                                          "--content-layers", a.content_layers, "--style-layers", a.style_layers)
            for painter, one in zip(painters, scores):
                figures[painter][pair] = figures_of(one, untouched)
            with open(os.path.join(a.folder, "figures.json"), "w", encoding="utf-8") as stream:
                json.dump(figures, stream, indent=1)
    print("| painter | loss | beside the first | style | its median | content | SSIM | Gram similarity |")
    print("|---|---|---|---|---|---|---|---|")
    first = None
    for painter, pairs in figures.items():
        mean = {key: statistics.mean(pair[key] for pair in pairs.values())
                for key in ("loss", "style", "content", "ssim", "gram")}
        first = first or mean
        middle = statistics.median(pair["style"] for pair in pairs.values())
        print(f"| {painter} | {mean['loss']:.2f} | {mean['loss'] / first['loss']:.2f} times | {mean['style']:.4f} | {middle:.4f} | "
              f"{mean['content']:.2f} | {mean['ssim']:.3f} | {mean['gram']:.3f} |")
    print(f"\n{len(a.photos)} photos x {len(styles)} paintings at {a.size}, judged by {a.judge}; "
          + "; ".join(f"{painter}: impasto {command}" for painter, command in painters.items()))


main()
