// Answers every request with the fields that Node makes of it. Says its port on the first line.
import { createServer } from 'node:http';

const server = createServer((request, reply) => reply.end(JSON.stringify(request.headers)));
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
