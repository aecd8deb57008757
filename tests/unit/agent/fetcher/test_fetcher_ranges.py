"""The answer to a range request is what was asked for, or refused."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from requests.structures import CaseInsensitiveDict

from agent.errors import EnvironmentFault
from agent.fetcher.ranges import Version, expect

ETAG = '"abc"'


def code(version: Version, status: int, first: int = 0, last: int = 99, **headers: str) -> str | int:
    named = CaseInsensitiveDict({name.replace("_", "-"): value for name, value in headers.items()})
    try:
        return expect(version, status, named, first, last, "https://h/x")
    except EnvironmentFault as error:
        return error.code


def known() -> Version:
    return Version(1000, ETAG, confirmed=True)


def test_the_range_asked_for_is_accepted() -> None:
    version = Version(1000)
    assert code(version, 206, content_range="bytes 0-99/1000", content_length="100", etag=ETAG) == 100
    assert version.condition() == {"If-Range": ETAG}


def test_a_shorter_range_is_accepted_as_far_as_it_goes() -> None:
    assert code(Version(1000), 206, content_range="bytes 0-49/1000") == 50


def test_a_weak_tag_is_not_used_as_a_condition() -> None:
    version = Version(1000)
    assert code(version, 206, content_range="bytes 0-99/1000", etag='W/"x"') == 100
    assert version.condition() == {}
    assert code(version, 206, content_range="bytes 0-99/1000", etag='W/"y"') == "net.changed"


@pytest.mark.req("S09")
@pytest.mark.parametrize(
    ("status", "headers", "expected"),
    [
        (206, {}, "net.range-unsupported"),
        (206, {"content_type": "multipart/byteranges"}, "net.range-unsupported"),
        (206, {"content_range": "bytes 1-99/1000"}, "net.range-unsupported"),
        (206, {"content_range": "bytes 0-100/1000"}, "net.range-unsupported"),
        (206, {"content_range": "bytes 9-3/1000"}, "net.range-unsupported"),
        (206, {"content_range": "bytes 0-99/*"}, "net.range-unsupported"),
        (206, {"content_range": "bytes 0-99/1001"}, "net.wrong-length"),
        (206, {"content_range": "bytes 0-99/1000", "content_length": "99"}, "net.wrong-length"),
        (206, {"content_range": "bytes 0-99/1000", "content_encoding": "gzip"}, "net.range-unsupported"),
        (200, {"content_length": "999"}, "net.wrong-length"),
        (416, {"content_range": "bytes */50"}, "net.wrong-length"),
        (416, {}, "net.wrong-length"),
        (401, {}, "net.unauthorised"),
        (403, {}, "net.http-status"),
        (404, {}, "net.not-found"),
        (410, {}, "net.not-found"),
        (500, {}, "net.http-status"),
        (204, {}, "net.http-status"),
    ],
)
def test_another_answer_is_refused_with_its_reason(status: int, headers: dict[str, str], expected: str) -> None:
    assert code(Version(1000), status, **headers) == expected


@pytest.mark.req("S09")
@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (206, {"content_range": "bytes 0-99/1001", "etag": ETAG}),
        (206, {"content_range": "bytes 0-99/1000", "etag": '"other"'}),
        (206, {"content_range": "bytes 0-99/1000"}),
        (200, {"content_length": "1000", "etag": '"other"'}),
        (416, {"content_range": "bytes */50"}),
    ],
)
def test_another_file_behind_the_same_address_is_noticed(status: int, headers: dict[str, str]) -> None:
    assert code(known(), status, **headers) == "net.changed"


def test_without_a_tag_the_date_tells_files_apart() -> None:
    version = Version(1000)
    assert code(version, 206, content_range="bytes 0-99/1000", last_modified="Mon") == 100
    assert code(version, 206, content_range="bytes 0-99/1000", last_modified="Tue") == "net.changed"


def test_the_beginning_of_a_whole_file_is_of_use_but_not_its_middle() -> None:
    assert code(Version(1000), 200, content_length="1000") == 100
    assert code(Version(1000), 200) == 100
    assert code(Version(1000), 200, first=5, last=9, content_length="1000") == "net.range-unsupported"


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([200, 206, 416, 404]),
    st.dictionaries(
        st.sampled_from(["Content-Range", "Content-Length", "ETag", "Content-Encoding"]),
        st.text(alphabet='bytes 0123456789-/*"²', max_size=24),
    ),
)
def test_any_headers_are_accepted_within_the_range_or_refused(status: int, headers: dict[str, str]) -> None:
    try:
        count = expect(Version(1000), status, CaseInsensitiveDict(headers), 10, 99, "https://h/x")
    except EnvironmentFault as error:
        assert error.code.startswith("net.")  # noqa: PT017  the other outcome is checked below
        return
    assert 0 < count <= 90
