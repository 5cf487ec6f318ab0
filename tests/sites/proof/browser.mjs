// Debian's Chromium, and what a page did while it was looked at.

import { chromium } from 'playwright-core';

const FLAGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage',
];

export function launch() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: FLAGS,
    handleSIGINT: false,
    handleSIGTERM: false,
    handleSIGHUP: false,
  });
}

/** A visitor's browser with nothing in it. */
export async function fresh(browser, options = {}) {
  const context = await browser.newContext({ ignoreHTTPSErrors: true, viewport: { width: 1200, height: 800 }, ...options });
  context.setDefaultTimeout(10_000);
  return context;
}

/** Notes what goes wrong on a page and which generation its parts are of. */
export class Watcher {
  constructor(page) {
    this.page = page;
    this.start();
    page.on('console', (message) => {
      if (message.type() === 'error') this.wrong.push(`console: ${message.text()}`);
    });
    page.on('pageerror', (error) => this.wrong.push(`script: ${error.message}`));
    page.on('requestfailed', (request) => {
      // The page itself drops its prefetches when it is left; a stream that the router reset has another error.
      const why = request.failure()?.errorText;
      if (why !== 'net::ERR_ABORTED') this.wrong.push(`failed: ${request.url()} ${why}`);
    });
    page.on('response', (answer) => {
      const generation = answer.headers()['x-generation'];
      if (generation && !answer.url().endsWith('/favicon.svg')) this.generations.add(generation);
      if (answer.status() >= 400) this.wrong.push(`${answer.status()}: ${answer.url()}`);
      this.answers += 1;
    });
  }

  start() {
    this.wrong = [];
    this.generations = new Set();
    this.answers = 0;
  }

  /** Throws unless everything seen since `start` is whole and of one generation. */
  expectWhole(generation) {
    if (this.wrong.length > 0) throw new Error(this.wrong.join(' | '));
    const seen = [...this.generations].join('+');
    if (seen !== generation) throw new Error(`the page is ${generation}, its parts are ${seen}`);
  }
}

/** The side that the page in the browser is of. */
export const sideOf = (page) => page.locator('meta[name=generation]').first().getAttribute('content');

/** Opens the course page; the side it is of. */
export async function openCourse(page, router, options) {
  const answer = await page.goto(`${router.origin}/courses/rust`, options);
  if (answer.status() !== 200) throw new Error(`the course page answered ${answer.status()}`);
  return sideOf(page);
}

/** What the page's XHR was told. */
export async function xhrOf(page) {
  await page.waitForFunction(() => /legacy|new/.test(document.getElementById('xhr')?.textContent ?? ''));
  return page.locator('#xhr').textContent();
}

/** Runs `work` for each of `items`, at most `width` at a time; the results in order. */
export async function each(items, width, work) {
  const results = [];
  let next = 0;
  const lane = async () => {
    while (next < items.length) {
      const at = next;
      next += 1;
      results[at] = await work(items[at], at);
    }
  };
  await Promise.all(Array.from({ length: width }, lane));
  return results;
}
