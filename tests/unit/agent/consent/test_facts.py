"""What a signed manifest may say about an update, and how little of it is believed to be sane."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.consent.facts import MAX_LANGUAGES, MAX_TEXT, Facts, bounded, facts_of, in_language

FULL = {
    "schema": "1", "class": "security", "urgency": "critical", "fixes": "CVE-2027-12345, EUVD-2027-999",
    "advisory-id": "ACME-2027-001", "advisory-url": "https://psirt.example/a.json", "sbom-url": "https://psirt.example/s.json",
    "summary-en": "Fixes remote login bypass", "summary-de": "Behebt eine Umgehung der Anmeldung",
    "user-action-en": "Update now", "disruption": "reboot", "est-seconds": "120", "min-version": "4.2.2",
}  # fmt: skip


def test_everything_that_people_need_is_read() -> None:
    facts = facts_of(bounded(FULL))
    assert (facts.kind, facts.urgency, facts.disruption, facts.seconds) == ("security", "critical", "reboot", 120)
    assert facts.fixes == ("CVE-2027-12345", "EUVD-2027-999")
    assert facts.advisory_url == "https://psirt.example/a.json"
    assert in_language(facts.user_action, "fr") == "Update now"


@pytest.mark.parametrize(
    ("language", "text"),
    [("de", "Behebt"), ("de_AT.UTF-8", "Behebt"), ("DE-at", "Behebt"), ("fr", "Fixes"), ("", "Fixes"), ("C", "Fixes")],
)
def test_a_text_is_found_in_the_wanted_language_or_in_english(language: str, text: str) -> None:
    assert in_language(facts_of(bounded(FULL)).summary, language).startswith(text)


def test_where_there_is_no_english_any_language_is_better_than_nothing() -> None:
    assert in_language({"pl": "tekst"}, "fr") == "tekst"
    assert in_language({}, "fr") == ""


@pytest.mark.parametrize(
    "section", [None, [], "x", {"class": 5, "fixes": ["a"]}, {"summary-en": "two\nlines"}, {"unknown": "x"}]
)
def test_what_makes_no_sense_is_left_out(section: object) -> None:
    assert bounded(section) == {}


@pytest.mark.parametrize(
    "texts", [{"class": "recall"}, {"urgency": "CRITICAL"}, {"advisory-url": "javascript:x"}, {"est-seconds": "1e9"}]
)
def test_a_value_that_is_not_known_counts_as_not_told(texts: dict[str, str]) -> None:
    assert facts_of(bounded(texts)) == Facts()


def test_a_manifest_cannot_fill_the_record() -> None:
    many = {f"summary-x{number}": "a" * 5000 for number in range(1000)} | {"fixes": ",".join(map(str, range(5000)))}
    kept = bounded(many)
    assert len(kept) == MAX_LANGUAGES + 1
    assert max(map(len, kept.values())) == MAX_TEXT


KEYS = st.one_of(st.sampled_from(sorted(FULL)), st.text(max_size=60), st.text(max_size=40).map("summary-".__add__))
VALUES = st.one_of(st.text(max_size=200), st.integers(), st.none())


@given(st.dictionaries(KEYS, VALUES, max_size=30))
def test_whatever_is_signed_ends_as_short_printable_texts(section: dict[str, object]) -> None:
    kept = bounded(section)
    assert all(value.isprintable() and len(value) <= MAX_TEXT for value in kept.values())
    facts_of(kept)
