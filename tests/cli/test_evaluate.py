"""impasto evaluate: scores and what they are read beside, pairs, folders and lists, reports, bad files."""
import base64
import csv
import html.parser
import math
import os
import resource
import signal
import subprocess

import pytest

from support import PROGRAM, SANITIZED, SOURCE, TIMEOUT, painted, pattern, refused, run, snapshot, write_png

PAIR = ["--photo", "photo.png", "--style", "style.png"]
SCORES = ["ssim", "psnr", "content_loss", "gram_similarity", "style_loss", "sliced_wasserstein", "texture_detail"]
LAYERS = ["conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1"]


@pytest.fixture
def gallery(folder):
    """Two folders of outputs for two photos, and a folder with these."""
    for name in ["photos", "dull", "bright"]:
        (folder / name).mkdir()
    for number, name in enumerate(["cat.png", "dog.png"]):
        write_png(folder / "photos" / name, 48, 36, seed=10 + number)
        write_png(folder / "dull" / name, 48, 36, [value // 2 for value in pattern(48, 36, seed=10 + number)])
        write_png(folder / "bright" / name, 48, 36, seed=30 + number)
    (folder / "bright" / "notes.txt").write_text("not a picture")
    return folder


def events(*arguments, folder):
    """The events of a run that must end well."""
    return painted("evaluate", *arguments, "--json", folder=folder).events()


def scores(*arguments, folder):
    """The one output's event."""
    found = events(*arguments, folder=folder)
    assert [event["event"] for event in found] == ["scores", "done"]
    assert found[1] == {"event": "done", "evaluated": 1, "outputs": 1}
    return found[0]


# ---- Scores ------------------------------------------------------------------------------------------------------

def test_the_photo_and_the_painting_are_the_best_there_are(folder):
    write_png(folder / "out.png", 48, 36, seed=8)
    event = scores("out.png", *PAIR, "--other", "other.png", folder=folder)
    assert (event["photo"], event["style"], event["output"], event["other"]) == \
        ("photo.png", "style.png", "out.png", "other.png")
    assert (event["width"], event["height"], event["label"]) == (48, 36, "")
    assert list(event["beside"]) == ["photo", "other", "painting"]
    for found in [event["scores"], *event["beside"].values()]:
        assert set(SCORES) <= set(found)
    photo, painting, own = event["beside"]["photo"], event["beside"]["painting"], event["scores"]
    assert photo["ssim"] == 1 and photo["psnr"] is None and photo["content_loss"] == 0
    assert -1 <= own["ssim"] < 1 and own["content_loss"] > 0 and own["texture_detail"] > 0
    # The painting is square and the output is not: its middle is a little less than itself.
    for name in ["other", "photo"]:
        assert painting["gram_similarity"] > event["beside"][name]["gram_similarity"]
        assert painting["sliced_wasserstein"] < event["beside"][name]["sliced_wasserstein"]
    layers = own["layers"]
    assert list(layers) == LAYERS
    mean = sum(layer["gram_similarity"] for layer in layers.values()) / 5
    assert math.isclose(own["gram_similarity"], mean, rel_tol=1e-6)  # figures of 9 digits


def test_figures_of_scikit_image(folder):
    data = SOURCE / "tests" / "data"
    # The style does not matter here. Figures of 9 digits beside scikit-image's: tests/unit/test_metrics.c has more.
    for window, figure in [("gaussian", 0.3579642362), ("uniform", 0.3674518328)]:
        event = scores(str(data / "ssim_camera_noisy.png"), "--photo", str(data / "ssim_camera.png"), "--style",
                       "style.png", "--ssim", window, "--style-layers", "conv1_1", "--content-layers", "conv1_1",
                       "--directions", "1", folder=folder)
        assert math.isclose(event["scores"]["ssim"], figure, abs_tol=1e-9)
        assert math.isclose(event["scores"]["psnr"], 22.4093528, abs_tol=1e-6)


def test_the_painting_beside_itself(folder):
    event = scores("style.png", *PAIR, folder=folder)
    # The same pixels by two plans: sums round alike here, or to a float's last digits.
    assert event["scores"]["gram_similarity"] > 1 - 1e-6
    assert event["scores"]["sliced_wasserstein"] < 1e-6 * event["beside"]["photo"]["sliced_wasserstein"]
    assert event["other"] is None and list(event["beside"]) == ["photo", "painting"]


def test_options_count(folder):
    write_png(folder / "out.png", 64, 48, seed=8)
    plain = scores("out.png", *PAIR, folder=folder)
    assert plain == scores("out.png", *PAIR, "--threads", "3", folder=folder)
    small = scores("out.png", *PAIR, "--size", "32", folder=folder)
    assert (small["width"], small["height"]) == (32, 24)
    seeded = scores("out.png", *PAIR, "--seed", "5", folder=folder)["scores"]
    few = scores("out.png", *PAIR, "--directions", "3", folder=folder)["scores"]
    for other in [seeded, few]:
        assert other["sliced_wasserstein"] != plain["scores"]["sliced_wasserstein"]
        assert other["style_loss"] == plain["scores"]["style_loss"]
    layers = scores("out.png", *PAIR, "--style-layers", "conv1_1,conv2_1:0.5", folder=folder)["scores"]
    assert list(layers["layers"]) == ["conv1_1", "conv2_1"]
    loss = scores("out.png", *PAIR, "--style-loss", "gram-l1", folder=folder)["scores"]
    assert loss["style_loss"] != plain["scores"]["style_loss"]
    content = scores("out.png", *PAIR, "--content-layers", "conv2_1" if SANITIZED else "conv2_2", folder=folder)["scores"]
    assert content["content_loss"] != plain["scores"]["content_loss"]


# ---- Many outputs ------------------------------------------------------------------------------------------------

def test_folders(gallery):
    found = events("dull", "bright/", "--photo", "photos", "--style", "style.png", folder=gallery)
    rows, means = found[:4], found[4:6]
    assert [(row["label"], row["photo"], row["output"]) for row in rows] == [
        ("dull", "photos/cat.png", "dull/cat.png"), ("dull", "photos/dog.png", "dull/dog.png"),
        ("bright", "photos/cat.png", "bright/cat.png"), ("bright", "photos/dog.png", "bright/dog.png")]
    assert [(mean["event"], mean["label"], mean["outputs"]) for mean in means] == [("mean", "dull", 2),
                                                                                   ("mean", "bright", 2)]
    for mean, pair in zip(means, [rows[:2], rows[2:]]):
        for name in SCORES:
            assert math.isclose(mean["scores"][name], sum(row["scores"][name] for row in pair) / 2, rel_tol=1e-6)
    assert means[0]["scores"]["ssim"] > means[1]["scores"]["ssim"]  # half as bright is still the same shapes
    assert found[6] == {"event": "done", "evaluated": 4, "outputs": 4}
    # Each as it is alone, whatever was compared before it.
    alone = scores("bright/dog.png", "--photo", "photos/dog.png", "--style", "style.png", folder=gallery)
    assert alone["scores"] == rows[3]["scores"] and alone["beside"] == rows[3]["beside"]


def write_list(folder, *lines, name="list.csv"):
    (folder / name).write_bytes("\n".join(lines).encode())


def test_list(gallery):
    (gallery / "lists").mkdir()
    os.rename(gallery / "dull" / "cat.png", gallery / "dull" / 'a "cat", grey.png')
    write_list(gallery, "\ufefflabel,output,photo,style\r", '"half, ""grey""","../dull/a ""cat"", grey.png",'
               '../photos/cat.png,../style.png\r', "", f"other,../bright/dog.png,{gallery}/photos/dog.png,../other.png",
               name="lists/list.csv")
    rows = events("--list", "lists/list.csv", folder=gallery)[:2]
    assert [(row["label"], row["output"], row["photo"], row["style"], row["other"]) for row in rows] == [
        ('half, "grey"', 'lists/../dull/a "cat", grey.png', "lists/../photos/cat.png", "lists/../style.png",
         "lists/../other.png"),
        ("other", "lists/../bright/dog.png", f"{gallery}/photos/dog.png", "lists/../other.png", "lists/../style.png")]


def test_a_list_needs_no_labels(gallery):
    write_list(gallery, "photo,style,output", "photos/cat.png,style.png,dull/cat.png")
    assert scores("--list", "list.csv", folder=gallery)["label"] == ""


@pytest.mark.parametrize("lines,mentions", [
    ([""], "has no column photo"), (["photo,style,output"], "the list is empty"),
    (["photo,style,outputs", "a,b,c"], ["line 1", "'outputs'", "did you mean 'output'"]),
    (["photo,style,output,weight", "a,b,c,1"], ["'weight'", "there are photo, style, output, label"]),
    (["photo,style,photo,output", "a,b,c,d"], ["photo", "twice"]), (["photo,style", "a,b"], "has no column output"),
    (["photo,style,output", "a,b"], ["line 2", "2 fields", "names 3"]),
    (["photo,style,output,label", "", "a,b,c,d,e"], ["line 3", "more than 4"]),
    (["photo,style,output", 'a,b,"c'], ["line 2", "quote"]), (["photo,style,output", '"a"x,b,c'], ["line 2", "quotes"]),
    (["photo,style,output", "a,,c"], ["line 2", "style is empty"]),
    (["photo,style,output", "a,b," + 5000 * "c"], ["line 2", "too long"]),
    (["photo,style,output", "a,b,\0"], "not a text file"),
])
def test_lists_that_are_refused(folder, lines, mentions):
    write_list(folder, *lines)
    refused("evaluate", "--list", "list.csv", folder=folder, mentions=mentions)


def test_lists_that_are_not_there(folder):
    refused("evaluate", "--list", "missing.csv", folder=folder, mentions=["missing.csv", "No such file"])
    refused("evaluate", "--list", ".", folder=folder, mentions="directory")


# ---- Reports -----------------------------------------------------------------------------------------------------

def test_table(gallery):
    out = painted("evaluate", "dull", "bright", "--photo", "photos", "--style", "style.png", "--other", "other.png",
                  folder=gallery).out
    assert out.count("photos/cat.png as style.png, 48x36 pixels; another painting: other.png") == 2
    for words in ["SSIM", "Gram similarity", "untouched photo", "another painting", "painting itself", "dull (2)",
                  "bright (2)", "4 of 4 outputs evaluated"]:
        assert words in out
    assert out.count("untouched photo") == 5  # once a pair, since each follows another, and once in the means


def test_csv(gallery):
    rows = events("dull", "bright", "--photo", "photos", "--style", "style.png", "--csv", "out.csv", folder=gallery)
    with open(gallery / "out.csv", newline="") as stream:
        read = list(csv.DictReader(stream))
    assert len(read) == 4
    for row, event in zip(read, rows):
        assert (row["label"], row["output"], row["other"]) == (event["label"], event["output"], "")
        for name in SCORES:
            assert float(row[name]) == event["scores"][name]
            assert row[f"{name}_other"] == ""
        assert float(row["psnr_photo"]) == math.inf
        for layer in LAYERS:
            assert float(row[f"gram_similarity_{layer}"]) == event["scores"]["layers"][layer]["gram_similarity"]


class Page(html.parser.HTMLParser):
    """Tags, pictures and words of a page; each tag must be closed in its turn."""
    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.pictures, self.words = [], [], [], ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if tag == "img":
            self.pictures.append(dict(attributes)["src"])
        elif tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words += data


def test_page(gallery):
    name = "<b>&'x.png"
    os.rename(gallery / "bright" / "cat.png", gallery / "bright" / name)
    os.rename(gallery / "photos" / "cat.png", gallery / "photos" / name)
    painted("evaluate", "dull/dog.png", "bright", "--photo", "photos", "--style", "style.png", "--other", "other.png",
            "--html", "page.html", folder=gallery)
    page = Page((gallery / "page.html").read_text())
    assert len(page.pictures) == 3 * 3 + 3  # photo and both paintings for each of three pairs, and the outputs
    for picture in page.pictures:
        kind, _, data = picture.partition(",")
        assert kind == "data:image/jpeg;base64" and base64.b64decode(data, validate=True)[:3] == b"\xff\xd8\xff"
    assert "svg" in page.tags and page.tags.count("circle") == 3 + 3 + 1  # outputs, candidates, the legend's
    assert f"bright/{name}" in page.words and "b" not in page.tags
    assert f"bright/{name}: SSIM" in page.words


def test_pictures_that_went_away_are_left_out_of_the_page(gallery):
    # The last row is some seconds after the first.
    write_list(gallery, "photo,style,output", "photo.png,style.png,dull/cat.png",
               *["photo.png,style.png,dull/dog.png"] * 50)
    process = subprocess.Popen([PROGRAM, "evaluate", "--list", "list.csv", "--html", "page.html", "--json"],
                               cwd=gallery, stdout=subprocess.PIPE)
    assert b"dull/cat.png" in process.stdout.readline()
    (gallery / "dull" / "cat.png").unlink()
    process.communicate(timeout=TIMEOUT)
    page = Page((gallery / "page.html").read_text())
    assert process.returncode == 0 and len(page.pictures) == 2 + 50 and page.tags.count("figure") == 2 + 51


@pytest.mark.parametrize("option", ["--csv", "--html"])
def test_reports_that_cannot_be_written(gallery, option):
    for path, mentions in [("no/out", "there is no folder"), ("dull", "is a folder"), ("photo.png", "one of the pic"),
                           ("style.png", "one of the pic"), ("dull/cat.png", "one of the pic"),
                           ("other.png", "is read here")]:
        refused("evaluate", "dull/cat.png", *PAIR, "--other", "other.png", option, path, folder=gallery,
                mentions=[path, mentions])


def test_reports_of_one_name(gallery):
    refused("evaluate", "dull", *PAIR, "--csv", "a", "--html", "a", folder=gallery, mentions=["--csv", "--html", "a"])


def test_a_full_disk_leaves_the_old_report(gallery):
    (gallery / "page.html").write_text("old")

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    before = snapshot(gallery)
    result = run("evaluate", "dull", "--photo", "photos", "--style", "style.png", "--html", "page.html",
                 folder=gallery, limits=limit)
    assert result.code == 1 and "page.html: " in result.err
    assert snapshot(gallery) == before and (gallery / "page.html").read_text() == "old"


# ---- Bad files ---------------------------------------------------------------------------------------------------

def test_what_cannot_be_read_is_named_and_the_rest_goes_on(gallery):
    (gallery / "dull" / "cut.png").write_bytes((gallery / "dull" / "cat.png").read_bytes()[:300])
    (gallery / "photos" / "cut.png").write_bytes((gallery / "photos" / "cat.png").read_bytes())
    write_png(gallery / "dull" / "lonely.png", 48, 36)
    (gallery / "photos" / "dog.png").write_text("<html>")
    result = run("evaluate", "dull", "--photo", "photos", "--style", "style.png", "--csv", "out.csv", folder=gallery)
    assert result.code == 1
    lines = result.err.splitlines()
    assert len(lines) == 3
    assert "dull/lonely.png: there is no picture of that name in photos" in lines[0]
    assert "dull/cut.png: " in lines[1] and "dull/dog.png: photos/dog.png: " in lines[2]
    assert "1 of 4 outputs evaluated" in result.out
    assert len((gallery / "out.csv").read_text().splitlines()) == 2


def test_a_bad_other_painting_is_named(gallery):
    result = run("evaluate", "dull", "--photo", "photos", "--style", "style.png", "--other", "none.png", "--csv",
                 "out.csv", folder=gallery)
    assert result.code == 1 and result.err.count("none.png") == 2 and "0 of 2" in result.out
    assert not (gallery / "out.csv").exists()


def test_pictures_too_small(folder):
    write_png(folder / "out.png", 15, 15)
    refused("evaluate", "out.png", *PAIR, folder=folder, mentions=["out.png", "15 x 15"])


def test_bad_arguments(gallery):
    (gallery / "empty").mkdir()
    refused("evaluate", "empty", *PAIR, folder=gallery, mentions=["empty", "no pictures"])
    refused("evaluate", "dull", *PAIR, "--style-layers", "conv9_9", folder=gallery, mentions="conv9_9")
    refused("evaluate", "dull", *PAIR, "--model", "missing", folder=gallery, mentions="missing")


def test_interrupted_reports_are_of_what_was_done(gallery):
    lines = ["photo,style,output"] + ["photo.png,style.png,dull/cat.png"] * 5000
    write_list(gallery, *lines)
    process = subprocess.Popen([PROGRAM, "evaluate", "--list", "list.csv", "--csv", "out.csv", "--json"], cwd=gallery,
                               stdout=subprocess.PIPE)
    assert b"scores" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=TIMEOUT)
    rows = len((gallery / "out.csv").read_text().splitlines()) - 1
    assert process.returncode == 130 and 0 < rows < 5000
    assert out.count(b'"scores",') + 1 == rows
