// A WebSocket and server-sent events from a page, while the router changes underneath.

import assert from 'node:assert/strict';
import https from 'node:https';
import WebSocket from 'ws';
import { fresh } from '../browser.mjs';
import { check } from '../report.mjs';
import { Visitor } from '../visitor.mjs';

const RELOADS = 5;

async function openSocket(page) {
  await page.evaluate(() => new Promise((resolve, reject) => {
    const socket = new WebSocket(`wss://${location.host}/ws`);
    window.live = { socket, got: [], closed: null };
    socket.onmessage = ({ data }) => {
      window.live.got.push(data);
      const item = document.createElement('li');
      item.textContent = String(data).slice(0, 60);
      document.getElementById('echoes').append(item);
    };
    socket.onclose = ({ code, reason, wasClean }) => { window.live.closed = { code, reason, wasClean }; };
    socket.onopen = resolve;
    socket.onerror = () => reject(new Error('the socket did not open'));
  }));
}

/** Sends `text` on the page's socket and waits for its echo. */
async function echoes(page, text) {
  await page.evaluate((say) => window.live.socket.send(say), text);
  await page.waitForFunction((say) => window.live.got.at(-1) === say, text);
}

async function handshakes(context, page) {
  const seen = [];
  const session = await context.newCDPSession(page);
  await session.send('Network.enable');
  session.on('Network.webSocketHandshakeResponseReceived', ({ response }) => seen.push(response.status));
  return seen;
}

export async function live({ router, browser, shots }) {
  const context = await fresh(browser);
  const page = await context.newPage();
  const statuses = await handshakes(context, page);
  await page.goto(`${router.origin}/live`);

  await check('a WebSocket opens from the page and echoes text and a large message', async () => {
    await openSocket(page);
    await echoes(page, 'hello');
    await echoes(page, 'x'.repeat(1024 * 1024));
    return `handshake answered ${statuses.join(' ')}`;
  });
  await check('the WebSocket runs inside the page\'s HTTP/2 connection (RFC 8441)', () => {
    // An upgrade of HTTP/1.1 is answered with 101.
    assert.deepEqual(statuses, [200]);
  });
  await check('a WebSocket of HTTP/1.1 echoes as well', async () => {
    const socket = new WebSocket(`wss://localhost:${router.ports.https}/ws`, { ca: router.authority });
    const echo = new Promise((resolve, reject) => {
      socket.on('message', (data) => resolve(data.toString()));
      socket.on('error', reject);
      socket.on('open', () => socket.send('hello'));
    });
    assert.equal(await echo, 'hello');
    const closed = new Promise((resolve) => { socket.on('close', resolve); });
    socket.close(4321);
    assert.equal(await closed, 4321);
  });
  await check(`the WebSocket survives ${RELOADS} reloads of the router`, async () => {
    for (let reload = 1; reload <= RELOADS; reload += 1) {
      await Promise.all([router.ramp(reload * 10), echoes(page, `during reload ${reload}`)]);
      await echoes(page, `after reload ${reload}`);
    }
    assert.equal(await page.evaluate(() => window.live.closed), null);
    await page.screenshot({ path: shots('websocket') });
  });
  await check('server-sent events arrive one by one, across a reload of the router', async () => {
    await page.evaluate(() => {
      window.events = [];
      window.source = new EventSource('/events');
      window.source.onmessage = ({ data }) => window.events.push(data);
    });
    const says = (text) => page.waitForFunction((say) => window.events.at(-1) === say, text);
    await says('hello');
    const agent = new https.Agent({ ca: router.authority });
    const teacher = new Visitor(router, agent);
    const say = (text) => teacher.ask('/events', {
      method: 'POST', body: `say=${text}`, headers: { 'content-type': 'application/x-www-form-urlencoded' },
    });
    for (const text of ['one', 'two']) {
      await say(text);
      await says(text);
      await router.ramp(20);
    }
    agent.destroy();
    assert.deepEqual(await page.evaluate(() => window.events), ['hello', 'one', 'two']);
    await page.evaluate(() => window.source.close());
  });
  await check('a drain closes the WebSocket with 1012 and the router ends with 0', async () => {
    const ended = await router.restart();
    await page.waitForFunction(() => window.live.closed);
    const closed = await page.evaluate(() => window.live.closed);
    assert.deepEqual([ended.code, closed.code, closed.wasClean], [0, 1012, true]);
  });
  await context.close();
}
