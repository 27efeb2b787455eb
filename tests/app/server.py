"""An HTTP/1.1 server in a thread for each connection, on an inherited socket.

It knows nothing of whoever started it but two things: the socket is descriptor 3,
and SIGTERM means to stop accepting and to finish what has begun. Its answers say
`Connection: close` from then on; a connection without a request for three
seconds is closed.
"""

import signal
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

finishing = threading.Event()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 3
    wbufsize = -1

    def do_GET(self):
        body = b"index\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        if finishing.is_set():
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = False  # the end waits for them


server = Server(("", 0), Handler, bind_and_activate=False)
server.socket.close()
server.socket = socket.socket(fileno=3)
# Others accept on it as well: whoever comes too late must not wait.
server.socket.setblocking(False)


def finish(*_):
    finishing.set()
    threading.Thread(target=server.shutdown).start()


signal.signal(signal.SIGTERM, finish)
server.serve_forever(poll_interval=0.1)
server.server_close()
