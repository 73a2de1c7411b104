"""The processes that a script has started and all that these have: who they are and what they have used."""
import os
import pathlib

TICK = os.sysconf("SC_CLK_TCK")


def fields(pid):
    """Of `/proc/PID/stat`, from the state on."""
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()


def family(pid):
    """The process and all that descend from it, the eldest first."""
    children = {}
    for stat in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            children.setdefault(int(fields(stat.name)[1]), []).append(int(stat.name))
        except OSError:
            continue
    found = [pid]
    for one in found:
        found += children.get(one, [])
    return found


def cpu(pid):
    """Seconds of a core, its ended children's among them."""
    try:
        return sum(int(ticks) for ticks in fields(pid)[11:15]) / TICK
    except OSError:
        return 0.0


def server(pid):
    """Which server a process belongs to: `kafka`, `postgres`, or `others`; `None`: it has ended."""
    try:
        command = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return None
    return next((name for name in ("kafka", "postgres") if name in command), "others")
