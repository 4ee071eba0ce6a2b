"""Runs the README's quick start, line by line as printed, and looks for what the README says it prints."""
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading

ROOT = pathlib.Path(__file__).resolve().parent.parent
DEFAULT_PORTS = (7400, 7480)


def is_free(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def block(text, mark):
    return re.search(rf"<!-- {mark} -->\n```\w*\n(.*?)```", text, re.S).group(1)


def main():
    text = (ROOT / "README.md").read_text()
    for port in DEFAULT_PORTS:
        if not is_free(port):
            print(f"port {port}, which the README uses, is taken: end what listens there")
            return 1
    leftovers = [pathlib.Path("/tmp") / name for name in ("shop", "shop-node-1", "shop-node-1.token", "shop-run")]
    for path in leftovers:
        if path.exists():
            print(f"{path} exists: it is not this test's to remove")
            return 1
    commands = block(text, "test")
    # The README's commands with the tested binary, in a process group of their own so that nothing stays behind.
    script = "set -e\n" + commands.replace("build/release/forerun", os.environ["FORERUN_BINARY"])
    shell = subprocess.Popen(["bash", "-c", script], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             text=True, start_new_session=True)
    try:
        watchdog = threading.Timer(60, lambda: os.killpg(shell.pid, signal.SIGKILL))
        watchdog.start()
        code = shell.wait()
        watchdog.cancel()
    finally:
        os.killpg(shell.pid, signal.SIGKILL)
        printed = shell.stdout.read()
        for path in leftovers:
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    missing = [line for line in block(text, "shown").splitlines() if line not in printed]
    if code != 0 or missing:
        print(printed)
        print(f"exit code {code}; not printed: {missing}")
        return 1
    for link in re.findall(r"\]\(([^)]+)\)", text):
        if not (ROOT / link).exists():
            print(f"README.md links to {link}, which is not there")
            return 1
    return 0


sys.exit(main())
