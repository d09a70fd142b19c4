"""`dse schema`: JSON schema of our YAML files."""

from typing import Annotated

import typer

from dse.completion import kinds

__all__ = ["command"]


def command(
    kind: Annotated[str, typer.Argument(metavar="KIND", autocompletion=kinds,
                                        help="workload, engine, design, study or technology.")],
) -> None:
    """Print the JSON schema of a kind of file, for completion and checks in an editor.

    Save it, and put '# yaml-language-server: $schema=FILE' in the first line of the YAML file.
    """
    from dse.console import print_json
    from dse.errors import InputError, Problem, did_you_mean
    from dse.schema import KINDS, json_schema

    if kind not in KINDS:
        raise InputError(Problem(field="KIND", message=f"must be one of {', '.join(KINDS)}, got {kind!r}",
                                 hint=did_you_mean(kind, KINDS)))
    print_json(json_schema(kind))
