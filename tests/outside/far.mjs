// A server at the far end of a bad line: in a network namespace of its own, packets vanish, come late, or are lost.   node tests/outside/far.mjs PROGRAM
//
// Namespaces take root and iproute2, delay and loss at random a kernel with netem: what this machine lacks is skipped, by a line that says so.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import http from 'node:http';
import { atEnd, check, close, run, serve, skip, until } from './program.mjs';

/** Requests of each check. */
const ASKED = 300;
/** Who waits for the far server pays this much for it. */
const FIRST_BYTE_MS = 500;
/** Those who may pay before the server is known to be gone: five failures in a row, on each of a few connections at once. */
const PAID_MAX = 20;
/** Visitors at once. */
const VISITORS = 4;

const [program] = process.argv.slice(2);
if (!program) {
  console.error('usage: node far.mjs PROGRAM');
  process.exit(2);
}

const name = `banyan-${process.pid}`;
const near = `bn${process.pid}`.slice(0, 15);
const subnet = `10.213.${process.pid % 250}`;
const ip = (...args) => execFileSync('ip', args, { stdio: ['ignore', 'pipe', 'pipe'] });
const inside = (...args) => ip('netns', 'exec', name, ...args);

/** Makes the namespace and the line to it; why not, if not. */
function lay() {
  try {
    ip('netns', 'add', name);
    atEnd(() => { try { ip('netns', 'del', name); } catch { /* it went with its last process */ } });
    ip('link', 'add', near, 'type', 'veth', 'peer', 'name', 'far0', 'netns', name);
    ip('addr', 'add', `${subnet}.1/24`, 'dev', near);
    ip('link', 'set', near, 'up');
    inside('ip', 'addr', 'add', `${subnet}.2/24`, 'dev', 'far0');
    inside('ip', 'link', 'set', 'far0', 'up');
    inside('ip', 'link', 'set', 'lo', 'up');
    return null;
  } catch (error) {
    return `${error.stderr ?? error.message}`.trim().split('\n')[0];
  }
}

const why = lay();
if (why) {
  skip('a server at the far end of a bad line', `no network namespace (${why})`);
  close();
}

const FAR = `require('node:http').createServer((_, response) => response.end('far'))
  .listen(0, '0.0.0.0', function () { console.log(this.address().port); });`;
const far = run('ip', ['netns', 'exec', name, process.execPath, '-e', FAR]);
await check('a server listens at the far end', () => until('its port', () => /\d+\n/.test(far.out)));
const close2 = http.createServer((_, response) => response.end('near'));
await new Promise((on) => close2.listen(0, '127.0.0.1', on));
const backend = (key, servers) => `[backends.${key}]
servers = ${JSON.stringify(servers)}
connect_timeout = "${FIRST_BYTE_MS}ms"
first_byte_timeout = "${FIRST_BYTE_MS}ms"
[[routes]]
path = "/${key}/*"
backend = "${key}"
`;
const servers = { near: `http://127.0.0.1:${close2.address().port}`, far: `http://${subnet}.2:${Number(far.out)}` };
const site = await serve(program, {
  world: backend('both', [servers.near, servers.far])
    + backend('spare', [servers.near])
    + backend('turns', [servers.near, servers.far]).replace('[[routes]]', 'pick = "round-robin"\n[[routes]]\nfallback = "spare"')
    + backend('far', [servers.far]).replaceAll(`${FIRST_BYTE_MS}ms`, '30s'),
});

/** Asks so many times; who answered, and how many waited for longer than the far server is waited for. Throws when one fails. */
async function ask(path) {
  const seen = { near: 0, far: 0, paid: 0 };
  let left = ASKED;
  const agent = new http.Agent({ keepAlive: true, maxSockets: VISITORS });
  const one = () => new Promise((done, failed) => {
    const began = performance.now();
    http.get(`http://127.0.0.1:${site.private}${path}`, { agent, headers: { host: 'localhost' } }, (answer) => {
      let text = '';
      answer.on('data', (piece) => { text += piece; });
      answer.on('error', failed);
      answer.on('end', () => {
        if (answer.statusCode !== 200) return failed(new Error(`${path}: ${answer.statusCode} ${answer.headers['proxy-status']}`));
        seen[text] += 1;
        seen.paid += performance.now() - began >= FIRST_BYTE_MS ? 1 : 0;
        return done();
      });
    }).on('error', failed);
  });
  const visitor = async () => {
    while (left > 0) {
      left -= 1;
      await one();
    }
  };
  await Promise.all(Array.from({ length: VISITORS }, visitor));
  agent.destroy();
  return seen;
}
const told = ({ near: here, far: there, paid }) => `${here} near, ${there} far, ${paid} waited`;

await check('both ends serve, by turns', async () => {
  const seen = await ask('/turns/a');
  assert.ok(seen.near > ASKED / 4 && seen.far > ASKED / 4, told(seen));
  return told(seen);
});
await check('packets vanish, with connections open: no request fails, and a few pay for it, once', async () => {
  inside('ip', 'route', 'add', 'blackhole', `${subnet}.1/32`);
  const seen = await ask('/turns/a');
  assert.equal(seen.far, 0, told(seen));
  assert.ok(seen.paid > 0 && seen.paid <= PAID_MAX, told(seen));
  return told(seen);
});
await check('they come through again: the server is back by itself', async () => {
  inside('ip', 'route', 'del', 'blackhole', `${subnet}.1/32`);
  let seen;
  await until('its share', async () => {
    seen = await ask('/turns/a');
    return seen.far > ASKED / 4;
  });
  return told(seen);
});

/** Makes the far end send as `how` says; why not, if not. */
function send(...how) {
  try {
    inside('tc', 'qdisc', 'replace', 'dev', 'far0', 'root', ...how);
    return null;
  } catch (error) {
    return `${error.stderr ?? error.message}`.trim().split('\n')[0];
  }
}

/** No request fails on a line like this; where there is a choice, the near server gets nearly all. */
async function bear(what, how) {
  const lacks = send(...how);
  if (lacks) {
    skip(what, `this kernel has no ${how[0]} (${lacks})`);
    return;
  }
  await check(`${what}: no request fails, and the near server gets nearly all`, async () => {
    const seen = await ask('/both/a');
    assert.ok(seen.far < ASKED / 4, told(seen));
    return told(seen);
  });
  await check(`${what}, on the only line there is: no request fails`, async () => told(await ask('/far/a')));
}

// what the queue can't hold is lost
await bear('a narrow line, 64 kbit/s with a queue of 3 kB', ['tbf', 'rate', '64kbit', 'burst', '1600', 'limit', '3000']);
await bear('answers come 80 ms late, and 3 % are lost', ['netem', 'delay', '80ms', '20ms', 'loss', '3%']);
await bear('20 % are lost', ['netem', 'delay', '20ms', 'loss', '20%']);
close();
