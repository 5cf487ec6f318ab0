// Keeps the page fresh. Everything on it works without: this only asks /api/status every two seconds, and when that says
// something new, fetches the page as the server draws it and puts its live parts in place.
"use strict";

const EVERY = 2000;
const GIVE_UP = 5000;
const ORDER_MS = 15000;
const HOLD_MS = 1000;
const ARMED_MS = 5000;
const TWICE_MS = 400;
const lost = document.getElementById("lost");
const fresh = document.getElementById("fresh");
let tag = null;
let lostSince = null;
let drawing = 0;

function get(path, headers) {
  return fetch(path, { headers: headers || {}, cache: "no-store", signal: AbortSignal.timeout(GIVE_UP) });
}

// Puts in place what differs. What has the keyboard's focus keeps it, by its address or id.
function replace(next) {
  for (const old of document.querySelectorAll("[data-live]")) {
    const now = next.getElementById(old.id);
    if (!now) continue;
    const folds = [...old.querySelectorAll("details")];
    now.querySelectorAll("details").forEach((fold, at) => { fold.open = folds[at]?.open ?? false; });
    if (now.innerHTML === old.innerHTML) continue;
    const active = old.contains(document.activeElement) ? document.activeElement : null;
    const held = active?.getAttribute("href");
    const fold = folds.indexOf(active?.parentElement);
    old.replaceChildren(...now.childNodes);
    if (held) old.querySelector(`[href="${CSS.escape(held)}"]`)?.focus();
    else if (fold >= 0) old.querySelectorAll("details")[fold]?.querySelector("summary")?.focus();
  }
  document.title = next.title;
}

async function redraw() {
  const mine = ++drawing;
  const answer = await get(location.pathname + location.search);
  if (!answer.ok) throw new Error(answer.statusText);
  const text = await answer.text();
  if (mine === drawing) replace(new DOMParser().parseFromString(text, "text/html"));
}

async function look() {
  try {
    const answer = await get("/api/status", tag ? { "If-None-Match": tag } : {});
    if (answer.status === 200) {
      const first = tag === null;
      await answer.json();
      if (!first) await redraw();
      tag = answer.headers.get("etag");
    } else if (answer.status !== 304) {
      throw new Error(answer.statusText);
    }
    lostSince = null;
    lost.hidden = true;
    fresh.textContent = "Live";
    fresh.classList.add("on");
  } catch (_) {
    lostSince = lostSince || new Date();
    lost.textContent = `Banyan does not answer since ${lostSince.toLocaleTimeString()}. What stands here may be old.`;
    lost.hidden = false;
    fresh.textContent = "Not live";
    fresh.classList.remove("on");
  }
  tell();
  setTimeout(look, document.hidden ? EVERY * 5 : EVERY);
}

// "3 min ago" goes on by itself.
function tell() {
  for (const time of document.querySelectorAll("time[datetime]")) {
    const seconds = Math.max(0, Math.floor((Date.now() - Date.parse(time.dateTime)) / 1000));
    const days = Math.floor(seconds / 86400);
    const text = seconds < 2 ? "just now" : seconds < 60 ? `${seconds} s ago` : seconds < 3600 ? `${Math.floor(seconds / 60)} min ago`
      : days < 1 ? `${Math.floor(seconds / 3600)} h ago` : days === 1 ? "1 day ago" : `${days} days ago`;
    if (time.textContent !== text) time.textContent = text;
    const local = new Date(time.dateTime).toLocaleString();
    if (time.title !== local) time.title = local;
  }
}

// Forms change the address and draw anew, instead of loading the page: what was typed and scrolled stays.
function submit(form) {
  const query = new URLSearchParams(location.search);
  for (const field of form.elements) if (field.name) query.delete(field.name);
  for (const [name, value] of new FormData(form)) if (value && !(name === "method" && value === "GET")) query.append(name, value);
  const text = query.toString();
  history.replaceState(null, "", text ? `?${text}` : location.pathname);
  redraw().catch(() => {});
}

for (const form of document.querySelectorAll("form[action]:not([method=post])")) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    submit(form);
  });
}

const find = document.getElementById("find");
let typed = 0;
find?.addEventListener("input", () => {
  clearTimeout(typed);
  typed = setTimeout(() => submit(find.form), 120);
});
document.addEventListener("keydown", (event) => {
  const writing = event.target.closest("input, select, textarea");
  if (find && event.key === "/" && !writing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    find.focus();
  }
});

// Figures each second, where the page has any: `/api/live` says them, and when charts have a new point they are drawn anew.
const pulse = document.querySelector("[data-pulse]");
let source = null;

const dash = "–";
const rate = (count, seconds) => {
  const each = count / Math.max(seconds, 1);
  return each === 0 ? "0" : each < 10 ? each.toFixed(1) : String(Math.round(each));
};
const percent = (part, all) => all === 0 ? dash : part === 0 ? "0 %" : part === all ? "100 %" : `${(part * 100 / all).toFixed(1)} %`;
const took = (ms) => ms == null ? dash : ms < 10 ? `${ms.toFixed(1)} ms` : ms < 10000 ? `${Math.round(ms)} ms` : "over 10 s";
const own = (object, name) => (object && Object.hasOwn(object, name) ? object[name] : undefined);
const sum = (object) => Object.values(object || {}).reduce((all, count) => all + count, 0);

function beat(told) {
  for (const cell of document.querySelectorAll("[data-share]")) {
    const variants = own(told.flags, cell.dataset.flag)?.minute || {};
    const all = Object.values(variants).reduce((all, reasons) => all + sum(reasons), 0);
    cell.textContent = percent(sum(own(variants, cell.dataset.share)), all);
  }
  for (const cell of document.querySelectorAll("[data-figure]")) {
    const minute = own(told.backends, cell.dataset.backend)?.minute || { requests: 0, failed: 0 };
    const { requests, failed } = minute;
    const text = {
      rate: rate(requests, told.minute_seconds), failed: percent(failed, requests),
      p50: took(minute.p50_ms), p99: took(minute.p99_ms),
    }[cell.dataset.figure];
    if (cell.textContent !== text) cell.textContent = text;
    if (cell.dataset.figure === "failed") cell.classList.toggle("bad", failed > 0 && failed * 100 >= requests);
  }
}

function listen() {
  if (!pulse || source || document.hidden) return;
  source = new EventSource("/api/live");
  source.addEventListener("live", (event) => beat(JSON.parse(event.data)));
  source.addEventListener("point", () => redraw().catch(() => {}));
  source.addEventListener("flag", (event) => {
    redraw().catch(() => {});
    document.dispatchEvent(new CustomEvent("flag-changed", { detail: JSON.parse(event.data).key }));
  });
  source.addEventListener("error", () => {
    if (source?.readyState === EventSource.CLOSED) { // refused: all seats are taken; the page is drawn anew now and then instead
      source = null;
      setTimeout(() => { redraw().catch(() => {}); listen(); }, GIVE_UP);
    }
  });
}

// Nobody looks: the seat is for who does.
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) return listen();
  source?.close();
  source = null;
});

// An order that can't be taken back is given by holding its button for a second, or by two presses. A double click is one gesture.
function guarded(button, { label, again, say, act }) {
  let armed = 0;
  let holding = 0;
  let held = false;

  function disarm() {
    clearTimeout(holding);
    holding = 0;
    button.classList.remove("holding", "armed");
    button.firstElementChild.textContent = label;
    armed = 0;
  }

  function now() {
    disarm();
    act();
  }

  function hold() {
    if (holding) return;
    held = false; // a new gesture, whatever became of the last
    button.classList.add("holding");
    holding = setTimeout(() => { held = true; now(); }, HOLD_MS);
  }

  function release() {
    clearTimeout(holding);
    holding = 0;
    button.classList.remove("holding");
  }

  function press() {
    release();
    if (held) { held = false; return; }
    const at = performance.now();
    if (armed === 0) {
      armed = at;
      button.classList.add("armed");
      button.firstElementChild.textContent = again;
      say("Press again within five seconds.");
      setTimeout(() => { if (armed === at) { disarm(); say(""); } }, ARMED_MS);
    } else if (at - armed >= TWICE_MS) {
      now();
    }
  }

  button.addEventListener("pointerdown", (event) => { if (event.button === 0) hold(); });
  button.addEventListener("pointerleave", release);
  button.addEventListener("pointercancel", release);
  button.addEventListener("contextmenu", (event) => event.preventDefault());
  button.addEventListener("click", press);
  button.addEventListener("keydown", (event) => {
    if (event.key === "Escape") return disarm();
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    if (!event.repeat) hold();
  });
  button.addEventListener("keyup", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    if (holding || held) press();
  });
  button.addEventListener("blur", disarm);
}

// Why an order was refused, in words.
async function problem(answer) {
  const told = await answer.json().catch(() => ({}));
  if (answer.status === 401) return "Sign in first: changes are made by somebody.";
  const detail = told.detail || `${answer.status} ${answer.statusText}`;
  const more = (told.problems || []).map((one) => [one.file, one.line, one.what].filter(Boolean).join(": "));
  return [detail, ...more].join(" · ");
}

// Who is signed in, where that matters.
async function introduce() {
  const place = document.getElementById("me");
  if (!pulse || !place) return null;
  const answer = await get("/api/me").catch(() => null);
  if (answer?.status === 401) {
    place.textContent = "Sign in";
    return { name: null, scopes: [] };
  }
  if (answer?.status !== 200) return null;
  const me = await answer.json();
  place.textContent = me.name;
  place.title = (me.scopes || []).join(", ");
  return me;
}

const me = introduce();
listen();
look();
