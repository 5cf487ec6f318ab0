// One squad's backend hangs under 5,000 open requests: what does another squad notice?   node tests/outside/crowd.mjs PROGRAM [SECONDS]
//
// h2load asks, this program answers for both squads. Counts and errors decide; times are printed, since on a busy machine they are noise.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import { Agent, get } from 'node:https';
import net from 'node:net';
import { join } from 'node:path';
import { check, close, run, serve, until } from './program.mjs';

/** Requests that stay open at the backend that hangs: all of its seats. */
const OPEN = 5_000;
/** Streams of one connection, as the router offers them. */
const STREAMS = 100;
/** Requests that come too late, one after another. */
const LATE = 200;
/** "Full" is promised in 5 ms. Here it may take ten times as long in the middle: this machine runs the load, both backends and the router. */
const FULL_MS_MAX = 50;
/** Times that the other squad is measured, quietly and beside the crowd. */
const ROUNDS = 3;
/** Requests a second of the other squad: far below what fills a core, so that what is measured is no queue of its own. */
const RATE = 200;

const [program, seconds = '4'] = process.argv.slice(2);
if (!program) {
  console.error('usage: node crowd.mjs PROGRAM [SECONDS]');
  process.exit(2);
}

/** Reads what it is asked, and never answers; how many it holds. */
let held = 0;
const hung = net.createServer((socket) => {
  held += 1;
  socket.resume();
  socket.on('close', () => { held -= 1; });
  socket.on('error', () => {});
});
const quick = http.createServer((_, response) => response.end('quick'));
const listen = (server) => new Promise((on) => server.listen(0, '127.0.0.1', 8_192, () => on(server.address().port)));
const [hungPort, quickPort] = [await listen(hung), await listen(quick)];

const { folder, router, https, admin } = await serve(program, {
  exports: `[backends.exports]
servers = ["http://127.0.0.1:${hungPort}"]
in_flight_max = ${OPEN}
connections_max = ${OPEN}
first_byte_timeout = "10m"
total_timeout = "10m"
[[routes]]
path = "/exports/*"
backend = "exports"
`,
  pages: `[backends.pages]
servers = ["http://127.0.0.1:${quickPort}"]
[[routes]]
path = "/pages/*"
backend = "pages"
`,
});

/** The other squad under an even load: the time of each request in microseconds, sorted. Throws when one fails. */
async function measure(name) {
  const log = join(folder, name);
  const load = run('h2load', ['-t1', '-c8', '-m1', '-D', seconds, '--rps', String(RATE / 8), `--log-file=${log}`, `https://localhost:${https}/pages/a`]);
  assert.equal(await load.ended, 0, load.err);
  assert.match(load.out, / 0 failed, 0 errored, 0 timeout/);
  const rows = readFileSync(log, 'utf8').trim().split('\n').map((row) => row.split('\t').map(Number));
  assert.ok(rows.every(([, status]) => status === 200), 'an answer that is not 200');
  return rows.map(([, , took]) => took).sort((a, b) => a - b);
}
const at = (sorted, share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
const median = (numbers) => at([...numbers].sort((a, b) => a - b), 0.5);

async function rounds(name) {
  const figures = [];
  let asked = 0;
  for (let round = 0; round < ROUNDS; round += 1) {
    const sorted = await measure(`${name}-${round}`);
    asked += sorted.length;
    figures.push({ p50: at(sorted, 0.5), p99: at(sorted, 0.99) });
  }
  return { asked, p50: median(figures.map(({ p50 }) => p50)), p99: median(figures.map(({ p99 }) => p99)) };
}

await measure('warm');
let quiet;
await check('the other squad, quiet', async () => {
  quiet = await rounds('quiet');
  return `${quiet.asked} requests, none failed; p50 ${quiet.p50} us, p99 ${quiet.p99} us`;
});

const crowd = run('h2load', ['-t1', `-n${OPEN}`, `-c${OPEN / STREAMS}`, `-m${STREAMS}`, `https://localhost:${https}/exports/all`]);
await check(`${OPEN} requests are open at the backend that hangs`, async () => {
  await until('all of them', () => held === OPEN).catch((error) => { throw new Error(`${error.message}; there are ${held}`); });
});

await check('the other squad beside them', async () => {
  const beside = await rounds('beside');
  assert.equal(beside.asked > 0.9 * quiet.asked, true, `${beside.asked} requests, quietly ${quiet.asked}`);
  const ratio = (of) => (beside[of] / quiet[of]).toFixed(2);
  return `${beside.asked} requests, none failed; p50 ${beside.p50} us (${ratio('p50')} times), p99 ${beside.p99} us (${ratio('p99')} times)`;
});

await check('the full backend says so at once', async () => {
  const ca = readFileSync(join(folder, 'state/dev-ca/ca.pem'));
  const agent = new Agent({ keepAlive: true, maxSockets: 1, ca });
  const took = [];
  for (let count = 0; count < LATE; count += 1) {
    const began = performance.now();
    const answer = await new Promise((done, failed) => {
      get(`https://localhost:${https}/exports/more`, { agent }, (response) => {
        response.resume();
        response.on('end', () => done(response));
      }).on('error', failed);
    });
    took.push(performance.now() - began);
    assert.equal(answer.statusCode, 503);
    assert.ok(Number(answer.headers['retry-after']) > 0, 'no Retry-After');
  }
  agent.destroy();
  took.sort((a, b) => a - b);
  const [p50, p99] = [at(took, 0.5), at(took, 0.99)];
  assert.ok(p50 < FULL_MS_MAX, `${p50} ms`);
  return `${LATE} times 503 with Retry-After; p50 ${p50.toFixed(2)} ms, p99 ${p99.toFixed(2)} ms, promised 5`;
});

await check('those who wait left no trace when they have gone', async () => {
  assert.equal(held, OPEN, 'they were all still open');
  crowd.child.kill('SIGKILL');
  await until('the backend is left alone', () => held === 0);
  await until('no seat is taken', async () => {
    const page = await (await fetch(`http://127.0.0.1:${admin}/metrics`)).text();
    return !/^banyan_backend_requests_in_flight\{backend="exports"\} [1-9]/m.test(page);
  });
});

await check('it drains and ends with 0', async () => {
  router.child.kill('SIGTERM');
  assert.equal(await router.ended, 0, router.err.slice(-500));
});
close();
