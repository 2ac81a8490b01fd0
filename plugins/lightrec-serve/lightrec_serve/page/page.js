// Whom slates are for, two of them side by side, and the views.

import { operator } from "./operator.js";
import { api, element, find, say } from "./parts.js";
import { Column } from "./slate.js";
import { quoted, t } from "./words.js";

const LENGTH = 10; // places of a slate
const PAST = 5; // events of a person that are shown
const WAIT = 150; // milliseconds without a key until what is typed is looked for

// Whom the slate is for

const titles = [];

function wanted() {
  const ask = { k: LENGTH, explain: true, history: [...titles], explore: find("explore").checked };
  ask.trial = find("trial").checked; // then it is of no log and no number
  const user = find("user").value.trim();
  if (user) ask.user = user;
  const whom = [user ? t("user {user}", { user }) : t("somebody new"), ...titles.map(quoted), wish];
  document.querySelector("#whom summary").textContent = t("For {whom}", { whom: whom.filter(Boolean).join(t(", ")) });
  if (wish) ask.ask = wish;
  for (const name of ["only", "exclude"]) {
    const conditions = find(name).value.split(";").map((each) => each.trim()).filter(Boolean);
    if (conditions.length) ask[name] = conditions;
  }
  if (find("discover").checked) ask.discover = true;
  return ask;
}

// Offer what fits the letters that are typed; the newest question counts.
function offering(field, list, path, row) {
  let asked = 0;
  field.addEventListener("input", async () => {
    const now = ++asked;
    await new Promise((done) => setTimeout(done, WAIT));
    if (now !== asked || !field.value.trim()) return;
    const found = await api(`${path}${encodeURIComponent(field.value.trim())}`).catch(() => []);
    if (now === asked) offer(list, found.map(row));
  });
}

function offer(list, values) {
  list.replaceChildren(...values.map((value) => {
    const option = element("option");
    option.value = value;
    return option;
  }));
}

// What a person did, from the log.
async function showPast() {
  const user = find("user").value.trim();
  say(find("past"), "");
  if (!user) return;
  const past = await api(`users/${encodeURIComponent(user)}/past?k=${PAST}`).catch(() => []);
  if (find("user").value.trim() !== user || !past.length) return;
  const events = past.map(({ title, kind }) => (kind ? `${title} (${kind})` : title));
  say(find("past"), t("Last in the log: {events}.", { events: events.join(t("; ")) }));
}

function showTitles() {
  find("titles").replaceChildren(...titles.map((title, place) => {
    const chip = element("li");
    const remove = element("button", "×");
    remove.type = "button";
    remove.setAttribute("aria-label", t("Remove {title}", { title }));
    remove.addEventListener("click", () => {
      titles.splice(place, 1);
      showTitles();
      find("title").focus();
      askAll();
    });
    chip.append(element("span", title), remove);
    return chip;
  }));
}

async function addTitle() {
  const field = find("title");
  const title = field.value.trim();
  field.value = "";
  if (!title || titles.includes(title)) return;
  titles.push(title);
  showTitles();
  await askAll();
  if (!columns[0].failed) return;
  // The service says what is wrong with the title, which goes back to be corrected.
  titles.splice(titles.indexOf(title), 1);
  showTitles();
  field.value ||= title;
}

let wish = "";

// Enter, the button, the field's cross and leaving the field all come here, and ask once.
function askForWish() {
  const now = find("wish").value.trim();
  if (now === wish) return;
  wish = now;
  askAll();
}

// Side by side

let arms = {};
const columns = [];

function askAll() {
  return Promise.all(columns.map((column) => column.ask()));
}

function compareSlates() {
  const [one, other] = columns.map((column) => column.slate);
  if (!one || !other) {
    say(find("overlap"), "");
    return;
  }
  const items = new Set(one.items.map((place) => place.item));
  const both = other.items.filter((place) => items.has(place.item)).length;
  say(find("overlap"), t("In both slates: {both} of {all} items.", { both, all: other.items.length }));
}

function addColumn(name, ranker) {
  const column = new Column(name, { whom: wanted, arms: () => arms, shown: compareSlates }, ranker);
  columns.push(column);
  find("columns").append(column.root);
  return column;
}

// The second column starts with what the first does not show: another arm, or another ranker.
function other() {
  const names = Object.keys(arms);
  if (names.length < 2) return names.length && arms[names[0]].by === "policy" ? 2 : 1;
  const shown = columns[0].slate?.arm;
  const arm = names.find((name) => name !== shown);
  return 1 + 3 * names.indexOf(arm);
}

function setCompared(compared) {
  columns[0].part("h2").textContent = t(compared ? "Slate A" : "Slate");
  find("columns").classList.toggle("two", compared);
  if (compared) addColumn(t("Slate B"), other()).ask();
  else columns.splice(1).forEach((column) => column.root.remove());
  compareSlates();
}

// Views

const numbers = operator(() => arms);

function showView() {
  const operating = location.hash === "#operator";
  find("slates").hidden = operating;
  find("numbers").hidden = !operating;
  for (const link of document.querySelectorAll("nav a[href^='#']")) {
    const here = (link.hash === "#operator") === operating;
    if (here) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  numbers.run(operating);
}

// A condition that an item meets, for those who have never written one.
function condition({ attributes }) {
  const known = Object.entries(attributes).filter(([, value]) => value !== null);
  const [name, value] = known.find(([, value]) => Array.isArray(value)) ?? known[0] ?? ["item", "…"];
  return `${name}=${Array.isArray(value) ? value[0] : value}`;
}

function beginAgain() {
  for (const column of columns) column.begin();
  return askAll();
}

async function start() {
  find("whom").open = matchMedia("(min-width: 54rem)").matches; // on a phone the slate comes first
  addColumn(t("Slate")).ask();
  find("ask").addEventListener("submit", (event) => {
    event.preventDefault();
    askForWish();
  });
  find("user").addEventListener("change", () => {
    showPast();
    beginAgain();
  });
  offering(find("user"), find("people"), "users?begin=", (user) => user);
  offering(find("title"), find("found"), "items?title=", ({ title }) => title);
  for (const name of ["only", "exclude", "discover"]) find(name).addEventListener("change", askAll);
  find("wish").addEventListener("change", askForWish);
  find("wish").addEventListener("search", askForWish);
  find("explore").addEventListener("change", askAll);
  find("trial").addEventListener("change", beginAgain);
  find("compare").addEventListener("change", (event) => setCompared(event.target.checked));
  find("again").addEventListener("click", () => {
    titles.length = 0;
    showTitles();
    for (const name of ["title", "wish", "only", "exclude"]) find(name).value = "";
    find("discover").checked = false;
    wish = "";
    beginAgain();
  });
  find("title").addEventListener("change", addTitle);
  find("title").addEventListener("keydown", (event) => {
    if (event.key === "Enter") addTitle();
    if (event.key === "Backspace" && !event.target.value && titles.length) {
      find("titles").lastElementChild.querySelector("button").click();
    }
  });
  // A comma that is typed ends a title; one that is pasted may be a part of it.
  find("title").addEventListener("input", (event) => {
    if (event.data !== "," || !event.target.value.endsWith(",")) return;
    event.target.value = event.target.value.slice(0, -1);
    addTitle();
  });
  addEventListener("hashchange", showView);
  showView();
  try {
    arms = (await api("ready")).arms;
    for (const column of columns) {
      column.offer();
      column.describe();
    }
    offer(find("people"), await api("users"));
    const [some] = await api("items?k=1");
    const named = Object.keys(some?.attributes ?? {});
    if (named.length) say(find("columns-known"), t("By {names}, such as {example}.", { names: named.join(t(", ")), example: condition(some) }));
  } catch (error) {
    columns[0].fail(error);
  }
}

start();
