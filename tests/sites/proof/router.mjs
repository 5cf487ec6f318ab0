// The real binary, and the folder of the site that it serves.

import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Program } from './children.mjs';

/** The flag that moves `/courses/{slug}` from legacy to new. */
const FLAG = 'course-page';

export class Router {
  constructor(binary) {
    this.binary = binary;
    this.temporary = mkdtempSync(join(tmpdir(), 'banyan-sites-'));
    process.on('exit', () => rmSync(this.temporary, { recursive: true, force: true }));
    this.folder = join(this.temporary, 'site');
    for (const name of ['routes', 'flags', 'certs', 'logs']) mkdirSync(join(this.folder, name), { recursive: true });
    this.saves = 0;
    this.ports = { https: 0, http: 0, private: 0, admin: 0 };
    this.logs = [];
  }

  /** The site's own address, as a visitor writes it. */
  get origin() { return `https://localhost:${this.ports.https}`; }

  /** Certificate of the development authority. */
  get authority() { return readFileSync(join(this.folder, 'state', 'dev-ca', 'ca.pem')); }

  get accessLog() { return readFileSync(join(this.folder, 'logs', 'access.log'), 'utf8').trim().split('\n'); }

  /** Saves a file in one step, as editors and Kubernetes do. */
  save(name, text) {
    this.saves += 1;
    const draft = join(this.temporary, `draft-${this.saves}`);
    writeFileSync(draft, `${text}\n# saved as number ${this.saves}\n`);
    renameSync(draft, join(this.folder, name));
  }

  saveEdge() {
    const at = (name) => `"127.0.0.1:${this.ports[name]}"`;
    this.save('banyan.toml', `hosts = ["localhost"]

[listen]
https   = [${at('https')}]
http    = [${at('http')}]
private = [${at('private')}]
admin   = ${at('admin')}

[log]
to = "logs/access.log"

[limits]
drain_delay   = "50ms"
drain_timeout = "5s"

[squads.learn]
paths = ["/courses/*", "/_next/*"]

[squads.legacy]
paths = ["/*"]`);
  }

  saveRoutes({ legacy, fresh }) {
    this.save('routes/legacy.toml', `squad = "legacy"

[backends.legacy]
servers = ["${legacy}"]

[[routes]]
path = "/static/*"
backend = "legacy"
cache = "standard"

[[routes]]
path = "/*"
backend = "legacy"`);
    this.saveLearn(fresh);
  }

  /** The squad's file; `more`: what a scene has beside it. */
  saveLearn(fresh, more = '') {
    this.save('routes/learn.toml', `squad = "learn"

[backends.learn-web]
servers = ["${fresh}"]

[[routes]]
path = "/courses/{slug}/*"
flag = "${FLAG}"
backends = { legacy = "legacy", new = "learn-web" }

[[routes]]
path = "/_next/*"
backend = "learn-web"
${more}`);
  }

  saveFlag(percent, state = 'enabled') {
    this.save(`flags/${FLAG}.toml`, `description = "The course pages move to Next.js"
squad = "learn"
state = "${state}"
variants = ["legacy", "new"]
default = "legacy"

[rollout]
new = ${percent.toFixed(1)}`);
  }

  async start() {
    const program = new Program('banyan', this.binary, ['run', '--config', join(this.folder, 'banyan.toml')]);
    this.program = program;
    this.logs.push(program.err);
    const serving = await program.line('serves', () => program.err.find((line) => / serving .*https=/.test(line)), 20_000);
    for (const name of Object.keys(this.ports)) {
      this.ports[name] = Number(new RegExp(`${name}="?127\\.0\\.0\\.1:(\\d+)`).exec(serving)?.[1]);
    }
  }

  /** Asks it to end, and starts it again at the same addresses with the same state. */
  async restart() {
    this.program.signal('SIGTERM');
    const ended = await this.program.end();
    this.saveEdge();
    await this.start();
    return ended;
  }

  /** Changes files and waits until the router says that the change is in force; milliseconds from the save until then. */
  async change(save) {
    const lines = this.program.err;
    const from = lines.length;
    save();
    const began = performance.now();
    const said = await this.program.line('takes the change', () => {
      return lines.slice(from).find((line) => / configuration .*outcome=/.test(line));
    });
    const took = performance.now() - began;
    if (!/outcome="?applied/.test(said)) throw new Error(`change not applied: ${lines.slice(from).join(' | ')}`);
    return took;
  }

  ramp(percent, state) { return this.change(() => this.saveFlag(percent, state)); }

  /** What the router complained of without being given a reason: no certificate, a broken file of the squad, an application that was stopped, or a drill, is one. */
  complaints() {
    const complaint = / (WARN|ERROR) |panicked/;
    return this.logs.flat().filter((line) => complaint.test(line) && !/no certificate found|learn\.toml|server (ejected|is back)|a drill (begins|ended)/.test(line));
  }
}
