"""A PostgreSQL server for tests, from Debian's package: started in a folder of its own, on a free port of this machine.

Without encryption and with fsync off: what a killed server process loses is what is tested, not a power cut.
"""

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

PASSWORD = "s3cret/word"


def programs() -> Path | None:
    """Folder of initdb and pg_ctl; None where PostgreSQL is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"), key=lambda p: int(p.parts[-3]))
    if found:
        return found[-1].parent
    plain = shutil.which("pg_ctl")
    return Path(plain).parent if plain else None


def missing() -> str:
    """Why there can be no server; '' when there can."""
    if programs() is None:
        return "needs Debian's package postgresql"
    try:
        import psycopg  # noqa: F401
    except ImportError:
        return "needs the package psycopg (npu-codesign[postgresql])"
    return ""


class Server:
    """Running from the start; `close` removes it.

    Parameters
    ----------
    folder : new, short (the name of a socket has 107 characters at most), where the user of the server may write.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.data = folder, folder / "data"
        self.user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name  # it refuses root
        folder.mkdir()
        if os.geteuid() == 0:
            shutil.chown(folder, self.user)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        secret = folder / "password"
        secret.write_text(PASSWORD)
        self._run("initdb", "--pgdata", str(self.data), "--username", "dse", "--auth", "scram-sha-256", "--no-sync",
                  "--encoding", "UTF8", "--locale", "C", f"--pwfile={secret}")
        self.start()

    def _run(self, program: str, *arguments: str) -> None:
        folder = programs()
        assert folder is not None
        command = [str(folder / program), *arguments]
        if os.geteuid() == 0:
            command = ["setpriv", f"--reuid={self.user}", f"--regid={self.user}", "--clear-groups", *command]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{program}: {done.stdout}{done.stderr}")

    def start(self) -> None:
        settings = (f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c fsync=off "
                    "-c shared_buffers=16MB -c max_connections=40")
        self._run("pg_ctl", "start", "--pgdata", str(self.data), "--wait", "--timeout", "120", "--log",
                  str(self.folder / "log"), "-o", settings)

    def stop(self, *, mode: str = "immediate") -> None:
        self._run("pg_ctl", "stop", "--pgdata", str(self.data), "--wait", "--timeout", "120", "--mode", mode)

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, database: str = "postgres", password: str = PASSWORD) -> str:
        return f"postgresql://dse:{quote(password, safe='')}@127.0.0.1:{self.port}/{database}"

    def ask(self, statement: str, database: str = "postgres") -> list[tuple]:
        """Rows that a statement gives, on a connection of its own."""
        import psycopg

        with psycopg.connect(self.url(database), autocommit=True) as connection:
            found = connection.execute(statement)
            return found.fetchall() if found.description else []

    def create(self, database: str) -> str:
        """A new database; its address."""
        self.ask(f"CREATE DATABASE {database}")
        return self.url(database)

    def cut_connections(self) -> int:
        """End all connections of drivers; how many there were."""
        return len(self.ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'dse'"))


@contextlib.contextmanager
def temporary_server() -> Iterator[Server]:
    """A server that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="dse-pg-") as name:
        Path(name).chmod(0o755)
        server = Server(Path(name) / "pg")
        try:
            yield server
        finally:
            server.close()
