from __future__ import annotations

import pytest

from bootloader_env.yaml_subset import MAX_DEPTH, YamlError, load


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 1", {"a": "1"}),
        ("a : 0x10  # why\n# comment\n\nb:   -2\r\n", {"a": "0x10", "b": "-2"}),
        ("---\na:\n  b: c", {"a": {"b": "c"}}),
        ("a:\n- x\n- y\nb: z", {"a": ["x", "y"], "b": "z"}),
        ("a:\n  - b: 1\n    c: 2\n  - b: 3\n", {"a": [{"b": "1", "c": "2"}, {"b": "3"}]}),
        ("a:\n  -\n    b: 1\n", {"a": [{"b": "1"}]}),
        ("- - x\n  - y\n", [["x", "y"]]),
        ("a: 'x # y: z'\nb: \"it's\" # c", {"a": "x # y: z", "b": "it's"}),
        ("a: x#y\nb: v:w", {"a": "x#y", "b": "v:w"}),
        ("\ufeffa: b", {"a": "b"}),
        ("just text", "just text"),
    ],
)
def test_what_libubootenv_needs_is_read_as_text(text, value):
    assert load(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "", "# c", "---", "a:", "a:\nb: 1", "a:\n  b: 1\n c: 2", "a: 1\n  b: 2", "a: 1\na: 2", "a: [1]", "a: {}", "a: &x 1",
        "a: *x", "a: !t 1", "a: |\n  x", "a: >\n  x", "a: 1\n...\n", "a: 1\n---\nb: 2", "%YAML 1.2\n---\na: 1", "? a\n: 1",
        "\ta: 1", "a:\t1", "a: 'x", 'a: "x\\n"', "a: 'x' y", "a: b: c", "a: b:", "- a\nb: 1", "a: 1\n- b", "a: @x", "a: `x`",
        "a: 1\x00", "a: 1\x85b", "a: -", "a: ?", "'a': 1", "<<: x", "a: x\n  y", "a:\n  - x\n b: 1", "a: , x", "a: %x", "é: 1",
    ],
)  # fmt: skip
def test_anything_else_is_refused_with_its_line(text):
    with pytest.raises(YamlError, match=r"^line [0-9]+: "):
        load(text)


def test_nesting_has_an_end():
    for depth, allowed in ((MAX_DEPTH, True), (MAX_DEPTH + 1, False), (5000, False)):
        text = "- " * (depth - 1) + "x"
        if allowed:
            load(text)
        else:
            with pytest.raises(YamlError, match="levels deep"):
                load(text)
