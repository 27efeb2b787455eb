"""Does what its arguments say, one after the other, as a worker that is a program.

WORD, WORD:VALUE:
  facts         writes what it finds itself in to the file facts.SLOT, as JSON
  notify:TEXT   sends this to NOTIFY_SOCKET; `\n` is a line feed
  child:TEXT    has a child send it, which ends at once
  say:TEXT      a line on standard output
  write:TEXT    the same without its end
  complain:TEXT a line on standard error
  flood:COUNT   so many datagrams of garbage, and so many lines
  sleep:SECONDS
  await:FILE    until it is there
  ignore:SIGNAL by its name
  note:SIGNAL   writes a line each time it comes
  grow:MIB      takes so much memory
  fork          leaves a child that ignores SIGTERM, for a minute
  serve         answers each connection with its own pid, until SIGTERM or QUIT
  shutdown      ends the listening of everybody who has the listener
  exit:STATUS
"""

import json
import os
import signal
import socket
import sys
import time


def facts():
    status = open("/proc/self/status").read().splitlines()
    line = lambda name: next(one.split()[1] for one in status if one.startswith(name + ":"))
    fds = {}
    for fd in os.listdir("/proc/self/fd"):
        try:
            fds[fd] = os.readlink("/proc/self/fd/" + fd)
        except FileNotFoundError:
            pass  # the one that lists them
    mask = os.umask(0)
    os.umask(mask)
    found = {
        "pid": os.getpid(),
        "environment": dict(os.environ),
        "descriptors": fds,
        "blocked": line("SigBlk"),
        "ignored": line("SigIgn"),
        "group": os.getpgrp(),
        "session": os.getsid(0),
        "directory": os.getcwd(),
        "umask": mask,
        "nice": os.nice(0),
        "uid": os.getuid(),
        "groups": os.getgroups(),
        "blocking": [os.get_blocking(3 + n) for n in range(int(os.environ["LISTEN_FDS"]))],
        "arguments": sys.argv[1:],
    }
    name = "facts." + os.environ["PREFORKD_SLOT"]
    with open(name + ".new", "w") as file:
        json.dump(found, file)
    os.rename(name + ".new", name)


def notify(text):
    name = os.environ["NOTIFY_SOCKET"]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
        one.sendto(text.encode(), "\0" + name[1:] if name[0] == "@" else name)


def child(text):
    pid = os.fork()
    if pid == 0:
        notify(text)
        os._exit(0)
    os.waitpid(pid, 0)


def number(name):
    return getattr(signal, "SIG" + name)


def stay():
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(60)
        os._exit(0)


def flood(count):
    for _ in range(count):
        print("x" * 5000, flush=True)
        notify("x" * 4000 + "=")
        notify("READY\nWATCHDOG=\0")


going = True


def finish(*_):
    global going
    going = False


def serve():
    signal.signal(signal.SIGTERM, finish)
    signal.signal(signal.SIGQUIT, finish)
    listener = socket.socket(fileno=3)
    listener.settimeout(0.05)
    while going:
        try:
            connection, _ = listener.accept()
        except TimeoutError:
            continue
        with connection:
            connection.settimeout(5)
            request = connection.recv(65536)
            body = f"{os.getpid()}\n".encode()
            head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            if request:
                connection.sendall(head.encode() + body)
    listener.detach()  # who comes after this word may want it


for argument in sys.argv[1:]:
    word, _, value = argument.partition(":")
    value = value.replace("\\n", "\n")
    if word == "facts":
        facts()
    elif word == "notify":
        notify(value)
    elif word == "child":
        child(value)
    elif word == "say":
        print(value, flush=True)
    elif word == "write":
        print(value, end="", flush=True)
    elif word == "complain":
        print(value, file=sys.stderr, flush=True)
    elif word == "flood":
        flood(int(value))
    elif word == "sleep":
        time.sleep(float(value))
    elif word == "await":
        while not os.path.exists(value):
            time.sleep(0.02)
    elif word == "ignore":
        signal.signal(number(value), signal.SIG_IGN)
    elif word == "note":
        signal.signal(number(value), lambda *_, name=value: print("noted " + name, flush=True))
    elif word == "grow":
        ballast = b"x" * (int(value) << 20)
    elif word == "fork":
        stay()
    elif word == "serve":
        serve()
    elif word == "shutdown":
        socket.socket(fileno=3).shutdown(socket.SHUT_RDWR)
    elif word == "exit":
        sys.exit(int(value))
    else:
        sys.exit("what is " + argument + "?")
