// An HTTP/1.1 server on an inherited socket. It knows nothing of whoever started
// it but two things: the socket is descriptor 3, and SIGTERM means to stop
// accepting and to finish what has begun.
'use strict';
const http = require('node:http');
const net = require('node:net');

let finishing = false;
const server = http.createServer((request, response) => {
  if (finishing) response.setHeader('Connection', 'close');
  response.setHeader('Content-Length', 6);
  response.end('index\n');
});
server.keepAliveTimeout = 3000;
server.listen({ fd: 3 });
process.on('SIGTERM', () => {
  finishing = true;
  // http.Server's own close() would also cut kept connections, on which the
  // next request may be on its way: they go with the answer to it.
  net.Server.prototype.close.call(server);
});
