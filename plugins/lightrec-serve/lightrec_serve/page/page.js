// Slates: whom they are for, what people do with them, and what comes next.

import { operator } from "./operator.js";

const LENGTH = 10; // places of a slate
const ALIKE = 5; // items that "More like this" shows

const RANKED = {
  popularity: "Nothing is known of this person yet: these are popular items that differ from each other.",
  attributes: "Ranked by what people with the same attributes choose.",
  wish: "Ranked by the wish.",
  blend: "Ranked by the blend, which looks at the next choice.",
  policy: "Ranked by the policy, which looks at the whole session.",
  reader: "Ranked by the blend, and again by the reader of texts.",
};

const find = (id) => document.getElementById(id);

// Data becomes text only: nothing on this page is ever read as HTML.
function element(name, text = "", className = "") {
  const made = document.createElement(name);
  made.textContent = text;
  made.className = className;
  return made;
}

function stamp(id) {
  return find(id).content.firstElementChild.cloneNode(true);
}

function say(place, text) {
  place.textContent = text;
  place.hidden = !text;
}

function listed(names) {
  return new Intl.ListFormat("en").format(names);
}

// randomUUID is missing where a page comes over plain HTTP from another machine.
function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// The service

let knocking = null;

function askForToken(refusal) {
  knocking ??= new Promise((resolve, reject) => {
    const door = find("door");
    find("token").value = "";
    say(find("refusal"), refusal);
    door.returnValue = "";
    door.addEventListener("close", () => {
      knocking = null;
      const token = find("token").value.trim();
      if (!token) {
        reject(new Error("The service answers only with a token: reload the page to give one."));
        return;
      }
      sessionStorage.setItem("token", token);
      resolve();
    }, { once: true });
    door.addEventListener("cancel", () => { find("token").value = ""; }, { once: true });
    door.showModal();
  });
  return knocking;
}

async function api(path, { method = "GET", body, signal } = {}) {
  for (;;) {
    const token = sessionStorage.getItem("token");
    const headers = token ? { Authorization: `Bearer ${token}` } : {};
    if (body) headers["Content-Type"] = "application/json";
    let response;
    try {
      response = await fetch(path, { method, headers, signal, body: body && JSON.stringify(body) });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Error("The service cannot be reached: see whether it still runs.");
    }
    const answer = await response.json().catch(() => ({}));
    if (response.ok) return answer;
    const problem = answer.error ?? `The service answered with the status ${response.status}.`;
    if (response.status !== 401) throw new Error(problem);
    // Another request may have got a token meanwhile.
    if (token === sessionStorage.getItem("token")) await askForToken(token ? problem : "");
  }
}

// Whom the slate is for

const titles = [];

function wanted() {
  const ask = { k: LENGTH, explain: true, history: [...titles], explore: find("explore").checked };
  if (find("user").value) ask.user = find("user").value;
  if (wish) ask.ask = wish;
  return ask;
}

function showTitles() {
  find("titles").replaceChildren(...titles.map((title, place) => {
    const chip = element("li");
    const remove = element("button", "×");
    remove.type = "button";
    remove.setAttribute("aria-label", `Remove ${title}`);
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
  // The service says what is wrong with the title, which goes back to be mended.
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

// Slates

class Column {
  constructor(name, ranker) {
    this.root = stamp("column");
    this.part = (selector) => this.root.querySelector(selector);
    this.part("h2").textContent = name;
    const select = this.part("select");
    select.id = newId();
    this.part("label").htmlFor = select.id;
    this.offer(ranker);
    select.addEventListener("change", () => {
      this.begin();
      this.ask();
    });
    this.part(".cards").addEventListener("click", (event) => this.clicked(event));
    this.begin();
  }

  // Offer what may rank. The first choice needs no knowledge of the arms, so that the first slate
  // does not wait for it.
  offer(chosen = 0) {
    const names = Object.keys(arms);
    const usual = ({ by }) => `As evaluated (${by})`;
    const first = ["As evaluated", usual(arms[names[0]] ?? {}), "An arm drawn for you"];
    const choices = [[first[Math.min(names.length, 2)], {}]];
    for (const arm of names) {
      const prefix = names.length > 1 ? `${arm} · ` : "";
      if (prefix) choices.push([prefix + usual(arms[arm]), { arm }]);
      choices.push([`${prefix}Policy`, { arm, by: "policy" }], [`${prefix}Blend`, { arm, by: "blend" }]);
    }
    this.choices = choices.map(([, choice]) => choice);
    const select = this.part("select");
    select.replaceChildren(...choices.map(([said]) => element("option", said)));
    select.selectedIndex = Math.min(chosen, choices.length - 1);
  }

  begin() {
    this.session = null;
    this.slate = null;
    this.part(".did").replaceChildren();
  }

  // Ask for the next slate of the session.
  async ask() {
    this.asking?.abort();
    const asking = (this.asking = new AbortController());
    const body = { ...wanted(), ...this.choices[this.part("select").selectedIndex] };
    if (this.session) body.session = this.session;
    this.root.setAttribute("aria-busy", "true");
    try {
      const slate = await api("recommend", { method: "POST", body, signal: asking.signal });
      this.session = slate.session;
      this.show({ ...slate, wish: body.ask, drawn: body.explore });
    } catch (error) {
      if (error.name !== "AbortError") this.fail(error); // else a newer question is on its way
    } finally {
      if (this.asking === asking) this.root.removeAttribute("aria-busy");
    }
  }

  get failed() {
    return !this.part(".problem").hidden;
  }

  fail(error) {
    say(this.part(".problem"), error.message);
    if (this.slate) return;
    this.part(".changed").textContent = "";
    this.part(".cards").replaceChildren(); // another person's
  }

  show(slate) {
    const before = this.slate?.items.map((place) => place.item);
    this.slate = slate;
    this.describe();
    say(this.part(".problem"), "");
    const scores = slate.items.map((place) => place.score).filter((score) => score !== null);
    const [low, high] = [Math.min(...scores), Math.max(...scores)];
    const cards = slate.items.map((place) => {
      const card = this.card(place, high > low ? (place.score - low) / (high - low) : 1);
      if (before) mark(card.querySelector(".moved"), before.indexOf(place.item) + 1, place.rank);
      return card;
    });
    const [focused, rank] = this.focused();
    this.part(".cards").replaceChildren(...cards);
    if (focused && cards.length) {
      const card = cards[Math.min(rank, cards.length - 1)];
      card.querySelector(`button[value=${focused}]`).focus({ preventScroll: true });
    }
    this.part(".changed").textContent = changes(before, slate.items);
    compareSlates();
  }

  describe() {
    if (!this.slate) return;
    const { by, arm, note, wish } = this.slate;
    const both = wish && by !== "wish" && `Ranked by the wish and the ${by}.`;
    const more = Object.keys(arms).length > 1 ? ` Arm: ${arm}.` : "";
    this.part(".about").textContent = (both || RANKED[by] || `Ranked by ${by}.`) + more;
    say(this.part(".note"), note);
  }

  // Who works with the keyboard stays at the same place and the same button.
  focused() {
    const card = document.activeElement?.closest(".card");
    const rank = Array.from(this.part(".cards").children).indexOf(card);
    return rank < 0 ? [null, 0] : [document.activeElement.value, rank];
  }

  card(place, share) {
    const card = stamp("card");
    const part = (selector) => card.querySelector(selector);
    card.dataset.item = place.item;
    part(".rank").textContent = place.rank;
    part("h3").textContent = place.title;
    part("h3").id = newId();
    const text = place.text.startsWith(place.title) ? place.text.slice(place.title.length) : place.text;
    // What is left may begin with a year in parentheses, or with a full stop.
    say(part(".text"), text.trim().replace(/^\((.*?)\)/, "$1").replace(/^[.,:;]\s*/, ""));
    say(part(".why"), because(place));
    part(".score").hidden = place.score === null;
    if (place.score !== null) {
      part(".meter span").style.width = `${8 + 92 * share}%`;
      part(".value").textContent = `score ${place.score.toFixed(2).replace("-", "−")}`;
    }
    if (this.slate.drawn) part(".propensity").textContent = probability(place.propensity);
    for (const button of card.querySelectorAll("button")) {
      button.setAttribute("aria-describedby", part("h3").id);
    }
    return card;
  }

  clicked(event) {
    const button = event.target.closest("button");
    if (!button || !this.slate) return;
    const card = button.closest(".card");
    const place = this.slate.items.find((each) => each.item === card.dataset.item);
    if (button.value === "similar") this.similar(button, card, place);
    else this.react(place, button.value);
  }

  async react(place, kind) {
    if (this.reacting) return;
    this.reacting = true;
    // An event that is sent again, because no answer came, counts once by its id.
    place.events ??= {};
    const id = (place.events[kind] ??= newId());
    const { answer, session } = this.slate;
    try {
      const event = { id, session, answer, item: place.item, kind };
      await api("feedback", { method: "POST", body: { events: [event] } });
      const done = element("li", place.title, kind);
      done.prepend(element("span", kind === "accepted" ? "Taken: " : "Not this: "));
      if (session === this.session) {
        this.part(".did").append(done);
        await this.ask();
      }
    } catch (error) {
      this.fail(error);
    } finally {
      this.reacting = false;
    }
  }

  async similar(button, card, place) {
    const list = card.querySelector(".similar");
    const open = list.hidden;
    if (open && !list.childElementCount) {
      try {
        const arm = encodeURIComponent(this.slate.arm);
        const path = `items/${encodeURIComponent(place.item)}/similar?k=${ALIKE}&arm=${arm}`;
        const found = await api(path);
        list.replaceChildren(...found.map((other) => {
          const row = element("li", other.title);
          if (other.score !== null) row.append(element("span", `${percent(other.score)} alike`, "quiet"));
          return row;
        }));
        if (!found.length) list.append(element("li", "Nothing is like it."));
      } catch (error) {
        this.fail(error);
        return;
      }
    }
    list.hidden = !open;
    button.setAttribute("aria-expanded", String(open));
  }
}

// Why an item came, in a sentence; empty where nothing is said. Longer explanations go here.
function because(place) {
  return place.why?.length ? `Because of ${listed(place.why.map((title) => `“${title}”`))}` : "";
}

function percent(share) {
  const value = 100 * share;
  return `${value >= 10 || value === 0 ? value.toFixed(0) : value.toPrecision(2)} %`;
}

function probability(propensity) {
  return propensity === null ? "" : `drawn with probability ${percent(propensity)}`;
}

function mark(place, before, now) {
  const up = before - now;
  if (before && !up) return;
  place.textContent = !before ? "new" : up > 0 ? `▲ ${up}` : `▼ ${-up}`;
  place.setAttribute("aria-label", !before ? "new in the slate" : up > 0 ? `up ${up}` : `down ${-up}`);
  place.setAttribute("role", "img");
  place.classList.toggle("new", !before);
}

function changes(before, items) {
  if (!items.length) return "Nothing is left to show.";
  if (!before) return `${items.length} items.`;
  const fresh = items.filter((place) => !before.includes(place.item)).length;
  const moved = items.some((place, rank) => before[rank] !== place.item);
  if (!moved) return "The slate stays as it was.";
  return fresh ? `New here: ${fresh} of ${items.length} items.` : "The same items in another order.";
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
  say(find("overlap"), `In both slates: ${both} of ${other.items.length} items.`);
}

function addColumn(name, ranker) {
  const column = new Column(name, ranker);
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
  columns[0].part("h2").textContent = compared ? "Slate A" : "Slate";
  find("columns").classList.toggle("two", compared);
  if (compared) addColumn("Slate B", other()).ask();
  else columns.splice(1).forEach((column) => column.root.remove());
  compareSlates();
}

// Views

const numbers = operator({ api, element, stamp, say, find, arms: () => arms });

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

function beginAgain() {
  for (const column of columns) column.begin();
  return askAll();
}

async function start() {
  addColumn("Slate").ask();
  find("ask").addEventListener("submit", (event) => {
    event.preventDefault();
    askForWish();
  });
  find("user").addEventListener("change", beginAgain);
  find("wish").addEventListener("change", askForWish);
  find("wish").addEventListener("search", askForWish);
  find("explore").addEventListener("change", askAll);
  find("compare").addEventListener("change", (event) => setCompared(event.target.checked));
  find("again").addEventListener("click", () => {
    titles.length = 0;
    showTitles();
    find("title").value = find("wish").value = wish = "";
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
    const users = await api("users");
    find("user").append(...users.map((user) => {
      const option = element("option", `User ${user}`);
      option.value = user;
      return option;
    }));
  } catch (error) {
    columns[0].fail(error);
  }
}

start();
