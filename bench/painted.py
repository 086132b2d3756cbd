"""What scripts that compare pictures share: painting one where it is not there yet, and its scores by `impasto evaluate`."""
import json
import os
import subprocess


def stem(path):
    return os.path.splitext(os.path.basename(path))[0]


def paint(impasto, arguments, out):
    """Runs the program unless out is there already, from a run that was cut off."""
    if not os.path.exists(out):
        subprocess.run([impasto, *arguments, "--quiet", "-o", out], check=True)
    return out


def evaluate(impasto, photo, style, outputs, size, *options):
    """The scores of each output beside that photo and painting, as docs/metrics.md defines them."""
    done = subprocess.run([impasto, "evaluate", *outputs, "--photo", photo, "--style", style, "--size", str(size), "--json",
                           *options], check=True, stdout=subprocess.PIPE, text=True)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    scores = {event["output"]: event["scores"] for event in events if event["event"] == "scores"}
    return [scores[output] for output in outputs]
