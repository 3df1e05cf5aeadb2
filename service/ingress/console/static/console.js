// Enhancements only: every page works without this script.
"use strict";

const GO_MS = 1000;
const isTyping = (target) => target.closest("input, textarea, select, dialog[open]") !== null;
let prefix = "";
let prefixTimer = 0;
let selected = "";

for (const each of document.querySelectorAll("[data-theme-toggle], [data-help], [data-copy], [data-all]")) each.hidden = false;

// On a phone the navigation is one line that scrolls.
const current = document.querySelector(".side a[aria-current]");
if (current) current.parentElement.scrollLeft = current.offsetLeft - current.parentElement.offsetLeft - 40;

document.addEventListener("change", (event) => {
  if (!event.target.matches("[data-all]")) return;
  for (const each of document.querySelectorAll("[data-rows] input[name=id]")) each.checked = event.target.checked;
});

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.matches("[data-theme-toggle]")) toggleTheme();
  if (button.matches("[data-help]")) document.getElementById("help").showModal();
  if (button.matches("[data-copy]")) copy(button);
});

document.addEventListener("submit", (event) => {
  const question = event.submitter && event.submitter.dataset.confirm;
  if (question && !window.confirm(question)) event.preventDefault();
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape" && isTyping(event.target)) return event.target.blur();
  if (isTyping(event.target)) return;
  if (press(event.key)) event.preventDefault();
});

document.body.addEventListener("htmx:afterSwap", () => {
  for (const each of document.querySelectorAll("[data-copy]")) each.hidden = false;
  restoreSelection();
});

function press(key) {
  const page = document.querySelector(`[data-keys="${CSS.escape(`${prefix} ${key}`.trim())}"]`);
  if (prefix && page) return Boolean((prefix = ""), page.click(), true);
  prefix = "";
  if (key === "g") {
    clearTimeout(prefixTimer);
    prefix = "g";
    prefixTimer = setTimeout(() => (prefix = ""), GO_MS);
    return true;
  }
  const actions = {
    "/": () => document.querySelector("[data-search]"),
    "?": () => document.querySelector("[data-help]"),
    r: () => document.querySelector("[data-replay]"),
    j: () => select(1),
    k: () => select(-1),
    x: () => document.querySelector("[data-rows] tr[aria-selected=true] input[name=id]"),
    Enter: () => document.querySelector("[data-rows] tr[aria-selected=true] [data-open]"),
  };
  const element = actions[key] && actions[key]();
  if (!element) return false;
  if (key === "/" || key === "j" || key === "k") element.focus();
  else element.click();
  return true;
}

function select(step) {
  const rows = [...document.querySelectorAll("[data-rows] tbody tr")];
  if (!rows.length) return null;
  const now = rows.findIndex((row) => row.getAttribute("aria-selected") === "true");
  const row = rows[Math.min(Math.max(now + step, 0), rows.length - 1)];
  for (const each of rows) each.removeAttribute("aria-selected");
  row.setAttribute("aria-selected", "true");
  row.scrollIntoView({ block: "nearest" });
  const link = row.querySelector("[data-open]");
  selected = link ? link.href : "";
  return link;
}

function restoreSelection() {
  for (const link of document.querySelectorAll("[data-rows] [data-open]")) {
    if (link.href !== selected || link.closest("tr[aria-selected=true]")) continue;
    link.closest("tr").setAttribute("aria-selected", "true");
    if (document.activeElement === document.body) link.focus({ preventScroll: true });
  }
}

function toggleTheme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  localStorage.setItem("theme", root.dataset.theme);
}

async function copy(button) {
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
  } catch {
    return; // plain HTTP to another host has no clipboard; the text is on the page
  }
  button.textContent = "copied";
  setTimeout(() => (button.textContent = "copy"), 1500);
}
