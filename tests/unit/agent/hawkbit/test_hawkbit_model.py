"""DDI documents become values, or one error."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import EnvironmentFault, OtaError
from agent.hawkbit import model

BASE = "https://server:8443/DEFAULT/controller/v1/dev1"


def dumps(value: Any) -> bytes:
    return json.dumps(value).encode()


def artifact(filename: str = "b.raucb", **extra: Any) -> dict[str, Any]:
    return {
        "filename": filename,
        "hashes": {"sha1": "a" * 40, "md5": "b" * 32, "sha256": "C" * 64},
        "size": 13,
        "_links": {"download-http": {"href": f"{BASE}/softwaremodules/1/artifacts/{filename}"}},
        **extra,
    }


def deployment(*artifacts: dict[str, Any], **extra: Any) -> dict[str, Any]:
    chunk = {"part": "os", "version": "1.0.79", "name": "rootfs", "artifacts": list(artifacts)}
    body = {"download": "forced", "update": "attempt", "chunks": [chunk], **extra}
    return {"id": "8", "deployment": body}


def test_a_poll_gives_the_interval_and_every_link_with_its_action() -> None:
    base = model.parse_base(
        dumps(
            {
                "config": {"polling": {"sleep": "00:05:10"}},
                "_links": {
                    "deploymentBase": {"href": f"{BASE}/deploymentBase/8?c=-2127183556"},
                    "cancelAction": {"href": f"{BASE}/cancelAction/11"},
                    "configData": {"href": f"{BASE}/configData"},
                    "installedBase": {"href": f"{BASE}/installedBase/7"},
                    "confirmationBase": {"href": f"{BASE}/confirmationBase/9?c=1"},
                    "unknown": {"href": "x"},
                },
            }
        )
    )
    assert base.sleep_seconds == 310
    assert base.deployment == model.Link(f"{BASE}/deploymentBase/8?c=-2127183556", "8")
    assert base.cancel == model.Link(f"{BASE}/cancelAction/11", "11")
    assert base.config_data == model.Link(f"{BASE}/configData", "")
    assert base.installed is not None
    assert base.installed.action_id == "7"
    assert base.confirmation is not None
    assert base.confirmation.action_id == "9"


def test_a_poll_without_anything_is_a_poll_with_nothing_to_do() -> None:
    assert model.parse_base(b"{}") == model.Base()


def test_an_unreadable_interval_keeps_the_links_and_is_reported_as_written() -> None:
    base = model.parse_base(
        dumps({"config": {"polling": {"sleep": "soon"}}, "_links": {"configData": {"href": "/x/configData"}}})
    )
    assert base.sleep_seconds is None
    assert base.sleep_text == "soon"
    assert base.config_data is not None


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("00:00:01", 1),
        ("23:59:59", 86399),
        ("100:00:00", 360000),
        ("PT24H", 86400),
        ("PT25H30M", 91800),
        ("P1DT1.5S", 86401),
        ("P2W", 1209600),
        ("PT0S", 0),
        ("P", None),
        ("PT", None),
        ("-PT1H", None),
        ("00:61:00", None),
        ("1", None),
        ("", None),
    ],
)
def test_intervals_are_read_in_both_notations(written: str, seconds: int | None) -> None:
    assert model.parse_sleep(written) == seconds


def test_a_deployment_is_read_completely() -> None:
    document = deployment(artifact(), maintenanceWindow="available")
    document["deployment"]["chunks"][0]["metadata"] = [{"key": "cra.severity", "value": "critical\nline"}]
    document["actionHistory"] = {"status": "RUNNING", "messages": []}
    found = model.parse_deployment(dumps(document))
    assert (found.action_id, found.download, found.update, found.window) == ("8", "forced", "attempt", "available")
    assert found.chunks[0].metadata == {"cra.severity": "critical\nline"}
    only = found.chunks[0].artifacts[0]
    assert (only.filename, only.size, only.sha256, only.sha1) == ("b.raucb", 13, "c" * 64, "a" * 40)


def test_a_confirmation_document_reads_like_a_deployment() -> None:
    document = deployment(artifact())
    document["confirmation"] = document.pop("deployment")
    assert model.parse_deployment(dumps(document)).action_id == "8"


def test_lone_values_stand_for_lists_and_numbers_for_ids() -> None:
    document = deployment()
    document["id"] = 8
    document["deployment"]["chunks"] = {"part": "os", "artifacts": artifact()}
    assert model.parse_deployment(dumps(document)).chunks[0].artifacts[0].size == 13


def test_a_cancel_document_names_the_action_to_stop() -> None:
    assert model.parse_cancel(b'{"id":"11","cancelAction":{"stopId":"12"}}') == model.Cancel("11", "12")


@pytest.mark.req("T24", "T16")
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"\xff{}",
        b'{"id": NaN}',
        b"[" * 100_000,
        b'{"id":"8"}',
        b'{"id":"../x","deployment":{}}',
        b'{"id":"8","deployment":[]}',
        dumps(deployment(artifact(size=-1))),
        dumps(deployment(artifact(size=1 << 63))),
        dumps(deployment(artifact(size=True))),
        dumps(deployment(artifact(size=1.5))),
        dumps(deployment(artifact(filename="a\nb"))),
        dumps(deployment(artifact(filename="\ud800"))),
        dumps(deployment(artifact(filename="x" * 600))),
        dumps(deployment(artifact(hashes={"sha256": "00"}))),
        dumps(deployment(artifact(_links={"download": {"href": "https://h/a b"}}))),
        dumps(deployment(artifact(_links={f"r{n}": {"href": "x"} for n in range(17)}))),
        dumps(deployment(*[artifact()] * 33)),
        dumps(deployment(download="maybe")),
        dumps(deployment(maintenanceWindow="later")),
        b'{"id":"8","deployment":{"download":"forced"}}',
        b" " * (1 << 20) + b"{}",
    ],
)
def test_a_hostile_deployment_is_one_explained_error(data: bytes) -> None:
    with pytest.raises(EnvironmentFault) as caught:
        model.parse_deployment(data)
    assert caught.value.code == "ddi.invalid-document"
    assert caught.value.retryable


@pytest.mark.parametrize(
    "href", ["https://h/x", "https://h/deploymentBase/", "https://h/deploymentBase/a%2Fb", "http://["]
)
def test_a_link_without_a_usable_action_is_refused(href: str) -> None:
    with pytest.raises(EnvironmentFault):
        model.parse_base(dumps({"_links": {"deploymentBase": {"href": href}}}))


def test_the_only_bundle_is_chosen_among_other_files() -> None:
    found = model.parse_deployment(dumps(deployment(artifact("notes.txt"), artifact("B.RAUCB"), artifact("sbom.json"))))
    assert model.choose_artifact(found)[1].filename == "B.RAUCB"


def test_the_only_file_is_chosen_whatever_its_name() -> None:
    found = model.parse_deployment(dumps(deployment(artifact("download"))))
    chunk, chosen = model.choose_artifact(found)
    assert (chunk.name, chosen.filename) == ("rootfs", "download")


@pytest.mark.parametrize("names", [[], ["a.raucb", "b.raucb"], ["a.bin", "b.bin"]])
def test_anything_but_one_bundle_is_unsupported_and_not_tried_again(names: list[str]) -> None:
    found = model.parse_deployment(dumps(deployment(*[artifact(name) for name in names])))
    with pytest.raises(OtaError) as caught:
        model.choose_artifact(found)
    assert caught.value.code == "ddi.unsupported-deployment"
    assert not caught.value.retryable


def chosen_link(**links: str) -> str:
    relations = {name.replace("_", "-"): {"href": href} for name, href in links.items()}
    found = model.parse_deployment(dumps(deployment(artifact(_links=relations))))
    return model.download_link(found.chunks[0].artifacts[0])


@pytest.mark.req("S10")
def test_download_links_are_taken_in_order_and_https_first() -> None:
    assert chosen_link(md5sum="https://h/m", download_http="http://h/b", download="https://h/a") == "https://h/a"
    assert chosen_link(cdn="https://cdn/x", download_http="https://h/b") == "https://h/b"
    assert chosen_link(download="http://h/a", download_http="https://h/b") == "https://h/b"
    assert chosen_link(md5sum_http="http://h/m", download_http="http://h/b") == "http://h/b"
    assert chosen_link(cdn="https://cdn/x") == "https://cdn/x"


def test_a_file_without_a_usable_link_is_unsupported() -> None:
    for links in ({}, {"md5sum": "https://h/m"}, {"download": "coap://h/a"}, {"download": "file:///etc/passwd"}):
        with pytest.raises(OtaError, match=r"ddi\.unsupported-deployment"):
            chosen_link(**links)


def read_or_refused(parse: Callable[[bytes], object], data: bytes) -> bool:
    try:
        parse(data)
    except EnvironmentFault as error:
        return error.code == "ddi.invalid-document"
    return True


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
names = st.sampled_from(["id", "deployment", "chunks", "artifacts", "hashes", "_links", "config", "polling", "sleep"])


@pytest.mark.req("T24")
@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(names, values, max_size=6),
    st.sampled_from([model.parse_base, model.parse_deployment, model.parse_cancel]),
)
def test_any_object_is_read_or_refused_as_a_document(value: Any, parse: Any) -> None:
    assert read_or_refused(parse, dumps(value))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_mutated_deployment_is_read_or_refused_as_a_document(data: Any) -> None:
    document = deployment(artifact(), artifact("x"))
    node: Any = document
    while isinstance(node, (dict, list)) and node:
        key = data.draw(st.sampled_from(sorted(node) if isinstance(node, dict) else list(range(len(node)))))
        if data.draw(st.booleans()):
            node[key] = data.draw(values)
            break
        node = node[key]
    assert read_or_refused(model.parse_deployment, dumps(document))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused_as_a_document(data: bytes) -> None:
    with pytest.raises(EnvironmentFault, match=r"ddi\.invalid-document"):
        model.parse_deployment(data)
