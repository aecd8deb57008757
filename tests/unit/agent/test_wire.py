"""The framed protocol between the processes."""

from __future__ import annotations

import os
import socket
import struct
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.wire import MAX_BODY, MAX_HEADER, Channel, WireError, pair


def code_of(channel: Channel, timeout: float = 5) -> str:
    with pytest.raises(WireError) as caught:
        channel.recv(timeout)
    return caught.value.code


def raw_pair() -> tuple[socket.socket, Channel]:
    ours, theirs = socket.socketpair()
    return ours, Channel(theirs, "peer")


@given(
    st.dictionaries(st.text(max_size=8), st.one_of(st.integers(-(2**40), 2**40), st.text(max_size=40)), max_size=8),
    st.binary(max_size=20_000),
)
@settings(deadline=None)
def test_what_is_sent_arrives_unchanged(header: dict[str, object], body: bytes) -> None:
    near, far = pair("daemon", "fetcher")
    near.send(header, body)
    frame = far.recv(5)
    assert frame is not None
    assert (frame.header, frame.body) == (header, body)
    near.close()
    assert far.recv(5) is None
    far.close()


def test_a_descriptor_travels_and_belongs_to_the_receiver() -> None:
    near, far = pair("daemon", "installer")
    read_end, write_end = os.pipe()
    near.send({"op": "install"}, b"x" * 10, fds=(write_end,))
    os.close(write_end)
    frame = far.recv(5)
    assert frame is not None and len(frame.fds) == 1
    os.write(frame.fds[0], b"hello")
    os.close(frame.fds[0])
    assert os.read(read_end, 10) == b"hello"
    os.close(read_end)
    near.close()
    far.close()


@pytest.mark.req("T16")
@pytest.mark.parametrize("lengths", [(MAX_HEADER + 1, 0), (10, MAX_BODY + 1), (2**32 - 1, 2**32 - 1)])
def test_a_peer_cannot_make_us_allocate(lengths: tuple[int, int]) -> None:
    raw, channel = raw_pair()
    raw.sendall(struct.pack(">II", *lengths))
    assert code_of(channel) == "ipc.protocol"
    raw.close()
    channel.close()


@pytest.mark.parametrize("text", [b"nonsense", b"[1]", b'"x"', b"\xff\xfe", b"[" * 60_000, b""])
def test_a_message_that_is_no_object_is_refused(text: bytes) -> None:
    raw, channel = raw_pair()
    raw.sendall(struct.pack(">II", len(text), 0) + text)
    assert code_of(channel) == "ipc.protocol"
    raw.close()
    channel.close()


@pytest.mark.parametrize("cut", [1, 7, 9, 15])
def test_an_end_inside_a_message_is_told_from_an_orderly_end(cut: int) -> None:
    raw, channel = raw_pair()
    raw.sendall((struct.pack(">II", 2, 6) + b"{}" + b"abcdef")[:cut])
    raw.close()
    assert code_of(channel) == "ipc.peer-gone"
    channel.close()


def test_a_silent_peer_is_not_waited_for_for_ever() -> None:
    near, far = pair("daemon", "fetcher")
    assert code_of(far, 0.05) == "ipc.timeout"
    near.close()
    far.close()


def test_sending_to_a_dead_peer_is_an_explained_error() -> None:
    near, far = pair("daemon", "fetcher")
    far.close()
    with pytest.raises(WireError) as caught:
        near.send({"op": "x"}, b"y" * 100_000)
    assert caught.value.code == "ipc.peer-gone"
    near.close()


def test_a_message_over_the_limits_is_not_sent() -> None:
    near, far = pair("daemon", "fetcher")
    with pytest.raises(WireError) as caught:
        near.send({"x": "y" * MAX_HEADER})
    assert caught.value.code == "ipc.too-large"
    near.close()
    far.close()


def test_a_large_body_passes_through_a_small_socket_buffer() -> None:
    near, far = pair("daemon", "fetcher")
    body = os.urandom(MAX_BODY)
    sender = threading.Thread(target=near.send, args=({"op": "data"}, body))
    sender.start()
    frame = far.recv(10)
    sender.join()
    assert frame is not None and frame.body == body
    near.close()
    far.close()
