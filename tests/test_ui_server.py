"""The pages' server as it runs: health, pictures for those who may, a login at a real provider."""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from infra.folder_store import FolderStore
from infra.pictures import preview_key, thumbnail_key
from search_ui.resources import Picture, picture_url
from ui_server import PATIENCE, ROOT, SECONDS, Running, free_port, is_alive, running, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, BrowserContext, Locator, Page, Response

pytest_plugins = ("ui_server",)

SCAN = "scans/E1/S1/a.tif"
THUMB = thumbnail_key(SCAN, "g1", slice_index=3)
PREVIEW = preview_key(SCAN, "g1", slice_index=3)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("site") / "home"
    (home / "bucket").mkdir(parents=True)
    store = FolderStore(home / "bucket")
    store.put(THUMB, b"small picture")
    store.put(PREVIEW, b"large picture")
    store.put("metadata/secret.csv", b"object_key,porosity\n")
    store.close()
    return home


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[Running]:
    with running(home, "ui") as server:
        yield server


def test_health_says_its_state_and_nothing_else(server: Running) -> None:
    status, headers, body = server.get("/healthz")
    assert (status, body) == (200, b"alive\n")
    assert headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("picture", "kind", "body"),
    [
        (Picture.THUMB, "image/webp", b"small picture"),
        (Picture.PREVIEW, "image/jpeg", b"large picture"),
    ],
)
def test_pictures_are_kept_by_browsers(
    server: Running, picture: Picture, kind: str, body: bytes
) -> None:
    for key in (THUMB, PREVIEW):
        status, headers, found = server.get(picture_url(key, kind=picture))
        assert (status, headers["content-type"], found) == (200, kind, body)
        assert headers["cache-control"] == "private, max-age=31536000, immutable"
        assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    [
        "/thumb/",
        "/thumb/x",
        "/thumb/no/such/1.webp",
        "/thumb/../metadata/secret.csv",
        "/thumb/..%2fmetadata%2fsecret.csv",
        "/preview/%2e%2e/%2e%2e/metadata/secret.csv",
        "/preview/a/b/../../../metadata/secret.csv",
        f"/preview/{quote('a/b/1.jpg' + chr(0))}",
        f"/thumb/{THUMB.removeprefix('thumbnails/')}x",
        "/thumb//etc/passwd",
    ],
)
def test_nothing_but_pictures_can_be_had(server: Running, path: str) -> None:
    status, _, body = server.get(path)
    assert status in {400, 404}
    assert b"porosity" not in body
    assert b"Traceback" not in body


@pytest.mark.parametrize("path", ["metrics", "agent/openapi.json", "agent/interact", "agent/mcp"])
def test_what_nobody_needs_is_closed(server: Running, path: str) -> None:
    assert server.get(f"/_stcore/{path}")[::2] == (404, b"nothing here\n")


def test_pages_are_framed_by_nobody_else_and_show_nobody_else_s_pictures(server: Running) -> None:
    told = server.get("/")[1]["content-security-policy"]
    assert told == "frame-ancestors 'self'; img-src 'self' data: blob:"


def test_the_page_fetches_nothing_from_elsewhere(server: Running, chromium: Browser) -> None:
    context = chromium.new_context()
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(server.address)
    page.get_by_text("Library").first.wait_for(timeout=SECONDS * 1000)
    for name in ("Library", "Model"):
        page.get_by_role("link", name=name).click()
        page.get_by_role("heading", name=name).wait_for(timeout=SECONDS * 1000)
    assert [url for url in asked if not re.match(rf"(data:|blob:|{server.address})", url)] == []
    context.close()


def test_what_is_there_for_good_is_not_looked_through_for_garbage(home: Path) -> None:
    """Streamlit looks after each run, and nobody is answered meanwhile."""
    program = (
        "import gc\nfrom search_ui.server import open_ahead\nopen_ahead()\n"
        "print(gc.get_freeze_count(), len(gc.get_objects()))"
    )
    told = {"LITHOSCOPE_HOME": str(home), "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(  # noqa: S603  our own
        [sys.executable, "-c", program],
        env={**os.environ, **told},
        stdout=subprocess.PIPE,
        timeout=PATIENCE,
        check=True,
    )
    kept, others = map(int, ended.stdout.split()[-2:])
    assert kept > 100_000, "torch and all"
    assert others < kept / 10


def test_what_people_upload_together_has_a_bound(home: Path, chromium: Browser) -> None:
    told = {"LITHOSCOPE_UI__UPLOADS_MIB": "1"}
    with running(home, "ui", env=told) as small:
        found = [upload(chromium, small, kib=700), upload(chromium, small, kib=700)]
        assert [each.status for each in found] == [204, 413]
        assert upload(chromium, small, kib=200).status == 204
        assert small.get("/healthz")[0] == 200


def upload(chromium: Browser, server: Running, *, kib: int) -> Response:
    """Send a file on a page of its own, which stays open."""
    page = chromium.new_context().new_page()
    page.set_default_timeout(SECONDS * 1000)
    page.goto(f"{server.address}/library")
    page.get_by_role("tab", name="Add scans").click()
    file = page.locator("input[type=file]").first
    with page.expect_response(lambda it: "upload_file" in it.url and it.status != 200) as sent:
        file.set_input_files({"name": "a.raw", "mimeType": "", "buffer": bytes(kib << 10)})
    return sent.value


def test_a_port_that_is_taken_is_told(home: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(AssertionError, match="free it, or"), running(home, "ui", port=port):
            pass


PEOPLE = ("vera@example.org", "olaf@example.org", "nobody@elsewhere.org")


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An OpenID provider that checks no passwords."""
    port = free_port()
    users = [
        {"sub": each, "email": each, "email_verified": True, "name": f"<b>{each}</b>"}
        for each in PEOPLE
    ]
    words = [word for each in users for word in ("--user-claims", json.dumps(each))]
    log = tmp_path_factory.mktemp("provider") / "log"
    with log.open("wb") as output:
        child = subprocess.Popen(  # noqa: S603  of PyPI, for tests
            [sys.executable, "-m", "oidc_provider_mock", "--port", str(port), *words],
            stdout=output,
            stderr=output,
        )
    found = Running(child, port, log)
    path = "/.well-known/openid-configuration"
    try:
        until(lambda: child.poll() is not None or is_alive(found, path))
        assert child.poll() is None, log.read_text()
        yield found.address + path
    finally:
        found.end()


@pytest.fixture(scope="module")
def locked(home: Path, provider: str) -> Iterator[Running]:
    """A server whose people log in."""
    port = free_port()
    told = {
        "URL": f"http://localhost:{port}",
        "OIDC_METADATA_URL": provider,
        "OIDC_CLIENT_ID": "lithoscope",
        "OIDC_CLIENT_SECRET": secrets.token_hex(16),
        "COOKIE_SECRET": secrets.token_hex(32),
        "VIEWERS": "*@example.org",
        "OPERATORS": "olaf@example.org",
    }
    env = {f"LITHOSCOPE_UI__{name}": value for name, value in told.items()}
    with running(home, "ui", port=port, env=env) as server:
        yield server


@pytest.fixture
def person(chromium: Browser) -> Iterator[BrowserContext]:
    context = chromium.new_context()
    context.set_default_timeout(SECONDS * 1000)
    # The provider's page asks for a style from elsewhere, which tests don't wait for.
    context.route(re.compile("^https://"), lambda route: route.abort())
    yield context
    context.close()


def log_in(person: BrowserContext, server: Running, email: str) -> Page:
    page = person.new_page()
    page.goto(server.address)
    page.get_by_role("button", name="Log in").click()
    page.locator("input[name=sub]").fill(email)
    page.get_by_role("button", name="Authorize").click()
    page.wait_for_url(f"{server.address}/**")
    return page


def link(page: Page, name: str) -> Locator:
    """A link to another page, at the top."""
    return page.get_by_test_id("stTopNav").get_by_role("link", name=name)


def picture(person: BrowserContext, server: Running) -> int:
    return person.request.get(server.address + picture_url(THUMB, kind=Picture.THUMB)).status


def test_nobody_sees_anything_without_a_login(locked: Running, person: BrowserContext) -> None:
    assert locked.get("/healthz")[0] == 200
    assert locked.get(picture_url(THUMB, kind=Picture.THUMB))[0] == 403
    assert locked.get("/thumb/no/such/1.webp")[0] == 403, "nor is told what there is"
    assert locked.get("/_stcore/upload_file/a/b")[0] == 403, "nor fills the memory"
    for path in ("", "/library", "/model"):
        page = person.new_page()
        page.goto(locked.address + path)
        page.get_by_role("button", name="Log in").wait_for()
        assert link(page, "Library").count() == 0


def test_a_viewer_sees_pages_and_pictures_and_adds_nothing(
    locked: Running, person: BrowserContext
) -> None:
    page = log_in(person, locked, "vera@example.org")
    link(page, "Library").click()
    page.get_by_role("tab", name="Add scans").click()
    page.get_by_text("Adding scans is for editors").wait_for()
    page.get_by_text("<b>vera@example.org</b>, viewer").wait_for()
    assert picture(person, locked) == 200
    page.get_by_role("button", name="Log out").click()
    page.wait_for_url(re.compile("/oauth2/end_session"))  # the provider asks whether to forget it
    assert picture(person, locked) == 403
    page.goto(locked.address)
    page.get_by_role("button", name="Log in").wait_for()


def test_an_operator_may_add(locked: Running, person: BrowserContext) -> None:
    page = log_in(person, locked, "olaf@example.org")
    link(page, "Library").click()
    page.get_by_role("tab", name="Add scans").click()
    page.get_by_role("button", name="Add to the library").wait_for()


def test_somebody_without_a_role_sees_nothing(locked: Running, person: BrowserContext) -> None:
    page = log_in(person, locked, "nobody@elsewhere.org")
    page.get_by_text("your address has no role here").wait_for()
    assert link(page, "Library").count() == 0
    assert picture(person, locked) == 403


def test_cookies_that_were_made_up_are_no_login(locked: Running, person: BrowserContext) -> None:
    link(log_in(person, locked, "vera@example.org"), "Library").wait_for()
    (cookie,) = [each for each in person.cookies() if each["name"] == "_streamlit_user"]
    value = cookie["value"].strip('"')
    path = picture_url(THUMB, kind=Picture.THUMB)
    assert locked.get(path, {"Cookie": f"_streamlit_user={value}"})[0] == 200
    for forged in (value[:-2] + "xx", "x" + value, value.split(".")[0], "", "é", "a" * 5000):
        header = {"Cookie": f"_streamlit_user={quote(forged)}"}
        assert locked.get(path, header)[0] == 403, forged


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_when_told(home: Path, signal_number: signal.Signals) -> None:
    with running(home, "ui") as server:
        assert server.end(signal_number) in {0, 128 + signal_number}
        assert "Traceback" not in server.log.read_text()
