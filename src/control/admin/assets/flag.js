// Moves a flag: each control makes one order of JSON, for the version of the flag that the page shows. When somebody else was
// quicker, both sides are shown and one is chosen.
"use strict";

const KILL_TRIES = 3;
const HISTORY_LIMIT = 20;
const how = "page";

const id = (name) => document.getElementById(name);
const control = id("control");
const key = control.dataset.flag;
const address = `/api/flags/${encodeURIComponent(key)}`;
const who = control.dataset.by === "user" ? "signed-in users" : "visitors";
const ramp = id("ramp");
let flag = null;
let version = null;

function make(name, text, properties) {
  const element = Object.assign(document.createElement(name), properties);
  if (text !== undefined) element.textContent = text;
  return element;
}

function say(text, bad) {
  const said = id("said");
  said.textContent = text;
  said.classList.toggle("bad", Boolean(bad));
}

// === What is in force

async function load(keepDraft) {
  const answer = await get(address);
  if (!answer.ok) throw new Error(answer.statusText);
  flag = await answer.json();
  version = answer.headers.get("etag");
  const killed = flag.state === "disabled";
  id("kill").hidden = killed;
  id("restore").hidden = !killed;
  id("kill-hint").hidden = killed;
  if (!keepDraft) { reset(); showSchedule(); }
  tellMoves();
}

const inForce = (variant) => own(flag?.shares, variant) ?? 0;
const planned = () => flag?.rollout?.schedule || [];
// Shares of a step by variant, however they are listed.
const sharesOf = (step) => Array.isArray(step?.shares) ? Object.fromEntries(step.shares.map((one) => [one.variant, one.percent ?? one.share])) : step?.shares;
const round = (share) => Math.round(share * 1000) / 1000;

// === Orders

// Sends an order for the version that is shown. Returns what came back, or null when it did not come to pass.
async function order(what, method, path, body, mine) {
  let answer;
  say(`${what} …`);
  try {
    answer = await fetch(address + path, {
      method, cache: "no-store", signal: AbortSignal.timeout(ORDER_MS), body: JSON.stringify(body),
      headers: { "Content-Type": "application/json", ...(version && { "If-Match": version }) },
    });
  } catch (_) {
    say(`${what}: no answer. It may have been done or not: look at the history.`, true);
    await refresh(true);
    return null;
  }
  if (answer.status === 409 || answer.status === 412) {
    if (mine) await conflict(mine);
    return mine ? null : answer;
  }
  if (!answer.ok) {
    say(`${what}: ${await problem(answer)}`, true);
    return null;
  }
  const told = await answer.json().catch(() => ({}));
  const waits = told.in_force === false;
  say(waits ? `${what}: saved, and not yet in force. ${told.not_in_force_because || ""}` : `${what}: in force since ${new Date().toLocaleTimeString()}.`, waits);
  await refresh(false);
  return told;
}

async function refresh(keepDraft) {
  await Promise.allSettled([load(keepDraft), redraw(), remember(true)]);
}

// === Kill and restore

async function killNow() {
  const body = { reason: id("ramp-reason")?.value || "killed on the page", how };
  if (version === null) await load(true).catch(() => {});
  for (let tried = 0; tried < KILL_TRIES; tried += 1) {
    const answer = await order("Kill", "POST", "/kill", body, null);
    if (!(answer instanceof Response)) return;
    await load(true).catch(() => {}); // somebody changed it meanwhile; whatever they did, a kill is a kill
  }
  say("Kill: somebody changes this flag again and again. Press once more.", true);
}

guarded(id("kill"), { label: "Kill", again: "Press again to kill", say, act: killNow });
id("restore").addEventListener("click", () => {
  order("Restore", "POST", "/restore", { reason: id("ramp-reason")?.value || "restored on the page", how }, { state: "enabled" });
});

// === Ramp

const fields = () => [...(ramp?.querySelectorAll("fieldset") || [])].map((field) => ({
  variant: field.dataset.variant,
  slider: field.querySelector("[type=range]"),
  number: field.querySelector("[type=number]"),
}));

const draft = () => Object.fromEntries(fields().map(({ variant, number }) => [variant, round(number.valueAsNumber || 0)]));

function reset() {
  for (const { variant, slider, number } of fields()) {
    number.value = inForce(variant);
    slider.value = inForce(variant);
  }
}

function tellMoves() {
  if (!ramp) return;
  const shares = draft();
  const said = [];
  let all = 0;
  for (const [variant, share] of Object.entries(shares)) {
    const by = round(share - inForce(variant));
    all += share;
    if (by > 0) said.push(`Adds ${by} % of ${who} to ${variant}, moves nobody back.`);
    if (by < 0) said.push(`Takes ${-by} % of ${who} off ${variant}: those who were added last.`);
  }
  const over = round(all) > 100;
  if (over) said.splice(0, said.length, `Shares make ${round(all)} %: 100 % at most.`);
  else if (said.length > 0 && flag?.state === "disabled") said.push("Nobody notices before it is restored.");
  if (said.length > 0 && !over && planned().length > 0) said.push("Ends the schedule.");
  const valid = fields().every(({ number }) => number.checkValidity());
  id("moves").textContent = said.join(" ");
  id("moves").classList.toggle("bad", over);
  id("reset").hidden = said.length === 0;
  const texts = Object.entries(shares).map(([variant, share]) => fields().length > 1 ? `${variant} ${share} %` : `${share} %`);
  id("apply").textContent = said.length === 0 ? "Set" : `Set to ${texts.join(", ")}`;
  id("apply").disabled = said.length === 0 || over || !valid;
}

const drafted = () => ramp !== null && !id("reset").hidden;

ramp?.addEventListener("input", (event) => {
  const field = event.target.closest("fieldset");
  if (!field) return;
  for (const input of field.querySelectorAll("input")) if (input !== event.target) input.value = event.target.value;
  tellMoves();
});
ramp?.addEventListener("click", (event) => {
  const step = event.target.closest("[data-step]");
  if (!step) return;
  for (const input of step.closest("fieldset").querySelectorAll("input")) input.value = step.dataset.step;
  tellMoves();
});
ramp?.addEventListener("submit", (event) => {
  event.preventDefault();
  send(draft());
});
id("reset")?.addEventListener("click", () => { reset(); tellMoves(); say(""); });

async function send(rollout) {
  const reason = id("ramp-reason").value;
  if (await order("Ramp", "POST", "/ramp", { rollout, reason, how }, { rollout })) id("ramp-reason").value = "";
}

// === Somebody else was quicker

let mine = null;

async function conflict(wanted) {
  mine = wanted;
  say("");
  await load(true).catch(() => {});
  const [last] = await entries(1).catch(() => []);
  id("conflict-who").textContent = last ? `${last.who}, ${new Date(last.at).toLocaleString()}${last.reason ? `: ${last.reason}` : ""}` : "";
  const rows = wanted.rollout ? Object.keys(wanted.rollout).map((variant) => [variant, `${inForce(variant)} %`, `${wanted.rollout[variant]} %`])
    : wanted.schedule ? [["schedule", steps(planned()), steps(wanted.schedule)]] : [];
  const state = { enabled: "enabled", disabled: "killed" };
  rows.push(["state", state[flag.state], state[wanted.state || flag.state]]);
  id("conflict-sides").replaceChildren(...rows.map((row) => {
    const line = make("tr");
    line.append(make("th", row[0], { scope: "row" }), make("td", row[1]), make("td", row[2]));
    return line;
  }));
  id("conflict").hidden = false;
  id("conflict").focus();
}

const steps = (schedule) => `${(schedule || []).length} steps`;

id("keep-theirs").addEventListener("click", async () => {
  id("conflict").hidden = true;
  mine = null;
  await refresh(false);
  say("Kept what is in force.");
});
id("apply-mine").addEventListener("click", () => {
  id("conflict").hidden = true;
  if (mine?.rollout) send(mine.rollout);
  else if (mine?.schedule) plan(mine);
  else if (mine?.state) id("restore").click();
  else if (mine?.undo) undo(mine.undo);
});

document.addEventListener("flag-changed", (event) => {
  if (event.detail !== null && event.detail !== key) return;
  if (drafted()) {
    remember(true).catch(() => {});
    return say("This flag was changed meanwhile. What you set is kept; you will be asked before it replaces anything.");
  }
  refresh(false);
});

// === Schedule

const rows = id("schedule-rows");
const pad = (number) => String(number).padStart(2, "0");
function local(at) {
  const date = new Date(at);
  return `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}T${pad(date.getHours())}:${pad(date.getMinutes())}`;
}

function addRow(step) {
  const row = id("schedule-row").content.cloneNode(true).firstElementChild;
  row.querySelector("[name=at]").value = step?.at ? local(step.at) : "";
  for (const input of row.querySelectorAll("[data-variant]")) input.value = own(sharesOf(step), input.dataset.variant) ?? "";
  rows.append(row);
  id("schedule-empty").hidden = true;
  return row;
}

function showSchedule() {
  if (!rows) return;
  rows.replaceChildren();
  for (const step of planned()) addRow(step);
  id("schedule-empty").hidden = planned().length > 0;
  id("schedule-count").textContent = planned().length > 0 ? `${planned().length} planned` : "none";
  if (flag.rollout?.shape) id("schedule-form").elements.shape.value = flag.rollout.shape;
}

rows?.addEventListener("click", (event) => {
  if (!event.target.closest("[data-remove]")) return;
  event.target.closest("li").remove();
  id("schedule-empty").hidden = rows.children.length > 0;
  id("schedule-add").focus();
});
id("schedule-add")?.addEventListener("click", () => addRow(null).querySelector("input").focus());
id("schedule-form")?.addEventListener("submit", (event) => {
  event.preventDefault();
  const schedule = [...rows.children].map((row) => {
    const shares = [...row.querySelectorAll("[data-variant]")].map((input) => [input.dataset.variant, round(input.valueAsNumber)]);
    return { at: new Date(row.querySelector("[name=at]").value).toISOString(), shares: Object.fromEntries(shares) };
  }).sort((one, other) => one.at.localeCompare(other.at));
  plan({ schedule, shape: event.target.elements.shape.value });
});

function plan({ schedule, shape }) {
  order("Schedule", "POST", "/schedule", { schedule, shape, reason: id("schedule-reason").value, how }, { schedule, shape });
}

// === History

let oldest = null;

async function entries(limit, before) {
  const answer = await get(`${address}/history?limit=${limit}${before ? `&before=${encodeURIComponent(before)}` : ""}`);
  if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).detail || answer.statusText);
  const told = await answer.json();
  return told.entries;
}

function diffed(diff) {
  const lines = Array.isArray(diff) ? diff : String(diff || "").split("\n");
  const block = make("pre", undefined, { className: "difference" });
  for (const line of lines) {
    const kind = line.startsWith("+") ? "added" : line.startsWith("-") ? "removed" : "same";
    block.append(make("span", `${line}\n`, { className: kind }));
  }
  return block;
}

function entry(told, newest) {
  const item = make("li");
  const head = make("div", undefined, { className: "change" });
  const when = make("time", "", { dateTime: told.at });
  head.append(make("b", told.who), " ", when, " ", make("span", told.how, { className: "tag" }));
  if (told.reason) head.append(" ", make("span", told.reason));
  const fold = make("details");
  fold.append(make("summary", "What changed"), diffed(told.diff));
  item.append(head, fold);
  if (newest) fold.open = true;
  const button = make("button", "Undo", { type: "button", className: "plain", ariaLabel: `Undo the change of ${told.who}, ${told.at}` });
  button.addEventListener("click", () => undo(told.id));
  head.append(button);
  return item;
}

async function undo(change) {
  await order("Undo", "POST", "/undo", { entry: change, reason: id("ramp-reason")?.value || "undone on the page", how }, { undo: change });
}

async function remember(anew) {
  const list = id("history");
  try {
    const told = await entries(HISTORY_LIMIT, anew ? null : oldest);
    const items = told.map((one, at) => entry(one, anew && at === 0));
    if (anew) list.replaceChildren(...items);
    else list.append(...items);
    oldest = told.at(-1)?.id ?? oldest;
    id("history-more").hidden = told.length < HISTORY_LIMIT;
    id("history-note").textContent = list.children.length === 0 ? "Nothing has changed since the history began." : "";
  } catch (error) {
    id("history-note").textContent = `The history can't be read: ${error.message}`;
  }
  tell();
}

id("history-more").addEventListener("click", () => remember(false));

// === Override links

id("link-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const { variant, for: lasts, reason } = Object.fromEntries(new FormData(event.target));
  const why = reason || "to look at it";
  const told = await order("Link", "POST", "/links", { variant, for: lasts, reason: why }, null);
  if (!told || told instanceof Response) return;
  const item = make("li");
  const url = make("input", undefined, { value: told.url, readOnly: true, ariaLabel: `Link to ${variant}` });
  const copy = make("button", "Copy", { type: "button" });
  const revoke = make("button", "Revoke", { type: "button", className: "plain" });
  const until = make("span", `${variant}, until ${new Date(told.expires).toLocaleString()}`, { className: "quiet" });
  copy.addEventListener("click", async () => {
    url.select();
    await navigator.clipboard?.writeText(told.url).catch(() => {});
    say("Link copied.");
  });
  revoke.addEventListener("click", async () => {
    const answer = await fetch(`/api/links/${encodeURIComponent(told.id)}/revoke`, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ reason: why }), signal: AbortSignal.timeout(ORDER_MS),
    }).catch(() => null);
    if (!answer?.ok) return say(`Revoke: ${answer ? await problem(answer) : "no answer"}`, true);
    url.disabled = copy.disabled = revoke.disabled = true;
    until.textContent = `${variant}, revoked`;
    say("Link revoked.");
  });
  item.append(until, url, copy, revoke);
  id("link-list").prepend(item);
  url.select();
  say("Link made.");
});

// === Begin

id("killing").hidden = false;
load(false).catch(() => say("The flag can't be read.", true));
remember(true);
me.then((known) => {
  if (!known || (known.scopes || []).some((scope) => scope.startsWith("write"))) return;
  const why = known.name === null ? "Sign in to change this flag." : `${known.name} may look at flags, and not change them.`;
  say(why);
  for (const button of document.querySelectorAll("#killing button, #ramp button, #schedule button, #links button")) button.disabled = true;
});
