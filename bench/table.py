#!/usr/bin/env python3
"""Impasto beside other programs, turn by turn on the same machine: a table, a plot, and every figure as JSON.

usage: table.py [--only PART,...] [--build build-normal] [--figures figures.json] [--plot plot.svg]
                [--size 512] [--repeats 4] [--rounds 3] [--threads N] [--model vgg19.safetensors]
                [--reference FILE.json --photo PICTURE --style PICTURE] [--sketch-share 0.45]

The parts, each some seconds to minutes long:
    pytorch   an iteration of Gatys' method and its memory, in f32 and bf16, beside PyTorch
    avx2      the same in f32, both held to AVX2
    ncnn      VGG19's forward pass beside ncnn
    onednn    VGG19's forward and backward pass beside oneDNN 2.6: Winograd, direct, and direct in bf16
    layers    convolutions that no VGG has (1x1, large kernels, strides, groups, depthwise) beside oneDNN 2.6
    2048-f32, 2048-bf16, 4096-f32, 4096-bf16
              large pictures within 1 and 2 GiB: memory, and the time of a pixel beside that of --size without a limit
    products  the matrix products inside Winograd, or AMX's convolution: their share of the peak of one core
    batch     eight pictures of 256x256 at once beside one at a time
    loss      the time to the losses that 500 steps of PyTorch's Adam reach, after the reference of trajectory.py
    training  a training step of the styler `fine` beside PyTorch
    students  an iteration on each network that stands in for VGG19, and training steps with `thin`, beside VGG19
    sketch    the time to the same losses with a student first and VGG19 last, beside VGG19 alone
    estimates
              what was foretold of memory and time, beside what it came to

Every round runs all programs of a part one after the other, each in a process of its own; a program's time is the least
of its repeats, a ratio the median over the rounds. A program that cannot run is told as absent in the table. Figures of
parts that do not run stay as they are in the file, so parts can run at different times; with --only '' none runs.
PyTorch and ncnn are looked for in the Python that runs this."""
import argparse
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

import figures

PEERS = pathlib.Path(__file__).resolve().parent / "peers"
HELD_TO_AVX2 = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
STEPS = 500  # of the reference


class Absent(Exception):
    """A program that cannot run here, and why."""


def run(command, **environment):
    """The JSON object in the last line that the command prints."""
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env={**os.environ, **environment})
    if done.returncode != 0:
        raise Absent((done.stderr.strip().splitlines() or [f"{command[0]} failed"])[-1])
    return json.loads(done.stdout.splitlines()[-1])


def interleave(rounds, commands, **environment):
    """{name: [result of each round]}, or {name: why it cannot run}."""
    results = {name: [] for name in commands}
    for i in range(rounds):
        for name, command in commands.items():
            if isinstance(results[name], str):
                continue
            try:
                results[name].append(run(command, **environment))
                shown = {key: value for key, value in results[name][-1].items() if key.startswith(("seconds", "peak"))}
                print(f"round {i + 1} {name}: {shown}", file=sys.stderr, flush=True)
            except (Absent, OSError) as absence:
                results[name] = str(absence)
                print(f"{name} is absent: {absence}", file=sys.stderr, flush=True)
    return results


def absent(results, *names):
    """What a row says where one of the programs cannot run; nothing where all can."""
    return next(({"absent": f"{name}: {results[name]}"} for name in names if isinstance(results[name], str)), {})


def row(figure, ours, theirs, least, aim, results, value, unit="s", plot=True):
    """A row that compares two programs by value(result): how many times less ours is."""
    made = {"figure": figure, "least": least, "aim": aim, "plot": plot}
    if missing := absent(results, ours, theirs):
        return made | missing
    mine, others = [value(r) for r in results[ours]], [value(r) for r in results[theirs]]
    texts = [figures.amount(statistics.median(values), unit) for values in (mine, others)]
    return made | {"ratio": statistics.median(b / a for a, b in zip(mine, others)), "ours": texts[0],
                   "theirs": f"{texts[1]} ({theirs})"}


def optimize(a, size, precision, *more):
    return [a.impasto, "bench", "optimize", "--json", "--size", size, "--iterations", a.repeats, "--threads", a.threads,
            "--precision", precision, "--model", a.model, *more]


def pytorch(a, mode):
    return [sys.executable, PEERS / "pytorch.py", mode, a.size, a.repeats, a.threads]


def seconds(result):
    """Of an iteration."""
    return result["seconds_per_iteration"]["min"] if "bench" in result else result["seconds"]


def memory(result):
    return result["peak_rss_mb"]


def part_pytorch(a):
    results = interleave(a.rounds, {f"impasto {p}": optimize(a, a.size, p) for p in ("f32", "bf16")} |
                         {f"PyTorch {m}": pytorch(a, m) for m in ("f32", "f32cl", "bf16cl")})
    at, f32, bf16 = f"at {a.size}x{a.size}", "impasto f32", "impasto bf16"
    return results, [
        row(f"iteration {at}, f32, beside PyTorch f32", f32, "PyTorch f32", 4.5, 5.5, results, seconds),
        row(f"iteration {at}, f32, beside PyTorch f32 channels-last", f32, "PyTorch f32cl", 3.8, 4.6, results, seconds),
        row(f"iteration {at}, bf16, beside PyTorch f32", bf16, "PyTorch f32", 9, 11, results, seconds),
        row(f"iteration {at}, bf16, beside PyTorch bf16 channels-last", bf16, "PyTorch bf16cl", 4.5, 5.5, results, seconds),
        row(f"memory {at}, f32, beside PyTorch f32", f32, "PyTorch f32", 3, 6, results, memory, "MB"),
        row(f"memory {at}, bf16, beside PyTorch f32", bf16, "PyTorch f32", 5, 6, results, memory, "MB")]


def part_avx2(a):
    results = interleave(a.rounds, {"impasto f32": optimize(a, a.size, "f32", "--instruction-set", "avx2"),
                                    "PyTorch f32": pytorch(a, "f32")}, **HELD_TO_AVX2)
    return results, [row(f"iteration at {a.size}x{a.size}, f32, both held to AVX2", "impasto f32", "PyTorch f32", 3, 4,
                         results, seconds)]


def passes(a, precision):
    return [a.build / "bench/passes", a.model, precision, a.size, a.repeats, a.threads]


def part_ncnn(a):
    commands = {f"impasto {p}": passes(a, p) for p in ("f32", "bf16")}
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, PEERS / "ncnn_vgg19.py", "make", folder], stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)  # what is missing shows in the first round
        results = interleave(a.rounds, commands | {
            f"ncnn {p}": [sys.executable, PEERS / "ncnn_vgg19.py", p, a.size, a.repeats, a.threads, folder]
            for p in ("f32", "bf16")})

    def forward(result):
        return result["seconds"]["forward"] if isinstance(result["seconds"], dict) else result["seconds"]

    return results, [row(f"VGG19 forward at {a.size}x{a.size}, {p}, beside ncnn {p}", f"impasto {p}", f"ncnn {p}", least,
                         aim, results, forward) for p, least, aim in (("f32", 1.7, 2), ("bf16", 3, 3.5))]


def beside_onednn(a, source, ours, theirs):
    """Ours, whole commands, interleaved with a program of peers/ that is built here; theirs: {name: its arguments}."""
    with tempfile.TemporaryDirectory() as folder:
        program = folder + "/onednn"
        if shutil.which("cc"):
            subprocess.run(["cc", "-std=c17", "-D_GNU_SOURCE", "-O2", PEERS / source, "-o", program, "-ldnnl", "-lm"],
                           stderr=subprocess.DEVNULL)
        built = os.path.exists(program)
        results = interleave(a.rounds, ours | {name: [program, *more] for name, more in theirs.items()},
                             OMP_NUM_THREADS=str(a.threads))
    if not built:
        results |= {name: "needs a C compiler and libdnnl-dev of oneDNN 2.6" for name in theirs}
    return results


def part_onednn(a):
    modes = {"oneDNN Winograd": "winograd", "oneDNN direct": "direct", "oneDNN direct bf16": "bf16"}
    results = beside_onednn(a, "onednn.c", {f"impasto {p}": passes(a, p) for p in ("f32", "bf16")},
                            {name: [mode, a.size, a.repeats] for name, mode in modes.items()})

    def both(result):
        return result["seconds"]["both"]

    name = f"VGG19 forward and backward at {a.size}x{a.size}"
    return results, [
        row(f"{name}, f32, beside oneDNN Winograd f32", "impasto f32", "oneDNN Winograd", 1.25, 1.4, results, both),
        row(f"{name}, bf16, beside oneDNN Winograd f32", "impasto bf16", "oneDNN Winograd", 2.2, 2.6, results, both),
        row(f"{name}, f32, beside oneDNN direct f32", "impasto f32", "oneDNN direct", None, None, results, both),
        row(f"{name}, bf16, beside oneDNN direct bf16", "impasto bf16", "oneDNN direct bf16", None, None, results, both)]


def part_layers(a):
    kinds = ("f32", "bf16")
    results = beside_onednn(a, "onednn_layers.c",
                            {f"impasto {p}": [a.build / "bench/layers", p, a.repeats, a.threads] for p in kinds},
                            {f"oneDNN {p}": [p, a.repeats] for p in kinds})
    names = [] if absent(results, "impasto f32") else results["impasto f32"][0]["layers"]
    return results, [row(f"{name}, {way}, {p}", f"impasto {p}", f"oneDNN {p}", 1, None, results,
                         lambda result, name=name, way=way: result["layers"][name][way], "ms", plot=False)
                     for p in kinds for name in names for way in ("forward", "backward")]


def large(size, gibibytes, precision):
    def part(a):
        limited = f"impasto {size} in {gibibytes}G"
        once = argparse.Namespace(**vars(a) | {"repeats": 1})
        results = interleave(a.rounds, {"impasto": optimize(a, a.size, precision), limited: optimize(
            once, size, precision, "--max-memory", f"{gibibytes}G")})
        figure = f"{size}x{size}, {precision}, with --max-memory {gibibytes}G"
        rows = [{"figure": f"{figure}: memory", "least": f"at most {gibibytes * 1024} MB", "aim": None},
                {"figure": f"{figure}: time of a pixel beside {a.size}x{a.size} without a limit", "least": "at most 2 times",
                 "aim": None}]
        if missing := absent(results, "impasto", limited):
            return results, [made | missing for made in rows]
        whole, strips = ([seconds(r) for r in results[name]] for name in ("impasto", limited))
        pixel = statistics.median(y / size**2 / (x / a.size**2) for x, y in zip(whole, strips))
        rows[0]["text"] = f"{max(map(memory, results[limited])):.0f} MB"
        rows[1] |= {"text": f"{pixel:.2f} times", "ours": f"{statistics.median(strips):.1f} s an iteration",
                    "theirs": f"{statistics.median(whole):.3f} s an iteration"}
        return results, rows
    return part


def part_products(a):
    """Best over the rounds of each shape; the row has the worst of the shapes."""
    rows, results = [], {}
    for table, where in (("avx512", "inside Winograd, f32"), ("avx512 bf16", "inside Winograd, bf16"), (
            "amx bf16", "of direct convolution and all around them, bf16 on AMX")):
        shares = {}
        for _ in range(a.rounds):
            done = subprocess.run([a.build / "tests/test_kernels", "--products", "--table", table], capture_output=True,
                                  text=True)
            for name, inputs, share in re.findall(r"^products (\S+ (\d+)->\d+ at \d+) .* (\d+) %$", done.stdout, re.M):
                if int(inputs) >= 256:
                    shares[name] = max(shares.get(name, 0), int(share))
        results[table] = shares
        made = {"figure": f"products {where}, 256 and more channels: share of the peak", "least": "90 %", "aim": None}
        rows.append(made | ({"text": f"{min(shares.values())} % and more"} if shares else
                            {"absent": f"this processor has no {table}"}))
        print(table, shares, file=sys.stderr, flush=True)
    return results, rows


def part_batch(a):
    rows, results = [], {}
    for p in ("f32", "bf16"):
        made = {"figure": f"pictures an hour, {p}, 8 of 256x256 at once beside one at a time", "least": 1.2, "aim": 1.5}
        one, eight = f"impasto {p} one", f"impasto {p} 8"
        results |= interleave(a.rounds, {one: optimize(a, 256, p), eight: optimize(a, 256, p, "--batch", 8)})
        missing = absent(results, one, eight)
        rows.append(made | {"plot": True} | (missing or {
            "ratio": statistics.median(8 * seconds(x) / seconds(y) for x, y in zip(results[one], results[eight])),
            "ours": f"{statistics.median(map(seconds, results[eight])):.3f} s an iteration of 8",
            "theirs": f"{statistics.median(map(seconds, results[one])):.3f} s an iteration of one"}))
    return results, rows


EXACT = ["--precision", "f32", "--style-layers", "conv1_1,conv2_1,conv3_1,conv4_1,conv5_1"]


def goal_of(a):
    """The reference's last losses: total, content and style; None where something of it is not given."""
    return a.reference and a.photo and a.style and json.loads(pathlib.Path(a.reference).read_text())["trace"][STEPS - 1]


def time_to(a, goal, *more):
    """Seconds and iterations until the preset `fast` has the total loss, and until it has both halves, of goal; None where
    it does not. A sketch's losses do not count. Losses are of the pixels as the optimiser has them: in a written picture
    they are cut off at black and white. The preset leaves conv5_1 out, a thousandth of the style loss: with EXACT the losses
    are PyTorch's own."""
    reached = {"total": None, "both": None}
    with tempfile.TemporaryDirectory() as folder:
        painting = subprocess.Popen([a.impasto, "optimize", a.photo, "--style", a.style, "--size", str(a.size), "--preset",
                                     "fast", "--json", "-o", folder + "/out.png", "--model", a.model, "--threads",
                                     str(a.threads), *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for event in map(json.loads, painting.stdout):
            if event["event"] != "progress" or event["scale"] < event["scales"]:
                continue
            content, style = event["content_loss"], event["style_loss"]
            there = {"total": content + 1e6 * style <= goal[0], "both": content <= goal[1] and style <= goal[2]}
            for name in reached:
                if there[name] and not reached[name]:
                    reached[name] = {"seconds": event["seconds"], "iterations": event["iteration"]}
        _, said = painting.communicate()
    if painting.returncode:
        raise Absent((said.strip().splitlines() or ["impasto failed"])[-1])
    return reached


def part_loss(a):
    names = {"total": "its total loss", "both": "both halves of it"}
    rows = [{"figure": f"time to {name} after {STEPS} steps of PyTorch's Adam", "least": 55, "aim": 100, "plot": True}
            for name in names.values()]
    goal = goal_of(a)
    if not goal:
        return {}, [made | {"absent": "needs --reference, --photo and --style"} for made in rows]
    results = {"PyTorch f32cl": [], "impasto fast": []}
    for _ in range(a.rounds):
        turn = interleave(1, {"PyTorch f32cl": pytorch(a, "f32cl")})
        if missing := absent(turn, "PyTorch f32cl"):
            return turn, [made | missing for made in rows]
        results["PyTorch f32cl"] += turn["PyTorch f32cl"]
        results["impasto fast"].append(time_to(a, goal))
    results["impasto fast, exact"] = [time_to(a, goal, *EXACT)]
    theirs = STEPS * statistics.median(map(seconds, results["PyTorch f32cl"]))
    for made, key in zip(rows, names):
        ours, exact = [run[key] for run in results["impasto fast"]], results["impasto fast, exact"][0][key]
        if None in ours or not exact:
            made |= {"text": "not reached" if None in ours else "not reached by the exact losses"}
            continue
        mine = statistics.median(run["seconds"] for run in ours)
        made |= {"ratio": theirs / mine, "theirs": f"{theirs:.0f} s (PyTorch f32cl)",
                 "ours": f"{figures.amount(mine, 's')}, {ours[0]['iterations']} iterations; by the exact losses "
                         f"{exact['iterations']}"}
    return results, rows


PAINTING = PEERS.parent.parent / "docs/images/style.jpg"
CROP, BATCH = 256, 4


def training(a, folder, precision, loss_network=None, **options):
    """A recipe of one style on crops of noise, and the command that times it. options: of `fine`."""
    recipe = {"network": {"architecture": "fine", "precision": precision, "options": options},
              "loss_network": {"model": str(loss_network or a.model), "precision": precision},
              "losses": {"content": {"conv4_1": 1}, "style": {f"conv{i}_1": 1 for i in range(1, 5)}},
              "styles": [{"name": "painting", "picture": str(PAINTING), "side": CROP}],
              "data": {"sources": [{}], "crop": CROP}, "batch": BATCH, "stages": [{"steps": 10000}]}
    path = pathlib.Path(folder) / f"{len(os.listdir(folder))}.json"
    path.write_text(json.dumps(recipe))
    return [a.impasto, "bench", "train", path, "--json", "--steps", a.repeats, "--threads", a.threads]


def step(result):
    """Seconds of a training step."""
    return result["seconds_per_step"]["min"] if "bench" in result else result["seconds"]


def part_training(a):
    with tempfile.TemporaryDirectory() as folder:
        results = interleave(a.rounds, {f"impasto {p}": training(a, folder, p) for p in ("f32", "bf16")} | {
            f"PyTorch {p}": [sys.executable, PEERS / "pytorch_train.py", p, CROP, BATCH, a.repeats, a.threads]
            for p in ("f32", "bf16")})

    name = f"training step of fine, {BATCH} crops of {CROP}x{CROP}"
    return results, [
        row(f"{name}, f32, beside PyTorch f32", "impasto f32", "PyTorch f32", None, None, results, step),
        row(f"{name}, bf16, beside PyTorch f32", "impasto bf16", "PyTorch f32", 5, 8, results, step),
        row(f"{name}, bf16, beside PyTorch bf16", "impasto bf16", "PyTorch bf16", None, None, results, step),
        row(f"{name}, bf16: memory beside PyTorch f32", "impasto bf16", "PyTorch f32", None, None, results, memory, "MB")]


STUDENTS = {"thin": (8, 10), "mobilenetv3": (5, 8)}  # how many times faster than VGG19: at least, and the aim
STYLERS = {"fine": ({}, 2, 2.5), "fine 16/2": ({"channels": 16, "blocks": 2}, 4, 6)}  # channels / blocks


def student(a, name):
    return a.build / "models" / f"{name}.safetensors"


def part_students(a):
    results = interleave(a.rounds, {"VGG19": optimize(a, a.size, "f32")} | {
        name: optimize(argparse.Namespace(**vars(a) | {"model": student(a, name)}), a.size, "f32") for name in STUDENTS})
    rows = [row(f"iteration at {a.size}x{a.size} on {name}, f32, beside VGG19", name, "VGG19", *bars, results, seconds)
            for name, bars in STUDENTS.items()]
    for name, (options, *bars) in STYLERS.items():
        with tempfile.TemporaryDirectory() as folder:
            steps = interleave(a.rounds, {f"{name}, VGG19": training(a, folder, "f32", **options), f"{name}, thin": training(
                a, folder, "f32", student(a, "thin"), **options)})
        rows.append(row(f"training step of {name} on thin, f32, beside VGG19", f"{name}, thin",
                        f"{name}, VGG19", *bars, steps, step))
        results |= steps
    return results, rows


def part_estimates(a):
    cases = {f"{a.size}x{a.size}": [a.size], f"{a.size}x{a.size} in 300M": [a.size, "--max-memory", "300M"],
             f"{2 * a.size}x{2 * a.size}": [2 * a.size], "8 of 256x256": [256, "--batch", 8]}
    results = interleave(a.rounds, {name: optimize(a, case[0], "f32", *case[1:]) for name, case in cases.items()})
    rows = []
    for name in cases:
        for what, key in (("time", "seconds"), ("memory", "rss_mb")):
            made = {"figure": f"{what} of {a.repeats + 1} iterations, {name}, over what was foretold", "least": "0.9 to 1.1 times",
                    "aim": None}
            if not (missing := absent(results, name)):
                taken = "seconds" if what == "time" else "peak_rss_mb"
                shares = [result[taken] / result["expected_" + key] for result in results[name]]
                made["text"] = f"{min(shares):.2f} to {max(shares):.2f} times"
            rows.append(made | missing)
    return results, rows


SKETCHED_STEPS = 100  # in all, of which the sketch has --sketch-share


def part_sketch(a):
    rows = [{"figure": f"time to the total loss after {STEPS} steps of PyTorch's Adam, {name} first and VGG19 last, over that "
                       "of VGG19 alone", "least": "0.9 times", "aim": "0.6 times"} for name in STUDENTS]
    goal = goal_of(a)
    if not goal:
        return {}, [made | {"absent": "needs --reference, --photo and --style"} for made in rows]
    results = {name: [] for name in ("VGG19", *STUDENTS)}
    for _ in range(a.rounds):
        for name in [name for name in results if isinstance(results[name], list)]:
            sketch = ["--sketch", str(student(a, name)), "--sketch-share", a.sketch_share, "--iterations",
                      str(SKETCHED_STEPS)] if name in STUDENTS else []
            try:
                results[name].append(time_to(a, goal, *sketch))
                print(name, results[name][-1], file=sys.stderr, flush=True)
            except Absent as absence:
                results[name] = str(absence)
    for made, name in zip(rows, STUDENTS):
        if missing := absent(results, "VGG19", name):
            made |= missing
            continue
        alone, sketched = ([run["total"] for run in results[of]] for of in ("VGG19", name))
        if None in alone + sketched:
            made["text"] = "not reached"
            continue
        ratio = statistics.median(y["seconds"] / x["seconds"] for x, y in zip(alone, sketched))
        texts = [figures.amount(statistics.median(run["seconds"] for run in runs), "s") for runs in (sketched, alone)]
        made |= {"text": f"{ratio:.2f} times", "ours": texts[0], "theirs": f"{texts[1]} (VGG19 alone)"}
    return results, rows


PARTS = {"pytorch": part_pytorch, "avx2": part_avx2, "ncnn": part_ncnn, "onednn": part_onednn, "layers": part_layers,
         "2048-f32": large(2048, 1, "f32"), "2048-bf16": large(2048, 1, "bf16"), "4096-f32": large(4096, 2, "f32"),
         "4096-bf16": large(4096, 2, "bf16"), "products": part_products, "batch": part_batch, "loss": part_loss,
         "training": part_training,
         "students": part_students, "sketch": part_sketch, "estimates": part_estimates}


def machine():
    with open("/proc/cpuinfo") as lines:
        name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown processor")
    return f"{name}, {os.cpu_count()} processors"


def versions(results):
    found = {r.get("version") if "bench" not in r else f"Impasto {r['version']} ({r['instruction_set']})"
             for runs in results.values() if isinstance(runs, list) for r in runs}
    return sorted(found - {None})


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    models = os.environ.get("IMPASTO_MODELS", os.path.expanduser("~/.local/share/impasto/models"))
    parser.add_argument("--only", default=",".join(PARTS))
    parser.add_argument("--build", type=pathlib.Path, default="build-normal")
    parser.add_argument("--figures", type=pathlib.Path, default="figures.json")
    parser.add_argument("--plot", type=pathlib.Path, default="plot.svg")
    parser.add_argument("--model", default=models + "/vgg19.safetensors")
    for name, number in (("size", 512), ("repeats", 4), ("rounds", 3), ("threads", os.cpu_count())):
        parser.add_argument("--" + name, type=int, default=number)
    parser.add_argument("--sketch-share", default="0.45")
    for name in ("reference", "photo", "style"):
        parser.add_argument("--" + name)
    a = parser.parse_args()
    a.build = a.build.resolve()
    a.impasto = a.build / "impasto"
    if unknown := [part for part in a.only.split(",") if part and part not in PARTS]:
        sys.exit(f"no part {unknown[0]}; there are: {', '.join(PARTS)}")
    kept = json.loads(a.figures.read_text()) if a.figures.exists() else {}
    for part in filter(None, a.only.split(",")):
        results, rows = PARTS[part](a)
        kept[part] = {"machine": machine(), "threads": a.threads, "rounds": a.rounds, "repeats": a.repeats,
                      "versions": versions(results), "rows": rows, "runs": results}
        a.figures.write_text(json.dumps(kept, indent=1))
    parts = {part: kept[part] for part in PARTS if part in kept}
    print(figures.table(parts))
    a.plot.write_text(figures.plot(parts))


main()
