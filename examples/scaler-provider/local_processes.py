#!/usr/bin/env python3
"""A provider of "servers" that are processes of this machine, for Muster's `exec` provider.

It keeps to docs/reference/scaler-exec-provider.md. Parameters:

  folder    where the servers are kept, a folder each (made if it is not there)
  command   what a server runs, as a shell command line; it starts in the server's folder with
            MUSTER_SERVER_NAME, MUSTER_SERVER_FOLDER and MUSTER_USER_DATA (a file) set
  most      how many servers there may be at a time (no bound if left out)

A server's folder appears in one step with its labels in it, so that a server never exists without
them, whenever this program is killed. A server that is not reached at the machine's own address writes
the right one into the file `address` of its folder.
"""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

OK, QUOTA, RETRY, BAD_CONFIG = 0, 10, 12, 20
GRACE = 5.0


class Stop(Exception):
    """Ends the program with an exit code and a complaint."""

    def __init__(self, code, complaint):
        super().__init__(complaint)
        self.code = code


def say(answer):
    print(json.dumps(answer), flush=True)


def folder_of(request):
    folder = request["parameters"].get("folder", "")
    if not folder:
        raise Stop(BAD_CONFIG, "the parameter `folder` is missing")
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
    except OSError as error:
        raise Stop(BAD_CONFIG, f"cannot make {folder}: {error.strerror}")
    return os.path.abspath(folder)


def command_of(request):
    command = request["parameters"].get("command", "")
    if not command:
        raise Stop(BAD_CONFIG, "the parameter `command` is missing")
    return command


def most_of(request):
    most = request["parameters"].get("most", "")
    if most and not most.isdigit():
        raise Stop(BAD_CONFIG, f"the parameter `most` is no number: {most}")
    return int(most) if most else None


def path_of(folder, name):
    if not name or "/" in name or name.startswith("."):
        raise Stop(BAD_CONFIG, f"no name of a server: {name!r}")
    return os.path.join(folder, name)


def read_json(path):
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError):
        return None


def write_json(path, value):
    with open(path + ".new", "w", encoding="utf-8") as file:
        json.dump(value, file)
        file.flush()
        os.fsync(file.fileno())
    os.rename(path + ".new", path)


def started_at(pid):
    """When the process began, in clock ticks; None if there is none or it has ended."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            fields = file.read().rsplit(")", 1)[1].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def is_alive(process):
    """Whether it is still that process and not a later one with its number."""
    return process is not None and started_at(process["pid"]) == process["started"]


def address_of(folder, name):
    try:
        with open(os.path.join(folder, name, "address"), encoding="utf-8") as file:
            return file.read().strip() or "127.0.0.1"
    except OSError:
        return "127.0.0.1"


def server(folder, name):
    """The server as the protocol shows it, or None."""
    about = read_json(os.path.join(folder, name, "server.json"))
    if about is None:
        return None
    process = read_json(os.path.join(folder, name, "process.json"))
    if is_alive(process):
        phase, message = "active", ""
    elif process is not None:
        phase, message = "error", "its process has ended"
    elif time.time() - about["created"] > 10:
        phase, message = "error", "its process was never started"
    else:
        phase, message = "building", ""
    return {
        "id": name,
        "name": name,
        "labels": about["labels"],
        "phase": phase,
        "message": message,
        "address": address_of(folder, name),
        "created": about["created"],
    }


def servers(folder):
    names = sorted(name for name in os.listdir(folder) if not name.startswith("."))
    found = (server(folder, name) for name in names)
    return [one for one in found if one is not None]


def owner_of(one):
    return one["labels"].get("muster-owner")


def create(request):
    folder, command, most = folder_of(request), command_of(request), most_of(request)
    # One at a time, so that the bound on their number holds. The lock goes when we end.
    lock = open(os.path.join(folder, ".lock"), "wb")
    fcntl.flock(lock, fcntl.LOCK_EX)
    name = request["name"]
    path = path_of(folder, name)
    owner = request["labels"].get("muster-owner")
    there = server(folder, name)
    if there is None:
        if most is not None and len(servers(folder)) >= most:
            raise Stop(QUOTA, f"there are {most} servers already")
        born = tempfile.mkdtemp(prefix=".born-", dir=folder)
        data = os.open(os.path.join(born, "user-data"), os.O_WRONLY | os.O_CREAT, 0o600)
        with os.fdopen(data, "w", encoding="utf-8") as file:
            file.write(request["user_data"])
        about = {"labels": request["labels"], "created": time.time()}
        write_json(os.path.join(born, "server.json"), about)
        try:
            os.rename(born, path)
        except OSError:
            shutil.rmtree(born)
            there = server(folder, name)
    if there is not None:
        if owner_of(there) != owner:
            raise Stop(BAD_CONFIG, f"{name} is there and belongs to somebody else")
        if os.path.exists(os.path.join(path, "process.json")):
            say({"id": name, "already": True})
            return
    environment = dict(os.environ)
    environment["MUSTER_SERVER_NAME"] = name
    environment["MUSTER_SERVER_FOLDER"] = path
    environment["MUSTER_USER_DATA"] = os.path.join(path, "user-data")
    with open(os.path.join(path, "log"), "ab") as log:
        # The shell waits for a line before it becomes the command: if we are killed before we have
        # written down who it is, it reads the end instead and goes.
        process = subprocess.Popen(
            ["/bin/sh", "-c", f"read go || exit 1\nexec </dev/null\n{command}"],
            cwd=path,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    write_json(
        os.path.join(path, "process.json"),
        {"pid": process.pid, "started": started_at(process.pid)},
    )
    process.stdin.write(b"go\n")
    process.stdin.close()
    # A server that is deleted while it is being created must not stay.
    if server(folder, name) is None:
        end(process.pid)
        raise Stop(RETRY, f"{name} was deleted meanwhile")
    say({"id": name, "already": there is not None})


def end(pid):
    """Ends the process group, gently first."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(pid, number)
        except ProcessLookupError:
            return
        until = time.monotonic() + GRACE
        while time.monotonic() < until and started_at(pid) is not None:
            time.sleep(0.01)


def delete(request):
    folder = folder_of(request)
    name = request["id"]
    path = path_of(folder, name)
    there = server(folder, name)
    if there is None:
        say({"gone": True})
        return
    if owner_of(there) != request["owner"]:
        say({"refused": f"{name} does not belong to {request['owner']}"})
        return
    process = read_json(os.path.join(path, "process.json"))
    if is_alive(process):
        end(process["pid"])
    # It vanishes in one step, too.
    dying = tempfile.mkdtemp(prefix=".dying-", dir=folder)
    os.rename(path, os.path.join(dying, name))
    shutil.rmtree(dying)
    say({"gone": True})


def describe(request):
    folder = folder_of(request)
    path_of(folder, request["id"])
    say(server(folder, request["id"]) or {"gone": True})


def list_servers(request):
    for one in servers(folder_of(request)):
        if owner_of(one) == request["owner"]:
            say(one)
    say({"complete": True})


def limits(request):
    folder = folder_of(request)
    command_of(request)
    say({"servers": most_of(request), "used": len(servers(folder)), "notes": []})


VERBS = {
    "create": create,
    "delete": delete,
    "describe": describe,
    "list": list_servers,
    "limits": limits,
}


def main():
    verb = VERBS.get(sys.argv[-1])
    if verb is None:
        raise Stop(BAD_CONFIG, f"unknown verb {sys.argv[-1]!r}")
    request = json.loads(sys.stdin.readline())
    if request["protocol"] != 1:
        raise Stop(BAD_CONFIG, f"unknown version {request['protocol']} of the protocol")
    verb(request)


if __name__ == "__main__":
    try:
        main()
    except Stop as stop:
        print(stop, file=sys.stderr)
        sys.exit(stop.code)
