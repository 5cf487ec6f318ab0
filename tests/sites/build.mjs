// Builds the new generation with `next build`, unless what is there was made from the same sources.

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const site = join(here, 'new');
const stamp = join(site, '.next', 'made-from');

function sources(folder) {
  return readdirSync(folder).sort().flatMap((name) => {
    const path = join(folder, name);
    if (name === '.next' || name === 'next-env.d.ts') return [];
    return statSync(path).isDirectory() ? sources(path) : [path];
  });
}

function fingerprint() {
  const hash = createHash('sha256').update(process.version);
  const shared = ['package-lock.json', 'courses.json', 'gates.mjs'].map((name) => join(here, name));
  for (const path of [...shared, ...sources(site)]) hash.update(path.slice(here.length)).update(readFileSync(path));
  return hash.digest('hex');
}

const made = fingerprint();
if (existsSync(stamp) && readFileSync(stamp, 'utf8') === made) {
  console.log('new/: up to date');
} else {
  const next = join(here, 'node_modules', 'next', 'dist', 'bin', 'next');
  const env = { ...process.env, NEXT_TELEMETRY_DISABLED: '1', NODE_ENV: 'production' };
  const run = spawnSync(process.execPath, [next, 'build', site], { cwd: site, env, stdio: 'inherit' });
  if (run.status !== 0) process.exit(run.status ?? 1);
  writeFileSync(stamp, made);
}
