// The npm `oidc-provider`, which is certified by the OpenID Foundation, as the identity provider of a site: its people, its pages, and
// the ways in which it can be away.

import { generateKeyPairSync, randomUUID } from 'node:crypto';
import http from 'node:http';
import https from 'node:https';
import { Provider } from 'oidc-provider';
import { createMemoryAdapter } from 'oidc-provider/lib/adapters/memory_adapter.js';

export const CLIENT = 'banyan';
export const SECRET = 's3cret:%& of the edge';
/** Of access tokens, in seconds. Nothing of the edge goes by them. */
const ACCESS_TOKEN_LASTS = 1;
const STRONG = 'mfa';

const escaped = (text) => String(text).replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);
const page = (title, body) => `<!doctype html><meta charset="utf-8"><title>${title}</title><h1>${title}</h1>${body}`;

const newKeys = () => ['ec', 'rsa'].map((kind) => {
  const options = kind === 'ec' ? { namedCurve: 'P-256' } : { modulusLength: 2048 };
  const { privateKey } = generateKeyPairSync(kind, options);
  const alg = kind === 'ec' ? 'ES256' : 'RS256';
  return { ...privateKey.export({ format: 'jwk' }), kid: randomUUID(), alg, use: 'sig' };
});

export class IdentityProvider {
  /** People by name; `strong` says whether one has a second factor. */
  people = {
    alice: { name: '앨리스', roles: ['member'], strong: true },
    bob: { name: 'Bob', roles: ['member', 'staff'], strong: true },
    carol: { name: 'Carol', roles: ['member'], strong: false },
  };

  /** Grants of the token endpoint, by kind; `failed` has what it refused. */
  grants = { authorization_code: 0, refresh_token: 0, failed: [] };

  /** Parameters with which browsers were sent here. */
  asked = [];

  /** What the edge answered to logout tokens. */
  told = [];

  keys = newKeys();

  /** What it remembers: sessions, grants, refresh tokens. A restart knows them. */
  memory = createMemoryAdapter();

  /** Who asked before it knew whom it serves. */
  early = [];

  /** Says nothing to anybody. */
  hangs = false;

  /** Where it keeps ways back to the edge, instead of sending browsers there. */
  withheld = null;

  async start() {
    this.server = http.createServer((request, response) => this.answer(request, response));
    await new Promise((done) => { this.server.listen(0, '127.0.0.1', done); });
    this.port = this.server.address().port;
  }

  get issuer() { return `http://127.0.0.1:${this.port}`; }

  /** Whom it serves: an edge at `origin`, whose certificates are `authority`'s. */
  serve(origin, authority) {
    Object.assign(this, { origin, authority });
    this.build();
    for (const answer of this.early.splice(0)) answer();
  }

  build() {
    const provider = new Provider(this.issuer, this.settings());
    provider.on('grant.success', (ctx) => { this.grants[ctx.oidc.params.grant_type] += 1; });
    provider.on('grant.error', (ctx, error) => this.grants.failed.push(`${ctx.oidc.params?.grant_type}: ${error.message}`));
    provider.on('server_error', (_, error) => this.grants.failed.push(String(error.stack)));
    provider.on('backchannel.error', (_, error) => this.told.push(`failed: ${error.message}`));
    this.provider = provider;
    this.callback = provider.callback();
  }

  settings() {
    const { origin } = this;
    return {
      adapter: this.memory,
      jwks: { keys: this.keys },
      cookies: { keys: ['not a secret'] },
      conformIdTokenClaims: false, // roles are in the ID token
      claims: { openid: ['sub'], profile: ['name', 'roles'], email: ['email'], acr: null, auth_time: null, sid: null },
      acrValues: ['0', STRONG],
      pkce: { required: () => true },
      rotateRefreshToken: true,
      issueRefreshToken: () => true,
      ttl: { AccessToken: ACCESS_TOKEN_LASTS, RefreshToken: 3600, Session: 3600, Grant: 3600, Interaction: 600, IdToken: 60 },
      clients: [{
        client_id: CLIENT,
        client_secret: SECRET,
        grant_types: ['authorization_code', 'refresh_token'],
        id_token_signed_response_alg: 'ES256',
        redirect_uris: [`${origin}/.banyan/callback`],
        post_logout_redirect_uris: [`${origin}/.banyan/logout`],
        backchannel_logout_uri: `${origin}/.banyan/backchannel-logout`,
        backchannel_logout_session_required: true,
      }],
      features: {
        devInteractions: { enabled: false },
        backchannelLogout: { enabled: true },
        rpInitiatedLogout: {
          enabled: true,
          logoutSource: (ctx, form) => {
            ctx.body = page('Sign out?', `${form}<button form="op.logoutForm" name="logout" value="yes">Yes</button>`);
          },
          postLogoutSuccessSource: (ctx) => { ctx.body = page('Signed out', ''); },
        },
      },
      interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
      findAccount: (_, id) => ({
        accountId: id,
        claims: () => ({ sub: id, name: this.people[id].name, roles: this.people[id].roles, email: `${id}@example.test` }),
      }),
      // the edge is the company's own: nobody is asked whether it may know them
      loadExistingGrant: async (ctx) => {
        const { client, session, provider } = ctx.oidc;
        const known = session.grantIdFor(client.clientId);
        const grant = (known && await provider.Grant.find(known))
          || new provider.Grant({ clientId: client.clientId, accountId: session.accountId });
        grant.addOIDCScope('openid profile email');
        await grant.save();
        return grant;
      },
      fetch: (url, options) => this.tell(url, options),
    };
  }

  /** Posts a logout token to the edge, whose certificate the system does not know. */
  async tell(url, options) {
    const { body, headers } = new Request(url, { method: options.method, headers: options.headers, body: options.body, duplex: 'half' });
    const text = await new Response(body).text();
    const answer = await new Promise((done, failed) => {
      const request = https.request(url, { method: options.method, ca: this.authority(), headers: Object.fromEntries(headers) }, done);
      request.on('error', failed);
      request.end(text);
    });
    answer.resume();
    this.told.push(answer.statusCode);
    return new Response(null, { status: answer.statusCode });
  }

  answer(request, response) {
    if (this.hangs) return;
    if (!this.callback) {
      this.early.push(() => this.answer(request, response));
      return;
    }
    const url = new URL(request.url, this.issuer);
    if (url.pathname === '/auth') this.asked.push(Object.fromEntries(url.searchParams));
    if (url.pathname.startsWith('/interaction/')) {
      this.interact(request, response).catch((error) => response.writeHead(500).end(String(error)));
      return;
    }
    if (this.withheld) this.withhold(response);
    this.callback(request, response);
  }

  withhold(response) {
    const end = response.end.bind(response);
    response.end = (...rest) => {
      const to = String(response.getHeader('location') ?? '');
      if (!to.startsWith(this.origin)) return end(...rest);
      this.withheld.push(to);
      for (const name of ['location', 'content-length']) response.removeHeader(name);
      response.statusCode = 200;
      return end('withheld');
    };
  }

  /** The sign-in page. Whoever is asked for more than a password presses the other button. */
  async interact(request, response) {
    const { uid, params } = await this.provider.interactionDetails(request, response);
    if (request.method === 'GET') {
      const again = escaped(params.prompt ?? 'no');
      response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(page(
        'Who are you?',
        `<form method="post" action="/interaction/${uid}" data-prompt="${again}"><label>Name <input name="who" autofocus></label>
         <button name="how" value="password">Sign in</button> <button name="how" value="strong">Sign in, with the second factor</button></form>`,
      ));
      return;
    }
    const form = new URLSearchParams(await new Response(request).text());
    const who = form.get('who');
    const person = this.people[who];
    const result = person
      ? { login: { accountId: who, acr: person.strong && form.get('how') === 'strong' ? STRONG : '0' } }
      : { error: 'access_denied' };
    await this.provider.interactionFinished(request, response, result, { mergeWithLastSubmission: false });
  }

  /** Signs with other keys from now on, as after a restart with new ones. What it gave before counts on. */
  rotate() {
    this.keys = newKeys();
    this.build();
  }

  /** Ends listening, and all connections. */
  async stop() {
    this.server.closeAllConnections();
    await new Promise((done) => { this.server.close(done); });
  }

  /** Listens again where it did. */
  async again() {
    this.hangs = false;
    this.server = http.createServer((request, response) => this.answer(request, response));
    await new Promise((done) => { this.server.listen(this.port, '127.0.0.1', done); });
  }
}
