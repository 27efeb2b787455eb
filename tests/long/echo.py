"""Octets back, a thread for each connection, on an inherited socket."""
import signal, socket, threading

stop = []
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # for the threads too
listeners = [socket.socket(fileno=number) for number in (3, 4)]


def echo(client):
    with client:
        while octets := client.recv(65536):
            client.sendall(octets)


def accept(listener):
    listener.settimeout(0.1)  # others accept on it as well: one may come too late
    while not stop:
        try:
            client, _ = listener.accept()
        except TimeoutError:
            continue
        client.settimeout(None)
        threading.Thread(target=echo, args=(client,)).start()


threads = [threading.Thread(target=accept, args=(listener,)) for listener in listeners]
for thread in threads:
    thread.start()
signal.sigwait({signal.SIGTERM})
stop.append(True)
for thread in threads:
    thread.join()
