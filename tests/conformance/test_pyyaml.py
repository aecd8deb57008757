"""What our reader of YAML accepts, PyYAML reads the same way."""

from __future__ import annotations

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bootloader_env.yaml_subset import YamlError, load

WORDS = st.sampled_from(
    ["a", "b", ":", " ", ": ", "- ", "-", "#", " #", '"', "'", "0x10", "/dev/x", "{", "[", "---", "...", "\t", "|", "~", "x:y",
     "null", "?", ",", "!", "&a", "*a", "%", "@", "ü"]
)  # fmt: skip
ANY_LINE = st.tuples(st.sampled_from(["", "  ", "    ", " "]), st.lists(WORDS, max_size=6)).map(
    lambda parts: parts[0] + "".join(parts[1])
)
GOOD_LINE = st.sampled_from(
    ["a:", "b: 1", " - x", "y", "  - p: 1", "    q: 2", "c: 'x # y'", 'd: "z" # c', "  e:", "    f: 0x10", "  # c", "---", "",
     "g : h", "- - i", "  j: -0x20", "k:   ", "- l:m", "  - n", "-", "  o: p#q", "r: s "]
)  # fmt: skip
TEXTS = st.one_of(st.lists(ANY_LINE, max_size=4), st.lists(GOOD_LINE, max_size=8)).map("\n".join)


@settings(max_examples=1500, suppress_health_check=list(HealthCheck), deadline=None)
@given(TEXTS)
def test_whatever_is_accepted_means_the_same_to_pyyaml(text):
    try:
        ours = load(text)
    except YamlError:
        return
    assert yaml.load(text, Loader=yaml.BaseLoader) == ours


def test_the_example_of_the_manual_means_the_same_to_pyyaml():
    from pathlib import Path

    page = Path(__file__).parents[2].joinpath("docs/uboot.md").read_text()
    example = page.split("```yaml\n")[1].split("```")[0]
    assert load(example) == yaml.load(example, Loader=yaml.BaseLoader)
