"""The example of the library: builds as C and C++, paints, and says what is wrong."""
import os
import shutil
import subprocess

import pytest

from support import SOURCE, TIMEOUT, read_png, write_png

EXAMPLE = os.environ.get("IMPASTO_EXAMPLE")


def paint(folder, *arguments):
    return subprocess.run([EXAMPLE, *arguments], cwd=folder, capture_output=True, text=True, timeout=TIMEOUT)


def test_paints(folder, models):
    write_png(folder / "small.png", 24, 16)
    done = paint(folder, "small.png", "style.png", models / "vgg19.safetensors", "out.png")
    assert (done.returncode, done.stderr) == (0, "")
    assert read_png(folder / "out.png").width == 24


def test_says_what_is_wrong(folder, models):
    done = paint(folder, "missing.png", "style.png", models / "vgg19.safetensors", "out.png")
    assert done.returncode == 1 and "missing.png" in done.stderr
    assert paint(folder).returncode == 2


@pytest.mark.parametrize("language,standard", [("c", "c17"), ("c", "c99"), ("c++", "c++11"), ("c++", "c++17")])
def test_compiles_in_both_languages(language, standard):
    compiler = "c++" if language == "c++" else "cc"
    if not shutil.which(compiler):
        pytest.skip(f"there is no {compiler}")
    subprocess.run([compiler, "-x", language, f"-std={standard}", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only",
                    "-I", SOURCE / "include", SOURCE / "examples" / "paint.c"], check=True)
