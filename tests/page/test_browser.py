"""The page in Chromium."""

from __future__ import annotations

import datetime as dt
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from flask import Flask
from playwright import sync_api
from sqlalchemy import update
from werkzeug.serving import make_server

from dev.programs import CHROMIUM
from tests.needs import path_of
from tests.page.app import Article, Comment, Vote, db
from tests.page.conftest import OLD

VIEWS = {
    "log": "",
    "record": "record?table=odd+%22name%22/%C3%A4&key=one",
    "transaction": "transaction/2",
    "rows": "transaction/5",
    "actor": "actor?id=2",
    "as_of": "record/as-of?table=odd+%22name%22/%C3%A4&key=one&when={now}",
    "belonging": "record?table=comment&key=1",
    "compare": "record/compare?table=odd+%22name%22/%C3%A4&key=one&a=1&b=2",
    "undo": "transaction/2/undo",
    "coverage": "coverage",
    "filters": "?actor=1&verb=insert&text=fox",
    "which actor": "?actor=nn",
    "nothing": "?actor=nobody-of-that-name",
}


@pytest.fixture(scope="module")
def browser() -> Iterator[sync_api.Browser]:
    executable = path_of(CHROMIUM)
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def address(app: Flask) -> Iterator[str]:
    with app.app_context():
        db.session.add_all([Comment(id=1, article_key="one", title="First!"), Vote(article_key="one")])
        db.session.commit()
        db.session.add_all(Comment(id=number, article_key="one", parent_id=1) for number in range(2, 13))
        db.session.commit()
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.port}/audit/"
    server.shutdown()
    thread.join()
    server.server_close()


def assert_accessible(page: sync_api.Page, name: str) -> None:
    for summary in page.locator("main details:not([open]) > summary").all():
        if summary.is_visible():
            summary.click()
    found = Axe().run(page)
    assert found.violations_count == 0, f"{name}: {found.generate_report()}"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_each_view_loads_nothing_from_elsewhere_and_fits_a_phone(
    browser: sync_api.Browser, address: str, scheme: str
) -> None:
    context = browser.new_context(color_scheme=scheme, java_script_enabled=True)
    page = context.new_page()
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("request", lambda request: asked.append(request.url))
    folder = os.environ.get("AUDIT_TEST_SCREENSHOTS")
    now = dt.datetime.now(dt.timezone.utc).replace(tzinfo=None).isoformat(timespec="milliseconds")
    for name, view in VIEWS.items():
        page.set_viewport_size({"width": 1100, "height": 700})
        page.goto(address + view.format(now=now))
        assert page.get_by_role("main").is_visible()
        assert_accessible(page, name)
        if folder:
            page.screenshot(path=Path(folder) / f"{name}-{scheme}.png", full_page=True)
            page.set_viewport_size({"width": 390, "height": 700})
            page.screenshot(path=Path(folder) / f"{name}-{scheme}-phone.png", full_page=True)
        page.set_viewport_size({"width": 320, "height": 600})
        assert page.evaluate("document.documentElement.scrollWidth") <= 320, name
        inner = "[...document.querySelectorAll('main *:not(.spoken)')].filter(e => e.scrollWidth > e.clientWidth + 1 &&"
        assert page.evaluate(f"{inner} ['auto', 'scroll'].includes(getComputedStyle(e).overflowX)).length") == 0, name
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(255, 255, 255)") == (scheme == "light")
    # Where a filter cannot be, the answer is 400, which Chromium says.
    assert [line for line in said if "400" not in line] == []
    origin = address.removesuffix("audit/")
    assert [url for url in asked if not url.startswith(origin)] == []
    context.close()


def test_a_value_turns_nothing_behind_it_around(app: Flask, browser: sync_api.Browser, address: str) -> None:
    with app.app_context():
        # Without anything in common, so that they stand as wholes.
        db.session.execute(update(Comment).where(Comment.id == 1).values(title="\u202eabc"))
        db.session.commit()
        db.session.execute(update(Comment).where(Comment.id == 1).values(title="xyz"))
        db.session.commit()
    page = browser.new_page(viewport={"width": 1100, "height": 700})
    page.goto(address)
    newest = page.locator(".entry").first
    newest.locator("summary").click()
    for place in (newest.locator(".what"), newest.locator("td.value")):
        old, new = place.locator("del").bounding_box(), place.locator("ins").bounding_box()
        assert old is not None
        assert new is not None
        assert old["x"] + old["width"] <= new["x"]
    page.close()


def test_paper_says_exactly_when(browser: sync_api.Browser, address: str) -> None:
    page = browser.new_page()
    page.goto(address)
    page.emulate_media(media="print")
    said = page.evaluate("getComputedStyle(document.querySelector('.entry .ago'), '::after').content")
    assert re.fullmatch(r'" \(" ".*\d\d:\d\d:\d\d.*" "\)"|" \(.*\d\d:\d\d:\d\d.*\)"', said), said
    assert not page.get_by_role("heading", name="Changes of the last 30 days").is_visible()
    page.close()


def test_what_stands_under_another_on_a_phone_says_what_it_is(browser: sync_api.Browser, address: str) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 700})
    page.goto(address + "coverage")
    row = page.locator("tbody tr").first
    said = [each for each in row.locator(".narrow").all_inner_texts() if each]
    assert said == ["Records", "Options", "Rows then", "By"]
    assert row.get_by_text("Rows then").is_visible()
    page.set_viewport_size({"width": 1100, "height": 700})
    assert not row.get_by_text("Rows then").is_visible()
    page.close()


def test_the_keyboard_alone_reaches_content_and_filters(browser: sync_api.Browser, address: str) -> None:
    page = browser.new_context(java_script_enabled=False).new_page()
    page.goto(address)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.url.endswith("#content")
    page.get_by_text("Filters", exact=True).focus()
    page.keyboard.press("Enter")
    page.get_by_role("combobox", name="Actor").focus()
    page.keyboard.type("2")
    page.keyboard.press("Enter")
    page.wait_for_url("**actor=2**")
    assert page.locator(".entry").count() == 1
    page.locator(".entry summary").focus()
    page.keyboard.press("Enter")
    assert page.get_by_text("12345678901234567890.10").is_visible()
    page.context.close()


def test_two_states_are_chosen_without_javascript(browser: sync_api.Browser, address: str) -> None:
    page = browser.new_context(java_script_enabled=False).new_page()
    page.goto(address + VIEWS["record"])
    page.get_by_role("radio", name="Compare this").last.check()
    page.get_by_role("radio", name="with this").nth(1).check()
    page.get_by_role("button", name="Compare two states").click()
    page.wait_for_url("**/record/compare?*")
    differing = page.get_by_role("table", name="What differs, or may differ")
    assert differing.get_by_role("row").filter(has_text="price").get_by_role("cell").all_inner_texts() == [
        "1.10",
        "12345678901234567890.10",
    ]
    assert not page.get_by_role("cell", name="one", exact=True).is_visible()
    page.get_by_text("1 column is the same").click()
    assert page.get_by_role("cell", name="one", exact=True).is_visible()
    page.context.close()


def test_an_undo_without_javascript(app: Flask, browser: sync_api.Browser, address: str) -> None:
    page = browser.new_context(java_script_enabled=False).new_page()
    page.goto(address + "transaction/2")
    page.get_by_role("link", name="Undo this transaction").click()
    page.get_by_role("button", name="Rehearse the undo").click()
    page.get_by_role("textbox", name="Reason").fill("by mistake")
    page.get_by_role("button", name="Undo").click()
    page.get_by_text("by mistake").wait_for()
    with app.app_context():
        assert db.session.get_one(Article, "one").title == OLD
    page.context.close()


def test_who_may_not_see_it_is_led_to_the_login(app: Flask, browser: sync_api.Browser, address: str) -> None:
    app.config["MAY"]["read"] = False
    page = browser.new_page()
    response = page.goto(address)
    assert response is not None
    assert response.status == 403
    assert_accessible(page, "refused")
    assert page.evaluate("getComputedStyle(document.body).margin") == "0px"
    page.get_by_role("link", name="Log in").click()
    page.wait_for_url("**/login")
    page.close()


def test_the_rehearsal_is_accessible(browser: sync_api.Browser, address: str) -> None:
    page = browser.new_page()
    page.goto(address + "transaction/2/undo")
    page.get_by_role("button", name="Rehearse the undo").click()
    page.get_by_role("button", name="Undo").wait_for()
    assert_accessible(page, "rehearsal")
    page.close()


def test_printing_leaves_out_what_paper_cannot_do(browser: sync_api.Browser, address: str) -> None:
    page = browser.new_page()
    page.goto(address)
    page.emulate_media(media="print")
    assert page.get_by_role("navigation").count() == 0
    assert page.locator(".entry").first.is_visible()
    # In black; the outline says which it is.
    assert page.locator(".mark").first.is_visible()
    strokes = "[...document.querySelectorAll('.mark path')].map(each => getComputedStyle(each).stroke)"
    assert set(page.evaluate(strokes)) <= {"rgb(0, 0, 0)", "rgb(68, 68, 68)"}
    page.close()


@pytest.mark.parametrize("view", ["record", "as_of"])
def test_paper_has_no_form(browser: sync_api.Browser, address: str, view: str) -> None:
    page = browser.new_page()
    now = dt.datetime.now(dt.timezone.utc).replace(tzinfo=None).isoformat(timespec="milliseconds")
    page.goto(address + VIEWS[view].format(now=now))
    forms = page.locator("form").all()
    assert [each.is_visible() for each in forms] == [True] * len(forms)
    page.emulate_media(media="print")
    assert not any(each.is_visible() for each in forms)
    assert not page.get_by_role("link", name="State at a time").is_visible()
    page.close()


def test_a_row_of_a_table_says_on_a_phone_what_stands_where(
    app: Flask, browser: sync_api.Browser, address: str
) -> None:
    with app.app_context():
        db.session.add_all(Comment(id=number, title=f"No. {number}") for number in range(20, 23))
        db.session.commit()
    page = browser.new_page(viewport={"width": 390, "height": 700})
    page.goto(address + "transaction/6")
    row = page.locator("table.beside tbody tr").first
    label, value = row.locator("td .narrow"), row.locator("td > div")
    assert (label.inner_text(), value.inner_text()) == ("title", "No. 20")
    left, right = label.bounding_box(), value.bounding_box()
    assert left is not None
    assert right is not None
    assert left["x"] + left["width"] <= right["x"]
    page.set_viewport_size({"width": 1100, "height": 700})
    assert not label.is_visible()
    assert page.get_by_role("columnheader", name="title").is_visible()
    assert page.locator("article").count() == 1
    page.close()
