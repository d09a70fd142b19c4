"""The nomenclature page names every metric and every architecture, and links only to files that exist."""

import re
from pathlib import Path

from hwmodels.architectures import ARCHITECTURES
from hwmodels.outcome import METRICS

PAGE = Path(__file__).parents[2] / "hwmodels" / "README.md"


def test_page_is_complete() -> None:
    text = PAGE.read_text()
    named = {name for cell in re.findall(r"^\| `([^`]+)` \|", text, re.M)
             for prefix in [cell.rpartition("/")[0]] for name in
             ([f"{part.strip('/')}{cell[cell.index('_'):]}" for part in cell[:cell.index("_")].split("/")]
              if prefix else [cell])}
    assert named == set(METRICS)
    assert all(f"`{name}`" in text for name in ARCHITECTURES)
    for link in re.findall(r"\]\(([^)]+)\)", text):
        assert (PAGE.parent / link).exists(), link
