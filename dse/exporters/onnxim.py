"""A design for ONNXim, a cycle-level simulator of several NPU cores: its configuration and its list of models.

Every engine is a core; an array that divides at run time is written as its sub-arrays. The class of the design picks
the nearest of its schedulers: time_multiplex (one engine), spatial_split (sub-arrays), partition_cpu (an engine per
tenant), simple (engines that all may use). The list of models holds one entry per request of the workload at its
arrival, at most `MAX_REQUESTS`. ONNXim reads the networks from ONNX files in `models/NAME/NAME.onnx`.

JSON has no comments: what is lost is in NOTES.txt and in the key `_not_expressed`, which ONNXim does not read.

References
----------
H. Ham et al., "ONNXim", IEEE Computer Architecture Letters 2024, doi:10.1109/LCA.2024.3484648.
"""

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from dse.errors import InputError, Problem
from dse.exporters.chip import Parts, parts_of
from dse.exporters.design import design_record, design_text
from dse.exporters.record import Exporter, Files
from dse.report.rundata import RunData
from hwmodels.engine import PRECISION_BITS, Engine
from hwmodels.traffic import generate

__all__ = ["EXPORTER", "LOSES", "MAX_REQUESTS", "configuration", "design_texts", "models"]

MAX_REQUESTS = 1000
"""Of a cycle-level simulation; the file says when it was cut."""

LOSES = ("our policies with their parameters, preemption, deadlines; followers of a cascade that depend on what "
         "their parent finds, and when it ends; sub-arrays that join, and the time to rearrange them; fixed shares "
         "of the DRAM bandwidth (one channel group for all); the networks (give it ONNX files); input and row "
         "stationary arrays; fold overlap and drain of the array (its own model); one buffer for all operands (a "
         "scratchpad and an accumulator buffer); precisions below a byte, different ones per layer; energy and "
         "area; latencies of vector operations (1 cycle each)")

_DRAM_REQUEST_BYTES = 32
_MAX_DRAM_MHZ = 2000
_ACCUMULATOR_FRAC = 0.25
"""Of a shared buffer, for partial sums: about what its own examples have."""
_KIB = 1024
_LATENCIES = ("add", "mul", "mac", "div", "exp", "gelu", "add_tree", "scalar_sqrt", "scalar_add", "scalar_mul")
_SCHEDULERS = {"time_mux": "time_multiplex", "composable": "spatial_split", "heterogeneous": "simple",
               "dedicated": "partition_cpu"}


def _core(engine: Engine) -> dict[str, Any]:
    """One core; sizes in KiB, the width of the buffer in bytes."""
    if engine.dataflow not in ("ws", "os"):
        raise InputError(Problem(field="dataflow", message=f"must be ws or os for ONNXim, got '{engine.dataflow}'"))
    bits = PRECISION_BITS[engine.precision]
    sums = engine.sram_fracs[2] if engine.sram_fracs else _ACCUMULATOR_FRAC
    rest = engine.sram_fracs[0] + engine.sram_fracs[1] if engine.sram_fracs else 1.0 - sums
    words = engine.sram_words_per_cycle or max(engine.rows, engine.cols)
    return {"core_type": f"systolic_{engine.dataflow}", "core_width": engine.cols, "core_height": engine.rows,
            "spad_size": max(1, int(engine.sram_bytes * rest) // _KIB),
            "accum_spad_size": max(1, int(engine.sram_bytes * sums) // _KIB),
            "sram_width": max(1, words * bits // 8), "vector_process_bit": engine.vector_lanes * bits,
            **{f"{name}_latency": 1 for name in _LATENCIES}}


def _dram(bytes_per_s: float) -> dict[str, Any]:
    """Channels that each move one request per DRAM cycle; the clock is a whole number of MHz."""
    requests_mhz = bytes_per_s / _DRAM_REQUEST_BYTES / 1e6
    channels = 1
    while requests_mhz / channels > _MAX_DRAM_MHZ:
        channels *= 2
    return {"dram_type": "simple", "dram_freq": max(1, round(requests_mhz / channels)), "dram_channels": channels,
            "dram_req_size": _DRAM_REQUEST_BYTES, "dram_latency": 10, "dram_print_interval": 10000}


def configuration(parts: Parts) -> dict[str, Any]:
    """The hardware file.

    Raises
    ------
    InputError : a dataflow ONNXim does not have.
    """
    cores: list[dict[str, Any]] = []
    partition: dict[str, int] = {}
    for index, each in enumerate(parts.engines):
        for _ in range(each.units):
            partition[f"core_{len(cores)}"] = index
            cores.append(_core(each.unit))
    first = parts.engines[0].engine
    mhz = max(1, round(first.freq_hz / 1e6))
    scheduler = _SCHEDULERS[parts.design.architecture.name]
    precision = max(PRECISION_BITS[each.engine.precision] for each in parts.engines)
    return {"_title": f"{parts.title}, for ONNXim", "_not_expressed": LOSES,
            "num_cores": len(cores), "core_freq": mhz, "core_print_interval": 10000,
            "core_config": {f"core_{number}": core for number, core in enumerate(cores)},
            **_dram(parts.chip.dram_bytes_per_s),
            # a network faster than the DRAM, so that it does not limit
            "icnt_type": "simple", "icnt_latency": 1, "icnt_freq": 4 * max(mhz, _MAX_DRAM_MHZ),
            "precision": math.ceil(precision / 8), "layout": "NHWC", "scheduler": scheduler,
            **({"partition": partition} if scheduler == "partition_cpu" else {})}


def models(parts: Parts, seed: int) -> dict[str, Any]:
    """The list of models: every request by arrival; times in milliseconds."""
    tenants = parts.workload.tenants
    trace = generate(parts.workload, seed, np.ones(len(tenants)))
    name_of = {network: name for name, network in parts.networks.items()}
    dedicated = _SCHEDULERS[parts.design.architecture.name] == "partition_cpu"
    owner = {tenant: index for index, slot in enumerate(parts.chip.slots) for tenant in slot.tenants}
    entries = []
    for row in range(min(len(trace.arrival_s), MAX_REQUESTS)):
        tenant = tenants[int(trace.tenant[row])]
        entry: dict[str, Any] = {"name": name_of[tenant.network], "batch_size": 1,
                                 "request_time": round(float(trace.arrival_s[row]) * 1e3, 9)}
        if dedicated:
            entry["partition_id"] = owner[tenant.name]
        entries.append(entry)
    return {"models": entries}


def design_texts(parts: Parts, seed: int = 0) -> dict[str, str]:
    """`config.json`, `models_list.json` and notes."""
    listed = models(parts, seed)
    notes = [f"{parts.title}, for ONNXim.", "", f"Not expressed: {LOSES}.", ""]
    if len(listed["models"]) == MAX_REQUESTS:
        notes += [f"Cut to the first {MAX_REQUESTS} requests.", ""]
    notes += ["Networks it needs as ONNX files: " + ", ".join(f"models/{n}/{n}.onnx" for n in parts.networks),
              "  ./build/bin/Simulator --config config.json --models_list models_list.json", ""]
    return {"config.json": json.dumps(configuration(parts), indent=2, allow_nan=False) + "\n",
            "models_list.json": json.dumps(listed, indent=2, allow_nan=False) + "\n", "NOTES.txt": "\n".join(notes)}


def files(run: RunData, trials: Sequence[int]) -> Files:
    """The folder of one design, with the requests it was evaluated with."""
    design, workload, seed = design_record(run, trials[0])
    texts = design_texts(parts_of(design, workload, f"Trial {trials[0]} of study {run.name}"), seed)
    return {name: text.encode() for name, text in {"design.yaml": design_text(run, trials[0]), **texts}.items()}


EXPORTER = Exporter(name="onnxim", summary="a folder with an ONNXim configuration and the requests of one design",
                    loses=LOSES, files=files, single=True)
