"""A stage in a second: `python fake_command.py NAME SECONDS SOURCE FOLDER`. Standard library only, for it starts often.

It counts its steps in a checkpoint, from which it goes on, and tells in FOLDER/journal what it does: `begun STAGE PID
STEP`, `finished STAGE`, and `overlap` should another command be at work in FOLDER. A file SOURCE/fault asks it to fail:
"error" as a command of ours does at a user's mistake, "crash" at every attempt, "crash once" at the first,
"left behind" leaves a child. While there is SOURCE/hold, it does not get on.
"""

import os
import subprocess
import sys
import time

STEPS = 10


def main() -> None:
    name, seconds, source, folder = sys.argv[1], float(sys.argv[2]), sys.argv[3], sys.argv[4]
    checkpoint, working = f"{folder}/{name}.step", f"{folder}/working"
    step = int(read(checkpoint) or 0)
    write(f"begun {name} {os.getpid()} {step}", f"{folder}/journal")
    other = read(working)
    if other and alive(int(other)):
        write("overlap", f"{folder}/journal")
    with open(working, "w") as file:
        file.write(str(os.getpid()))
    fault = read(f"{source}/fault")
    if fault == "error":
        print("\x1b[31merror: photo.jpg: is <b>broken</b>; copy it again\x1b[0m")
        sys.exit(1)
    if fault == "crash" or (fault == "crash once" and not os.path.exists(f"{folder}/crashed")):
        open(f"{folder}/crashed", "w").close()
        print("Traceback (most recent call last):\nRuntimeError: out of luck\nat last")
        sys.exit(3)
    if fault == "left behind":
        child = subprocess.Popen([sys.executable, "-I", "-S", "-c", "import time; time.sleep(600)"])
        write(f"child {child.pid}", f"{folder}/journal")
    for done in range(step, STEPS):
        while os.path.exists(f"{source}/hold"):
            time.sleep(0.05)
        time.sleep(seconds / STEPS)
        with open(f"{checkpoint}.new", "w") as file:
            file.write(str(done + 1))
        os.replace(f"{checkpoint}.new", checkpoint)
    os.unlink(working)
    write(f"finished {name}", f"{folder}/journal")
    open(f"{folder}/{name}.result", "w").close()


def read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read().strip()
    except FileNotFoundError:
        return ""


def write(line: str, path: str) -> None:
    with open(path, "a") as file:
        file.write(line + "\n")


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


if __name__ == "__main__":
    main()
