// Runs the public suite of tests for HTTP caches against the real binary:  node prove.mjs PATH-TO-BANYAN [--suite FOLDER] [--bless]
//
// The suite is npm's `http-cache-tests`; FOLDER may hold a clone of the newer https://github.com/http-tests/cache-tests instead.
// One line for each check, then `N passed, N failed`; exit code 1 when anything failed. Nothing it starts outlives it.
// What starts programs is that of ../sites.

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import fetch from 'node-fetch';
import { Program } from '../sites/proof/children.mjs';
import { check, close } from '../sites/proof/report.mjs';
import { Router } from '../sites/proof/router.mjs';

/** Longest run, in milliseconds: the suite waits three seconds wherever time must pass. */
const RUN_MS_MAX = 240_000;
/** Tests that the suite calls required and a cache that is no browser is asked: npm's, and those of a clone at commit b55b8bd. */
const REQUIRED = { npm: 157, clone: 160 };

const here = dirname(fileURLToPath(import.meta.url));
const { values: { suite: clone, bless }, positionals: [binary] } = parseArgs({
  options: { suite: { type: 'string' }, bless: { type: 'boolean' } }, allowPositionals: true,
});
if (!binary || !existsSync(binary)) {
  console.error('usage: node prove.mjs PATH-TO-BANYAN [--suite FOLDER] [--bless]');
  process.exit(2);
}
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(1));
setTimeout(() => {
  console.log(`not ok - the whole run ends within ${RUN_MS_MAX / 1000} s`);
  process.exit(1);
}, RUN_MS_MAX).unref();

const engine = clone ? join(resolve(clone), 'test-engine') : join(here, 'node_modules/http-cache-tests');
const load = (...path) => import(pathToFileURL(join(...path)));
const { getResults, runTests } = await load(engine, 'client/runner.mjs');
const { default: suites } = await load(clone ? resolve(clone) : engine, 'tests/index.mjs');
const run = (base) => clone ? runTests(suites, false, base) : runTests(suites, fetch, false, base);

const freePort = () => new Promise((found) => {
  const socket = createServer().listen(0, '127.0.0.1', () => {
    const { port } = socket.address();
    socket.close(() => found(port));
  });
});

const router = new Router(resolve(binary));
let inside = '';

await check('the suite\'s server and the router start', async () => {
  const port = await freePort();
  const server = new Program('the suite\'s server', process.execPath, [join(engine, 'server/server.mjs')], {
    env: {
      ...process.env,
      npm_config_protocol: 'http',
      npm_config_port: String(port),
      npm_config_pidfile: join(router.temporary, 'suite.pid'),
    },
  });
  await server.line('listens', () => server.out.find((line) => line.startsWith('Listening')), 20_000);
  router.saveEdge();
  const route = (path, cache) => `[[routes]]\npath = "${path}"\nbackend = "suite"\n${cache}`;
  router.save('routes/legacy.toml', `squad = "legacy"
[backends.suite]
servers = ["http://127.0.0.1:${port}"]
${route('/config/*', '')}${route('/state/*', '')}${route('/test/*', `[routes.cache]
unkeyed_headers = "all"
set_cookie = "keep"
authorization = "shared"
`)}`);
  await router.start();
  inside = `http://localhost:${router.ports.private}`;
  return inside;
});

const tests = suites.flatMap((suite) => suite.tests).filter((test) => !test.browser_only);
/** Tests of npm's suite that today's contradicts or no longer asks for, and why. */
const outdated = new Map(clone ? [] : Object.entries(JSON.parse(readFileSync(join(here, 'outdated.json'), 'utf8'))));
const kindOf = (test) => test.kind ?? 'required';

if (inside) {
  await check('the suite runs to its end', () => run(inside));
  const results = getResults();
  const named = new Map(suites.flatMap((suite) => suite.tests).map((test) => [test.id, test]));
  const passed = (test) => results[test.id] === true && (test.depends_on ?? []).every((id) => passed(named.get(id)));
  const required = tests.filter((test) => kindOf(test) === 'required');
  for (const test of required) {
    if (outdated.has(test.id)) continue;
    await check(`${test.id}: ${test.name}`, () => {
      if (!passed(test)) throw new Error(`${results[test.id]}`);
    });
  }
  const wanted = REQUIRED[clone ? 'clone' : 'npm'];
  await check(`all ${wanted} required tests were there`, () => {
    for (const id of outdated.keys()) if (!named.has(id)) throw new Error(`${id} is none of them`);
    if (required.length !== wanted) throw new Error(`there are ${required.length}`);
  });
  // what is not required is a decision: it is written down, and a change of it is seen
  const answers = {};
  for (const test of tests.filter((test) => kindOf(test) !== 'required')) {
    answers[test.id] = passed(test);
  }
  const file = join(here, clone ? 'answers-clone.json' : 'answers.json');
  if (bless) writeFileSync(file, `${JSON.stringify(answers, null, 1)}\n`);
  const known = JSON.parse(readFileSync(file, 'utf8'));
  for (const [id, answer] of Object.entries(answers)) {
    if (known[id] !== answer) await check(id, () => { throw new Error(`it was ${known[id]}, and is ${answer}`); });
  }
  const count = Object.values(answers).filter(Boolean).length;
  await check('what is not required is as it was', () => `${count} of ${Object.keys(answers).length} as the suite would like it`);
}
process.exit(close());
