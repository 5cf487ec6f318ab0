// Visitors without a browser: many of them, quickly, with cookies, over verified TLS.

import http from 'node:http';
import https from 'node:https';

/** Sends one request and reads the whole answer. */
export function ask(address, { method = 'GET', headers = {}, body, ca, agent } = {}) {
  const { request } = address.startsWith('https:') ? https : http;
  return new Promise((resolve, reject) => {
    const sent = request(address, { method, headers, ca, agent }, (answer) => {
      const pieces = [];
      answer.on('data', (piece) => pieces.push(piece));
      answer.on('error', reject);
      answer.on('end', () => {
        resolve({ status: answer.statusCode, headers: answer.headers, text: Buffer.concat(pieces).toString() });
      });
    });
    sent.setTimeout(10_000, () => sent.destroy(new Error(`no answer within 10 s: ${address}`)));
    sent.on('error', reject);
    sent.end(body);
  });
}

export const generationOf = (html) => /<meta name="generation" content="(\w+)"/.exec(html)?.[1] ?? 'neither';

/** A visitor with a cookie jar. */
export class Visitor {
  constructor(router, agent) {
    this.router = router;
    this.agent = agent;
    this.cookies = new Map();
  }

  async ask(path, { headers, ...rest } = {}) {
    const cookie = [...this.cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    const answer = await ask(this.router.origin + path, {
      ...rest,
      headers: { accept: 'text/html', ...(cookie && { cookie }), ...headers },
      agent: this.agent,
    });
    for (const line of answer.headers['set-cookie'] ?? []) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
      this.cookies.set(name, value);
    }
    return answer;
  }

  /** Which generation shows this visitor the page. */
  async side(path = '/courses/rust') {
    const answer = await this.ask(path);
    if (answer.status !== 200) throw new Error(`${path} answered ${answer.status}`);
    return generationOf(answer.text);
  }
}

/** `count` visitors who share a few connections. */
export class Crowd {
  constructor(router, count) {
    this.agent = new https.Agent({ keepAlive: true, maxSockets: 8, ca: router.authority });
    this.visitors = Array.from({ length: count }, () => new Visitor(router, this.agent));
  }

  /** The side of each. */
  sides(path) { return Promise.all(this.visitors.map((visitor) => visitor.side(path))); }

  leave() { this.agent.destroy(); }
}

/** Whether `count` of `all` is a fair draw at `percent`, within five standard deviations. */
export function fair(count, all, percent) {
  const share = percent / 100;
  return Math.abs(count - all * share) <= 5 * Math.sqrt(all * share * (1 - share));
}
