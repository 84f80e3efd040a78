"""The page in a real browser, over a real session: what it shows, and that everybody can use it."""

from __future__ import annotations

import json
import os
import re
import signal
import time

import httpx
import pytest

from af_otel.backends.words import duration
from af_otel.verify.kernel import Kernel
from af_otel.verify.user import User
from browser import running_browser
from servers import wait_for

pytestmark = [pytest.mark.facility, pytest.mark.browser]

NASTY = '<script>document.title="pwned"</script><img src=x onerror=alert(1)>'
COMPUTE = """
from distributed import Client
client = Client()
print(sum(client.gather(client.map(abs, range(20), pure=False))))
"""
FAIL = """
def boom(n):
    if n % 3 == 0: raise RuntimeError('no')
client.gather(client.map(boom, range(9), pure=False))
"""
MARKUP = f"""
from opentelemetry import trace
tracer = trace.get_tracer('user')
with tracer.start_as_current_span({NASTY!r}) as span:
    span.set_attribute({NASTY!r}, {NASTY!r}); span.add_event({NASTY!r})
"""
TOYS = """
with tracer.start_as_current_span('fit toys'):
    for _ in range(300):
        with tracer.start_as_current_span('toy'): pass
"""
TRAIN = """
import math, time
from af_otel import metrics
with metrics.training('calorimeter') as run:
    for epoch in range(20):
        run.log(epoch=epoch, loss=math.exp(-epoch / 5))
        time.sleep(0.1)
"""
CELLS = (COMPUTE, FAIL, MARKUP, TOYS, TRAIN)


@pytest.fixture(scope="module")
def session(facility):
    """The id of a session with a computation, an error, a name with markup, many spans alike, and a
    training.
    """
    user = User(facility.hub["url"], "pageuser", facility.hub["password"])
    user.log_in()
    user.spawn(90)
    with Kernel(user, "Untitled.ipynb", "python3") as kernel:
        carried = kernel.ask(60, baggage="__import__('os').environ.get('BAGGAGE', '')")["baggage"]
        for cell in CELLS:
            kernel.run(cell, 90)
        kernel.shut_down()
    user.stop_server()
    user.http.close()
    known = re.search(r"session\.id=(\w+)", carried)[1]

    def complete():
        names = [span.name for span in facility.session(known) if not span.pending_for]
        enough = {"worker share": 2, "toy": 300, "run cell": len(CELLS), "start server": 1}
        return all(names.count(name) >= least for name, least in enough.items())

    wait_for(complete, "the whole session", timeout=90)
    prometheus = facility.prometheus
    wait_for(lambda: prometheus.query("user_training_loss"), "the training", timeout=60)
    return known


@pytest.fixture(scope="module")
def browser():
    with running_browser() as running:
        yield running


@pytest.fixture
def opened(browser, facility):
    """Opens pages; whatever a script of theirs complains of fails the test."""
    contexts, complaints = [], []

    def open_page(url, width=1300, height=850, **options):
        user, password = facility.login
        context = browser.new_context(
            viewport={"width": width, "height": height},
            http_credentials={"username": user, "password": password},
            **options,
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console",
            lambda said: complaints.append(said.text) if "Content Security" in said.text else None,
        )
        page.goto(url)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not complaints


@pytest.fixture
def at(facility, session):
    """The address of the session's page."""
    return f"{facility.urls['page']}/#/session/{session}"


def shown(page):
    """The rows as (level, name, service, remarks), all that is folded with them."""
    page.wait_for_selector(".rows .row")
    page.click("text=Open all")
    while (fold := page.locator(".row.fold")).count():
        fold.first.click()
    return page.eval_on_selector_all(
        ".rows .row",
        """rows => rows.map(row => [
            Number(row.getAttribute("aria-level")),
            row.querySelector(".name").textContent,
            row.querySelector(".service").textContent,
            [...row.querySelectorAll(".remark")].map(remark => remark.textContent),
        ])""",
    )


def as_rows(nodes, level=1):
    """The same of the nodes that `af-otel trace --json` prints."""
    for node in nodes:
        number = node["attributes"].get("jupyter.cell.execution_count")
        name = node["name"] if number is None else f"{node['name']} [{number}]"
        failed = node["error"] and f"✕ failed: {node['error']}"
        links = [f"from `{link['name']}`" for link in node["links"]]
        yield level, name, node["service"], failed, links
        yield from as_rows(node["children"], level + 1)


def test_the_waterfall_is_the_story_that_trace_tells(facility, session, opened, at):
    """Order, nesting, names, services, errors and links are those of `af-otel trace --json`."""
    told = facility.command("trace", session, "--json")
    assert told.returncode == 0, told.stderr
    expected = list(as_rows(json.loads(told.stdout)["roots"]))

    rows = shown(opened(at))

    assert len(expected) > 320
    assert [tuple(row[:3]) for row in rows] == [row[:3] for row in expected]
    for row, (*_, failed, links) in zip(rows, expected, strict=True):
        assert [text for text in row[3] if text.startswith("✕")] == ([failed] if failed else [])
        assert [text for text in row[3] if text.startswith("from")] == links
    names = {row[1] for row in rows}
    assert {"spawn server", "start server", "start kernel", "compute graph", "worker share"} < names


def test_the_file_shows_the_same_without_any_network(facility, session, opened, at, tmp_path):
    """`af-otel trace --html`: opened from the disk, offline, with the same rows."""
    file = tmp_path / "session.html"
    made = facility.command("trace", session, "--html", str(file))
    assert made.returncode == 0, made.stderr
    assert file.as_uri() in made.stderr
    assert file.stat().st_mode & 0o077 == 0

    page = opened(file.as_uri(), offline=True)

    assert shown(page) == shown(opened(at))
    page.locator(".remark.link").first.click()
    page.wait_for_selector(".row[aria-selected=true] >> text=spawn server")
    assert page.locator("#details-title").text_content() == "spawn server"


def test_sessions_are_listed_and_lead_to_their_traces(facility, session, opened, tmp_path):
    """With cells, failures and their server; the charts have data, the training its points."""
    page = opened(facility.urls["page"])
    entry = page.locator(f'a.session[href="#/session/{session}"]')
    entry.wait_for()
    wait_for(lambda: f"{len(CELLS)} cells" in entry.text_content(), "the cells to be found")
    wait_for(lambda: "✕ 1 failed" in entry.text_content(), "the failed trace to be found")
    assert "started in" in entry.text_content()
    page.select_option("#window", "3600")
    for title_ in ("Running now", "Cells", "Dask tasks", "Spawns", "calorimeter: loss"):
        chart = page.locator("figure.chart", has=page.locator(f"b:text-is('{title_}')")).first
        chart.locator("path.curve").first.wait_for(state="attached")
        values = chart.locator(".legend .value").all_text_contents()
        assert any(re.match(r"[\d.]", value) for value in values), (title_, values)
    assert entry.locator("time").get_attribute("title").endswith(" UTC")
    page.screenshot(path=tmp_path / "sessions.png")
    entry.click()
    page.wait_for_selector(".rows .row")
    page.wait_for_timeout(300)  # the overview is drawn once its width is known
    page.screenshot(path=tmp_path / "trace.png")


def test_training_curve_is_what_was_logged(facility, session, opened):
    """Point by point, at the times at which they were logged."""
    page = opened(facility.urls["page"])
    page.select_option("#window", "3600")
    page.wait_for_selector("text=calorimeter: loss")
    drawn = page.evaluate(
        """async () => {
            const { curves } = await import("./charts.js");
            const { ask } = await import("./api.js");
            const { trainings } = await ask("api/about");
            const answer = await ask("prometheus/api/v1/query", { query: `${trainings}[3600s]` });
            return curves(answer.data.result).find(curve => curve.name === "loss").series[0].points;
        }"""
    )
    assert [value for _, value in drawn] == pytest.approx(
        [2.718281828459045 ** (-epoch / 5) for epoch in range(20)]
    )


def test_names_with_markup_are_text(opened, at):
    """A span's name, an attribute and an event of the user's choosing run nothing."""
    page = opened(at)
    page.click(f"text={NASTY[:20]}")
    page.wait_for_selector("#details-title")
    assert page.locator("#details-title").text_content() == NASTY
    assert NASTY in page.locator("#details").text_content()
    assert page.locator("main img, main script").count() == 0
    assert "pwned" not in page.title()


def test_everything_is_reached_with_the_keyboard(facility, session, opened, at):
    """Skip link, list by arrows, tree by arrows, details and back by Enter and Esc."""
    page = opened(facility.urls["page"])
    link = f'a.session[href="#/session/{session}"]'
    page.wait_for_selector(link)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    assert "#" not in page.url
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "since"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "session"
    for _ in range(50):
        if page.evaluate(f"document.activeElement.matches('{link}')"):
            break
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_selector(".rows .row")

    for _ in range(12):  # back, errors, folding, scale; then one stop for the whole tree
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.getAttribute('role')") == "row":
            break

    def name():
        return page.evaluate("document.activeElement.querySelector('.name').textContent")

    assert name() == "spawn server"
    page.keyboard.press("ArrowRight")
    assert name() == "start server"
    page.keyboard.press("ArrowLeft")
    assert name() == "spawn server"
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("document.activeElement.getAttribute('aria-expanded')") == "false"
    page.keyboard.press("ArrowRight")
    page.keyboard.press("End")
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    page.wait_for_selector("#details-title:focus")
    page.keyboard.press("Escape")
    assert page.locator("#details").is_hidden()
    assert name() == "spawn server"
    assert page.evaluate("document.querySelectorAll('.rows [tabindex=\"0\"].row').length") == 1


def test_a_deep_link_shows_its_span(facility, session, opened, at):
    """Also one that is folded away; the back button leads to the list."""
    spans = [s for s in facility.session(session) if s.name == "toy"]
    page = opened(f"{at}/{spans[250].span_id}")
    page.wait_for_selector(f'.row[data-key="{spans[250].span_id}"][aria-selected=true]')
    assert page.locator("#details-title").text_content() == "toy"
    trace = opened(f"{facility.urls['page']}/#/trace/{spans[0].trace_id}")
    trace.wait_for_selector("h1:has-text('Trace ')")
    away = trace.locator(".remark.link", has_text="from trace").first
    away.click()
    trace.wait_for_selector(".row[aria-selected=true] >> text=spawn server")


READ = """
() => {
    const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const rgb = color => {
        canvas.clearRect(0, 0, 1, 1);
        canvas.fillStyle = color;
        canvas.fillRect(0, 0, 1, 1);
        return [...canvas.getImageData(0, 0, 1, 1).data];
    };
    const light = ([r, g, b]) => [r, g, b].map(value => value / 255)
        .map(value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
        .reduce((sum, value, index) => sum + value * [0.2126, 0.7152, 0.0722][index], 0);
    const ground = element => {
        for (let one = element; one; one = one.parentElement) {
            const color = rgb(getComputedStyle(one).backgroundColor);
            if (color[3] > 250) return color;
        }
        return [255, 255, 255];
    };
    const bad = [];
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walk.nextNode()) {
        const element = walk.currentNode.parentElement;
        const skipped = !walk.currentNode.textContent.trim() || !element.checkVisibility()
            || element.closest(".unseen, .read, script, noscript, option");
        if (skipped) continue;
        const style = getComputedStyle(element);
        const ink = light(rgb(element.closest("svg") ? style.fill : style.color));
        const paper = light(ground(element));
        const contrast = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
        if (contrast < 4.5) bad.push([walk.currentNode.textContent.trim().slice(0, 40), contrast]);
    }
    return bad;
}
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_contrast(facility, opened, at, scheme, tmp_path):
    """WCAG AA, in both schemes, of the list, the charts, the spans and the details."""
    page = opened(facility.urls["page"], color_scheme=scheme)
    page.wait_for_selector("path.curve", state="attached")
    assert page.evaluate(READ) == []
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(18, 20, 26)"
    assert dark == (scheme == "dark")
    page.goto(at)
    page.click("#next-error")
    page.click(".row[aria-selected=true]")
    page.wait_for_selector("#details-title")
    page.screenshot(path=tmp_path / f"details-{scheme}.png")
    assert page.evaluate(READ) == []


def test_a_phone_needs_no_scrolling_sideways(facility, opened, at, tmp_path):
    """360 pixels: nothing is wider than the screen, and what can be pressed is large enough."""
    wide = "document.documentElement.scrollWidth"
    page = opened(facility.urls["page"], width=360, height=740)
    page.wait_for_selector("path.curve", state="attached")
    assert page.evaluate(wide) == 360
    page.screenshot(path=tmp_path / "narrow-sessions.png", full_page=True)
    page.goto(at)
    rows = shown(page)
    assert rows
    assert page.evaluate(wide) == 360
    page.click(".rows .row.failed .name")
    page.wait_for_selector("#details-title")
    page.screenshot(path=tmp_path / "narrow-details.png")
    assert page.evaluate(wide) == 360
    small = page.eval_on_selector_all(
        "button, select, a.session",
        "all => all.filter(one => one.checkVisibility() && one.clientHeight < 24).length",
    )
    assert small == 0


def test_news_moves_neither_focus_nor_scroll(opened, at):
    """What is looked at stays where it is, while a running session is told anew."""
    page = opened(at, height=500)
    page.wait_for_selector(".rows .row")
    page.locator(".rows .row").nth(20).focus()
    place = "document.activeElement.getBoundingClientRect().top"
    key, top = page.evaluate(f"[document.activeElement.dataset.key, {place}]")
    story = {}

    def changed(route):
        answer = route.fetch()
        story.update(answer.json())
        first = story["items"][0]
        story["items"].insert(0, {**first, "key": "new", "title": "a new one", "items": []})
        route.fulfill(response=answer, json=story)

    page.route("**/api/sessions/*", changed)
    page.wait_for_selector("text=a new one", state="attached")
    now = page.evaluate(f"[document.activeElement.dataset.key, {place}]")
    assert now == [key, pytest.approx(top, abs=2)]
    assert "a new one" in page.locator(".rows .row").first.text_content()


def test_no_sessions_yet_says_where_to_log_in(facility, opened):
    """An empty facility is no blank page."""
    page = opened("about:blank")
    nothing = {"sessions": [], "next": None, "complete": True}
    page.route("**/api/sessions?*", lambda route: route.fulfill(json=nothing))
    page.goto(facility.urls["page"])
    empty = page.locator(".left .empty")
    page.wait_for_selector("text=No sessions in the last day")
    assert empty.locator("a").get_attribute("href") == facility.urls["hub"]
    page.select_option("#since", "604800")
    page.wait_for_selector("text=No sessions in the last 7 days")
    page.unroute("**/api/sessions?*")
    page.wait_for_selector("a.session")
    assert empty.is_hidden()


def test_a_long_list_comes_in_pages(facility, opened):
    """Older sessions are loaded on request, and stay while the first page is renewed."""
    page = opened("about:blank")
    now = time.time()

    def session(number):
        began = now - 60 * number
        return {
            "id": f"s{number}", "user": None, "began": began, "last_seen": began, "cells": number,
            "failures": 0, "counted_all": number != 3, "spawn": None,
        }  # fmt: skip

    def answer(route):
        older = "before=" in route.request.url
        assert not older or "before=2-s2" in route.request.url
        numbers, following = ((3, 4), None) if older else ((1, 2), "2-s2")
        route.fulfill(
            json={
                "sessions": [session(number) for number in numbers],
                "next": following,
                "complete": not older,
            }
        )

    page.route("**/api/sessions?*", answer)
    page.goto(facility.urls["page"])
    page.wait_for_selector("a.session >> nth=1")
    page.click("text=Show older sessions")
    page.wait_for_selector("a.session >> nth=3")
    page.wait_for_timeout(6000)
    shown = page.locator("a.session .cells").all_text_contents()
    assert shown == ["1 cell", "2 cells", "at least 3 cells", "4 cells"]
    assert page.locator("text=Show older sessions").is_hidden()
    assert "older sessions may be missing" in page.locator(".left .empty").text_content()


def test_an_unknown_session_is_said_to_be_so(facility, opened):
    """It may be a new one: the page keeps looking."""
    page = opened(f"{facility.urls['page']}/#/session/{'0' * 31}1")
    page.wait_for_selector("text=This session was not found")
    assert page.locator("#troubles p").count() == 0


def test_pause_pauses(facility, session, opened):
    """What moves by itself can be stopped, and goes on when asked."""
    page = opened(facility.urls["page"])
    page.wait_for_selector("a.session")
    page.click("#pause")
    page.wait_for_timeout(500)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.wait_for_timeout(6000)
    assert asked == []
    page.click("#pause")
    wait_for(lambda: page.wait_for_timeout(100) or asked, "the next question")


def test_durations_read_as_those_of_trace(facility, session, opened):
    """The axes' words, made in the browser, are those of the terminal."""
    seconds = [0, 0.00042, 0.9994, 0.9996, 12.34, 59.96, 61, 3600, 90000]
    page = opened(facility.urls["page"])
    made = page.evaluate(
        "async all => all.map((await import('./words.js')).duration)",
        seconds,
    )
    assert made == [duration(one) for one in seconds]


def test_the_trace_store_stops_and_comes_back(facility, session, opened):
    """It is named, the sessions stay, the charts go on; the page recovers by itself."""
    page = opened(facility.urls["page"])
    page.wait_for_selector("a.session")
    os.kill(facility.pid("jaeger"), signal.SIGKILL)
    page.wait_for_selector("#troubles >> text=Jaeger does not answer")
    assert page.locator("#troubles p").count() == 1
    assert page.locator("a.session").count() >= 1
    assert facility.command("up").returncode == 0
    page.wait_for_selector("#troubles p", state="detached")
    page.wait_for_selector(f'a.session[href="#/session/{session}"]')


def test_up_and_status_name_the_page(facility):
    """Where it is, and that it is there; on this machine only, and nothing but GET."""
    url = facility.urls["page"]
    assert url in facility.command("up").stderr
    assert url in facility.command("status").stderr
    assert url.startswith("http://127.0.0.1:")
    assert httpx.get(url).status_code == 401
    assert httpx.post(f"{url}/prometheus/api/v1/query", auth=facility.login).status_code == 405
