// Keys, selection, copying, and a page that redraws itself. Every page works without it.
"use strict";

const prefix = document.body.dataset.prefix;
const byId = (id) => document.getElementById(id);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const [main, help, keysOn] = ["main", "help", "keys-on"].map(byId);
const announce = (text) => { byId("announcement").textContent = text; };

// Times. The browser's clock may be wrong: the footer says when the server drew the page.
const UNITS = [[172800, 86400, "days"], [3600, 3600, "h"], [60, 60, "min"], [0, 1, "s"]];
let clockOffset = 0;

function relative(seconds) {
  const size = Math.abs(seconds);
  const [, length, unit] = UNITS.find(([from]) => size >= from);
  const text = `${Math.floor(size / length)} ${unit}`;
  return size < 1 ? "now" : seconds < 0 ? `in ${text}` : `${text} ago`;
}

function refreshTimes() {
  for (const time of all("time[datetime]")) {
    const at = Date.parse(time.dateTime);
    if (Number.isNaN(at)) continue;
    time.title ||= time.dateTime;
    time.textContent = relative((Date.now() + clockOffset - at) / 1000);
  }
}

// Selection: the checkboxes in the rows of a form.
const checkboxes = () => all("main .selection tbody input[type=checkbox]");
let lastChecked = null;

function showSelection() {
  const boxes = checkboxes();
  const states = boxes.filter((box) => box.checked).map((box) => box.dataset.state);
  const count = states.length;
  const tally = [...new Set(states)].map((state) => `${states.filter((each) => each === state).length} ${state}`);
  for (const text of all("[data-selected]")) text.textContent = `${count} selected${count ? ` (${tally.join(", ")})` : ""}:`;
  for (const button of all("[data-bulk]")) {
    const fitting = button.dataset.bulk.split(" ");
    const fits = states.every((state) => fitting.includes(state));
    button.disabled = count === 0 || !fits;
    button.title = fits ? "" : `Only for those that are ${fitting.join(" or ")}`;
  }
  for (const box of all("[data-check-all]")) {
    box.checked = count > 0 && count === boxes.length;
    box.indeterminate = count > 0 && count < boxes.length;
  }
}

function checkRange(box) {
  const boxes = checkboxes();
  const [first, last] = [boxes.indexOf(lastChecked), boxes.indexOf(box)].sort((a, b) => a - b);
  if (first >= 0) for (const each of boxes.slice(first, last + 1)) each.checked = box.checked;
}

document.addEventListener("click", ({ target, shiftKey }) => {
  if (target.matches(".selection tbody input[type=checkbox]")) {
    if (shiftKey) checkRange(target);
    lastChecked = target;
  } else if (target.matches("[data-check-all]")) {
    for (const box of checkboxes()) box.checked = target.checked;
  } else if (target.matches("[data-copy]")) copy(target);
  else if (target.closest("#help-open")) help.showModal();
  showSelection();
});

async function copy(button) {
  const text = document.querySelector(button.dataset.copy).textContent;
  try {
    await navigator.clipboard.writeText(text);
  } catch { // Without TLS browsers have no clipboard but this one.
    const area = Object.assign(document.createElement("textarea"), { className: "out-of-sight", value: text });
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
    button.focus();
  }
  const label = button.dataset.label ??= button.textContent;
  button.textContent = "Copied";
  announce("Copied");
  setTimeout(() => { button.textContent = label; }, 2000);
}

// What is wrong with JSON that was typed. The server, which looks again, has the last word.
function faultOf({ name, value, form }) {
  if (value === form.elements[`original_${name}`]?.value) return "";
  try {
    const parsed = JSON.parse(value);
    const isObject = parsed instanceof Object && !Array.isArray(parsed);
    return isObject || name !== "headers" ? "" : "Headers are a JSON object, such as {\"region\": \"eu\"}.";
  } catch ({ message }) { return `This is no JSON: ${message}`; }
}

function isWrong(field) {
  const [note, fault] = [byId(`wrong-${field.name}`), faultOf(field)];
  note.textContent = fault;
  note.hidden = !fault;
  field.setAttribute("aria-invalid", fault !== "");
  return fault !== "";
}

document.addEventListener("input", ({ target }) => { if (target.matches("[data-json][aria-invalid=true]")) isWrong(target); });

// A form that changes something is sent once, however often its button is pressed.
document.addEventListener("submit", (event) => {
  const { target } = event;
  if (!target.matches("[data-once]")) return;
  const [wrong] = all("[data-json]", target).filter(isWrong);
  if (wrong) {
    event.preventDefault();
    return wrong.focus();
  }
  setTimeout(() => all("button", target).forEach((button) => { button.disabled = true; }));
});
window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });

// Keys, which a person can turn off, if the browser may keep that.
try { keysOn.checked = localStorage.getItem("keys") !== "off"; } catch { /* They are on. */ }
keysOn.addEventListener("change", () => {
  try { localStorage.setItem("keys", keysOn.checked ? "on" : "off"); } catch { /* For this page. */ }
});

const currentRow = () => document.activeElement?.closest("tr[data-href]");
const rows = () => all("tr[data-href]", main);

function moveRow(step) {
  const at = rows().indexOf(currentRow());
  const row = rows().at(at < 0 ? Math.min(step, 0) : Math.max(at + step, 0));
  row?.querySelector("a").focus();
}

function toggleRow() {
  const box = currentRow()?.querySelector("input[type=checkbox]");
  if (box) box.checked = !box.checked;
  showSelection();
}

function retry() {
  if (checkboxes().length && !checkboxes().some((box) => box.checked)) toggleRow();
  (main.querySelector("button[data-key=r]:enabled") ?? main.querySelector("a[data-key=r]"))?.click();
}

const go = (page) => () => { location.href = `${prefix}/${page}`; };
const KEYS = {
  "/": () => byId("q").select(), "?": () => help.showModal(),
  j: () => moveRow(1), k: () => moveRow(-1), x: toggleRow, r: retry,
  "g o": go(""), "g f": go("failures"), "g e": go("events"), "g d": go("dead-letters"), "g p": go("pauses"), "g r": go("relays"), "g a": go("audit"),
};
let firstKeyAt = -Infinity;

document.addEventListener("keydown", (event) => {
  const { key, target, timeStamp } = event;
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  const isTyping = target.closest("input:not([type=checkbox]), textarea, select");
  if (key === "Escape" && isTyping) target.blur();
  if (help.open && key === "?") return help.close();
  if (isTyping || help.open || !keysOn.checked) return;
  const chord = timeStamp - firstKeyAt < 1500 ? `g ${key}` : key;
  firstKeyAt = key === "g" ? timeStamp : -Infinity;
  if (key === "Enter" && target.matches("tr[data-href] input")) location.href = currentRow().dataset.href;
  else if (Object.hasOwn(KEYS, chord)) KEYS[chord]();
  else return;
  event.preventDefault();
});

// The page redraws itself when something has changed, but never under somebody's hands.
let [shownVersion, isTouched, isPolling] = [document.body.dataset.changes, false, false];
document.addEventListener("input", ({ target }) => { isTouched ||= target.matches("main :not([type=checkbox])"); });

function isInUse() {
  return document.hidden || help.open || !getSelection().isCollapsed
    || document.activeElement?.matches("input, textarea, select, main :is(a, button, summary):not(tr *)")
    || checkboxes().some((box) => box.checked) || isTouched || main.querySelector("form[method=post]:not([data-redraws]), [data-fixed]");
}

function showLive(text) {
  byId("live").hidden = !text;
  byId("live-text").textContent = text;
}

async function redraw() {
  const answer = await fetch(location.href, { signal: AbortSignal.timeout(10000) });
  if (!answer.ok) { if (answer.status < 500) return false; throw new Error("unread"); }
  const drawn = new DOMParser().parseFromString(await answer.text(), "text/html");
  const next = drawn.getElementById("main");
  if (!next || isInUse()) return false;
  const news = () => all("[data-announce]", main).map((each) => each.textContent.trim()).join(" ");
  const [before, row] = [news(), currentRow()?.dataset.href];
  const open = all("details", main).map((each) => each.open);
  main.replaceChildren(...next.childNodes);
  const details = all("details", main);
  if (details.length === open.length) details.forEach((each, index) => { each.open = open[index]; });
  document.querySelector("footer time").replaceWith(drawn.querySelector("footer time"));
  document.title = drawn.title;
  start();
  if (row) rows().find((each) => each.dataset.href === row)?.querySelector("a").focus();
  if (news() !== before) announce(news());
  return true;
}

async function poll() {
  if (document.hidden || isPolling) return;
  isPolling = true;
  try {
    const answer = await fetch(`${prefix}/changes`, { signal: AbortSignal.timeout(10000) });
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    const { version } = await answer.json();
    if (version !== shownVersion && (isInUse() || !(await redraw()))) return showLive("Something has changed.");
    shownVersion = version;
    showLive("");
  } catch ({ message }) {
    showLive(`The console ${message === "unread" ? "can't read what is new" : "does not answer"}: this page may be out of date.`);
  } finally { isPolling = false; }
}

function start() {
  for (const each of all("[data-copy], [data-check-all], #help-open")) each.hidden = false;
  clockOffset = Date.parse(document.querySelector("footer time").dateTime) - Date.now() || 0;
  refreshTimes();
  showSelection();
}

start();
const firstField = main.querySelector("form[method=post] :is(input:not([type=hidden]), select, textarea)");
if (matchMedia("(pointer: fine)").matches) firstField?.focus({ preventScroll: true });
poll();
setInterval(poll, 5000);
setInterval(refreshTimes, 10000);
setInterval(() => main.querySelector("[data-running]") && redraw().catch(() => {}), 2000);
document.addEventListener("visibilitychange", poll);
