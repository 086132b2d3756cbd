"""Help, version, manual page, completion, and command lines that are not understood."""
import shutil
import subprocess

import pytest

from support import refused, run

COMMANDS = ["optimize", "stylize", "evaluate", "train", "model import", "model list", "model info", "model verify",
            "bench optimize", "bench stylize", "bench train", "help"]


def test_version():
    result = run("--version")
    assert result.code == 0 and result.err == ""
    name, version = result.out.split()
    assert name == "impasto" and len(version.split(".")) == 3


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command(command):
    by_help = run("help", *command.split())
    by_option = run(*command.split(), "--help")
    assert by_help.code == by_option.code == 0
    assert by_help.out == by_option.out and by_help.out.startswith(f"impasto {command}")
    assert all(len(line) <= 80 for line in by_help.out.splitlines())


def test_help_lists_all_commands():
    for words in [("help",), ("--help",), ("-h",)]:
        result = run(*words)
        assert result.code == 0
        for command in COMMANDS:
            assert f"\n  {command} " in result.out


def test_no_command_is_a_usage_error():
    result = run()
    assert result.code == 2 and result.out == "" and "optimize" in result.err


def test_help_of_a_group():
    for words in [("help", "model"), ("model", "--help")]:
        result = run(*words)
        assert result.code == 0 and "impasto model import" in result.out and "impasto model verify" in result.out


def test_help_of_recipes():
    table = run("help", "--recipe").out
    assert table.startswith("| key |") and run("help", "recipe").out == table


def test_man_page():
    page = run("help", "--man").out
    assert page.startswith(".TH IMPASTO 1")
    for command in COMMANDS:
        assert f".SS impasto {command}" in page
    if shutil.which("groff"):
        done = subprocess.run(["groff", "-man", "-Tascii", "-ww"], input=page, text=True, capture_output=True)
        assert done.returncode == 0 and done.stderr == ""


@pytest.mark.parametrize("words,expected", [
    (["impasto", "op"], ["optimize"]),
    (["impasto", "model", "im"], ["import"]),
    (["impasto", "optimize", "--keep"], ["--keep-colors"]),
    (["impasto", "optimize", "photo.jpg", "--keep-colors", ""], ["before", "after"]),
    (["impasto", "optimize", "--preset", "cl"], ["classic"]),
    (["impasto", "bench", "optimize", "--prec"], ["--precision"]),
    (["impasto", "evaluate", "--ssim", ""], ["gaussian", "uniform"]),
    (["impasto", "optimize", "photo"], []),
])
def test_completion(words, expected):
    script = run("help", "--completion").out
    line = " ".join(f"'{word}'" for word in words)
    script += f"\nCOMP_WORDS=({line})\nCOMP_CWORD={len(words) - 1}\n_impasto\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"\n"
    done = subprocess.run(["bash", "-c", script], text=True, capture_output=True)
    assert done.stderr == "" and done.stdout.split() == expected


@pytest.mark.parametrize("words,suggestion", [
    (["optimise", "photo.png"], "'optimize'"),
    (["model", "imprt", "x"], "'model import'"),
    (["model"], "import, list, info, verify"),
    (["model", "frobnicate"], "import, list, info, verify"),
    (["frobnicate"], "impasto help"),
    (["help", "optimise"], "'optimize'"),
    (["optimize", "photo.png", "--stile", "style.png"], "--style"),
    (["optimize", "photo.png", "--sise=40"], "--size"),
    (["optimize", "photo.png", "--frobnicate"], "help optimize"),
    (["optimize", "photo.png", "-Z"], "-Z"),
    (["optimize", "photo.png", "--preset", "clasic"], "'classic'"),
    (["optimize", "photo.png", "--preset", "frobnicate"], "default, classic, fast, crowsonkb"),
    (["optimize", "photo.png", "--style-loss", "gramm"], "'gram'"),
    (["optimize", "photo.png", "--optimizer", "sgd"], "adam"),
    (["optimize", "photo.png", "--pooling", "mean"], "average"),
    (["optimize", "photo.png", "--padding", "mirror"], "replicate"),
    (["optimize", "photo.png", "--keep-colors", "yes"], "before, after"),
    (["optimize", "photo.png", "--start", "photo"], "content"),
    (["optimize", "photo.png", "--depth", "12"], "8, 16"),
    (["optimize", "photo.png", "--instruction-set", "vector"], "c, "),
    (["optimize", "photo.png", "--quiet=1"], "--quiet takes no value"),
    (["optimize", "photo.png", "--size"], "--size needs a value"),
    (["optimize", "photo.png", "--output", "--json"], "--output needs a value"),
    (["optimize"], "PHOTO"),
    (["optimize", ""], "PHOTO"),
    (["optimize", "photo.png", "another.png"], "--style"),
    (["model", "verify", "vgg19", "another"], "another"),
    (["optimize", "photo.png", "-o", "out.png"], "--style"),
    (["optimize", "photo.png", "--style", "style.png"], "-o"),
    (["optimize", "photo.png", "--style", "", "-o", "out.png"], "--style"),
    (["optimize", "photo.png", "--style", "style.png", "-o", ""], "--output"),
    (["optimize", "photo.png", "-s", "style.png", "-o", "out.png", "--init", "other.png", "--start", "noise"], "--init"),
    (["optimize", "photo.png", "-s", "style.png", "-o", "out.png", "--quiet", "--verbose"], "--verbose"),
    (["optimize", "photo.png", "-s", "style.png", "-o", "out.jpg", "--depth", "16"], "--depth"),
    (["bench", "optimize", "--precision", "f64"], "f32"),
    (["bench", "optimize", "extra"], "extra"),
    (["evalute", "out.png"], "'evaluate'"),
    (["evaluate"], "--list"),
    (["evaluate", "out.png"], "--photo"),
    (["evaluate", "out.png", "--photo", "photo.png"], "--style"),
    (["evaluate", "out.png", "--list", "list.csv"], "OUTPUT"),
    (["evaluate", "--list", "list.csv", "--style", "style.png"], "--style"),
    (["evaluate", "out.png", "--ssim", "gausian"], "'gaussian'"),
    (["evaluate", "out.png", "--size", "15"], "from 16"),
    (["evaluate", "out.png", "--directions", "0"], "--directions"),
    (["evaluate", "out.png", "--directions", "4097"], "--directions"),
    (["model", "import", "x.pth", "--half", "f8"], "f16"),
    (["model", "import", "x.pth", "--preprocessing", "cafe"], "'caffe'"),
])
def test_what_is_not_understood(folder, words, suggestion):
    result = refused(*words, folder=folder, mentions=suggestion)
    assert result.code == 2


NUMERIC = {
    "--size": "0", "--style-size": "0", "--time": "0", "--learning-rate": "0", "--quality": "0", "--threads": "0",
    "--max-memory": "0", "--iterations": None, "--content-weight": None, "--style-weight": None, "--tv-weight": None,
    "--seed": None,  # zero is a value of these
}
BAD_NUMBERS = ["-1", "nan", "inf", "-inf", "1e999", "", "5x", " 5", "0x10", "--"]


def bad_numbers():
    for option, zero in NUMERIC.items():
        for value in BAD_NUMBERS + ([zero] if zero else []):
            yield option, value


@pytest.mark.parametrize("option,value", bad_numbers())
def test_bad_numbers(folder, option, value):
    result = refused("optimize", "photo.png", "--style", "style.png", "-o", "out.png", option, value, folder=folder,
                     mentions=option)
    assert result.code == 2


@pytest.mark.parametrize("option,value", [
    ("--size", "15"), ("--size", "65536"), ("--size", "99999999999999999999"), ("--size", "32.5"), ("--size", "1e2"),
    ("--quality", "101"), ("--threads", "257"), ("--iterations", "1000001"), ("--content-weight", "1e13"),
    ("--learning-rate", "256"), ("--seed", "18446744073709551616"), ("--time", "60d"), ("--time", "m"),
    ("--max-memory", "1T"), ("--max-memory", "G"), ("--max-memory", "1e300G"),
])
def test_numbers_out_of_range(folder, option, value):
    refused("optimize", "photo.png", "--style", "style.png", "-o", "out.png", option, value, folder=folder,
            mentions=option)


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "1e999", "", "5x"])
def test_bad_style_weights(folder, value):
    refused("optimize", "photo.png", "--style", f"style.png:{value}", "-o", "out.png", folder=folder,
            mentions=["--style", "style.png"])


@pytest.mark.parametrize("option", ["--size", "--iterations", "--threads"])
@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "1e999", "", "5x"])
def test_bad_numbers_of_bench(folder, option, value):
    refused("bench", "optimize", option, value, folder=folder, mentions=option)


def test_errors_as_json(folder):
    result = refused("optimize", "missing.png", "--style", "style.png", "-o", "out.png", "--json", folder=folder)
    event = result.events()[-1]
    assert event["event"] == "error" and result.err == f"impasto: {event['message']}\n"
