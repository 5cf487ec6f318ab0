// The legacy "live" page: counts with the server, and talks to it.
"use strict";
const count = document.getElementById("count");
const events = new EventSource("/events");
events.onmessage = (event) => { count.textContent = event.data; };
events.onerror = () => { count.textContent = "reconnecting"; };

const said = document.getElementById("said");
const say = (text) => {
  const line = document.createElement("li");
  line.textContent = text;
  said.prepend(line);
};
const socket = new WebSocket(location.origin.replace(/^http/, "ws") + "/ws");
socket.onopen = () => say("connected");
socket.onmessage = (event) => say("server: " + event.data);
socket.onclose = (event) => say("closed, code " + event.code);
document.getElementById("talk").addEventListener("submit", (event) => {
  event.preventDefault();
  if (socket.readyState === WebSocket.OPEN) socket.send(event.target.elements.text.value);
});
