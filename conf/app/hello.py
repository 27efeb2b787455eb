"""A server of a few lines: one connection at a time, on an inherited socket."""
import signal, socket

stop = []
signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
listener = socket.socket(fileno=3)
listener.settimeout(0.2)  # others accept on it as well: one may come too late
while not stop:
    try:
        client, _ = listener.accept()
    except TimeoutError:
        continue
    with client:
        if client.recv(65536):
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nhello\n")
