"""Promises of the introspection data: complete, explained, and never changed by accident."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from gi.repository import Gio, GLib

from agent.bus.interface import Interface, read
from agent.bus.introspection import ACCESS, AGENT, FREE, without_prose
from agent.codes import CODES

MEMBERS = Path(__file__).with_name("members.txt")
ACTIONS = {"check", "install", "cancel", "consent", "policy", "scrub", "mark", "audit"}


def members(each: Interface) -> Iterator[str]:
    for row in each.properties:
        yield f"{each.short}.{row.name} {row.signature}{'' if row.announced else ' (not announced)'}"
    for method in each.methods:
        takes, gives = ("".join(item.signature for item in items) for items in (method.takes, method.gives))
        yield f"{each.short}.{method.name}({takes}) -> ({gives}) {method.access}"
    for signal in each.signals:
        yield f"{each.short}.{signal.name} signal ({''.join(item.signature for item in signal.carries)})"


@pytest.mark.req("C44")
def test_no_member_changes_its_signature_or_its_access():
    """A new member is a new line in members.txt. A line that is there stays as it is: clients rely on it."""
    assert [line for each in read() for line in members(each)] == MEMBERS.read_text().splitlines()


def test_every_member_and_argument_is_explained_by_sentences():
    for each in read():
        methods = [item for row in each.methods for item in (row, *row.takes, *row.gives)]
        signals = [item for row in each.signals for item in (row, *row.carries)]
        for item in (each, *each.properties, *methods, *signals):
            assert item.doc.endswith("."), f"{each.short}: {item.name}"
            assert "|" not in item.doc, f"{each.short}: {item.name}"


def test_every_method_says_who_may_call_it_and_what_can_go_wrong():
    for each in read():
        for row in each.methods:
            assert row.access in {FREE, *ACTIONS}, row.name
            assert set(row.errors) <= set(CODES), row.name


def test_no_two_members_of_an_interface_share_a_name():
    """Clients like pydbus map properties, methods and signals to attributes of one object."""
    for each in read():
        names = Counter(row.name for row in (*each.properties, *each.methods, *each.signals))
        assert [name for name, count in names.items() if count > 1] == []


def test_glib_reads_the_same():
    node = Gio.DBusNodeInfo.new_for_xml(AGENT.read_text())
    for each in read():
        info = node.lookup_interface(each.name)
        assert [(row.name, row.signature) for row in info.properties] == [
            (row.name, row.signature) for row in each.properties
        ]
        assert [(row.name, [item.signature for item in row.in_args]) for row in info.methods] == [
            (row.name, [item.signature for item in row.takes]) for row in each.methods
        ]
        assert all(GLib.variant_is_signature(row.signature) for row in each.properties)


def test_what_is_served_differs_in_nothing_but_the_prose():
    served = Gio.DBusNodeInfo.new_for_xml(without_prose(AGENT.read_text()))
    for each in read():
        info = served.lookup_interface(each.name)
        assert len(info.properties) == len(each.properties)
        accesses = {row.name: [note.value for note in row.annotations if note.key == ACCESS] for row in info.methods}
        assert accesses == {row.name: [row.access] for row in each.methods}
    assert "DocString" not in without_prose(AGENT.read_text())


def test_other_programmers_can_make_their_clients_from_it(tmp_path):
    command = ["gdbus-codegen", "--c-namespace", "Ota", "--generate-c-code", tmp_path / "ota", AGENT]
    subprocess.run(command, check=True, capture_output=True)
    assert "ota_org_otaagent_agent1_update_call_approve" in (tmp_path / "ota.h").read_text()


def test_the_manual_page_holds_every_member_and_groff_has_nothing_to_complain_about():
    page = Path(__file__).parents[4] / "docs" / "man" / "org.otaagent.Agent1.5"
    done = subprocess.run(
        ["groff", "-man", "-ww", "-Tutf8", "-P-cbou", page], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    for each in read():
        for row in (*each.properties, *each.methods, *each.signals):
            assert row.name in done.stdout
