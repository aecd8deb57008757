"""Files: who may load them, ranges, and what a download leaves in the history."""

from __future__ import annotations

import hashlib

import pytest

from hawkbit.lab import Device, Lab

SIZE = 5000
CONTENT = bytes(range(256)) * (SIZE // 256) + bytes(SIZE % 256)


@pytest.fixture
def loading(lab: Lab) -> tuple[Device, int, str]:
    device, action = lab.assigned(size=SIZE)
    return device, action, device.download(action)


def test_a_file_is_described_by_size_and_digests(lab: Lab, loading: tuple[Device, int, str]) -> None:
    device, action, _ = loading
    (artifact,) = device.document(action)["deployment"]["chunks"][0]["artifacts"]
    assert (artifact["filename"], artifact["size"]) == ("bundle.raucb", SIZE)
    assert artifact["hashes"]["sha1"] == hashlib.sha1(CONTENT, usedforsecurity=False).hexdigest()
    assert artifact["hashes"]["md5"] == hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
    assert artifact["hashes"]["sha256"] == hashlib.sha256(CONTENT).hexdigest()
    assert set(artifact["_links"]) == {"download-http", "md5sum-http"}


def test_the_whole_file(loading: tuple[Device, int, str]) -> None:
    device, _, link = loading
    answer = device.get(link)
    assert (answer.status_code, answer.content) == (200, CONTENT)
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["ETag"].strip('"') == hashlib.sha1(CONTENT, usedforsecurity=False).hexdigest()


def test_the_md5_of_a_file(loading: tuple[Device, int, str]) -> None:
    device, _, link = loading
    digest = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
    assert device.get(f"{link}.MD5SUM").text.split() == [digest, "bundle.raucb"]


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ("bytes=0-998", f"bytes 0-998/{SIZE}"),
        ("bytes=1000-1999", f"bytes 1000-1999/{SIZE}"),
        ("bytes=4999-", f"bytes {SIZE - 1}-{SIZE - 1}/{SIZE}"),
        ("bytes=-10", f"bytes {SIZE - 10}-{SIZE - 1}/{SIZE}"),
        ("bytes=4000-9999", f"bytes 4000-{SIZE - 1}/{SIZE}"),
    ],
)
def test_a_range(loading: tuple[Device, int, str], wanted: str, told: str) -> None:
    device, _, link = loading
    answer = device.get(link, Range=wanted)
    assert (answer.status_code, answer.headers["Content-Range"]) == (206, told)
    first, last = (int(part) for part in told.removeprefix("bytes ").split("/")[0].split("-"))
    assert answer.content == CONTENT[first : last + 1]
    assert int(answer.headers["Content-Length"]) == last - first + 1


@pytest.mark.feature("management", "single-range-whole")
def test_a_range_of_everything_is_a_range(loading: tuple[Device, int, str]) -> None:
    device, _, link = loading
    answer = device.get(link, Range="bytes=0-")
    assert (answer.status_code, answer.headers["Content-Range"]) == (206, f"bytes 0-{SIZE - 1}/{SIZE}")


@pytest.mark.feature("management", "range-of-all-is-200")
def test_a_range_of_everything_is_answered_as_if_there_were_none(loading: tuple[Device, int, str]) -> None:
    device, _, link = loading
    answer = device.get(link, Range="bytes=0-")
    assert (answer.status_code, answer.content) == (200, CONTENT)


def test_a_range_from_the_end_on_cannot_be_had(loading: tuple[Device, int, str]) -> None:
    device, _, link = loading
    answer = device.get(link, Range=f"bytes={SIZE}-")
    assert (answer.status_code, answer.headers["Content-Range"]) == (416, f"bytes */{SIZE}")


def test_several_ranges_are_one_body_of_parts(loading: tuple[Device, int, str]) -> None:
    device, _, link = loading
    answer = device.get(link, Range="bytes=0-9,100-109")
    assert answer.status_code == 206
    assert answer.headers["Content-Type"] == "multipart/byteranges; boundary=THIS_STRING_SEPARATES_MULTIPART"
    assert CONTENT[:10] in answer.content and CONTENT[100:110] in answer.content


def test_if_range_with_the_etag_gives_the_range(loading: tuple[Device, int, str]) -> None:
    device, _, link = loading
    etag = device.get(link, Range="bytes=0-0").headers["ETag"]
    assert device.get(link, Range="bytes=10-", If_Range=etag).status_code == 206


def test_if_range_with_another_etag_gives_the_whole_file(loading: tuple[Device, int, str]) -> None:
    device, _, link = loading
    answer = device.get(link, Range="bytes=10-", If_Range='"another"')
    assert (answer.status_code, len(answer.content)) == (200, SIZE)


def test_if_match_compares_without_quotes(loading: tuple[Device, int, str]) -> None:
    device, _, link = loading
    digest = hashlib.sha1(CONTENT, usedforsecurity=False).hexdigest()
    assert device.get(link, Range="bytes=1-", If_Match=digest).status_code == 206
    assert device.get(link, Range="bytes=1-", If_Match=f'"{digest}"').status_code == 412


def test_a_whole_download_is_noted(lab: Lab, loading: tuple[Device, int, str]) -> None:
    device, action, link = loading
    device.get(link)
    assert lab.kinds(device, action)[-1] == "download"


@pytest.mark.feature("management", "quiet-ranges")
def test_ranges_leave_no_entries(lab: Lab, loading: tuple[Device, int, str]) -> None:
    device, action, link = loading
    before = lab.kinds(device, action)
    for offset in range(0, SIZE, 1000):
        device.get(link, Range=f"bytes={offset}-{offset + 999}")
    assert lab.kinds(device, action) == before


def test_without_a_token_there_is_no_file(lab: Lab, loading: tuple[Device, int, str]) -> None:
    device, _, link = loading
    assert lab.known(device.name, auth="").get(link).status_code == 401


def test_a_device_without_the_assignment_gets_404(lab: Lab, loading: tuple[Device, int, str]) -> None:
    device, _, link = loading
    other = lab.device()
    assert other.get(link.replace(device.name, other.name)).status_code == 404


@pytest.mark.feature("management", "closed-file-gone")
def test_after_the_end_of_the_action_the_file_is_gone(loading: tuple[Device, int, str]) -> None:
    device, action, link = loading
    device.say(action, "closed", "failure")
    assert device.get(link, Range="bytes=0-").status_code == 404


def test_while_the_action_is_being_cancelled_the_file_is_gone(lab: Lab, loading: tuple[Device, int, str]) -> None:
    device, action, link = loading
    lab.operator.cancel(device.name, action)
    assert device.get(link, Range="bytes=0-").status_code == 404


def test_the_files_of_a_module_are_listed(loading: tuple[Device, int, str]) -> None:
    device, _, link = loading
    listed = device.get(link.rpartition("/")[0]).json()
    assert [artifact["filename"] for artifact in listed] == ["bundle.raucb"]
