// What the proofs share: the real program on a folder of files, children that never outlive a proof, and one line for each check.

import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

const children = new Set();
const undone = [];
/** Calls `undo` when the proof ends, however it does; the last first. */
export const atEnd = (undo) => undone.push(undo);
process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL');
  for (const undo of undone.reverse()) undo();
});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(1));

const counts = { passed: 0, failed: 0, skipped: 0 };

/** The closing line, and the end: code 1 when anything failed. */
export function close() {
  console.log(`${counts.passed} passed, ${counts.failed} failed${counts.skipped ? `, ${counts.skipped} skipped` : ''}`);
  process.exit(counts.failed === 0 ? 0 : 1);
}

/** Runs one check, and tells what it returns, if that is a text. The first that throws ends the proof. */
export async function check(name, run) {
  try {
    const told = await run();
    counts.passed += 1;
    console.log(`ok - ${name}${typeof told === 'string' ? `: ${told}` : ''}`);
  } catch (error) {
    counts.failed += 1;
    console.log(`not ok - ${name}: ${error.message.split('\n').slice(0, 6).join(' | ')}`);
    close();
  }
}

/** Says what can't be proved on this machine, and why. */
export function skip(name, why) {
  counts.skipped += 1;
  console.log(`skipped - ${name}: ${why}`);
}

/** Asks until the answer is truthy. */
export async function until(what, ask, limitMs = 60_000) {
  const end = Date.now() + limitMs;
  while (!await ask()) {
    if (Date.now() > end) throw new Error(`not within ${limitMs} ms: ${what}`);
    await pause(20);
  }
}

/** A program with what it has said so far, and its end. */
export function run(command, args) {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  children.add(child);
  const said = { child, out: '', err: '' };
  child.stdout.on('data', (piece) => { said.out += piece; });
  child.stderr.on('data', (piece) => { said.err += piece; });
  child.on('error', (error) => { said.err += error.message; });
  said.ended = new Promise((end) => { child.on('close', (code) => { children.delete(child); end(code); }); });
  return said;
}

/** The router on a folder with these squads' files (`{ name: toml }`); where it listens once it serves. */
export async function serve(program, squads) {
  const folder = mkdtempSync(join(tmpdir(), 'banyan-outside-'));
  atEnd(() => rmSync(folder, { recursive: true, force: true }));
  for (const name of ['routes', 'flags', 'certs', 'logs']) mkdirSync(join(folder, name));
  const listen = ['https = ["127.0.0.1:0"]', 'http = ["127.0.0.1:0"]', 'private = ["127.0.0.1:0"]', 'admin = "127.0.0.1:0"'];
  writeFileSync(join(folder, 'banyan.toml'), `hosts = ["localhost"]\n[listen]\n${listen.join('\n')}\n[log]\nto = "logs/access.log"\n`);
  for (const [name, toml] of Object.entries(squads)) writeFileSync(join(folder, `routes/${name}.toml`), `squad = "${name}"\n${toml}`);
  const router = run(resolve(program), ['run', '--config', join(folder, 'banyan.toml')]);
  const port = (name) => new RegExp(`${name}="?127\\.0\\.0\\.1:(\\d+)`).exec(router.err)?.[1];
  await check('the router serves', () => until('its word', () => {
    if (router.child.exitCode !== null) throw new Error(router.err);
    return port('https') && port('admin');
  }));
  return { folder, router, https: port('https'), admin: port('admin'), private: port('private') };
}
