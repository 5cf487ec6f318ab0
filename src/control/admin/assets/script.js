// Keeps the page fresh. Everything on it works without: this only asks /api/status every two seconds, and when that says
// something new, fetches the page as the server draws it and puts its live parts in place.
"use strict";

const EVERY = 2000;
const GIVE_UP = 5000;
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
    if (!now || now.innerHTML === old.innerHTML) continue;
    const held = old.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    old.replaceChildren(...now.childNodes);
    if (held) old.querySelector(`[href="${CSS.escape(held)}"]`)?.focus();
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

for (const form of document.querySelectorAll("form:not([method=post])")) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    submit(form);
  });
}

const find = document.getElementById("find");
let typed = 0;
find.addEventListener("input", () => {
  clearTimeout(typed);
  typed = setTimeout(() => submit(find.form), 120);
});
document.addEventListener("keydown", (event) => {
  const writing = event.target.closest("input, select, textarea");
  if (event.key === "/" && !writing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    find.focus();
  }
});

look();
