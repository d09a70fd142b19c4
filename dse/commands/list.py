"""`dse list`: what there is to choose from."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer

__all__ = ["command"]

Rows = list[dict[str, Any]]


def command(
    topic: Annotated[str, typer.Argument(
        metavar="TOPIC", autocompletion=lambda incomplete: [name for name in _TOPICS if name.startswith(incomplete)],
        help="architectures, dataflows, policies, networks, workloads, lengths, samplers, metrics, "
             "or objectives (metrics, and what only a study's objectives and budgets have).")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """List what a study can name: every entry with one sentence."""
    from dse.console import out, print_json
    from dse.errors import InputError, Problem, did_you_mean

    if topic not in _TOPICS:
        raise InputError(Problem(field="TOPIC", message=f"must be one of {', '.join(_TOPICS)}, got {topic!r}",
                                 hint=did_you_mean(topic, _TOPICS)))
    rows, columns = _TOPICS[topic]
    entries = rows()
    if as_json:
        print_json({topic: entries})
        return
    table = [list(columns), *([_cell(entry[column]) for column in columns] for entry in entries)]
    widths = [max(len(row[i]) for row in table) for i in range(len(columns))]
    for row in table:
        out("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {item['default']:g} [{item['low']:g}, {item['high']:g}]"
                         for name, item in value.items()) or "-"
    if isinstance(value, list):
        return ", ".join(value) or "-"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _architectures() -> Rows:
    from hwmodels.architectures import ARCHITECTURES

    return [{"name": name, "summary": str(getattr(record, "summary", ""))} for name, record in ARCHITECTURES.items()]


def _dataflows() -> Rows:
    from hwmodels.engine import ALL_DATAFLOWS

    known = {"ws": "weights stay in the PEs of a systolic array", "os": "outputs stay", "is": "inputs stay",
             "rs": "rows of filter, input and output meet in a PE (Eyeriss)"}
    return [{"name": name, "summary": known.get(name, "of another package")} for name in ALL_DATAFLOWS]


def _policies() -> Rows:
    from hwmodels.policies import POLICIES

    return [{
        "name": name,
        "params": {key: param._asdict() for key, param in record.params.items()},
        "machines": record.machines,
        "summary": record.summary,
        "needs": list(record.needs),
        "origin": record.origin,
        "source": record.source,
        "deviations": record.deviations,
    } for name, record in POLICIES.items()]


def _networks() -> Rows:
    from hwmodels.networks import NETWORKS, network

    rows = []
    for name in NETWORKS:
        net = network(name)
        rows.append({"name": name, "layers": len(net), "macs": net.macs, "parameters": net.parameters,
                     "summary": net.source, "notes": list(net.notes)})
    return rows


def _workloads() -> Rows:
    from dse.documents import shipped_workloads
    from dse.located import read

    rows = []
    for name, path in shipped_workloads().items():
        document = read(path)
        tenants = document.value["tenants"]
        comments = (line.lstrip("# ") for line in document.text.splitlines() if line.startswith("#"))
        comment = next((line for line in comments if line and not line.startswith("yaml-language-server")), name)
        rows.append({"name": name, "tenants": [tenant["name"] for tenant in tenants], "count": len(tenants),
                     "duration_s": document.value.get("duration_s", 1.0), "summary": comment, "path": str(path)})
    return rows


def _lengths() -> Rows:
    from hwmodels.token_lengths import LENGTHS, PERCENTS, mean_power, quantile

    return [{"name": name, "prompt_mean": round(mean_power(record.prompt)), "prompt_p50": quantile(record.prompt, 0.5),
             "prompt_p99": quantile(record.prompt, 0.99), "answer_mean": round(mean_power(record.answer)),
             "answer_p50": quantile(record.answer, 0.5), "answer_p99": quantile(record.answer, 0.99),
             "percents": list(PERCENTS), "prompt": list(record.prompt), "answer": list(record.answer),
             "summary": record.summary, "source": record.source} for name, record in LENGTHS.items()]


def _samplers() -> Rows:
    from dse.samplers import SAMPLERS

    return [{"name": name, "summary": spec.summary, "source": spec.source} for name, spec in SAMPLERS.items()]


def _metrics() -> Rows:
    from hwmodels.outcome import METRICS

    return _metric_rows(METRICS)


def _objectives() -> Rows:
    from hwmodels.outcome import OBJECTIVES

    return _metric_rows(OBJECTIVES)


def _metric_rows(metrics: Mapping[str, Any]) -> Rows:
    return [{"name": metric.name, "unit": metric.unit, "better": "smaller" if metric.minimise else "larger",
             "scope": "chip and tenant" if metric.per_tenant else "chip", "summary": metric.meaning}
            for metric in metrics.values()]


# topic -> (entries, the columns of the table; --json has all)
_TOPICS: dict[str, tuple[Callable[[], Rows], tuple[str, ...]]] = {
    "architectures": (_architectures, ("name", "summary")),
    "dataflows": (_dataflows, ("name", "summary")),
    "policies": (_policies, ("name", "machines", "params", "summary")),
    "networks": (_networks, ("name", "layers", "macs", "parameters", "summary")),
    "workloads": (_workloads, ("name", "count", "duration_s", "summary")),
    "lengths": (_lengths, ("name", "prompt_mean", "prompt_p99", "answer_mean", "answer_p99", "summary")),
    "samplers": (_samplers, ("name", "summary")),
    "metrics": (_metrics, ("name", "unit", "better", "scope", "summary")),
    "objectives": (_objectives, ("name", "unit", "better", "scope", "summary")),
}
