"""`dse simulate`: measured layers and a request list under one policy."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from dse.completion import policies

if TYPE_CHECKING:
    from pathlib import Path

    from dse.profiles import Profile, Requests
    from hwmodels.policies import Policy
    from hwmodels.tables import TaskRecords

__all__ = ["command"]


def command(
    profile: Annotated[str, typer.Option(
        help="CSV family,network,sample,layer,latency_s,sparsity_frac[,tiles][,added_latency_s], or a folder of traces "
             "of the Dysta artefact.")],
    requests: Annotated[str, typer.Option(
        help="CSV request,arrival_s,network,sample,priority,deadline_s; deadlines are absolute.")],
    policy: Annotated[str, typer.Option(help="A policy of `dse list policies`.", autocompletion=policies)],
    settings: Annotated[list[str] | None, typer.Option("--set", help="Parameter of the policy, key=value.")] = None,
    compat: Annotated[str | None, typer.Option(
        help="dysta-artifact: the public artefact's quirks and clock; dysta-corrected: its formulas on a clock that "
             "never goes back.")] = None,
    switch_s: Annotated[float, typer.Option(help="Cost of resuming a preempted task [s].")] = 0.0,
    decision_s: Annotated[float, typer.Option(help="Latency of a scheduling decision [s].")] = 0.0,
    out: Annotated[str | None, typer.Option(help="CSV to write: request,finish_s,violated,ntt.")] = None,
    trace: Annotated[str | None, typer.Option(help="Chrome/Perfetto JSON to write: who ran where and when.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Simulate measured networks on one engine: bring your own layer latencies and requests."""
    from pathlib import Path

    from dse.console import note, print_json
    from dse.profiles import profile_machine, profile_table, read_profile, read_requests
    from hwmodels.kernel import request_isolated_s, run

    chosen, params, rewind = _policy(policy, settings or [], compat, switch_s, decision_s)
    targets = [Path(target) for target in (out, trace) if target is not None]
    _check_targets(targets, [Path(profile), Path(requests)])
    profiles = read_profile(Path(profile))
    listed = read_requests(Path(requests), profiles)
    table = profile_table(profiles, most=chosen.largest_batch(params))
    machine = profile_machine(profiles, switch_s=switch_s, decision_s=decision_s)
    records = run(table, machine, listed.trace, chosen, params, record=trace is not None, rewind=rewind)
    isolated = request_isolated_s(table, machine, listed.trace)
    result = {"policy": policy, "compat": compat, **_metrics(profiles, listed, records, isolated)}
    if out is not None:
        _write(Path(out), _finish_csv(listed, records, isolated))
    if trace is not None:
        _write(Path(trace), _perfetto(profiles, listed, records))
    if as_json:
        print_json(result)
    else:
        _print(result)
        for target in targets:
            note(f"wrote {target}")


def _policy(name: str, settings: list[str], compat: str | None, switch_s: float, decision_s: float,
            ) -> tuple["Policy", dict[str, float], bool]:
    """The policy, its checked parameters, and whether the clock may go back; all mistakes of the flags at once."""
    from dse.errors import InputError, Problem, did_you_mean
    from hwmodels.errors import ModelError
    from hwmodels.policies import POLICIES
    from hwmodels.policies.dysta_artifact import ARTIFACT

    problems = []
    modes = ("dysta-artifact", "dysta-corrected")
    if compat is not None and compat not in modes:
        problems.append(Problem(field="--compat", message=f"must be one of {', '.join(modes)}, got {compat!r}",
                                hint=did_you_mean(compat, modes)))
    known = POLICIES if compat is None else ARTIFACT
    if name not in known:
        of = "" if compat is None else f" with --compat {compat}"
        problems.append(Problem(field="--policy", message=f"must be one of {', '.join(known)}{of}, got {name!r}",
                                hint=did_you_mean(name, list(known))))
    for flag, value in (("--switch-s", switch_s), ("--decision-s", decision_s)):
        if not 0.0 <= value < float("inf"):
            problems.append(Problem(field=flag, message=f"must be a finite number >= 0, got {value!r}"))
    params: dict[str, float] = {}
    for setting in settings:
        key, _, text = setting.partition("=")
        try:
            value = float(text)
        except ValueError:
            problems.append(Problem(field="--set", message=f"must be key=number, got {setting!r}"))
            continue
        if key in params:
            problems.append(Problem(field="--set", message=f"must set {key} once, got {setting!r}"))
        params[key] = value
        if name in known:
            try:
                known[name].values({key: value})
            except ModelError as error:
                problems.append(Problem(field="--set", message=str(error)))
    if problems:
        raise InputError(*problems)
    return known[name], params, compat == "dysta-artifact"


def _check_targets(targets: list["Path"], sources: list["Path"]) -> None:
    """Files that could not be written, or that hold the input, are found before anything is computed."""
    from dse.errors import InputError, Problem

    problems = [Problem(file=str(target), message="must be a file in an existing folder")
                for target in targets if not target.parent.is_dir() or target.is_dir()]
    problems += [Problem(file=str(target), message=f"must be another file than {source}, which is read")
                 for target in targets for source in sources if target.exists() and source.exists()
                 and target.samefile(source)]
    if len({target.resolve() for target in targets}) < len(targets):
        problems.append(Problem(field="--out, --trace", message=f"must be different files, got {targets[0]}"))
    if problems:
        raise InputError(*problems)


def _write(target: "Path", text: str) -> None:
    """Write a whole file or nothing."""
    import os
    import tempfile

    from dse.errors import InputError, Problem

    try:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    except OSError as error:
        raise InputError(Problem(file=str(target), message=f"must be writable: {error.strerror}")) from None
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)  # noqa: PTH101
        os.replace(name, target)  # noqa: PTH105
    except BaseException:
        os.unlink(name)  # noqa: PTH108
        raise


def _finish_csv(listed: "Requests", records: "TaskRecords", isolated: Any) -> str:
    from hwmodels.metrics import ntt

    late = records.finish_s > listed.trace.deadline_s
    columns = (listed.names, records.finish_s.tolist(), late.tolist(), ntt(listed.trace, records, isolated).tolist())
    lines = [f"{_cell(name)},{finish!r},{int(violated)},{value!r}"
             for name, finish, violated, value in zip(*columns, strict=True)]
    return "\n".join(("request,finish_s,violated,ntt", *lines)) + "\n"


def _cell(text: str) -> str:
    """A CSV cell, quoted where it must be."""
    return '"' + text.replace('"', '""') + '"' if any(c in text for c in ',"\r\n') else text


def _perfetto(profiles: tuple["Profile", ...], listed: "Requests", records: "TaskRecords") -> str:
    """Trace Event Format: one complete event per executed layer, of one request or a batch, times in microseconds.

    Events of a track never overlap: where the artefact's clock has gone back the layer is on a second track.
    """
    import json
    import math
    from itertools import pairwise

    from hwmodels.tables import batches

    names = ("engine 0", "engine 0, after the clock went back")
    events: list[dict[str, Any]] = []
    ends = [0.0, 0.0]
    rows = records.spans.tolist()
    for first, after in pairwise(batches(records.spans).tolist()):
        begin, end, request, layer, _, _ = rows[first]
        r = int(request)
        own = profiles[int(listed.trace.network[r])]
        begin_us, end_us = begin * 1e6, end * 1e6
        track = 0 if begin_us >= ends[0] else 1
        ends[track] = end_us
        duration = end_us - begin_us
        while begin_us + duration > end_us:  # by rounding, into the next event
            duration = math.nextafter(duration, 0.0)
        events.append({
            "name": own.network, "cat": own.family, "ph": "X", "ts": begin_us, "dur": duration, "pid": 0, "tid": track,
            "args": {"request": listed.names[r], "layer": int(layer),
                     "sample": own.samples[int(listed.trace.sample[r])]},
        })
        if after > first + 1:
            events[-1]["args"]["batch"] = [listed.names[int(row[2])] for row in rows[first:after]]
    head: list[dict[str, Any]] = [{"name": "process_name", "ph": "M", "pid": 0, "args": {"name": "NPU"}}]
    head += [{"name": "thread_name", "ph": "M", "pid": 0, "tid": track, "args": {"name": names[track]}}
             for track in sorted({0, *(event["tid"] for event in events)})]
    return json.dumps({"traceEvents": head + events, "displayTimeUnit": "ms"})


def _metrics(profiles: tuple["Profile", ...], listed: "Requests", records: "TaskRecords", isolated: Any,
             ) -> dict[str, Any]:
    """Metrics over all requests, per family and per priority. STP and fairness are over the networks."""
    import numpy as np

    from hwmodels.metrics import distribution, jain_index, metrics, ntt
    from hwmodels.workload import RequestTrace

    trace = listed.trace
    networks = np.arange(len(profiles))
    alone = np.array([isolated[trace.network == n].mean() if (trace.network == n).any() else np.nan for n in networks])
    late = records.finish_s > trace.deadline_s

    def part(mask: Any) -> dict[str, float]:
        subset = RequestTrace(*(column[mask] for column in trace))
        done = records._replace(finish_s=records.finish_s[mask], ready_s=records.ready_s[mask])
        overall, _ = metrics(subset, done, alone, request_isolated_s=isolated[mask])
        normalised = ntt(subset, done, isolated[mask])
        return {
            "requests": int(mask.sum()),
            "violation_frac": overall["slo_violation_frac"],
            **{name: overall[name] for name in ("antt", "stp", "throughput_per_s", "fairness_frac")},
            **distribution(done.finish_s - subset.arrival_s, "latency", "s"),
            **distribution(normalised, "ntt"),
            "jain_frac": jain_index(1.0 / normalised),
        }

    family_of = np.array([profile.family for profile in profiles])[trace.network]
    levels = np.unique(trace.priority).tolist()
    return part(np.ones(len(late), dtype=bool)) | {
        "events": records.events,
        "decisions": records.decisions,
        "preemptions": int(records.preemptions.sum()),
        "families": {family: part(family_of == family) for family in sorted(set(family_of.tolist()))},
        "priorities": {f"{level:g}": {"requests": int((trace.priority == level).sum()),
                                      "violation_frac": float(late[trace.priority == level].mean())}
                       for level in levels[:32]},
    }


def _print(result: dict[str, Any]) -> None:
    from dse.console import out

    head = ("requests", "violation_frac", "antt", "p99_ntt", "max_ntt", "p50_latency_s", "p99_latency_s",
            "throughput_per_s")
    rows = [("all", result), *result["families"].items()]
    width = max(len(str(name)) for name, _ in rows)
    out(f"{'family':<{width}}  " + "  ".join(f"{name:>16}" for name in head))
    for name, row in rows:
        out(f"{name:<{width}}  " + "  ".join(f"{row[column]:>16.6g}" for column in head))
    out(f"policy {result['policy']}: stp {result['stp']:.4g}, fairness {result['fairness_frac']:.4g}, "
        f"{result['preemptions']} preemptions, {result['events']} layer events")
