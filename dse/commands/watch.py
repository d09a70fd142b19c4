"""`dse watch`: a page that follows a running study."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["command"]


def command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run: running, finished or not begun.",
                                        show_default=False)],
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0: any free one. Default: "
                                                                    "8642, or any free one.",
                                             show_default=False)] = None,
) -> None:
    """Serve a page on 127.0.0.1 that follows a run: trials, rate, front, hypervolume. Ctrl-C ends it, not the run."""
    import contextlib
    import sys

    from dse.console import note, out
    from dse.interrupts import sigterm_interrupts
    from dse.watch import Follower, serve

    server = serve(Follower(run), port)
    with sigterm_interrupts(), contextlib.suppress(KeyboardInterrupt), server:
        out(f"http://127.0.0.1:{server.server_port}/")
        sys.stdout.flush()
        note(f"following {run}; Ctrl-C ends this page, not the run")
        server.serve_forever(poll_interval=0.2)
