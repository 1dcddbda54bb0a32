// Keeps the status page live. The server sends pieces of the page that have changed, as it printed
// them in the first paint, with everything escaped; only what is different in them is put in place.
// What is in the visitor's hands stays: focus, selection, scroll, what is open, what is typed.
"use strict";

const RANK = { down: "0", degraded: "1", stale: "2", unknown: "3", up: "4" };  // worst first
const SILENT_MS = 12000;      // the server speaks at least every 5 s
const ASK_AGAIN_MS = 30000;   // without a stream the whole page is asked for now and then
const KEEP = new Set(["INPUT", "TEXTAREA", "OUTPUT"]);
const live = document.getElementById("live");
const byId = (id) => document.getElementById(id);

let mark = live.dataset.mark;
let source = null;
let retryMs = 1000;
let lastWord = performance.now();  // a browser's clock may be set, or be wrong
let clockOffset = Number(live.dataset.now) - lastWord;
let heldUp = "";                   // why nothing comes, as far as we know
let isSaidStale = false;

// -- patching -------------------------------------------------------------------------------------

function parse(html) {
  const holder = document.createElement("template");
  holder.innerHTML = html;  // inert: no script runs in it, and the server has escaped every name
  return holder.content;
}

function isSame(one, other) {
  return one.nodeType === other.nodeType && one.nodeName === other.nodeName && (one.id || "") === (other.id || "");
}

function patchAttributes(shown, wanted) {
  for (const { name, value } of wanted.attributes) {
    if (shown.getAttribute(name) !== value) shown.setAttribute(name, value);
  }
  for (const { name } of [...shown.attributes]) {
    if (!wanted.hasAttribute(name) && name !== "open") shown.removeAttribute(name);
  }
}

function patch(shown, wanted) {
  if (shown.nodeType !== Node.ELEMENT_NODE) {
    if (shown.data !== wanted.data) shown.data = wanted.data;
    return;
  }
  if (KEEP.has(shown.nodeName) || shown.isEqualNode(wanted)) return;
  patchAttributes(shown, wanted);
  patchChildren(shown, wanted);
}

function patchChildren(shown, wanted) {
  let next = shown.firstChild;
  for (const child of [...wanted.childNodes]) {
    const known = child.id ? [...shown.children].find((each) => each.id === child.id) : null;
    if (known) {
      if (known === next) next = next.nextSibling; else move(known, shown, next);
      patch(known, child);
    } else if (next && !child.id && isSame(next, child)) {
      const after = next.nextSibling;
      patch(next, child);
      next = after;
    } else {
      shown.insertBefore(child, next);
    }
  }
  while (next) {
    const after = next.nextSibling;
    remove(next);
    next = after;
  }
}

let isAnythingChosen = false;
document.addEventListener("selectionchange", () => { isAnythingChosen = !getSelection().isCollapsed; });

// Moves without losing the focus or what is selected. To ask for either makes the browser lay out the
// whole page, so that is done only where there is something to lose.
function move(element, parent, before) {
  const isFocused = element.contains(document.activeElement);
  if (!isFocused && !isAnythingChosen) return parent.insertBefore(element, before);
  const chosen = getSelection(), { anchorNode, anchorOffset, focusNode, focusOffset } = chosen;
  const isChosen = anchorNode && (element.contains(anchorNode) || element.contains(focusNode));
  const focused = isFocused ? document.activeElement : null;
  if (parent.moveBefore) parent.moveBefore(element, before); else parent.insertBefore(element, before);
  if (focused && focused !== document.activeElement) focused.focus({ preventScroll: true });
  if (isChosen) chosen.setBaseAndExtent(anchorNode, anchorOffset, focusNode, focusOffset);
}

// Whoever stood in what goes away stands at the head of its section then.
function remove(node) {
  const heading = node.contains(document.activeElement) && node.parentNode.closest?.("section")?.querySelector("h2[tabindex]");
  node.remove();
  if (heading) heading.focus({ preventScroll: true });
}

// -- lists: the worst first, then by name ---------------------------------------------------------

const sortKey = (element) => (element.dataset.sort ?? RANK[element.className] ?? "5") + element.id;

function place(list, element) {
  const key = sortKey(element);
  const before = element.previousElementSibling, after = element.nextElementSibling;
  const fits = element.parentNode === list && !(before && sortKey(before) > key) && !(after && sortKey(after) < key);
  if (fits) return;
  const others = [...list.children].filter((each) => each !== element);
  let low = 0, high = others.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sortKey(others[middle]) < key) low = middle + 1; else high = middle;
  }
  const next = others[low] ?? null;
  if (element.parentNode === list) move(element, list, next); else list.insertBefore(element, next);
}

function put(home, html) {
  const wanted = parse(html).firstElementChild;
  const shown = byId(wanted.id);
  if (shown) patch(shown, wanted);
  const now = shown ?? wanted;
  if (home) place(byId(home), now);
  if (!shown) watch(now);
  tell(now);
}

function watch(element) {
  if (element.nodeName === "TR") inView.observe(element);
}

// -- ages -----------------------------------------------------------------------------------------

function age(seconds) {
  const whole = Math.max(Math.trunc(seconds), 0);
  if (whole < 60) return whole + " s";
  if (whole < 3600) return Math.trunc(whole / 60) + " min";
  const [big, small, size, part] = whole < 86400 ? ["h", "min", 3600, 60] : ["d", "h", 86400, 3600];
  const rest = Math.trunc((whole % size) / part);
  return Math.trunc(whole / size) + " " + big + (rest ? " " + rest + " " + small : "");
}

const serverNow = () => performance.now() + clockOffset;

function tell(element) {
  for (const each of element.querySelectorAll("time, [data-t]")) {
    const at = each.dateTime ? Date.parse(each.dateTime) : Number(each.dataset.t) * 1000;
    const text = age((serverNow() - at) / 1000);
    if (each.firstChild.data !== text) each.firstChild.data = text;
  }
}

const seen = new Set();  // rows that are in view: the others need not grow older
const inView = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (isIntersecting) { seen.add(target); tell(target); } else seen.delete(target);
  }
});

function tick() {
  for (const element of seen) if (element.isConnected) tell(element); else { seen.delete(element); inView.unobserve(element); }
  for (const id of ["incidents", "channels"]) tell(byId(id));
  showFreshness();
}

// On paper everything is in view.
addEventListener("beforeprint", () => tell(live));

// -- what is said ---------------------------------------------------------------------------------

function say(text) {
  if (text) byId("said").textContent = text;
}

function showFreshness() {
  const silentMs = performance.now() - lastWord;
  const isStale = silentMs > (source || !mark ? SILENT_MS : ASK_AGAIN_MS + SILENT_MS);
  const seconds = Math.round(silentMs / 1000);
  const alarm = byId("alarm");
  alarm.hidden = !isStale;
  document.body.classList.toggle("is-stale", isStale);
  if (isStale) {
    alarm.textContent = "Stale: no word from sentinel for " + seconds + " s. What you see is from " + byId("as-of").textContent
      + " UTC. " + (heldUp || "Reconnecting.");
    if (!isSaidStale) say("No word from sentinel: what you see is old.");
  } else if (isSaidStale) {
    say("Sentinel answers again.");
  }
  isSaidStale = isStale;
}

function hear(now) {
  lastWord = performance.now();
  clockOffset = now - lastWord;
  byId("as-of").textContent = new Date(now).toISOString().slice(11, 19);
}

function showState(word) {
  byId("fresh").dataset.state = word;
}

// -- the stream -----------------------------------------------------------------------------------

// What comes waits for the next frame, the newest of each piece: however much comes, and however slow
// this browser is, it puts in place what is then, and nothing piles up.
const waiting = new Map();
let waitingMark = mark, waitingSaid = [], isDrawing = false;

function take(message) {
  const told = JSON.parse(message.data);
  if (message.lastEventId) waitingMark = message.lastEventId;
  hear(told.now);
  for (const id of told.drop ?? []) waiting.set(id, null);
  for (const [home, id, html] of told.put ?? []) waiting.set(id, [home, html]);
  waitingSaid.push(...(told.say ?? []));
  if (isDrawing) return;
  isDrawing = true;
  if (document.hidden) setTimeout(draw, 1000); else requestAnimationFrame(draw);
}

function draw() {
  isDrawing = false;
  for (const [id, piece] of waiting) {
    if (piece) put(...piece); else if (byId(id)) remove(byId(id));
  }
  waiting.clear();
  mark = waitingMark;
  const title = byId("overview").dataset.title;
  if (document.title !== title) document.title = title;
  say(waitingSaid.slice(-8).join(". "));
  waitingSaid = [];
  heldUp = "";
  retryMs = 1000;
  showState("live");
  if (isSaidStale) showFreshness();
}

function follow() {
  source?.close();
  source = new EventSource("/api/v1/stream?after=" + encodeURIComponent(waitingMark));
  source.onopen = () => showState("live");
  source.onmessage = take;
  source.addEventListener("anew", () => { source.close(); source = null; askAnew(); });
  source.onerror = () => {
    showState("reconnecting");
    if (source.readyState !== EventSource.CLOSED) return;  // the browser tries again by itself
    source = null;
    heldUp = "No live channel: this page asks now and then.";
    setTimeout(askAnew, retryMs = Math.min(2 * retryMs, ASK_AGAIN_MS));
  };
}

// The whole page again, patched in place: after a restart, and where no stream is to be had.
async function askAnew() {
  try {
    const answer = await fetch("/", { cache: "no-store", signal: AbortSignal.timeout(9000) });
    if (!answer.ok) throw new Error(answer.status === 401 ? "sign in again" : "HTTP " + answer.status);
    const wanted = parse(await answer.text()).querySelector("#live");
    if (!wanted) throw new Error("another page came");
    mark = waitingMark = wanted.dataset.mark;
    waiting.clear();
    for (const kept of ["fresh", "alarm", "said"]) wanted.querySelector("#" + kept).replaceWith(byId(kept).cloneNode(true));
    patch(live, wanted);
    hear(Number(wanted.dataset.now));
    document.title = byId("overview").dataset.title;
    watchRows();
    if (mark) follow(); else setTimeout(askAnew, ASK_AGAIN_MS / 3);
  } catch (error) {
    heldUp = "Asked again: " + error.message + ".";
    showState("reconnecting");
    setTimeout(askAnew, retryMs = Math.min(2 * retryMs, ASK_AGAIN_MS));
  }
}

function watchRows() {
  for (const id of ["components", "checks"]) for (const row of byId(id).children) inView.observe(row);
}

// -- what a person does ---------------------------------------------------------------------------

async function copy(button) {
  const code = button.parentNode.querySelector("code");
  try {
    await navigator.clipboard.writeText(code.textContent);
    say("Copied");
  } catch {  // no clipboard without TLS: the text is selected, to be copied by hand
    getSelection().selectAllChildren(code);
    say("Selected: copy it with the keyboard");
  }
}

async function act(form, path) {
  const said = form.querySelector("output"), text = form.elements.text.value.trim();
  said.textContent = "…";
  try {
    const answer = await fetch(path, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(path.endsWith("/ack") ? { reason: text } : { text }),
      signal: AbortSignal.timeout(9000),
    });
    const told = await answer.json();
    said.textContent = answer.ok ? told.outcome ?? "done" : told.error ?? "refused: HTTP " + answer.status;
    if (answer.ok) form.elements.text.value = "";
  } catch (error) {
    said.textContent = "not sent: " + error.message;
  }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button.copy");
  if (button) copy(button);
});
document.addEventListener("submit", (event) => {
  if (!event.target.closest(".act")) return;
  event.preventDefault();
  act(event.target, event.submitter?.getAttribute("formaction") ?? event.target.getAttribute("action"));
});
addEventListener("beforeprint", () => tell(document.body));
addEventListener("pagehide", () => { source?.close(); source = null; });
addEventListener("pageshow", (event) => { if (event.persisted) askAnew(); });

document.documentElement.classList.add("live");
watchRows();
setInterval(tick, 1000);
if (mark) follow(); else setTimeout(askAnew, ASK_AGAIN_MS / 3);
