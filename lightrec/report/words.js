// The report in another language, by `?lang=` or else what the browser prefers. Keys of a catalog are
// the sentences and labels that Python writes, `{name}` stands for what it fills in. Labels are
// translated as a whole, sentences wherever they stand. What a catalog lacks stays English, and so
// does what may be an item's title.
"use strict";
(() => {
  const catalogs = JSON.parse(document.getElementById("catalogs").textContent);
  const asked = [new URLSearchParams(location.search).get("lang"), ...navigator.languages, "en"];
  const language = asked.map((each) => each?.slice(0, 2)).find((each) => each === "en" || each in catalogs);
  const words = catalogs[language] ?? {};
  const escaped = (text) => text.replace(/[.*+?^$()|[\]\\]/g, "\\$&");
  const pattern = (key) => escaped(key).replace(/\{(\w+)\}/g, (_, name) => `(?<${name}>${/^n\d?$/.test(name) ? "[-+]?[\\d.,]+" : ".+?"})`);
  // Sentences are parts of a text, what begins with a blank ends one, and a label is all of it.
  const rules = Object.keys(words).sort((one, other) => other.length - one.length).map((key) => [
    new RegExp(key[0] === " " ? `${key}$` : key.length > 40 || /[.:;]$/.test(key) ? `${pattern(key)}(?= |$)` : `^${pattern(key)}$`, "g"),
    words[key],
  ]);

  function t(text) {
    for (const [rule, said] of rules) {
      text = text.replace(rule, (...found) => {
        const values = found.at(-1);  // named groups, where there are any
        return typeof values === "object" ? said.replace(/\{(\w+)\}/g, (_, name) => part(name, values[name])) : said;
      });
    }
    return text.replace(/([。：；？）]) +/g, "$1");
  }

  // What is filled in may be a label, or several; names of items and people stay as they are.
  function part(name, text) {
    if (name === "title") return text;
    const said = t(text);
    return said === text ? text.split(", ").map(t).join("，") : said;
  }

  function link(to, name) {
    const other = document.createElement("a");
    [other.href, other.lang, other.textContent] = [`?lang=${to}`, to, name];
    document.querySelector("h1 + p").append(" · ", other);
  }

  if (language === "en") {
    for (const [name, catalog] of Object.entries(catalogs)) link(name, catalog["English"]);
    return;
  }
  document.documentElement.lang = language;
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const node = texts.currentNode, text = node.data.trim().replace(/\s+/g, " ");
    if (text && !node.parentElement.closest("script, style, pre, code")) {
      const title = node.parentElement.tagName === "TD" && /^[A-Z]/.test(text);
      if (!title) node.data = node.data.replace(node.data.trim(), () => t(text));
    }
  }
  link("en", "English");
})();
