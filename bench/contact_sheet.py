#!/usr/bin/env python3
"""Photographs x paintings x presets at equal time, as contact sheets with figures under each picture.

usage: contact_sheet.py OUT_FOLDER --photos A B ... --styles C D ... [--presets classic crowsonkb default]
                        [--seconds 30] [--size 384] [--impasto build/impasto] [--blind SEED]

Every picture is painted with `--time SECONDS`, so that each preset has the same wall-clock; a preset given as
NAME:ITERATIONS takes that many instead, which is fairer where other work slows the machine down: choose them for equal
time on a quiet one. Pictures that are there already are not painted again. Writes OUT_FOLDER/sheet-PHOTO.png (rows:
paintings; columns: presets), and figures.json: the scores of `impasto evaluate`, of which Gram similarity to the painting
and SSIM to the photo stand under each picture. --blind SEED writes blind-*.png too: columns in a random order a row and
no names, with the order in blind.json, to be judged by eyes that do not know which is which."""
import argparse
import json
import os
import random
import statistics

from PIL import Image, ImageDraw

from painted import evaluate, paint, stem

TEXT = 18  # pixels of height for a line of text


def parse():
    p = argparse.ArgumentParser(usage=__doc__)
    p.add_argument("folder")
    p.add_argument("--photos", nargs="+", required=True)
    p.add_argument("--styles", nargs="+", required=True)
    p.add_argument("--presets", nargs="+", default=["classic", "crowsonkb", "default"])
    p.add_argument("--seconds", type=float, default=30)
    p.add_argument("--size", type=int, default=384)
    p.add_argument("--impasto", default="build/impasto")
    p.add_argument("--blind", type=int)
    return p.parse_args()


def paint_with(a, photo, style, preset):
    iterations = a.iterations.get(preset)
    effort = ["--iterations", iterations] if iterations else ["--time", f"{a.seconds}s"]
    return paint(a.impasto, ["optimize", photo, "--style", style, "--preset", preset, "--size", str(a.size), *effort],
                 os.path.join(a.folder, f"{stem(photo)}--{stem(style)}--{preset}.png"))


def sheet(rows, path, cell):
    """rows: lists of (picture path, text)."""
    width, height = cell
    image = Image.new("RGB", (width * max(map(len, rows)), (height + TEXT) * len(rows)), "white")
    draw = ImageDraw.Draw(image)
    for y, row in enumerate(rows):
        for x, (picture, text) in enumerate(row):
            shown = Image.open(picture).convert("RGB")
            shown.thumbnail((width - 4, height - 4))
            image.paste(shown, (x * width + 2, y * (height + TEXT) + 2))
            draw.text((x * width + 4, y * (height + TEXT) + height), text, fill="black")
    image.save(path)


def main():
    a = parse()
    a.iterations = {p.split(":")[0]: p.split(":")[1] for p in a.presets if ":" in p}
    a.presets = [p.split(":")[0] for p in a.presets]
    os.makedirs(a.folder, exist_ok=True)
    figures, blind, shuffle = {}, {}, random.Random(a.blind)
    for photo in a.photos:
        rows, blind_rows = [], []
        for style in a.styles:
            row = [(style, "painting")]
            painted = [paint_with(a, photo, style, preset) for preset in a.presets]
            scores = evaluate(a.impasto, photo, style, painted, a.size)
            for preset, picture, f in zip(a.presets, painted, scores):
                figures[f"{stem(photo)}--{stem(style)}--{preset}"] = f
                row.append((picture, f"{preset}: Gram {f['gram_similarity']:.3f}, SSIM {f['ssim']:.3f}"))
            order = shuffle.sample(range(len(a.presets)), len(a.presets))
            blind[f"{stem(photo)}--{stem(style)}"] = [a.presets[i] for i in order]
            unnamed = [(row[1 + i][0], "ABCDEFGH"[n]) for n, i in enumerate(order)]
            blind_rows.append([(photo, "photo"), (style, "painting")] + unnamed)
            rows.append([(photo, "photo")] + row)
        sheet(rows, os.path.join(a.folder, f"sheet-{stem(photo)}.png"), (a.size, a.size))
        if a.blind is not None:
            sheet(blind_rows, os.path.join(a.folder, f"blind-{stem(photo)}.png"), (a.size, a.size))
        json.dump(figures, open(os.path.join(a.folder, "figures.json"), "w"), indent=1)
        json.dump(blind, open(os.path.join(a.folder, "blind.json"), "w"), indent=1)
    for preset in a.presets:
        chosen = [f for name, f in figures.items() if name.endswith("--" + preset)]
        gram, ssim = (statistics.mean(f[figure] for f in chosen) for figure in ("gram_similarity", "ssim"))
        print(f"{preset}: Gram {gram:.4f}, SSIM {ssim:.4f}, {len(chosen)} pictures")


main()
