// The edge with a gate, and people in front of it.

import { fresh } from '../sites/proof/browser.mjs';
import { Router } from '../sites/proof/router.mjs';
import { CLIENT, SECRET } from './provider.mjs';

/** How often a session that is used is checked at the provider, in seconds. */
export const CHECK = 2;

const route = (path, more) => `[[routes]]\npath = "${path}"\nbackend = "app"\n${more}\n`;

export class Site extends Router {
  /** The operator's file, for whoever `issuer` is. The ports are those that it had before, if any. */
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
drain_timeout = "2s"
[squads.app]
paths = ["/*"]
[gate]
issuer = "${this.issuer}"
client_id = "${CLIENT}"
client_secret = "${SECRET}"
default_auth = "none"
[gate.session]
absolute = "10m"
idle = "1m"
check = "${CHECK}s"`);
  }

  saveSite(issuer, app) {
    this.issuer = issuer;
    this.saveEdge();
    const routes = [
      route('/public/*', ''),
      route('/account/*', 'auth = "required"'),
      route('/staff', 'auth = "required"\nroles = ["staff"]'),
      route('/vault', 'auth = "required"\nrequire = { acr = "mfa" }'),
      route('/pay', 'auth = "required"\nrequire = { max_age = "10s" }'),
    ];
    this.save('routes/app.toml', `squad = "app"\n[backends.app]\nservers = ["${app}"]\n${routes.join('')}`);
  }

  at(path) { return `${this.origin}${path}`; }
}

/** Somebody with a browser of their own. */
export class Person {
  constructor(world, context) {
    Object.assign(this, { world, context });
  }

  static async arrive(world) {
    const person = new Person(world, await fresh(world.browser));
    person.page = await person.context.newPage();
    return person;
  }

  /** Goes to a page, wherever that leads; the last answer. */
  open(path, page = this.page) { return page.goto(this.world.site.at(path)); }

  /** Fills in the provider's page. */
  async tell(who, how = 'password', page = this.page) {
    await page.fill('input[name=who]', who);
    await Promise.all([page.waitForURL((url) => url.origin !== this.world.idp.issuer), page.click(`button[value=${how}]`)]);
  }

  /** Signs in on the way to `path`. */
  async signIn(who, path = '/account/home') {
    await this.open(path);
    await this.tell(who);
    return this;
  }

  /** Asks as a script of the page does. */
  fetch(path) {
    return this.page.evaluate(async (path) => {
      const began = performance.now();
      const answer = await fetch(path);
      const text = await answer.text();
      return { status: answer.status, type: answer.headers.get('content-type'), text, took: performance.now() - began };
    }, path);
  }

  async cookies() { return (await this.context.cookies(this.world.site.origin)).filter(({ name }) => name.startsWith('__Host-banyan-')); }

  async session() { return (await this.cookies()).find(({ name }) => name.endsWith('-session'))?.value; }

  get at() { return this.page.url().replace(this.world.site.origin, ''); }

  user() { return this.page.textContent('#user'); }
}
