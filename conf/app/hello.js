// A server of a few lines on an inherited socket.
const server = require('node:http').createServer((request, response) => response.end('hello\n'));
server.listen({ fd: 3 });
process.on('SIGTERM', () => server.close());
