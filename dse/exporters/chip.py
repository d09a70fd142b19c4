"""What exports for other tools start from: the engines of a design, and the networks that run on each."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, final

import yaml

from dse.errors import InputError, Problem
from dse.exporters.design import design_record, design_text
from dse.exporters.record import Files
from dse.report.rundata import RunData
from hwmodels.design import Chip, Design
from hwmodels.engine import DATAFLOWS, Engine
from hwmodels.errors import ModelError
from hwmodels.network import Layer, Network
from hwmodels.workload import Workload

__all__ = ["EngineOfChip", "Parts", "bits_per_cycle", "commented", "design_parts", "files_with", "matrix_layers",
           "parts_of", "unique_names", "yaml_text"]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOfChip:
    """One kind of engine of a chip.

    Parameters
    ----------
    name : of its slot, safe as a file name.
    engine : whole; its `dram_bytes_per_s` is what it can draw.
    unit : the smallest engine it divides into; itself where it cannot be divided.
    units : how many of those it has.
    networks : names of the networks it may run.
    """

    name: str
    engine: Engine
    unit: Engine
    units: int
    networks: tuple[str, ...]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """A design taken apart.

    Parameters
    ----------
    title : trial and study, in words.
    networks : name, safe as a file name -> network; equal networks once.
    """

    title: str
    design: Design
    workload: Workload
    chip: Chip
    engines: tuple[EngineOfChip, ...]
    networks: dict[str, Network]


def unique_names(names: Iterable[str], *, taken: Iterable[str] = (), allowed: str = "-_.") -> list[str]:
    """The names with other characters than letters, digits and `allowed` replaced by `_`, made unique by a number."""
    used, found = set(taken), []
    for name in names:
        safe = "".join(c if (c.isascii() and c.isalnum()) or c in allowed else "_" for c in name) or "unnamed"
        candidate, number = safe, 2
        while candidate in used:
            candidate, number = f"{safe}_{number}", number + 1
        used.add(candidate)
        found.append(candidate)
    return found


def parts_of(design: Design, workload: Workload, title: str) -> Parts:
    """Take a design apart.

    Raises
    ------
    InputError : the architecture contradicts the workload, or an engine is of another package.
    """
    try:
        chip = design.architecture.chip(workload)
    except ModelError as error:
        raise InputError(Problem(field=title, message=str(error))) from None
    for slot in chip.slots:
        dataflow = slot.levels[-1][1][0].dataflow
        if dataflow not in DATAFLOWS:
            raise InputError(Problem(field=title, message=f"must have engines of a dataflow that other tools can be "
                                     f"given ({', '.join(DATAFLOWS)}), got {dataflow!r} of another package"))
    distinct = list(dict.fromkeys(workload.networks))
    named = dict(zip(unique_names(network.name for network in distinct), distinct, strict=True))
    name_of = {network: name for name, network in named.items()}
    engines = []
    for slot, name in zip(chip.slots, unique_names(slot.name for slot in chip.slots), strict=True):
        served = [t.network for t in workload.tenants if not slot.tenants or t.name in slot.tenants]
        engines.append(EngineOfChip(name=name, engine=slot.levels[-1][1][0], unit=slot.levels[0][1][0],
                                    units=slot.units,
                                    networks=tuple(dict.fromkeys(name_of[network] for network in served))))
    return Parts(title=title, design=design, workload=workload, chip=chip, engines=tuple(engines), networks=named)


def design_parts(run: RunData, trial: int) -> Parts:
    """`parts_of` a trial."""
    design, workload, _ = design_record(run, trial)
    return parts_of(design, workload, f"Trial {trial} of study {run.name}")


def files_with(make: Callable[[Parts], dict[str, str]]) -> Callable[[RunData, Sequence[int]], Files]:
    """`Exporter.files` of a format for one design: its texts, with the design as our own YAML beside them."""

    def files(run: RunData, trials: Sequence[int]) -> Files:
        texts = {"design.yaml": design_text(run, trials[0]), **make(design_parts(run, trials[0]))}
        return {name: text.encode() for name, text in texts.items()}

    return files


def bits_per_cycle(bytes_per_s: float, engine: Engine) -> int:
    """Whole bits per cycle of the engine's clock, at least one [bit/cycle]."""
    return max(1, math.floor(bytes_per_s / engine.freq_hz * 8.0 + 1e-9))


def commented(*lines: str) -> str:
    """Lines as comments of YAML, wrapped at about 110 characters."""
    import textwrap

    return "".join(f"# {part}\n" for line in lines for part in textwrap.wrap(line, 110, break_on_hyphens=False) or [""])


def yaml_text(value: Any, *header: str) -> str:
    """A value as YAML, lists of scalars in one line, below the header as comments."""
    text = yaml.safe_dump(value, sort_keys=False, default_flow_style=None, width=110, allow_unicode=True)
    return commented(*header) + text


def matrix_layers(network: Network) -> list[tuple[str, Layer]]:
    """Layers of the PE array with unique names."""
    layers = [layer for layer in network if layer.is_matrix]
    return list(zip(unique_names(layer.name for layer in layers), layers, strict=True))
