"""What the tests of the program share: running it, and pictures and weights made with the standard library alone."""
import array
import json
import math
import os
import pathlib
import random
import struct
import subprocess
import zlib

PROGRAM = os.environ["IMPASTO"]
SOURCE = pathlib.Path(os.environ.get("IMPASTO_SOURCE", pathlib.Path(__file__).resolve().parents[2]))
SANITIZED = os.environ.get("IMPASTO_SANITIZE", "none") != "none"
# Of a program that hangs: far above what the slowest build needs for 64 pixels.
TIMEOUT = 300


class Result:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    def events(self):
        return [json.loads(line) for line in self.out.splitlines()]


def run(*arguments, folder=None, environment=None, limits=None, stdout=subprocess.PIPE):
    """Runs impasto; limits is called in the child before."""
    done = subprocess.run([PROGRAM, *arguments], cwd=folder, env={**os.environ, **(environment or {})}, stdout=stdout,
                          stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, preexec_fn=limits, timeout=TIMEOUT)
    return Result(done.returncode, (done.stdout or b"").decode(), done.stderr.decode(errors="replace"))


def snapshot(folder):
    """Of the files: a folder's time changes when a file in it is tried and taken away again."""
    return {path: path.is_file() and (path.stat().st_size, path.stat().st_mtime_ns)
            for path in sorted(pathlib.Path(folder).rglob("*"))}


def refused(*arguments, folder, mentions=(), **more):
    """Runs impasto, which must say what is wrong in one line, fail and leave the folder as it was."""
    before = snapshot(folder)
    result = run(*arguments, folder=folder, **more)
    assert result.code in (1, 2), (result.code, result.err)
    lines = result.err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("impasto: "), result.err
    assert snapshot(folder) == before
    for words in [mentions] if isinstance(mentions, str) else mentions:
        assert words in lines[0], lines[0]
    return result


def painted(*arguments, folder, **more):
    """Runs impasto, which must end well and say nothing on standard error."""
    result = run(*arguments, folder=folder, **more)
    assert (result.code, result.err) == (0, ""), (result.code, result.err)
    return result


FEW = ["--iterations", "3", "--size", "32"]


def optimize(folder, *more, photo="photo.png", style="style.png", output="out.png", few=FEW):
    """Paints quickly; returns the picture where it is a PNG."""
    painted("optimize", photo, "--style", style, "-o", output, *few, *more, folder=folder)
    return read_png(folder / output) if output.endswith(".png") else None


# ---- PNG ---------------------------------------------------------------------------------------------------------

def pattern(width, height, channels=3, top=255, seed=1):
    """Samples of a picture with large shapes and fine noise, the same for a seed."""
    noise = random.Random(seed)
    slopes = [(noise.uniform(-3, 3), noise.uniform(-3, 3)) for _ in range(channels)]
    samples = []
    for y in range(height):
        for x in range(width):
            shape = 90 if (x - width / 2) ** 2 + (y - height / 3) ** 2 < (min(width, height) / 3) ** 2 else 0
            for across, down in slopes:
                value = 90 + across * x + down * y + shape + noise.uniform(-20, 20)
                samples.append(round(min(max(value, 0), 255) * top / 255))
    return samples


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def write_png(path, width, height, samples=None, channels=3, depth=8, seed=1):
    if samples is None:
        samples = pattern(width, height, channels, 255 if depth == 8 else 65535, seed)
    data = bytes(samples) if depth == 8 else struct.pack(f">{len(samples)}H", *samples)
    stride = width * channels * depth // 8
    rows = b"".join(b"\0" + data[y * stride:(y + 1) * stride] for y in range(height))
    color = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    pathlib.Path(path).write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) +
                                   chunk(b"IEND", b""))


class Picture:
    def __init__(self, width, height, channels, depth, samples):
        self.width, self.height, self.channels, self.depth, self.samples = width, height, channels, depth, samples

    def difference(self, samples):
        """The mean of the samples' absolute differences."""
        assert len(samples) == len(self.samples)
        return sum(abs(a - b) for a, b in zip(self.samples, samples)) / len(samples)


def unfilter(kind, row, above, step):
    """A row of a PNG without its filter (RFC 2083, part 6)."""
    for at in range(len(row)):
        left, up = row[at - step] if at >= step else 0, above[at]
        corner = above[at - step] if at >= step else 0
        guess = left + up - corner
        paeth = min((abs(guess - left), 0, left), (abs(guess - up), 1, up), (abs(guess - corner), 2, corner))[2]
        row[at] = (row[at] + [0, left, up, (left + up) // 2, paeth][kind]) & 255
    return row


def read_png(path):
    data = pathlib.Path(path).read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, body = 8, b""
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at:at + 8])
        content = data[at + 8:at + 8 + length]
        assert struct.unpack(">I", data[at + 8 + length:at + 12 + length])[0] == zlib.crc32(kind + content)
        if kind == b"IHDR":
            width, height, depth, color, _, _, interlaced = struct.unpack(">IIBBBBB", content)
        if kind == b"IDAT":
            body += content
        at += 12 + length
    assert kind == b"IEND" and not interlaced
    channels = {0: 1, 4: 2, 2: 3, 6: 4}[color]
    rows, stride, step = zlib.decompress(body), width * channels * depth // 8, channels * depth // 8
    above, whole = bytearray(stride), b""
    for y in range(height):
        start = y * (stride + 1)
        above = unfilter(rows[start], bytearray(rows[start + 1:start + 1 + stride]), above, step)
        whole += above
    samples = list(whole) if depth == 8 else list(struct.unpack(f">{len(whole) // 2}H", whole))
    return Picture(width, height, channels, depth, samples)


# ---- Weights -----------------------------------------------------------------------------------------------------

VGG19 = [(3, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 256), (256, 256), (256, 512),
         (512, 512), (512, 512), (512, 512), (512, 512), (512, 512), (512, 512), (512, 512)]
VGG19_NUMBERS = [0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34]  # of the convolutions in torchvision


def random_halves(count, scale):
    """count IEEE half floats of both signs with a root mean square of about scale."""
    exponent = 0
    while 1.5 * 2.0 ** exponent > scale:  # 1.53 is the root mean square of a number that is even over [1, 2)
        exponent -= 1
    table = bytes((byte & 0x83) | (exponent + 15) << 2 for byte in range(256))
    halves = bytearray(random.Random(7).randbytes(2 * count))
    halves[1::2] = halves[1::2].translate(table)
    return bytes(halves)


def vgg19_tensors():
    """A VGG19 with random weights (He et al., arXiv 1502.01852): name, type, shape and bytes of each tensor."""
    tensors = []
    for number, (inputs, outputs) in zip(VGG19_NUMBERS, VGG19):
        weights = random_halves(9 * inputs * outputs, (2 / (9 * inputs)) ** 0.5)
        tensors.append((f"features.{number}.weight", "F16", [outputs, inputs, 3, 3], weights))
        tensors.append((f"features.{number}.bias", "F16", [outputs], bytes(2 * outputs)))
    return tensors


def halves_to_floats(data, factor=1):
    return array.array("f", (value * factor for (value,) in struct.iter_unpack("<e", data)))


def fine_tensors(channels, blocks, styles):
    """A `fine` with random weights, and scales and shifts that differ from style to style."""
    noise, half, tensors = random.Random(3), channels // 2, []

    def floats(name, shape, scale, mean=0.0):
        count = math.prod(shape)
        values = array.array("f", (noise.gauss(mean, scale) for _ in range(count)))
        tensors.append((name, "F32", shape, values.tobytes()))

    def convolution(name, outputs, inputs, kernel):
        floats(name + ".weight", [outputs, inputs, kernel, kernel], (2 / (inputs * kernel ** 2)) ** 0.5)
        floats(name + ".bias", [outputs], 0.1)

    def norm(name):
        floats(name + ".scale", [styles, channels], 0.3, 1)
        floats(name + ".shift", [styles, channels], 0.3)

    convolution("down1", half, 12, 3)
    convolution("down2", channels, half, 3)
    norm("down2.norm")
    for block in range(1, blocks + 1):
        for part in ("first", "second"):
            convolution(f"block{block}.{part}", channels, channels, 3)
            norm(f"block{block}.{part}.norm")
    convolution("up1", half, channels, 3)
    convolution("up2", 12, half, 3)
    convolution("skip", 12, 12, 1)
    return tensors


def write_fine(path, styles):
    """A model of Impasto that paints these styles, as small as they come."""
    write_safetensors(path, fine_tensors(16, 1, len(styles)), {
        "format": "impasto", "version": "1", "architecture": "fine", "preprocessing": "signed", "option.channels": "16",
        "option.blocks": "1", "option.styles": str(len(styles)), "styles": "\n".join(styles)})


def write_safetensors(path, tensors, metadata=None):
    header, at = {"__metadata__": metadata} if metadata else {}, 0
    for name, dtype, shape, data in tensors:
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as stream:
        stream.write(struct.pack("<Q", len(text)) + text)
        for _, _, _, data in tensors:
            stream.write(data)
