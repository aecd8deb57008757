"""The fetcher process downloads: as fast as it may, from wherever the bundle is, with the credentials that belong there."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.doorman import doorman
from support.server import TOKEN, Fetcher, error_of, random_file, running_fetcher, running_server
from support.tunnel import cut_line

from agent.demo.server_faults import Fault
from agent.demo.server_tls import Tls, make_tls
from agent.errors import RemoteError

SIZE = 2_000_000


@pytest.fixture
def fetcher() -> Iterator[Fetcher]:
    with running_fetcher() as running:
        yield running


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    return make_tls(tmp_path_factory.mktemp("tls"))


def served(fetcher: Fetcher) -> dict[str, object]:
    fetcher.source_channel.close()
    return dict(fetcher.answer().header)


def test_a_limit_of_the_speed_is_kept_and_is_not_taken_for_a_slow_server(
    tmp_path: Path, tls: Tls, fetcher: Fetcher
) -> None:
    with running_server(tmp_path, tls=tls) as running:
        data = random_file(tmp_path / "b.raucb", SIZE)
        _, url = running.offer(tmp_path / "b.raucb")
        limits = {"max_rate": SIZE // 2, "slow_rate": SIZE, "slow_time": 1.0}
        assert fetcher.ask(running.session(**limits)).op == "ok"
        began = time.monotonic()
        assert fetcher.serve(url, SIZE).read_at(0, SIZE) == data
        assert time.monotonic() - began >= 0.8 * 2
        assert served(fetcher)["retries"] == 0


def test_a_reader_that_leaves_ends_a_slow_download_at_once(tmp_path: Path, tls: Tls, fetcher: Fetcher) -> None:
    with running_server(tmp_path, tls=tls) as running:
        random_file(tmp_path / "b.raucb", SIZE)
        _, url = running.offer(tmp_path / "b.raucb")
        assert fetcher.ask(running.session(max_rate=100)).op == "ok"
        fetcher.serve(url, SIZE)
        fetcher.source_channel.send({"op": "read", "offset": 0, "length": SIZE})
        frame = fetcher.source_channel.recv(20)
        assert frame is not None
        assert frame.op == "data"
        end = served(fetcher)
        assert end["op"] == "served"
        assert isinstance(end["bytes"], int)
        assert end["bytes"] < SIZE // 100


def test_what_a_download_costs_is_reported_on_the_way(tmp_path: Path, tls: Tls, fetcher: Fetcher) -> None:
    with running_server(tmp_path, tls=tls) as running:
        data = random_file(tmp_path / "b.raucb", SIZE)
        _, url = running.offer(tmp_path / "b.raucb")
        running.server.faults.drop(700_000)
        assert fetcher.ask(running.session()).op == "ok"
        source = fetcher.serve(url, SIZE, report=500_000)
        assert source.read_at(0, SIZE) == data
        fetcher.source_channel.close()
        reports = []
        while (frame := fetcher.answer()).op == "spent":
            reports.append((frame.number("bytes"), frame.number("retries")))
        assert frame.header == {"op": "served", "bytes": SIZE, "retries": 1}
        assert reports == sorted(reports)
        assert [retries for _, retries in reports].count(0) >= 1
        assert 3 <= len(reports) <= 6
        assert SIZE - 500_000 <= reports[-1][0] <= SIZE


@pytest.mark.req("T16")
def test_an_endless_body_is_not_read_beyond_the_announced_size(tmp_path: Path, tls: Tls, fetcher: Fetcher) -> None:
    with running_server(tmp_path, tls=tls) as running, cut_line(after=1 << 40) as line:
        line.server = running.server.url
        data = random_file(tmp_path / "b.raucb", SIZE)
        url = running.offer(tmp_path / "b.raucb")[1].replace(running.server.url, line.url)
        running.server.faults.add(Fault(endless=True, ignore_range=True))
        assert fetcher.ask(running.session(origin=line.url)).op == "ok"
        assert fetcher.serve(url, SIZE).read_at(0, SIZE) == data
        assert served(fetcher)["bytes"] == SIZE
        end = time.monotonic() + 20
        while line.ended < line.connections and time.monotonic() < end:
            time.sleep(0.01)
        assert line.ended == line.connections == 1
        assert SIZE <= line.down < SIZE + 8 * 1024 * 1024  # with what the kernel takes in before anybody reads it


@pytest.mark.req("T06", "C10")
@pytest.mark.parametrize("redirected", [False, True], ids=["linked", "redirected"])
def test_a_store_elsewhere_that_refuses_an_authorization_header_serves_the_bundle(
    tmp_path: Path, tls: Tls, fetcher: Fetcher, redirected: bool
) -> None:
    with running_server(tmp_path, tls=tls) as running, doorman(tls) as store:
        store.file, store.rejects_authorization = random_file(tmp_path / "b.raucb", SIZE), True
        _, url = running.offer(tmp_path / "b.raucb")
        running.server.faults.redirect(f"{store.url}/file?signature=abc", times=9)
        assert fetcher.ask(running.session()).op == "ok"
        source = fetcher.serve(url if redirected else f"{store.url}/file", SIZE)
        assert source.read_at(0, SIZE) == store.file
        assert source.read_at(5, 10) == store.file[5:15]
        assert served(fetcher)["op"] == "served"
        assert not any("authorization" in visit.headers for visit in store.visits)
        assert all(seen.headers["authorization"] == f"TargetToken {TOKEN}" for seen in running.server.seen)
        assert len(running.server.seen) == (2 if redirected else 0)


@pytest.mark.parametrize("known", [True, False])
def test_the_token_can_be_kept_from_downloads(tls: Tls, fetcher: Fetcher, known: bool) -> None:
    with doorman(tls) as home:
        home.file = b"bundle"
        auth = {"scheme": "GatewayToken", "token": TOKEN}
        terms = {"op": "session", "origin": home.url, "ca_pem": tls.ca_pem, "user": "", "auth": auth}
        assert fetcher.ask({**terms, "download_auth": known}).op == "ok"
        assert fetcher.get(f"{home.url}/poll").op == "response"
        assert fetcher.serve(f"{home.url}/file", 6).read_at(0, 6) == b"bundle"
        assert served(fetcher)["op"] == "served"
        assert ["authorization" in visit.headers for visit in home.visits] == [True, known]


@pytest.mark.parametrize("scheme", ["TargetToken", "GatewayToken"])
def test_a_token_that_is_not_accepted_says_what_may_be_wrong(
    tls: Tls, tmp_path: Path, fetcher: Fetcher, scheme: str
) -> None:
    with running_server(tmp_path, tls=tls) as running:
        random_file(tmp_path / "b.raucb", 100)
        _, url = running.offer(tmp_path / "b.raucb")
        assert fetcher.ask(running.session(auth={"scheme": scheme, "token": "wrong"})).op == "ok"
        assert fetcher.get(running.server.controller_url("dev1")).header["status"] == 401
        with pytest.raises(RemoteError) as caught:
            fetcher.serve(url, 100).read_at(0, 100)
        assert caught.value.code == "net.unauthorised"
        assert "authentication.targettoken.enabled" in caught.value.resolution
        assert served(fetcher)["op"] == "error"


def test_a_link_without_encryption_names_the_setting_that_helps(tls: Tls, tmp_path: Path, fetcher: Fetcher) -> None:
    with running_server(tmp_path, tls=tls) as running:
        assert fetcher.ask(running.session()).op == "ok"
        error = error_of(fetcher.get(running.server.url.replace("https", "http")))
        assert error["code"] == "net.insecure"
        assert "server.rebase-links" in error["resolution"]


@pytest.mark.req("T16")
@pytest.mark.parametrize(("before", "code"), [(False, "net.wrong-length"), (True, "net.changed")])
def test_a_range_that_the_server_does_not_have_is_told_as_what_it_means(
    tls: Tls, tmp_path: Path, fetcher: Fetcher, before: bool, code: str
) -> None:
    with running_server(tmp_path, tls=tls) as running:
        data = random_file(tmp_path / "b.raucb", 1000)
        _, url = running.offer(tmp_path / "b.raucb")
        assert fetcher.ask(running.session()).op == "ok"
        source = fetcher.serve(url, 1000)
        if before:
            assert source.read_at(0, 10) == data[:10]
        running.server.faults.respond(416, path="/artifacts/", headers={"Content-Range": "bytes */500"})
        with pytest.raises(RemoteError) as caught:
            source.read_at(900, 100)
        assert caught.value.code == code
        assert served(fetcher)["op"] == "error"
