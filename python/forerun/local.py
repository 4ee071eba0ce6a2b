"""A coordinator and a node on this machine for as long as a block runs: for trying things, and for tests."""
from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from typing import Any, Iterator, List, Optional, Union

from .client import Client, ForerunError

__all__ = ["dev"]

STOP_WITHIN_S = 15.0


@contextlib.contextmanager
def dev(catalog: Union[str, "os.PathLike[str]"], *, data: Optional[Union[str, "os.PathLike[str]"]] = None, slots: int = 4,
        binary: Optional[str] = None, **client: Any) -> Iterator[Client]:
    """Runs `forerun dev CATALOG` and yields a client of it. Tasks run in the catalog's folder.

    `data`: kept between runs, else temporary. `binary`: by default $FORERUN_BINARY, else the `forerun` of PATH. Other keywords
    are Client's. Raises ForerunError when it does not start, with what it said.
    """
    program = binary or os.environ.get("FORERUN_BINARY") or shutil.which("forerun")
    if program is None:
        raise ForerunError("forerun: not in PATH; put it there, or set FORERUN_BINARY")
    command: List[str] = [program, "dev", os.fspath(catalog), "--slots", str(slots), "--output", "json"]
    command += ["--data", os.fspath(data)] if data is not None else []
    # A terminal's Ctrl-C is for the caller, who then ends it in order.
    log = tempfile.TemporaryFile("w+")
    try:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True)
    except OSError as problem:
        log.close()
        raise ForerunError(f"{program}: cannot be started: {problem.strerror}") from problem
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line:
            code = process.wait()
            log.seek(0)
            raise ForerunError(f"forerun dev: exit code {code}: {log.read().strip()}")
        with Client(json.loads(line)["http"], **client) as ready:
            yield ready
    finally:
        process.terminate()
        try:
            process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
        log.close()
