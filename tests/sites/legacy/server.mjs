// The legacy application: Express renders every page with EJS, as it was built years ago.

import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import express from 'express';
import { WebSocketServer } from 'ws';
import { pieces } from '../bytes.mjs';
import { open, waitAt } from '../gates.mjs';

/** Largest download, in MiB. */
const DOWNLOAD_MIB_MAX = 1024;
const TOLD = ['banyan-flags', 'x-forwarded-proto', 'x-forwarded-host', 'x-request-id', 'via', 'traceparent'];

const here = dirname(fileURLToPath(import.meta.url));
const courses = JSON.parse(readFileSync(join(here, '..', 'courses.json'), 'utf8'));
const carts = new Map();
const listeners = new Set();
let streams = 0;

const app = express();
app.set('views', join(here, 'views'));
app.set('view engine', 'ejs');
app.set('trust proxy', 'loopback');
app.disable('x-powered-by');
app.use((request, response, next) => {
  response.set('X-Generation', 'legacy');
  next();
});
app.use('/static', express.static(join(here, 'public'), { maxAge: '1h' }));
app.use(express.urlencoded({ extended: false }));
app.use((request, response, next) => {
  const told = TOLD.map((name) => [name, request.get(name) ?? '–']);
  response.show = (view, values) => app.render(view, { ...values, courses }, (error, body) => {
    if (error) return next(error);
    return response.render('layout', { title: values.title, body, told, items: cartOf(request).length });
  });
  next();
});

/** The session's cart; read from the cookie, made on the first write. */
function cartOf(request) {
  const session = /(?:^|; )sid=([^;]+)/.exec(request.headers.cookie ?? '')?.[1];
  return carts.get(session) ?? [];
}

function courseOf(request, next) {
  const course = courses.find(({ slug }) => slug === request.params.slug);
  if (!course) next();
  return course;
}

app.get('/healthz', (request, response) => response.type('text').send('ok'));
app.get('/favicon.ico', (request, response) => response.sendFile(join(here, 'public', 'favicon.svg')));
app.get('/', (request, response) => response.show('home', { title: 'Home' }));
app.get('/courses/:slug', (request, response, next) => {
  const course = courseOf(request, next);
  if (course) response.show('course', { title: course.title, course });
});
app.get('/courses/:slug/lessons', (request, response, next) => {
  const course = courseOf(request, next);
  if (course) response.show('lessons', { title: `Lessons of ${course.title}`, course });
});
app.get('/courses/:slug/side', (request, response) => {
  response.json({ generation: 'legacy', flags: request.get('banyan-flags') ?? null });
});

app.get('/cart', (request, response) => response.show('cart', { title: 'Cart', items: cartOf(request) }));
app.post('/cart', (request, response) => {
  const items = [...cartOf(request), String(request.body?.course ?? '')];
  const session = randomUUID();
  carts.set(session, items);
  // `secure` and the absolute address are right only when the router says how the visitor came.
  response.cookie('sid', session, { httpOnly: true, secure: request.secure, sameSite: 'lax' });
  response.redirect(303, `${request.protocol}://${request.get('host')}/cart`);
});

app.get('/headers', (request, response) => response.json(request.headers));

app.get('/live', (request, response) => response.show('live', { title: 'Live' }));
app.get('/events', (request, response) => {
  response.set({ 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' });
  response.write('data: hello\n\n');
  listeners.add(response);
  request.on('close', () => listeners.delete(response));
});
app.post('/events', (request, response) => {
  for (const listener of listeners) listener.write(`data: ${request.body?.say}\n\n`);
  response.json({ listeners: listeners.size });
});

app.get('/stream', async (request, response) => {
  const key = String(request.query.key);
  streams += 1;
  response.on('close', () => { streams -= 1; });
  response.type('html');
  response.write('<!doctype html><meta charset="utf-8"><title>Stream</title><meta name="generation" content="legacy">\n');
  for (let chunk = 1; chunk <= 3; chunk += 1) {
    response.write(`<p id="chunk-${chunk}">Chunk ${chunk}</p>\n`);
    if (chunk < 3 && !(await waitAt(`${key}-${chunk}`))) break;
  }
  response.end('<p id="end">All of it.</p>\n');
});
app.post('/stream', (request, response) => {
  open(String(request.query.key));
  response.json({ opened: true });
});

app.get('/open', (request, response) => response.json({ streams, listeners: listeners.size }));

app.get('/download', async (request, response) => {
  const bytes = Math.min(Number(request.query.mib) || 1, DOWNLOAD_MIB_MAX) * 1024 * 1024;
  response.set({ 'Content-Type': 'application/octet-stream', 'Content-Length': String(bytes) });
  // A visitor that leaves ends the pipeline with an error; there is nobody left to tell.
  await pipeline(Readable.from(pieces(bytes)), response).catch(() => {});
});
app.post('/upload', async (request, response) => {
  let bytes = 0;
  for await (const piece of request) bytes += piece.length;
  response.json({ bytes });
});

app.use((request, response) => response.status(404).show('missing', { title: 'Not found', path: request.path }));

const server = createServer(app);
const sockets = new WebSocketServer({ server, path: '/ws', perMessageDeflate: { threshold: 0 } });
sockets.on('connection', (socket) => {
  socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
});
server.listen(0, '127.0.0.1', () => {
  console.log(JSON.stringify({ name: 'legacy', address: `http://127.0.0.1:${server.address().port}` }));
});
process.on('SIGTERM', () => process.exit(0));
