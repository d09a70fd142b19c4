"""The nomenclature page names every metric, traffic kind and architecture, and links only to files that exist."""

import re
from pathlib import Path

from hwmodels.architectures import ARCHITECTURES
from hwmodels.outcome import METRICS
from hwmodels.workload import TRAFFIC_KINDS

PAGE = Path(__file__).parents[2] / "hwmodels" / "README.md"


def test_page_is_complete() -> None:
    text = PAGE.read_text()
    traffic, metrics = text.partition("## Traffic")[2].split("## Metrics")
    assert re.findall(r"^\| `([^`]+)` \|", traffic, re.M) == list(TRAFFIC_KINDS)
    named = {name for cell in re.findall(r"^\| `([^`]+)` \|", metrics, re.M)
             for prefix in [cell.rpartition("/")[0]] for name in
             ([f"{part.strip('/')}{cell[cell.index('_'):]}" for part in cell[:cell.index("_")].split("/")]
              if prefix else [cell])}
    assert named == set(METRICS)
    assert all(f"`{name}`" in text for name in ARCHITECTURES)
    for link in re.findall(r"\]\(([^)]+)\)", text):
        assert (PAGE.parent / link).exists(), link
