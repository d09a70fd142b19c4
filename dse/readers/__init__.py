"""Readers: any file that describes a network becomes a `hwmodels.network.Network`.

    load_network   a zoo name, *.onnx, *.pt2 (torch.export), a Hugging Face config.json or its folder,
                   a SCALE-Sim topology *.csv, a Timeloop problem or ZigZag workload *.yaml

One convention for all (printed by `dse inspect`): one MAC is one multiply-accumulate of a matrix product or
convolution; attention is counted dense; everything else is a vector operation.
"""

from pathlib import Path

from dse.errors import InputError, Problem, did_you_mean
from dse.readers.record import NetworkFile, Unsupported

__all__ = ["NetworkFile", "Unsupported", "load_network"]

_YAML = (".yaml", ".yml")
_SUFFIXES = (".onnx", ".pt2", ".json", ".csv", *_YAML)


def _zoo_sizes(spec: str, bind: dict[str, int]) -> dict[str, int]:
    """`bind` as arguments of a zoo network: its sizes are the parameters with a number as default."""
    from inspect import signature

    from hwmodels.networks import NETWORKS

    sizes = [name for name, p in signature(NETWORKS[spec]).parameters.items() if isinstance(p.default, int)]
    problems = []
    for name, value in bind.items():
        if name not in sizes:
            problems.append(Problem(field="bind", message=f"must be one of {', '.join(sizes)} for {spec}, got '{name}'",
                                    hint=did_you_mean(name, sizes)))
        elif isinstance(value, bool) or not isinstance(value, int) or value < 1:
            problems.append(Problem(field=f"bind {name}", message=f"must be an integer >= 1, got {value}"))
    if problems:
        raise InputError(*problems)
    return bind


def _zoo(spec: str, bind: dict[str, int] | None) -> NetworkFile:
    from hwmodels.errors import InvalidLayer, ModelError
    from hwmodels.networks import NETWORKS, network

    try:
        found = NETWORKS[spec](**_zoo_sizes(spec, bind)) if bind and spec in NETWORKS else network(spec)
    except InvalidLayer as error:
        raise InputError(Problem(field="bind", message=f"must be sizes that {spec} can have: {error}")) from error
    except ModelError as error:
        raise InputError(Problem(
            field="network", message=f"must be a network of the zoo ({', '.join(NETWORKS)}) or a file (*.onnx, "
            f"*.pt2, config.json or its folder, topology *.csv, Timeloop or ZigZag *.yaml), got '{spec}'",
            hint=did_you_mean(spec, list(NETWORKS)))) from error
    return NetworkFile(kind="zoo", network=found, notes=found.notes)


def _refuse_bind(bind: dict[str, int] | None, path: Path) -> None:
    if bind:
        raise InputError(Problem(file=str(path), field="bind",
                                 message=f"must be absent (all sizes are fixed), got {', '.join(sorted(bind))}"))


def _yaml(path: Path) -> NetworkFile:
    """A Timeloop problem or a ZigZag workload, whichever the file looks like."""
    from dse.readers.timeloop import is_problem, parse_problem, read_problem
    from dse.readers.zigzag import is_workload, read_workload

    document = parse_problem(path)
    if is_problem(document.value):
        return read_problem(path)
    if is_workload(document.value):
        return read_workload(path)
    kind = document.value.get("kind") if isinstance(document.value, dict) else None
    hint = f"a {kind} of ours: see `dse check`" if kind in ("workload", "engine", "design", "study") else ""
    raise InputError(*document.problems, document.problem(
        (), "must be a Timeloop problem (key problem) or a ZigZag workload (a list of layers with operator_type, "
        f"equation, loop_dims), got {document.got(())}", hint=hint))


def load_network(spec: str, *, folder: Path | None = None, bind: dict[str, int] | None = None, phase: str = "prefill",
                 tokens: int = 512, context: int | None = None, batch: int = 1, head: str = "last",
                 mlp: str | None = None) -> NetworkFile:
    """The network that `spec` names.

    Parameters
    ----------
    spec : zoo name, or path (relative ones against `folder`, default the working directory).
    bind : symbolic dimensions of an ONNX file, or sizes of a zoo network or configuration (batch, tokens ...) [-].
    phase, tokens, context, batch : of a language model: `prefill` of `tokens`, or `decode` of one token against
        `context` cached ones (default: `tokens`) [-].
    head : output product on the `last` token (serving) or on `all` (as exported graphs do); prefill only.
    mlp : `gated` or `plain`, for configurations whose `model_type` is unknown.

    Raises
    ------
    InputError : every problem found in the file.
    """
    path = Path(spec) if folder is None else folder / spec
    suffix = path.suffix.lower()
    looks_like_file = suffix in _SUFFIXES or "/" in spec or "\\" in spec
    if not looks_like_file and not path.is_dir():
        if path.is_file():
            raise InputError(Problem(file=str(path),
                                     message=f"must be a network file ({', '.join(_SUFFIXES)}), got '{suffix}'"))
        return _zoo(spec, bind)
    if not looks_like_file:
        from hwmodels.networks import NETWORKS

        if spec in NETWORKS:  # a folder of the same name must not hide the zoo
            return _zoo(spec, bind)
    if not path.exists():
        raise InputError(Problem(file=str(path), message="no such file"))
    if path.is_dir() or suffix == ".json":
        from dse.readers.huggingface import read_config

        sizes = {"tokens": tokens, "context": context, "batch": batch}
        unknown = [name for name in bind or {} if name not in sizes]
        if unknown:
            raise InputError(*[Problem(file=str(path), field="bind", hint=did_you_mean(name, list(sizes)),
                                       message=f"must be one of {', '.join(sizes)}, got '{name}'") for name in unknown])
        return read_config(path, phase=phase, head=head, mlp=mlp, **{**sizes, **(bind or {})})  # type: ignore[arg-type]
    if suffix == ".onnx":
        from dse.readers.onnx_layers import read_onnx

        return read_onnx(path, bind or {})
    if suffix == ".pt2":
        from dse.readers.torch_export import read_torch

        return read_torch(path, bind or {})
    if suffix == ".csv":
        from dse.readers.logs import detect
        from dse.readers.scalesim import read_topology

        log = detect(path)
        if log is not None:
            raise InputError(Problem(file=str(path), line=1, hint="a log is traffic: {kind: trace, file: ...}",
                                     message=f"must be a network, got a request log ({log.name})"))
        _refuse_bind(bind, path)
        return read_topology(path)
    if suffix in _YAML:
        _refuse_bind(bind, path)
        return _yaml(path)
    raise InputError(Problem(file=str(path),
                             message=f"must be a network file ({', '.join(_SUFFIXES)}), got '{suffix}'"))
