// Reads one input in hex from each line, and writes what Node's parsers take for the value of NAME in it: one line of JSON,
// for each reader null or the list of values in hex.  node reader.mjs query|body|fields NAME
import http from 'node:http';
import net from 'node:net';
import querystring from 'node:querystring';
import { createInterface } from 'node:readline';

import express4 from 'express4';
import express5 from 'express5';
import qs from 'qs';

const [kind, name] = process.argv.slice(2);

/** The strings in a value, however deep. */
function leaves(value) {
  if (value === undefined || value === null) return [];
  if (typeof value === 'object') return Object.values(value).flatMap(leaves);
  return [String(value)];
}

/** What Express puts into `req.query`. */
function express(framework, mode) {
  const app = framework();
  app.disable('x-powered-by');
  app.set('query parser', mode);
  let seen;
  app.use((request) => {
    seen = request.query;
  });
  return (query) => {
    seen = undefined;
    app.handle({ method: 'GET', url: `/x?${query}`, headers: {} }, { setHeader() {}, end() {} });
    return seen?.[name];
  };
}

const queries = {
  qs: (query) => qs.parse(query)[name],
  'qs allowDots': (query) => qs.parse(query, { allowDots: true })[name],
  'qs comma': (query) => qs.parse(query, { comma: true, ignoreQueryPrefix: true, allowPrototypes: true })[name],
  'qs sentinel': (query) => qs.parse(query, { charsetSentinel: true, interpretNumericEntities: true, allowEmptyArrays: true, decodeDotInKeys: true, allowDots: true })[name],
  querystring: (query) => querystring.parse(query)[name],
  URLSearchParams: (query) => new URLSearchParams(query).getAll(name),
  URL: (query) => new URL(`http://host/x?${query}`).searchParams.getAll(name),
  'Express 4 extended': express(express4, 'extended'),
  'Express 4 simple': express(express4, 'simple'),
  'Express 5 extended': express(express5, 'extended'),
  'Express 5 simple': express(express5, 'simple'),
};

const bodies = {
  'JSON.parse': (body) => {
    const value = JSON.parse(new TextDecoder('utf-8').decode(body));
    return Object.hasOwn(value, name) ? value[name] : undefined;
  },
  'JSON.parse of a Buffer': (body) => JSON.parse(body)[name],
};

/** A server that answers nobody and keeps what it read of the last request. */
async function server() {
  let seen = null;
  const read = http.createServer((request, reply) => {
    seen = request;
    reply.end();
  });
  await new Promise((ready) => read.listen(0, '127.0.0.1', ready));
  const { port } = read.address();
  return (head) =>
    new Promise((done) => {
      seen = null;
      const socket = net.connect(port, '127.0.0.1', () => socket.end(head));
      socket.resume();
      socket.on('error', () => {});
      socket.on('close', () => done(seen));
    });
}

const fields = {
  'http headers': (request) => request.headers[name],
  'http headersDistinct': (request) => request.headersDistinct[name],
};

const hex = (text) => Buffer.from(text, kind === 'fields' ? 'latin1' : 'utf8').toString('hex');

function answer(readers, input) {
  const read = (reader) => {
    try {
      return leaves(reader(input)).map(hex);
    } catch {
      return null;
    }
  };
  return JSON.stringify(Object.values(readers).map(read));
}

const readers = { query: queries, body: bodies, fields }[kind];
const ask = kind === 'fields' ? await server() : null;
const out = [JSON.stringify(Object.keys(readers))];
for await (const line of createInterface({ input: process.stdin })) {
  const bytes = Buffer.from(line, 'hex');
  if (kind === 'query') out.push(answer(readers, bytes.toString('latin1')));
  if (kind === 'body') out.push(answer(readers, bytes));
  if (kind === 'fields') {
    const request = await ask(bytes);
    out.push(request === null ? JSON.stringify(Object.keys(readers).map(() => null)) : answer(readers, request));
  }
}
process.stdout.write(`${out.join('\n')}\n`, () => process.exit());
