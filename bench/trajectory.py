#!/usr/bin/env python3
"""The classic method beside a reference run of PyTorch, loss by loss.

usage: trajectory.py REFERENCE.json CONTENT STYLE [--impasto build/impasto]

REFERENCE.json: {"size": 512, "trace": [[total, content, style], ...]}, what PyTorch's Adam (lr 2.0, StepLR(500, 0.7),
from the content, max pooling, 1 : 1e6) has at each iteration on the same pixels. Prints both losses where Impasto
reports them, and the ratio at the last iteration."""
import json
import subprocess
import sys
import tempfile

arguments = sys.argv[1:]
impasto = arguments[4] if arguments[3:4] == ["--impasto"] else "build/impasto"
reference = json.load(open(arguments[0]))
trace = reference["trace"]
with tempfile.TemporaryDirectory() as folder:
    command = [impasto, "optimize", arguments[1], "--style", arguments[2], "--preset", "classic", "--size",
               str(reference["size"]), "--iterations", str(len(trace)), "--json", "-o", folder + "/out.png"]
    shown = -100
    painting = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    for line in painting.stdout:
        event = json.loads(line)
        if event["event"] != "progress":
            continue
        ours, theirs = event["total_loss"], trace[event["iteration"] - 1][0]
        if event["iteration"] - shown >= 25 or event["iteration"] == len(trace):
            shown = event["iteration"]
            print(f"iteration {shown}: Impasto {ours:.4f}, PyTorch {theirs:.4f}, ratio {ours / theirs:.4f}", flush=True)
    if painting.wait() != 0:
        sys.exit(f"{impasto} failed")
