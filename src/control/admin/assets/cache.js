// Purges: what is named becomes one order of JSON.
"use strict";

const purge = document.getElementById("purge");
const button = document.getElementById("purge-now");
const fields = purge.elements;
const EXAMPLES = { paths: "/courses/* /about", tags: "course-17 prices", groups: "prices", routes: "/courses/{slug}", squads: "learn", flags: "course-reviews" };

function say(text, bad) {
  const said = document.getElementById("said");
  said.textContent = text;
  said.classList.toggle("bad", Boolean(bad));
}

// Only paths and groups are of a host.
function fit() {
  const kind = fields.kind.value;
  fields.names.placeholder = EXAMPLES[kind];
  fields.host.disabled = kind !== "paths" && kind !== "groups";
  fields.host.required = kind === "groups";
  fields.host.placeholder = kind === "groups" ? "www.example.com" : "every host";
}

async function send() {
  if (!purge.reportValidity()) return;
  const kind = fields.kind.value;
  const names = fields.names.value.split(/\s+/).filter(Boolean);
  const host = fields.host.disabled ? "" : fields.host.value.trim();
  const order = { [kind]: names, hard: fields.hard.checked, reason: fields.reason.value, ...(host && { host }) };
  say("Purge …");
  let answer;
  try {
    answer = await fetch("/api/cache/purge", {
      method: "POST", cache: "no-store", signal: AbortSignal.timeout(ORDER_MS), body: JSON.stringify(order),
      headers: { "Content-Type": "application/json" },
    });
  } catch (_) {
    return say("Purge: no answer. It may have been done or not: look below.", true);
  }
  if (!answer.ok) return say(`Purge: ${await problem(answer)}`, true);
  const told = await answer.json();
  const only = told.squads.length > 0 ? `, as far as it is of ${told.squads.join(", ")}` : "";
  const how = told.hard ? "for good" : "; stale may be served while it is fetched anew";
  say(`Purged ${names.join(" ")}${only}${told.hard ? " " : ""}${how}.`);
  fields.names.value = "";
  fields.reason.value = "";
  await redraw().catch(() => {});
}

fields.kind.addEventListener("change", fit);
purge.addEventListener("submit", (event) => event.preventDefault()); // Enter in a field is no order
guarded(button, { label: "Purge", again: "Press again to purge", say, act: send });
purge.hidden = false;
fit();
me.then((known) => {
  if (!known || (known.scopes || []).some((scope) => scope.startsWith("write"))) return;
  say(known.name === null ? "Sign in to purge." : `${known.name} may look at the cache, and not purge it.`);
  button.disabled = true;
});
