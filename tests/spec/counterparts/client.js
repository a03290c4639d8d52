// Reads every kind of reply with node's clients. Arguments: port, TLS port, file of the authority, kinds.
'use strict';
const fs = require('fs');
const http = require('http');
const http2 = require('http2');
const https = require('https');

const [port, tlsPort, authority, kinds] = process.argv.slice(2);
const ca = fs.readFileSync(authority);

function read(stream) {
  return new Promise((resolve, reject) => {
    let body = '';
    stream.setEncoding('utf8');
    stream.on('data', (part) => { body += part; });
    stream.on('end', () => resolve(body));
    stream.on('error', reject);
    stream.on('aborted', () => reject(new Error('aborted')));
  });
}

function ask1(library, options, method, kind) {
  return new Promise((resolve, reject) => {
    const request = library.request({ ...options, method, path: `/kind/${kind}`, timeout: 5000 });
    request.on('response', (reply) => {
      read(reply).then((body) => resolve(`${reply.statusCode} [${body}]`), reject);
    });
    request.on('timeout', () => request.destroy(new Error('timeout')));
    request.on('error', reject);
    request.end();
  });
}

function ask2(session, method, kind) {
  return new Promise((resolve, reject) => {
    const stream = session.request({ ':method': method, ':path': `/kind/${kind}` });
    let status;
    stream.on('response', (headers) => { status = headers[':status']; });
    stream.setTimeout(5000, () => stream.close());
    read(stream).then((body) => resolve(`${status} [${body}]`), reject);
    stream.end();
  });
}

async function main() {
  const ways = {
    'http/1.1': async () => {
      const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
      const options = { host: '127.0.0.1', port, agent };
      return [(method, kind) => ask1(http, options, method, kind), () => agent.destroy()];
    },
    'https/1.1': async () => {
      const agent = new https.Agent({ keepAlive: true, maxSockets: 1, ca });
      const options = { host: 'localhost', port: tlsPort, agent };
      return [(method, kind) => ask1(https, options, method, kind), () => agent.destroy()];
    },
    'https/2': async () => {
      const session = http2.connect(`https://localhost:${tlsPort}`, { ca });
      session.on('error', () => {});
      return [(method, kind) => ask2(session, method, kind), () => session.close()];
    },
  };
  for (const [way, connect] of Object.entries(ways)) {
    for (const kind of kinds.split(',')) {
      for (const method of ['GET', 'HEAD']) {
        const [ask, close] = await connect();
        try {
          const first = await ask(method, kind);
          // So that a socket whose end was announced is not taken for one that goes on.
          await new Promise((resolve) => setImmediate(resolve));
          console.log(way, method, kind, first, await ask('GET', 'length'));
        } catch (error) {
          console.log(way, method, kind, String(error));
        }
        close();
      }
    }
  }
}

main();
