"""Sittings in a real browser, as a person has them, on the real table scenes; labels come from the ground truth, which only the test reads."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from al3d.data.labels import LabelState
from al3d.data.prepare import prepare
from al3d.data.sources.folder import Folder
from al3d.people.agreement import cohens_kappa, twice_answered
from al3d.people.answers import Answers
from al3d.people.queries import points_of, queries_of, write_queries
from al3d.units.kmeans_region import KMeansRegion

OSD = Path(__file__).resolve().parents[3] / "shared/data/osd"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM, reason="no chromium: apt-get install chromium"),
    pytest.mark.skipif(not OSD.is_dir(), reason="no table scenes in ../shared/data/osd"),
]
UNIT = KMeansRegion(regions=30)
PATIENCE = 60_000


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """Four of the real table scenes, prepared."""
    root = tmp_path_factory.mktemp("tables")
    (root / "scenes").mkdir()
    names = sorted(path.stem for path in (OSD / "scenes").glob("learn_*.ply"))[:4]
    for name in names:
        (root / "scenes" / f"{name}.ply").symlink_to(OSD / "scenes" / f"{name}.ply")
    card = (OSD / "dataset.yaml").read_text()
    card = re.sub(r"splits:\n(?:  .*\n)+", f"splits:\n  train: [{', '.join(names[:3])}]\n  val: [{names[3]}]\n", card)
    (root / "dataset.yaml").write_text("\n".join(line for line in card.splitlines() if not line.startswith("images")))
    return prepare(Folder(root), tmp_path_factory.mktemp("store"), partitioners=(UNIT,))


@pytest.fixture
def run_folder(tables, tmp_path):
    """A run that asks about regions of three scenes in turn."""
    labels, scenes = LabelState(tmp_path / "run", tables), tables.splits["train"]
    asked = [(scene, unit) for unit in range(0, 30, 7) for scene in scenes]
    sizes = [int((tables.unit(UNIT, scene) == unit).sum()) for scene, unit in asked]
    order = partial(write_queries, scenes=[scene for scene, _ in asked], unit=[unit for _, unit in asked], points=sizes)
    labels.append({scene: [unit for other, unit in asked if other == scene] for scene in scenes}, UNIT, {}, order)
    return tmp_path / "run"


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="no playwright: pip install 'al3d[dev]'")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        browser.close()


class Served:
    """The page's server in a process of its own."""

    def __init__(self, run, store, port=0, who="anna", second=0.0):
        code = (
            "import sys; from pathlib import Path; from al3d.annotate.command import opened, serve; from al3d.annotate.server import Server;"
            "from al3d.data.store import Store; _, run, store, port, who, second = sys.argv;"
            "serve(Server(*opened(Path(run), Store(Path(store)), float(second)), who, int(port)))"
        )
        self.process = subprocess.Popen([sys.executable, "-c", code, str(run), str(store.path), str(port), who, str(second)], stdout=subprocess.PIPE, text=True)
        self.url = ""
        for line in self.process.stdout:
            if line.strip().startswith("http"):
                self.url = line.strip()
                break
        assert self.url, "the server said no address"

    def end(self, how=signal.SIGINT):
        self.process.send_signal(how)
        self.process.wait(20)
        self.process.stdout.close()


@pytest.fixture
def serve(run_folder, tables):
    running = []

    def start(**options):
        running.append(Served(run_folder, tables, **options))
        return running[-1]

    yield start
    for served in running:
        if served.process.poll() is None:
            served.end(signal.SIGKILL)


def opened(browser, url, width=560, height=420):  # small: what draws here is a processor
    page = browser.new_page(viewport={"width": width, "height": height})
    page.set_default_timeout(PATIENCE)
    page.wrong = []
    page.on("pageerror", lambda error: page.wrong.append(str(error)))
    page.on("request", lambda request: page.wrong.append(request.url) if not request.url.startswith((url, "data:", "blob:")) else None)
    page.goto(url)
    page.wait_for_function("state !== null")
    return page


def state(page):
    return page.evaluate("state")


def press(page, key):
    """Press a key as a person does, and wait until the page shows what came of it."""
    serial = state(page)["serial"]
    page.keyboard.press(key)
    page.wait_for_function(f"state.serial !== {serial}")


def truth_of(tables, run_folder, query):
    """The class of most of the region's points, and those classes."""
    labels = LabelState(run_folder, tables)
    own = next(one for one in queries_of(run_folder, tables) if one.key == (query["round"], query["scene"], query["unit"]))
    label = np.load(tables.path / "truth" / f"{query['scene']}.npy")[points_of(own, labels)]
    return int(np.bincount(label[label < 3], minlength=3).argmax())


def colours_on_screen(page):
    """How many pixels of the picture are of the bright region, and how many of anything."""
    from io import BytesIO

    from PIL import Image

    picture = np.asarray(Image.open(BytesIO(page.locator("#stage").screenshot())).convert("RGB")).astype(int)
    bright = (picture[..., 0] > 150) & (picture[..., 1] > 110) & (picture[..., 2] < 0.6 * picture[..., 1])
    return int(bright.sum()), int((np.abs(picture - [27, 31, 38]).max(axis=2) > 12).sum())


def wait_for_picture(page):
    limit = time.monotonic() + PATIENCE / 1000
    while time.monotonic() < limit:
        bright, anything = colours_on_screen(page)
        if bright > 300 and anything > 5000:
            return
        page.wait_for_timeout(200)
    raise AssertionError("the bright region never showed")


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (800, 600)])
def test_a_whole_sitting(browser, serve, run_folder, tables, width, height):
    page, expected = opened(browser, serve().url, width, height), {}
    for number in range(15):
        if number % 5 == 0:
            wait_for_picture(page)
        query = state(page)["query"]
        label = truth_of(tables, run_folder, query)
        expected[query["round"], query["scene"], query["unit"]] = tables.classes.names[label]
        press(page, str(label + 1))
    assert state(page)["query"] is None and "Everything is answered" in page.inner_text("#cover")
    assert {key: answer.class_name for key, answer in Answers(run_folder).current().items()} == expected
    assert len(expected) == 15 and page.wrong == []
    page.close()


def test_every_key_and_button(browser, serve, run_folder):
    page = opened(browser, serve().url, 800, 600)
    wait_for_picture(page)
    first = state(page)["query"]
    press(page, "x")
    assert state(page)["query"]["parts"] > 1
    press(page, "b")
    assert state(page)["query"] == first
    press(page, "X")
    while state(page)["query"]["unit"] == first["unit"] and state(page)["query"]["scene"] == first["scene"]:
        press(page, "1" if state(page)["query"]["part"] == 1 else "2")
    press(page, "u")
    page.keyboard.press("g")
    page.wait_for_function("document.getElementById('words').textContent.includes('no model')")
    before = page.locator("#stage").screenshot()
    page.keyboard.press("v")
    page.wait_for_timeout(1500)
    assert page.locator("#stage").screenshot() != before
    bright, _ = colours_on_screen(page)
    page.keyboard.press("h")
    page.wait_for_function("state.bright === false")
    page.wait_for_timeout(1500)
    assert colours_on_screen(page)[0] < bright / 4
    serial = state(page)["serial"]
    page.click("#classes button[data-index='2']")
    page.wait_for_function(f"state.serial !== {serial}")
    for key in ("9", "k", "Control+1", "F1"):
        page.keyboard.press(key)
    page.wait_for_timeout(500)
    kinds = [event.kind for event in Answers(run_folder).history() if event.kind != "shown"]
    assert kinds == ["parts", "unsure", "class"] and page.wrong == []
    page.close()


def test_keys_work_after_the_picture_was_turned_and_a_rectangle_cuts(browser, serve, run_folder):
    page = opened(browser, serve().url, 1280, 800)
    wait_for_picture(page)
    page.wait_for_timeout(1000)
    whole, box = state(page)["query"]["points"], page.locator("#stage").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 60, y + 10, steps=5)
    page.mouse.up()
    page.keyboard.down("Shift")
    page.mouse.move(x - 5, y - 200)
    page.mouse.down()
    page.mouse.move(x + 200, y + 200, steps=8)
    page.mouse.up()
    page.keyboard.up("Shift")
    page.wait_for_function("state.query.parts === 2")
    assert 0 < state(page)["query"]["points"] < whole
    press(page, "1")
    press(page, "3")
    (answer,) = Answers(run_folder).current().values()
    assert [part.class_name for part in answer.parts] == ["table", "cylinder"] and sum(len(part.points) for part in answer.parts) == whole
    page.close()


def test_an_answer_is_corrected_in_the_list(browser, serve, run_folder):
    page = opened(browser, serve().url)
    first = state(page)["query"]
    press(page, "1")
    press(page, "1")
    page.click("#tab-answers")
    assert page.locator("#list tr").count() == 2
    page.locator("#list tr").nth(1).click()
    page.wait_for_function(f"state.query.unit === {first['unit']} && state.query.scene === '{first['scene']}'")
    press(page, "3")
    assert [answer.class_name for answer in Answers(run_folder).current().values()] == ["table", "cylinder"]
    page.close()


def test_kill_loses_nothing_and_one_goes_on(browser, serve, run_folder):
    served = serve()
    page = opened(browser, served.url)
    for key in "123":
        press(page, key)
    shown = state(page)["query"]
    served.end(signal.SIGKILL)
    page.wait_for_function("document.getElementById('cover').textContent.includes('stopped')")
    page.close()
    page = opened(browser, serve().url)
    assert state(page)["done"] == 3 and state(page)["query"] == shown
    press(page, "b")
    press(page, "1")
    assert [answer.class_name for answer in Answers(run_folder).current().values()] == ["table", "box", "table"]
    page.close()


@pytest.mark.parametrize("servers", [1, 2])
def test_two_browsers_share_the_work(browser, serve, run_folder, servers):
    urls = [serve(second=0.5).url for _ in range(servers)]
    pages = [opened(browser, urls[0] + "?who=anna"), opened(browser, urls[-1] + "?who=ben")]
    while any(state(page)["query"] for page in pages):
        both = [state(page)["query"] for page in pages]
        assert None in both or both[0] != both[1]
        for page in pages:
            if state(page)["query"]:
                press(page, "1" if state(page)["query"]["unit"] else "2")
            page.wait_for_timeout(4500 if not state(page)["query"] else 0)  # others' answers are seen every few seconds
    answers = Answers(run_folder)
    twice = twice_answered(answers)
    assert len(answers.current()) == 15 and 0 < len(twice) < 15
    assert cohens_kappa(twice) in (1.0, None)
    for page in pages:
        page.close()


def test_another_page_reaches_nothing(browser, serve, run_folder):
    served = serve()
    port = int(served.url.split(":")[2].split("/")[0])
    page = browser.new_page()
    assert page.goto(f"http://127.0.0.1:{port}/").status == 403
    assert page.goto(f"http://127.0.0.1:{port}/WRONG/view/a/").status == 403
    page.goto("data:text/html,<p>another page")
    tried = page.evaluate(
        """async urls => Promise.all(urls.map(url => new Promise(done => {
            const socket = new WebSocket(url, url.includes("view") ? "viser-v1.1.1" : []);
            socket.onopen = () => done("open"); socket.onerror = () => done("refused");
        })))""",
        [served.url.replace("http", "ws") + path for path in ("page?view=x", "view/x")],
    )
    assert tried == ["refused", "refused"]
    page.close()


def test_a_taken_port_is_said_in_words(serve, run_folder, tables):
    port = serve().url.split(":")[2].split("/")[0]
    code = f"from al3d.annotate.door import listening; listening({port})"
    failed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ))
    assert failed.returncode and f"port {port} is taken" in failed.stderr


def test_events_are_lines_of_json(browser, serve, run_folder):
    page = opened(browser, serve().url)
    press(page, "1")
    page.close()
    lines = [json.loads(line) for line in (run_folder / "answers/events.jsonl").read_text().splitlines()]
    assert [line["kind"] for line in lines][:2] == ["shown", "class"] and lines[1]["class"] == "table" and lines[1]["seconds"] > 0
