"""Numbers that the tests make again (tests/noise.h), so that files of figures hold results alone."""
import torch


def noise(seed, count):
    """count numbers between -1 and 1."""
    begin = (seed * 2246822519 + 374761393) & 0xFFFFFFFF
    h = (torch.arange(count, dtype=torch.int64) * 2654435761 + begin) & 0xFFFFFFFF
    h ^= h >> 15
    h = h * 2246822519 & 0xFFFFFFFF  # what overflows 63 bits does not reach the low 32
    h ^= h >> 13
    h = h * 3266489917 & 0xFFFFFFFF
    h ^= h >> 16
    return (h >> 8).double() / (1 << 23) - 1


def summary(tensor, samples):
    """Size, sum, and samples values, evenly spread."""
    flat = tensor.detach().flatten()
    step = max(1, flat.numel() // samples)
    return {"count": flat.numel(), "rms": float((flat ** 2).mean().sqrt()), "sum": float(flat.sum()),
            "step": step, "samples": [float(f"{v:.9g}") for v in flat[::step][:samples]]}
