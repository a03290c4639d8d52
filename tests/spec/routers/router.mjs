// Reads the routes, then one request a line, and writes which of the routes each router takes it to: one line of JSON.
//   node router.mjs   (from a folder with express4 and express5)
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';

const require = createRequire(`${process.cwd()}/`);
const express4 = require('express4');
const express5 = require('express5');

/** A pattern of ours as the router writes it. */
function translate(path, special) {
  const segment = (text) => {
    if (text.startsWith('{')) return `:${text.slice(1, -1)}`;
    if (text === '**') return special === express4 ? '*' : '*rest';
    return text.replace(/[:+]/g, (letter) => (special === express4 ? `[${letter}]` : `\\${letter}`));
  };
  return path.split('/').map(segment).join('/');
}

/** A router that tells every route which it would take a request to. */
function router(framework, options, routes) {
  const made = framework.Router(options);
  let found;
  for (const { name, method, path } of routes) {
    const take = (request, reply, next) => {
      found.add(name);
      next();
    };
    const route = translate(path, framework);
    if (method === '*') made.all(route, take);
    else made[method.toLowerCase()](route, take);
  }
  return (method, url) => {
    found = new Set();
    let end;
    made.handle({ method, url, headers: {} }, { setHeader() {}, end() {}, set() {}, send() {} }, (error) => {
      end = error;
    });
    return end ? null : [...found];
  };
}

/** The same, where a guard stands before everything below a path. */
function guard(framework, routes) {
  const made = framework.Router();
  let found;
  for (const { name, path } of routes.filter((route) => route.path.endsWith('/**'))) {
    made.use(translate(path.slice(0, -3), framework), (request, reply, next) => {
      found.add(name);
      next();
    });
  }
  return (method, url) => {
    found = new Set();
    made.handle({ method, url, headers: {} }, {}, () => {});
    return [...found];
  };
}

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const routes = JSON.parse((await lines.next()).value);
const strict = { caseSensitive: true, strict: true };
const readers = {
  'Express 4': router(express4, {}, routes),
  'Express 4 strict': router(express4, strict, routes),
  'Express 4 use': guard(express4, routes),
  'Express 5': router(express5, {}, routes),
  'Express 5 strict': router(express5, strict, routes),
  'Express 5 use': guard(express5, routes),
  'URL and decodeURIComponent': (method, url) => {
    const path = decodeURIComponent(new URL(url, 'http://host').pathname);
    return routes.filter((route) => route.path === path && (route.method === '*' || route.method === method)).map((route) => route.name);
  },
};
const out = [JSON.stringify(Object.keys(readers))];
for await (const line of lines) {
  const [method, target] = JSON.parse(line);
  const read = (reader) => {
    try {
      return reader(method, target);
    } catch {
      return null;
    }
  };
  out.push(JSON.stringify(Object.values(readers).map(read)));
}
process.stdout.write(`${out.join('\n')}\n`, () => process.exit());
