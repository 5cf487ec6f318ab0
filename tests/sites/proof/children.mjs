// Programs that the proof starts. None of them outlives it, however it ends.

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { until } from './until.mjs';

const running = new Set();

process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** A program with the lines it has written so far. */
export class Program {
  constructor(name, command, args, options = {}) {
    this.name = name;
    this.out = [];
    this.err = [];
    this.ended = null;
    this.child = spawn(command, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
    running.add(this.child);
    createInterface({ input: this.child.stdout }).on('line', (line) => this.out.push(line));
    createInterface({ input: this.child.stderr }).on('line', (line) => this.err.push(line));
    this.child.on('error', (error) => { this.ended = { error }; });
    this.child.on('exit', (code, signal) => {
      running.delete(this.child);
      this.ended = { code, signal };
    });
  }

  /** Waits for what `find` finds in the lines; an early end of the program is an error that shows its last words. */
  line(what, find, limitMs) {
    return until(`${this.name}: ${what}`, () => find() ?? (this.ended ? 'ended' : null), limitMs).then((found) => {
      if (found !== 'ended') return found;
      throw new Error(`${this.name} ended early: ${[...this.out, ...this.err].slice(-8).join(' | ')}`);
    });
  }

  signal(name) {
    if (!this.ended) this.child.kill(name);
  }

  /** Waits until it has ended; how. */
  end(limitMs = 15_000) {
    return until(`${this.name} ends`, () => this.ended, limitMs);
  }

  /** Ends it at once. */
  async kill() {
    this.signal('SIGKILL');
    await this.end();
  }
}

/** Starts one of the two applications, and waits for the line that says where it listens. */
export async function startApp(name, script) {
  const program = new Program(name, process.execPath, [script]);
  const hello = await program.line('says where it listens', () => program.out.find((line) => line.startsWith('{')), 20_000);
  program.address = JSON.parse(hello).address;
  return program;
}
