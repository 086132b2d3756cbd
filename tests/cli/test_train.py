"""`impasto train` and `impasto bench train`: a tiny network on tiny pictures, what is written, and how it goes on."""
import html
import json
import re
import resource
import signal
import struct
import subprocess
import time
import zlib

import pytest

from support import PROGRAM, SANITIZED, SOURCE, chunk, refused, run, write_png

STEPS = 12


def recipe(**more):
    """Of a styler as small as they come, by losses of the first two blocks of VGG19."""
    return {
        "network": {"architecture": "fine", "options": {"channels": 16, "blocks": 1}},
        "loss_network": {"model": "vgg19"},
        "losses": {"content": {"conv2_1": 1}, "style": {"conv1_1": 1, "conv2_1": 1}, "style_weight": 10},
        "styles": [{"name": "one", "picture": "style.png", "side": 32},
                   {"name": "two", "picture": "other.png", "side": 32}],
        "data": {"sources": [{"pictures": "photos", "share": 3}, {}], "crop": 32},
        "validation": {"pictures": "photos", "count": 2, "side": 32, "every": 6},
        "batch": 2,
        "checkpoint_every": 5,
        "stages": [{"steps": 6, "train": ["up*"]}, {"steps": STEPS - 6, "schedule": "cosine"}],
        **more,
    }


@pytest.fixture
def lesson(folder):
    """The folder, with photos and a recipe."""
    (folder / "photos").mkdir()
    for k in range(4):
        write_png(folder / "photos" / f"{k}.png", 40 + k, 36, seed=10 + k)
    (folder / "r.json").write_text(json.dumps(recipe()))
    return folder


def train(folder, output, *more, code=0, **how):
    result = run("train", "r.json", "-o", output, *more, folder=folder, **how)
    assert (result.code, result.err) == (code, ""), (result.code, result.err)
    return result


def log(folder, output):
    """The lines of the log, without what depends on the time."""
    lines = [json.loads(line) for line in (folder / output / "log.jsonl").read_text().splitlines()]
    for line in lines:
        line.pop("pictures_per_second", None)
        line.pop("seconds_left", None)
    return lines


def same_training(folder, a, b):
    for name in ("checkpoint.safetensors", "model.safetensors"):
        assert (folder / a / name).read_bytes() == (folder / b / name).read_bytes(), name
    assert log(folder, a) == log(folder, b)


def test_all_is_written(lesson):
    result = train(lesson, "out", "--json")
    names = sorted(path.name for path in (lesson / "out").iterdir())
    assert names == ["checkpoint.safetensors", "log.jsonl", "model.safetensors", "pictures", "report.html"]
    assert sorted(path.name for path in (lesson / "out" / "pictures").iterdir()) == ["00000006.jpg", "00000012.jpg"]
    events = result.events()
    assert events[-1] == {"event": "done", "model": "out/model.safetensors", "step": STEPS, "finished": True}
    steps = [event for event in events if event["event"] == "step"]
    assert [event["step"] for event in steps] == list(range(1, STEPS + 1))
    assert [event["stage"] for event in steps] == [1] * 6 + [2] * 6
    assert all(event["losses"]["total"] > 0 and event["gradient_norm"] > 0 for event in steps)
    assert [event["step"] for event in events if event["event"] == "validation"] == [6, 12]
    report = (lesson / "out" / "report.html").read_text()
    assert report.count("data:image/jpeg;base64,") == 2 and report.count("<svg") == len(steps[0]["losses"])
    assert '"checkpoint_every": 5' in html.unescape(report)
    info = run("model", "info", "out/model.safetensors", folder=lesson)
    assert info.code == 0 and "fine" in info.out


def write_recipe_per_style(folder):
    changed = recipe()
    changed["losses"]["per_style"] = True
    (folder / "r.json").write_text(json.dumps(changed))


def test_what_is_measured_before_the_first_step_is_told(lesson):
    measuring = "before the first step: measuring how large the loss of each style is on crops"
    assert "measuring" not in train(lesson, "without", "--steps", "1").out
    write_recipe_per_style(lesson)
    lines = train(lesson, "out", "--steps", "1").out.splitlines()
    assert lines[0] == measuring and "\n".join(lines).count("measuring") == 1
    assert "measuring" not in (lesson / "out" / "log.jsonl").read_text()
    events = train(lesson, "events", "--steps", "1", "--json").events()
    assert events[0] == {"event": "measuring", "task": "style"} and events[1]["event"] == "step"
    assert train(lesson, "quiet", "--steps", "1", "--quiet").out == ""
    assert train(lesson, "both", "--steps", "1", "--quiet", "--json").out.count("measuring") == 0


@pytest.mark.parametrize("precision", ["f32", "bf16"])
def test_going_on_makes_the_same_bits(lesson, precision):
    changed = recipe()
    changed["network"]["precision"] = changed["loss_network"]["precision"] = precision
    (lesson / "r.json").write_text(json.dumps(changed))
    train(lesson, "whole", "-j", "1")
    train(lesson, "parts", "--steps", "4", "--prefetch", "3", "-j", "2")
    assert log(lesson, "parts")[-1]["step"] == 4
    train(lesson, "parts", "--steps", "3", "--resume", "--quiet")
    result = train(lesson, "parts", "--resume")
    assert f"after step {STEPS} of {STEPS}" in result.out
    same_training(lesson, "whole", "parts")
    # Once more has nothing to do.
    train(lesson, "parts", "--resume")
    same_training(lesson, "whole", "parts")


def write_features_recipe(folder, teacher="vgg19"):
    (folder / "r.json").write_text(json.dumps({
        "task": "features", "network": {"architecture": "thin"}, "loss_network": {"model": teacher},
        "losses": {"features": {"conv1_1": 1, "conv4_2": 1}, "style": {"conv2_1": 1}},
        "data": {"sources": [{"pictures": "photos"}], "crop": 32}, "batch": 2,
        "validation": {"pictures": "photos", "count": 2, "side": 32, "every": 2}, "stages": [{"steps": 3}]}))


@pytest.mark.skipif(SANITIZED, reason="what stands for VGG19 there is no teacher")
def test_features_go_on_to_the_same_bits(lesson, models):
    write_features_recipe(lesson)
    assert train(lesson, "whole").out.startswith("before the first step: measuring which directions the features have")
    events = [(line["event"], line["step"], sorted(line["losses"])) for line in log(lesson, "whole")]
    losses = ["features", "gram", "total"]
    assert events == [("step", 1, losses), ("step", 2, losses), ("validation", 2, losses), ("step", 3, losses),
                      ("validation", 3, losses)]
    assert not (lesson / "whole" / "pictures").exists()  # a student paints nothing
    train(lesson, "parts", "--steps", "1")
    train(lesson, "parts", "--resume")
    same_training(lesson, "whole", "parts")
    # Readouts of one teacher say nothing of another's maps.
    other = bytearray((models / "vgg19.safetensors").read_bytes().replace(b'"checksum"', b'"checksun"', 1))
    other[-1] ^= 1
    (lesson / "other.safetensors").write_bytes(other)
    write_features_recipe(lesson, "other.safetensors")
    refused("train", "r.json", "-o", "parts", "--resume", folder=lesson,
            mentions='learnt from another loss network than "other.safetensors"')


def header(path):
    """The header of a safetensors file, and where its tensors' bytes begin."""
    with open(path, "rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        return json.loads(stream.read(length)), 8 + length


def saved_step(folder, output):
    return int(header(folder / output / "checkpoint.safetensors")[0]["__metadata__"]["step"])


def begin(folder, output, until):
    """Starts a training that is far too long to end before its log has that many lines, and waits for them."""
    child = subprocess.Popen([PROGRAM, "train", "r.json", "-o", output], cwd=folder, stdout=subprocess.DEVNULL)
    path = folder / output / "log.jsonl"
    while child.poll() is None and not (path.is_file() and len(path.read_text().splitlines()) >= until):
        time.sleep(0.01)
    assert child.poll() is None
    return child


def write_long_recipe(folder, rate=0.001, **more):
    stages = [{"steps": 2000, "learning_rate": rate}]
    (folder / "r.json").write_text(json.dumps(recipe(stages=stages, **more)))


def goes_on_to_the_same_bits(folder, output):
    step = saved_step(folder, output)
    train(folder, "whole", "--steps", str(step + 2))
    train(folder, output, "--resume", "--steps", "2")
    same_training(folder, "whole", output)


def test_a_kill_loses_at_most_the_interval(lesson):
    write_long_recipe(lesson)
    child = begin(lesson, "killed", 12)
    child.kill()
    child.wait()
    last = json.loads([line for line in (lesson / "killed" / "log.jsonl").read_text().splitlines(True)
                       if line.endswith("}\n")][-1])["step"]  # what it was writing may be cut off
    assert 0 <= last - saved_step(lesson, "killed") <= 5
    goes_on_to_the_same_bits(lesson, "killed")


def test_one_training_has_a_folder(lesson):
    write_long_recipe(lesson)
    child = begin(lesson, "taken", 12)
    try:
        others = [run("train", "r.json", "-o", "taken", *more, folder=lesson) for more in ([], ["--resume"])]
    finally:
        child.kill()
        child.wait()
    for other in others:
        assert other.code == 1 and "taken: another 'impasto train'" in other.err
    goes_on_to_the_same_bits(lesson, "taken")


def test_an_interruption_saves(lesson):
    write_long_recipe(lesson, checkpoint_every=1000, validation={})
    child = begin(lesson, "stopped", 2)
    child.send_signal(signal.SIGINT)
    assert child.wait() == 130
    assert saved_step(lesson, "stopped") == log(lesson, "stopped")[-1]["step"] > 0
    assert (lesson / "stopped" / "model.safetensors").is_file()
    goes_on_to_the_same_bits(lesson, "stopped")


def test_an_interruption_of_a_validation_saves(lesson):
    """The validation after step 2 is made of so many crops that the signal comes before its end."""
    write_long_recipe(lesson, checkpoint_every=1000,
                      validation={"pictures": "photos", "count": 256, "side": 32, "every": 2})
    child = begin(lesson, "stopped", 2)
    child.send_signal(signal.SIGINT)
    assert child.wait() == 130
    events = [(line["event"], line["step"]) for line in log(lesson, "stopped")]
    assert events[:4] == [("step", 1), ("step", 2), ("validation", 2), ("step", 3)]  # one step more is its price
    assert saved_step(lesson, "stopped") == events[-1][1]


def test_a_validation_that_fails_leaves_the_checkpoint(lesson):
    (lesson / "out").mkdir()
    (lesson / "out" / "pictures").write_text("no folder")
    (lesson / "r.json").write_text(json.dumps(recipe(checkpoint_every=1000)))
    result = run("train", "r.json", "-o", "out", "--quiet", folder=lesson)
    assert result.code == 1 and "out/pictures" in result.err and len(result.err.splitlines()) == 1, result.err
    assert saved_step(lesson, "out") == 6
    (lesson / "out" / "pictures").unlink()
    train(lesson, "out", "--resume")
    assert (lesson / "out" / "pictures" / "00000012.jpg").is_file()


def test_a_run_makes_up_for_a_validation_that_was_missed(lesson):
    train(lesson, "whole")
    train(lesson, "out", "--steps", "6")
    path = lesson / "out" / "log.jsonl"
    path.write_text("".join(line for line in path.read_text().splitlines(True) if '"validation"' not in line))
    (lesson / "out" / "pictures" / "00000006.jpg").unlink()
    train(lesson, "out", "--resume")
    same_training(lesson, "whole", "out")
    assert (lesson / "out" / "pictures" / "00000006.jpg").is_file()


def test_an_error_in_a_step_keeps_what_was_learnt(lesson):
    """As when the disk with the photos is gone."""
    write_long_recipe(lesson, checkpoint_every=1000, validation={}, data={"sources": [{"pictures": "photos"}],
                                                                          "crop": 32})
    child = begin(lesson, "out", 3)
    for path in (lesson / "photos").iterdir():
        path.unlink()
    assert child.wait() == 1
    assert saved_step(lesson, "out") == log(lesson, "out")[-1]["step"] >= 3
    assert not (lesson / "out" / "model.safetensors").exists()


def test_weights_that_went_bad_are_not_kept(lesson):
    """Decay times rate is 100, so that each step makes the kernels 99 times as large."""
    train(lesson, "out", "--steps", "2")
    before = (lesson / "out" / "checkpoint.safetensors").read_bytes()
    write_long_recipe(lesson, rate=10, checkpoint_every=1000, validation={}, optimizer={"decay": 10})
    result = run("train", "r.json", "-o", "out", "--resume", "--quiet", folder=lesson)
    assert result.code == 1 and "learning_rate" in result.err, result.err
    assert log(lesson, "out")[-1]["step"] > 2
    assert (lesson / "out" / "checkpoint.safetensors").read_bytes() == before


def test_a_model_that_is_not_ours_stays(lesson):
    (lesson / "out").mkdir()
    (lesson / "out" / "model.safetensors").write_text("of another program")
    for more in ([], ["--resume"]):
        refused("train", "r.json", "-o", "out", *more, folder=lesson,
                mentions=["out/model.safetensors", "without a checkpoint"])


def test_a_stage_has_a_name(lesson):
    stages = [{"steps": 2, "name": "<warm> up\u001b[1m"}, {"steps": 2}]
    (lesson / "r.json").write_text(json.dumps(recipe(stages=stages)))
    result = train(lesson, "out", "--steps", "2")
    assert "stage 1/2 (<warm> up?[1m), " in result.out
    assert "stage 1 of 2 (<warm> up" in html.unescape((lesson / "out" / "report.html").read_text())
    result = train(lesson, "out", "--resume")
    assert "stage 2/2, " in result.out
    assert "stage 2 of 2;" in (lesson / "out" / "report.html").read_text()


def test_links_in_the_folder_stay(lesson):
    """The report and a log that is gone on with are written through a link, and nothing else is left."""
    train(lesson, "out", "--steps", "2")
    (lesson / "kept").mkdir()
    for name in ("log.jsonl", "report.html"):
        (lesson / "out" / name).rename(lesson / "kept" / name)
        (lesson / "out" / name).symlink_to(lesson / "kept" / name)
    train(lesson, "out", "--resume", "--steps", "2")
    for name in ("log.jsonl", "report.html"):
        assert (lesson / "out" / name).is_symlink()
    assert len((lesson / "kept" / "log.jsonl").read_text().splitlines()) == 4
    assert "Step 4 of" in (lesson / "kept" / "report.html").read_text()
    assert len(list((lesson / "kept").iterdir())) == 2


def test_frozen_parameters_stay(lesson):
    """Of the first stage, which trains up* alone, all others are as the start made them."""
    def tensors(output):
        path = lesson / output / "checkpoint.safetensors"
        entries, start = header(path)
        data = path.read_bytes()
        return {name: data[start + entry["data_offsets"][0]:start + entry["data_offsets"][1]]
                for name, entry in entries.items() if name.startswith("weight/")}
    train(lesson, "first", "--steps", "1")
    train(lesson, "later", "--steps", "6")
    first, later = tensors("first"), tensors("later")
    changed = {name for name in first if first[name] != later[name]}
    assert changed and all(name.startswith("weight/up") for name in changed)


def test_unreadable_pictures_are_named_once(lesson):
    (lesson / "photos" / "2.png").write_bytes(b"\x89PNG\r\n\x1a\n no")
    result = run("train", "r.json", "-o", "out", "--quiet", "--prefetch", "4", folder=lesson)
    lines = result.err.splitlines()
    assert result.code == 0 and len(lines) == 1 and "takes its place" in lines[0]
    assert "r.json, data.sources[0].pictures: ./photos/2.png: " in lines[0], lines[0]
    again = run("train", "r.json", "-o", "again", "--quiet", folder=lesson)
    assert again.err == result.err
    same_training(lesson, "out", "again")


def test_no_picture_can_be_read(lesson):
    for path in (lesson / "photos").iterdir():
        path.write_bytes(b"no")
    (lesson / "r.json").write_text(json.dumps(recipe(data={"sources": [{"pictures": "photos"}], "crop": 32})))
    result = run("train", "r.json", "-o", "out", "--quiet", folder=lesson)
    lines = result.err.splitlines()
    assert result.code == 1 and len(lines) == 5, result.err
    assert lines[-1] == "impasto: crop 0 of train: none of the pictures can be read"


@pytest.mark.skipif(SANITIZED, reason="sanitizers need far more address space than they use")
def test_a_picture_too_large_for_memory_is_named(lesson):
    """As many pixels as are read at most, of 8 bytes each, says its header."""
    header = struct.pack(">IIBBBBB", 16384, 16384, 16, 6, 0, 0, 0)
    (lesson / "photos" / "0.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) +
                                              chunk(b"IDAT", zlib.compress(bytes(10))))
    (lesson / "r.json").write_text(json.dumps(recipe(data={"sources": [{}, {"pictures": "photos"}], "crop": 32})))
    limit = lambda: resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
    result = run("train", "r.json", "-o", "out", "--quiet", folder=lesson, limits=limit)
    [line] = result.err.splitlines()
    assert result.code == 1 and re.match(r"impasto: crop \d+ of train: .*photos/0\.png: out of memory", line), line


def test_lists_of_pictures(lesson):
    """A list in another folder, whose paths are relative to itself."""
    (lesson / "lists").mkdir()
    (lesson / "lists" / "some.txt").write_text("../photos/3.png\n\n../photos/0.png\r\n")
    (lesson / "r.json").write_text(json.dumps(recipe(data={"sources": [{"pictures": "lists/some.txt"}], "crop": 32})))
    train(lesson, "out", "--steps", "1")


def test_a_picture_that_a_list_names_and_is_missing(lesson):
    (lesson / "some.txt").write_text("photos/3.png\n\ngone.png\n")
    (lesson / "r.json").write_text(json.dumps(recipe(data={"sources": [{}, {"pictures": "some.txt"}], "crop": 32})))
    result = run("train", "r.json", "-o", "out", "--quiet", folder=lesson)
    [line] = result.err.splitlines()
    assert result.code == 0 and "data.sources[1].pictures: ./some.txt, line 3: ./gone.png: " in line, line


def test_lists_that_are_none(lesson):
    (lesson / "long.txt").write_text("photos/3.png\n" + 5000 * "x" + "\n")
    (lesson / "broken.txt").symlink_to("/proc/self/mem")  # whose first byte cannot be read
    for name, words in (("long.txt", "long.txt, line 2: longer than a path may be"),
                        ("broken.txt", "broken.txt: Input/output error")):
        (lesson / "r.json").write_text(json.dumps(recipe(data={"sources": [{"pictures": name}], "crop": 32})))
        refused("train", "r.json", "-o", "out", folder=lesson, mentions=words)


def test_data_folder(lesson):
    (lesson / "recipes").mkdir()
    (lesson / "r.json").rename(lesson / "recipes" / "r.json")
    result = run("train", "recipes/r.json", "-o", "out", "--steps", "1", "--data", ".", "--quiet", folder=lesson)
    assert (result.code, result.err) == (0, "")


@pytest.mark.parametrize("change, words", [
    ({"bach": 2}, 'r.json, line 1: there is no key "bach" in the recipe; did you mean "batch"?'),
    ({"network": {"architecture": "fin"}}, "fin"),
    ({"network": {"architecture": "fine", "options": {"chanels": 3}}}, "chanels"),
    ({"loss_network": {"model": "nothing"}}, "there is no model 'nothing'"),
    ({"loss_network": {"model": "vgg18"}}, "there is no model 'vgg18', neither as a file nor in"),
    ({"loss_network": {"model": "vgg18"}}, "did you mean 'vgg19'?"),
    ({"network": {"architecture": "fine", "start": "mobilnetv3"}}, "did you mean 'mobilenetv3'?"),
    ({"styles": [{"name": "a", "picture": "nothing.png"}]}, "r.json, styles[].picture: ./nothing.png: "),
    ({"data": {"sources": [{"pictures": "nowhere"}]}}, "r.json, data.sources[0].pictures: ./nowhere: No such file"),
    ({"data": {"sources": [{}, {"pictures": "empty"}]}},
     "r.json, data.sources[1].pictures: ./empty: there is no picture in it"),
    ({"validation": {"pictures": "none.txt"}}, "r.json, validation.pictures: ./none.txt: No such file"),
    ({"losses": {"content": {"conv2_1": 1}, "style": {"conv9_9": 1}}}, "conv9_9"),
    ({"stages": [{"steps": 1, "train": ["nothing*"]}]}, 'no parameter of'),
])
def test_bad_recipes(lesson, change, words):
    (lesson / "empty").mkdir()
    (lesson / "r.json").write_text(json.dumps(recipe(**change)))
    refused("train", "r.json", "-o", "out", folder=lesson, mentions=words)


def test_bad_calls(lesson):
    refused("train", "r.json", folder=lesson, mentions="-o is missing")
    refused("train", "nothing.json", "-o", "out", folder=lesson, mentions="nothing.json")
    refused("train", "photo.png", "-o", "out", folder=lesson, mentions="photo.png, line 1")
    train(lesson, "out", "--steps", "1")
    refused("train", "r.json", "-o", "out", folder=lesson, mentions="--resume")
    (lesson / "r.json").write_text(json.dumps(recipe(network={"architecture": "fine", "options": {"channels": 32}})))
    refused("train", "r.json", "-o", "out", "--resume", folder=lesson, mentions="checkpoint.safetensors")


def test_a_full_disk_keeps_the_checkpoint(lesson):
    train(lesson, "out", "--steps", "5")
    before = (lesson / "out" / "checkpoint.safetensors").read_bytes()
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, len(before) // 2))
    result = run("train", "r.json", "-o", "out", "--resume", "--quiet", folder=lesson, limits=limit)
    assert result.code == 1 and "File too large" in result.err and len(result.err.splitlines()) == 1
    assert (lesson / "out" / "checkpoint.safetensors").read_bytes() == before
    train(lesson, "out", "--resume")


def test_bench(lesson):
    files = sorted(lesson.rglob("*"))
    result = run("bench", "train", "r.json", "--steps", "3", "--json", folder=lesson)
    assert (result.code, result.err) == (0, "")
    bench = json.loads(result.out)
    assert bench["batch"] == 2 and bench["crop"] == 32 and bench["steps"] == 3 and bench["architecture"] == "fine"
    assert 0 < bench["seconds_per_step"]["min"] <= bench["seconds_per_step"]["median"]
    assert abs(bench["pictures_per_second"] * bench["seconds_per_step"]["median"] - 2) < 1e-6
    refused("bench", "train", "r.json", "--steps", "100", folder=lesson, mentions="12 steps only")
    assert sorted(lesson.rglob("*")) == files


def test_the_docs_have_every_key():
    table = run("help", "--recipe").out
    assert len(table.splitlines()) > 50
    assert table in (SOURCE / "docs" / "training.md").read_text()


def test_the_docs_have_every_event(lesson):
    text = (SOURCE / "docs" / "training.md").read_text()
    write_recipe_per_style(lesson)
    for event in train(lesson, "out", "--json", "--steps", "6").events():
        for name in [event["event"], *event]:
            assert f"`{name}`" in text, name


def test_the_docs_have_a_recipe_that_is_one(lesson):
    """But for its networks and pictures, which are not here."""
    text = (SOURCE / "docs" / "training.md").read_text()
    [example] = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    (lesson / "r.json").write_text(example)
    refused("train", "r.json", "-o", "out", folder=lesson, mentions="photos.txt: No such file")
