// A slate: its cards, what people do with them, and what comes next.

import { api, element, newId, say, stamp } from "./parts.js";
import { list, quoted, t } from "./words.js";

const ALIKE = 5; // items that "More like this" shows

const SHARES = ["popularity", "attributes"]; // whose scores are shares themselves
const RANKED = {
  popularity: "Nothing is known of this person yet: these are popular items that differ from each other.",
  attributes: "Ranked by what people with the same attributes choose.",
  wish: "Ranked by the request.",
  blend: "Ranked by the blend, which looks at the next choice.",
  policy: "Ranked by the policy, which looks at the whole session.",
  mixture: "Ranked by the blend and by what user model A likes.",
  "even-mixture": "Ranked by the transformer and by what user model A likes.",
  reader: "Ranked by the blend, and again by the reader of texts.",
};

export class Column {
  // whom() gives what to ask for; arms() those that are served; shown() hears of each slate.
  constructor(name, { whom, arms, shown }, ranker) {
    Object.assign(this, { whom, arms, shown });
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
    this.part(".next").addEventListener("click", () => this.ask({ more: true }));
    this.begin();
  }

  // Offer what may rank. The first choice needs no knowledge of the arms, so that the first slate
  // does not wait for it.
  offer(chosen = 0) {
    const arms = this.arms();
    const names = Object.keys(arms);
    const usual = ({ by }) => t("As evaluated ({by})", { by: t(by ?? "") });
    const first = [t("As evaluated"), usual(arms[names[0]] ?? {}), t("An arm drawn for you")];
    const choices = [[first[Math.min(names.length, 2)], {}]];
    for (const arm of names) {
      const prefix = names.length > 1 ? `${arm} · ` : "";
      if (prefix) choices.push([prefix + usual(arms[arm]), { arm }]);
      choices.push([prefix + t("Policy"), { arm, by: "policy" }], [prefix + t("Blend"), { arm, by: "blend" }]);
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

  // Ask for the next slate of the session; its next page holds nothing that was shown before.
  async ask(more = {}) {
    this.asking?.abort();
    const asking = (this.asking = new AbortController());
    const body = { ...this.whom(), ...this.choices[this.part("select").selectedIndex], ...more };
    if (this.session) body.session = this.session;
    this.root.setAttribute("aria-busy", "true");
    try {
      const slate = await api("recommend", { method: "POST", body, signal: asking.signal });
      this.session = slate.session;
      this.show({ ...slate, asked: body, wish: body.ask, drawn: body.explore });
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
    this.part(".problem").scrollIntoView({ block: "nearest" });
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
    this.part(".next").hidden = slate.drawn || cards.length < slate.asked.k;
    if (focused && cards.length) {
      const card = cards[Math.min(rank, cards.length - 1)];
      card.querySelector(`button[value=${focused}]`).focus({ preventScroll: true });
    }
    this.part(".changed").textContent = changes(before, slate.items);
    this.shown();
  }

  describe() {
    if (!this.slate) return;
    const { by, arm, note, wish } = this.slate;
    const text = wish && by !== "wish" ? "Ranked by the request and the {by}." : RANKED[by] ?? "Ranked by {by}.";
    const more = Object.keys(this.arms()).length > 1 ? t(" Arm: {arm}.", { arm }) : "";
    this.part(".about").textContent = t(text, { by: t(by) }) + more;
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
    if (place.image) part(".what").prepend(picture(place.image));
    part("h3").id = newId();
    const text = place.text.startsWith(place.title) ? place.text.slice(place.title.length) : place.text;
    // What is left may begin with a year in parentheses, or with a full stop.
    say(part(".text"), text.trim().replace(/^\((.*?)\)/, "$1").replace(/^[.,:;]\s*/, ""));
    say(part(".why"), because(place));
    part(".score").hidden = place.score === null;
    if (place.score !== null) {
      part(".meter span").style.width = `${8 + 92 * share}%`;
      part(".value").textContent = this.relevance(place);
      part(".value").title = t("Score {score}", { score: place.score.toFixed(2).replace("-", "−") });
    }
    if (this.slate.drawn) part(".propensity").textContent = probability(place.propensity);
    for (const button of card.querySelectorAll("button")) {
      button.setAttribute("aria-describedby", part("h3").id);
    }
    return card;
  }

  // How likely or popular it is beside the first: most scores are logarithms of shares.
  relevance(place) {
    const best = Math.max(...this.slate.items.map((each) => each.score));
    const share = SHARES.includes(this.slate.by) && best > 0 ? place.score / best : Math.exp(place.score - best);
    return t("{share}\u00a0% of the best", { share: Math.min(100, Math.round(100 * share)) });
  }

  clicked(event) {
    const button = event.target.closest("button");
    if (!button || !this.slate) return;
    const card = button.closest(".card");
    const place = this.slate.items.find((each) => each.item === card.dataset.item);
    if (button.value === "similar") this.unfold(button, card, () => this.similar(place));
    else if (button.value === "reasons") this.unfold(button, card, () => this.reasons(place));
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
      // What a run is to bring about is what was taken.
      const [taken = "accepted"] = this.arms()[this.slate.arm]?.goal ?? [];
      const sent = kind === "accepted" ? taken : kind;
      const event = { id, session, answer, item: place.item, kind: sent };
      await api("feedback", { method: "POST", body: { events: [event] } });
      const done = element("li", place.title, kind);
      done.prepend(element("span", t(kind === "accepted" ? "Taken: " : "Not this: ")));
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

  // Show or hide the list that a button is named after; rows are asked for once.
  async unfold(button, card, rows) {
    const list = card.querySelector(`.${button.value}`);
    const open = list.hidden;
    if (open && !list.childElementCount) {
      button.setAttribute("aria-busy", "true");
      try {
        list.replaceChildren(...await rows());
      } catch (error) {
        this.fail(error);
        return;
      } finally {
        button.removeAttribute("aria-busy");
      }
    }
    list.hidden = !open;
    button.setAttribute("aria-expanded", String(open));
  }

  async similar(place) {
    const arm = encodeURIComponent(this.slate.arm);
    const path = `items/${encodeURIComponent(place.item)}/similar?k=${ALIKE}&arm=${arm}`;
    const found = await api(path);
    if (!found.length) return [element("li", t("Nothing is like it."))];
    return found.map((other) => row(other.title, other.score === null ? "" : t("{share} alike", { share: percent(other.score) })));
  }

  // The events that "Because of" names, each with what it does, and what would have to be gone for
  // the item not to come; the latter is not known of requests in words and of exports.
  async reasons(place) {
    const rows = (place.why ?? []).map((title, number) =>
      row(title, t("without it {share} as likely", { share: percent(place.without[number]) })));
    if (!rows.length) rows.push(element("li", t("No event of the past makes it more likely.")));
    const { session, items, asked } = this.slate;
    const body = { session, item: place.item, k: items.length };
    for (const name of ["history", "exclude", "only", "by"]) if (asked[name]) body[name] = asked[name];
    if (!asked.ask && !asked.more && place.why?.length) {
      const found = await api("explain", { method: "POST", body }).catch((error) => ({ error }));
      if (found.error) rows.push(element("li", found.error.message, "quiet"));
      const titles = new Map(found.events?.map((event) => [event.position, event.title]));
      const lost = found.change?.without.map((position) => quoted(titles.get(position))) ?? [];
      if (lost.length) rows.push(element("li", t("It would not come without {titles}.", { titles: list(lost) })));
    }
    return rows;
  }
}

// A picture from the web, which is left out where it does not come.
function picture(address) {
  const made = new Image();
  Object.assign(made, { className: "picture", alt: "", loading: "lazy", referrerPolicy: "no-referrer" });
  made.addEventListener("error", () => made.remove());
  made.src = address;
  return made;
}

function row(said, aside) {
  const made = element("li", said);
  if (aside) made.append(element("span", aside, "quiet"));
  return made;
}

// Why an item came, in a sentence; empty where nothing is said.
function because(place) {
  return place.why?.length ? t("Because of {titles}", { titles: list(place.why.map(quoted)) }) : "";
}

function percent(share) {
  const value = 100 * share;
  return `${value >= 10 || value === 0 ? value.toFixed(0) : value.toPrecision(2)} %`;
}

function probability(propensity) {
  return propensity === null ? "" : t("drawn with probability {share}", { share: percent(propensity) });
}

function mark(place, before, now) {
  const up = before - now;
  if (before && !up) return;
  place.textContent = !before ? t("new") : up > 0 ? `▲ ${up}` : `▼ ${-up}`;
  place.setAttribute("aria-label", !before ? t("new in the slate") : up > 0 ? t("up {places}", { places: up }) : t("down {places}", { places: -up }));
  place.setAttribute("role", "img");
  place.classList.toggle("new", !before);
}

function changes(before, items) {
  if (!items.length) return t("Nothing is left to show.");
  if (!before) return t("{count} items.", { count: items.length });
  const fresh = items.filter((place) => !before.includes(place.item)).length;
  const moved = items.some((place, rank) => before[rank] !== place.item);
  if (!moved) return t("The slate stays as it was.");
  return fresh
    ? t("New here: {fresh} of {count} items.", { fresh, count: items.length })
    : t("The same items in another order.");
}
