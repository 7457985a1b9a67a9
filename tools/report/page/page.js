"use strict";
// Making elements, colours of runs and series, and what must be drawn anew when
// the page turns dark.

function element(space, tag, attributes, children) {
  const made = space ? document.createElementNS(space, tag)
                     : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined) made.append(child);
  }
  return made;
}
const h = (tag, attributes, ...children) =>
    element(null, tag, attributes, children);
const svg = (tag, attributes, ...children) =>
    element("http://www.w3.org/2000/svg", tag, attributes, children);

const COLOURS = 8;
const colour = (index) => `var(--c${index % COLOURS})`;

// A line of a legend.
const key = (label, color, dashed) => h("span", {class: "key"},
    h("i", {style: `border-color:${color}`, class: dashed ? "dash" : null}),
    label);

// What the reader chose, by chart, through redrawing.
const choices = new Map();

const repaints = new Set();
function onTheme(paint) {
  repaints.add(paint);
  paint();
}
const isDark = () => {
  const forced = document.documentElement.dataset.theme;
  return forced ? forced === "dark"
                : matchMedia("(prefers-color-scheme: dark)").matches;
};

function setUpTheme() {
  const stored = () => {
    try { return localStorage.getItem("tamer-theme") || "auto"; }
    catch { return "auto"; }
  };
  const buttons = document.querySelectorAll("[data-theme-choice]");
  const choose = (choice) => {
    if (choice === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = choice;
    for (const button of buttons) {
      button.setAttribute("aria-pressed",
                          String(button.dataset.themeChoice === choice));
    }
    for (const paint of repaints) paint();
  };
  for (const button of buttons) {
    button.addEventListener("click", () => {
      const choice = button.dataset.themeChoice;
      try { localStorage.setItem("tamer-theme", choice); }
      catch { /* a file's page may not be allowed to keep anything */ }
      choose(choice);
    });
  }
  matchMedia("(prefers-color-scheme: dark)")
      .addEventListener("change", () => choose(stored()));
  choose(stored());
}
