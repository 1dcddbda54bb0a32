// Keeps the status page live: asks for the status document every 2 s and shows it.
// Everything from outside is written with textContent, never as markup.
"use strict";

const EVERY_MS = 2000;
const STATUSES = new Set(["up", "degraded", "down", "unknown", "stale"]);
let lastAnswer = performance.now();  // a browser's clock may be set, or be wrong

function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined && text !== null) element.textContent = String(text);
  return element;
}

function badge(status) {
  return make("span", "badge " + (STATUSES.has(status) ? status : "unknown"), status);
}

// The hard status stands until it is sure; what the last look said is beside it.
function verdict(item) {
  const shown = make("span", "");
  shown.append(badge(item.status));
  if (item.soft && item.soft !== item.hard) shown.append(" ", make("span", "soft", "now " + item.soft));
  return shown;
}

function row(cells) {
  const line = document.createElement("tr");
  for (const [className, content] of cells) {
    const cell = make("td", className);
    cell.append(content instanceof Node ? content : String(content ?? ""));
    line.append(cell);
  }
  return line;
}

function emptyRow(text) {
  const line = row([["soft", text]]);
  line.firstChild.colSpan = 7;
  return line;
}

function componentRow(item) {
  return row([
    ["name", item.name], ["", badge(item.status)], ["t", item.since_text], ["t", item.age_text],
    ["", item.key], ["n", item.driver ? item.restarts : "–"], ["detail", item.action || item.detail],
  ]);
}

function checkRow(item) {
  return row([
    ["name", item.name], ["", verdict(item)], ["t", item.age_text], ["t", item.next_text],
    ["soft", item.kind], ["soft", item.component], ["detail", item.detail],
  ]);
}

function objectiveRow(item) {
  const state = make("span", "badge " + (STATUSES.has(item.status) ? item.status : "unknown"), item.state_text);
  const alarm = item.alarm_text ? item.alarm_text + "; " : "";
  return row([
    ["name", item.title], ["", state], ["n", item.ratio_text], ["t", item.target_text], ["n", item.events_text],
    ["n", item.budget_text],
    ["detail", alarm + "budget lasts " + item.forecast_text + "; observed " + item.observed_text],
  ]);
}

function channelRow(item) {
  return row([
    ["name", item.name], ["soft", item.kind], ["n", item.waiting], ["t", item.last_text], ["detail", item.error],
  ]);
}

function incidentCard(item) {
  const card = make("article", "incident " + (STATUSES.has(item.shown) ? item.shown : "unknown"));
  const what = make("p", "what");
  const link = make("a", "", item.component);
  link.href = "/incident/" + encodeURIComponent(item.id);
  what.append(badge(item.shown), " ", link, " ", make("span", "soft", item.state_text));
  const found = item.check ? ", found by " + item.check : "";
  const summary = make("p", "", item.summary + " ");
  const faults = make("a", "faults", "faults");
  faults.href = "/faults?component=" + encodeURIComponent(item.component);
  summary.append(faults);
  card.append(what, summary, make("p", "soft", "Root cause: " + item.root_cause + found));
  if (item.why) card.append(make("p", "why", item.why));
  if (item.runbook) {
    const runbook = make("p", "soft", "Runbook: ");
    runbook.append(make("code", "", "sentinel runbook run " + item.runbook));
    card.append(runbook);
  }
  return card;
}

function heldLine(item) {
  const line = make("p", "held", item.text);
  if (item.runbook) {
    const runbook = make("span", "soft", " Runbook: ");
    runbook.append(make("code", "", "sentinel runbook run " + item.runbook));
    line.append(runbook);
  }
  return line;
}

function fill(id, items, build, empty) {
  document.getElementById(id).replaceChildren(...(items.length ? items.map(build) : [empty]));
}

function show(status) {
  document.title = status.platform + ": " + status.status;
  document.getElementById("platform").textContent = status.platform;
  document.getElementById("overall").replaceWith(Object.assign(badge(status.status), { id: "overall" }));
  const generated = document.getElementById("generated");
  generated.textContent = status.generated.slice(11, 19);
  generated.dateTime = status.generated;
  document.getElementById("incident-count").textContent = status.incidents.length;
  document.getElementById("held").replaceChildren(...status.held.map(heldLine));
  document.getElementById("own").replaceChildren(...status.own.map((text) => make("p", "held", text)));
  fill("incidents", status.incidents, incidentCard, make("p", "soft", "None."));
  fill("components", status.components, componentRow, emptyRow("No component is being watched."));
  fill("checks", status.checks, checkRow, emptyRow("No check is configured."));
  fill("objectives", status.objectives, objectiveRow, emptyRow("No objective is configured."));
  document.getElementById("maintenance").replaceChildren(...[...status.maintenance, ...status.silences].map((text) => make("p", "held", text)));
  fill("channels", status.channels, channelRow, emptyRow("No channel is known yet."));
  const blind = status.blind;
  document.getElementById("blind").textContent = blind
    ? "Sentinel itself " + blind.text + " at " + blind.began.slice(11, 19) + " UTC: " + blind.reason : "";
}

function markStale(reason) {
  const seconds = Math.round((performance.now() - lastAnswer) / 1000);
  const alarm = document.getElementById("alarm");
  alarm.textContent = "Stale: no answer from sentinel for " + seconds + " s (" + reason + "). What you see is from "
    + document.getElementById("generated").textContent + " UTC.";
  alarm.hidden = false;
  document.body.classList.add("is-stale");
}

function markFresh() {
  lastAnswer = performance.now();
  document.getElementById("alarm").hidden = true;
  document.body.classList.remove("is-stale");
}

async function poll() {
  try {
    const answer = await fetch("/api/v1/status", { cache: "no-store", signal: AbortSignal.timeout(5000) });
    if (!answer.ok) throw new Error("HTTP " + answer.status);
    show(await answer.json());
    markFresh();
  } catch (error) {
    markStale(error.message);
  }
  setTimeout(poll, EVERY_MS);
}

setTimeout(poll, EVERY_MS);
