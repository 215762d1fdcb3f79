"""What the scripts beside this one share: where things are, and how the program is run and a check is said."""

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
PANNIER = pathlib.Path(os.environ.get("PANNIER", ROOT / ".build/release/pannier")).resolve()
SAMPLE = ROOT / "Samples/KJV-Llama-2.8M"
checks = 0


def check(what, truth):
    """Says what holds, and ends the script with status 1 where it does not."""
    global checks
    checks += 1
    if not truth:
        sys.exit(f"FAILED: {what}")
    print(f"  ok  {what}")


def run(*arguments, folder=None):
    """Runs the program, in a folder where one is given, whatever its exit status."""
    return subprocess.run([PANNIER, *map(str, arguments)], capture_output=True, text=True, errors="replace", cwd=folder)


def pannier(*arguments, status=0, folder=None):
    """Runs the program, which must end with a status; what it printed."""
    done = run(*arguments, folder=folder)
    if done.returncode != status:
        sys.exit(f"FAILED: pannier {' '.join(map(str, arguments))} ended with {done.returncode}\n{done.stderr}")
    return done.stdout
