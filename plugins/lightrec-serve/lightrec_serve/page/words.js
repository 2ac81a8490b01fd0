// The language of the page: what the browser prefers, or what `?lang=` asks for. English sentences
// are the keys of the catalog of another language, `zh.json`; `{name}` stands for a value.

const KNOWN = ["en", "zh"];
const asked = [new URLSearchParams(location.search).get("lang"), ...navigator.languages, "en"];
export const language = asked.map((each) => each?.slice(0, 2)).find((each) => KNOWN.includes(each));
const words = language === "en" ? {} : await (await fetch(`page/${language}.json`)).json();

export function t(text, values = {}) {
  return (words[text] ?? text).replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

export const list = (parts) => new Intl.ListFormat(language).format(parts);
export const quoted = (title) => t("“{title}”", { title });

// Translate what stands in the page as it was sent, and in its templates.
function translate(root) {
  const texts = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const text = texts.currentNode.data.trim();
    if (text) texts.currentNode.data = texts.currentNode.data.replace(text, () => t(text));
  }
  for (const name of ["placeholder", "aria-label"]) {
    for (const each of root.querySelectorAll(`[${name}]`)) each.setAttribute(name, t(each.getAttribute(name)));
  }
  for (const each of root.querySelectorAll("template")) translate(each.content);
}

if (language !== "en") {
  document.documentElement.lang = language === "zh" ? "zh-Hans" : language;
  translate(document.body);
}
const other = document.getElementById("language");
other.href = `?lang=${language === "en" ? "zh" : "en"}`;
other.addEventListener("click", () => { other.href = other.href.replace(/#.*/, "") + location.hash; });
