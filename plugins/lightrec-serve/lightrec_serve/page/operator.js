// The operator's view: what each arm has shown, and what people made of it.

import { api, element, find, say, stamp } from "./parts.js";
import { language, t } from "./words.js";

const EVERY = 10_000; // milliseconds
const UNEVEN = "People see the arms in other shares than their weights say: before you compare the arms, look for what loses requests of one of them.";
const LOCALE = language === "en" ? "en-GB" : language;
const AXES = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1];

const count = new Intl.NumberFormat(language).format;
const tenth = (value) => (100 * value).toFixed(1);
const share = (value) => `${tenth(value)}\u00a0%`;
const milliseconds = (value) => (value < 10 ? value.toFixed(1) : count(Math.round(value)));

export function operator(arms) {
  let timer = null;

  function entry(name, value) {
    const pair = element("div");
    pair.append(element("dt", name), element("dd", value));
    return pair;
  }

  // All arms share an axis, so that their intervals can be compared by eye.
  function interval(place, numbers, end) {
    const at = (value) => `${(100 * value) / end}%`;
    const range = place.querySelector(".range");
    range.style.left = at(numbers.low);
    range.style.width = at(numbers.high - numbers.low);
    place.querySelector(".point").style.left = at(numbers.rate);
    const ticks = [0, end / 2, end].map((value) => element("span", `${+(100 * value).toFixed(2)} %`));
    place.querySelector(".ticks").replaceChildren(...ticks);
    place.setAttribute(
      "aria-label",
      t("{rate} accepted, 95 % interval {low} to {high}", {
        rate: share(numbers.rate), low: share(numbers.low), high: share(numbers.high),
      }),
    );
  }

  // The rate piece by piece of the time, from 0 to the highest.
  function trend(place, pieces) {
    const rates = pieces.map(([begin, shown, accepted]) => [begin, shown ? accepted / shown : 0]);
    if (rates.length < 3) return;
    const [first, last] = [rates[0][0], rates.at(-1)[0]];
    const highest = Math.max(...rates.map(([, rate]) => rate)) || 1;
    const points = rates.map(([time, rate]) =>
      `${((240 * (time - first)) / (last - first)).toFixed(1)},${(38 - (36 * rate) / highest).toFixed(1)}`);
    place.querySelector("polyline").setAttribute("points", points.join(" "));
    const when = (time) => new Date(time).toLocaleString(LOCALE, { dateStyle: "short", timeStyle: "short" });
    const said = t("Rate from {first} to {last}; highest {highest}, now {now}", {
      first: when(first), last: when(last), highest: share(highest), now: share(rates.at(-1)[1]),
    });
    place.querySelector("svg").setAttribute("aria-label", said);
    say(place.querySelector("figcaption"), said);
    place.hidden = false;
  }

  function card(name, about, numbers, end) {
    const root = stamp("arm");
    root.querySelector("h3").textContent = name;
    const served = about?.version ? "{share}\u00a0% of people, ranked by the {by}, version {version}" : "{share}\u00a0% of people, ranked by the {by}";
    const shares = about ? t(served, { share: +tenth(about.share), by: t(about.by), version: about.version }) : t("not served now");
    root.querySelector(".bar .quiet").textContent = shares;
    const list = root.querySelector("dl");
    if (!numbers) {
      root.querySelector(".interval").remove();
      list.append(entry(t("Answers"), t("none yet")));
      return root;
    }
    interval(root.querySelector(".interval"), numbers, end);
    trend(root.querySelector(".trend"), numbers.trend);
    const covered = about?.items ? numbers.items / about.items : null;
    const coverage = entry(t("Coverage"), count(numbers.items));
    if (covered !== null) {
      coverage.lastChild.textContent = t("{shown} of {all} ({share})", {
        shown: count(numbers.items), all: count(about.items), share: share(covered),
      });
      const meter = element("div", "", "meter");
      meter.append(element("span"));
      meter.lastChild.style.width = `${100 * Math.min(covered, 1)}%`;
      coverage.append(meter);
    }
    const kinds = Object.entries(numbers.feedback).map(([kind, number]) => `${kind} ${count(number)}`);
    const latency = numbers.latency_ms.map(milliseconds).join(" · ");
    list.append(
      entry(t("Rate, 95 % interval"), t("{rate} ({low} to {high})", {
        rate: share(numbers.rate), low: tenth(numbers.low), high: tenth(numbers.high),
      })),
      entry(t("People"), count(numbers.people)),
      entry(t("Answers"), count(numbers.answers)),
      entry(t("Items shown"), count(numbers.shown)),
      entry(t("Accepted"), count(numbers.accepted)),
      entry(t("Feedback"), kinds.join(" · ") || t("none yet")),
      coverage,
      entry(t("Latency, 50 · 95 · 99 %"), latency ? t("{times}\u00a0ms", { times: latency }) : t("not known")),
    );
    return root;
  }

  async function refresh() {
    try {
      const found = await api(`numbers?hours=${find("hours").value}&trial=${find("trials").checked}`);
      const known = arms();
      const names = new Set([...Object.keys(known), ...found.map((numbers) => numbers.arm)]);
      const highest = Math.max(0, ...found.map((numbers) => numbers.high));
      const end = AXES.find((axis) => axis >= highest) ?? 1;
      find("arms").replaceChildren(...Array.from(names, (name) =>
        card(name, known[name], found.find((numbers) => numbers.arm === name), end)));
      const uneven = found.length && found[0].split_p !== null && found[0].split_p < 0.001;
      say(find("broken"), uneven ? t(UNEVEN) : "");
      const { store, waiting } = await api("ready");
      const kept = waiting ? t(" {count} events wait for it.", { count: count(waiting) }) : "";
      const is = { ok: "The store answers.", down: "The store does not answer: lists come without it." };
      say(find("health"), t(is[store]) + kept);
      const now = new Date().toLocaleTimeString(LOCALE);
      say(find("updated"), t("Counted at {now}, and again every {seconds} seconds.", { now, seconds: EVERY / 1000 }));
    } catch (error) {
      say(find("broken"), error.message);
    }
  }

  for (const name of ["hours", "trials"]) find(name).addEventListener("change", refresh);
  return {
    run(visible) {
      clearInterval(timer);
      if (!visible) return;
      refresh();
      timer = setInterval(() => document.hidden || refresh(), EVERY);
    },
  };
}
