// What the views share: small helpers for elements, and requests to the service.

import { t } from "./words.js";

export const find = (id) => document.getElementById(id);

// Data becomes text only: nothing on this page is ever read as HTML.
export function element(name, text = "", className = "") {
  const made = document.createElement(name);
  made.textContent = text;
  made.className = className;
  return made;
}

export function stamp(id) {
  return find(id).content.firstElementChild.cloneNode(true);
}

export function say(place, text) {
  place.textContent = text;
  place.hidden = !text;
}

// randomUUID is missing where a page comes over plain HTTP from another machine.
export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

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
        reject(new Error(t("The service answers only with a token: reload the page to give one.")));
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

export async function api(path, { method = "GET", body, signal } = {}) {
  for (;;) {
    const token = sessionStorage.getItem("token");
    const headers = token ? { Authorization: `Bearer ${token}` } : {};
    if (body) headers["Content-Type"] = "application/json";
    let response;
    try {
      response = await fetch(path, { method, headers, signal, body: body && JSON.stringify(body) });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Error(t("The service cannot be reached: see whether it still runs."));
    }
    const answer = await response.json().catch((error) => {
      if (response.ok || error.name === "AbortError") throw error;
      return {};
    });
    if (response.ok) return answer;
    const problem = answer.error ?? t("The service answered with the status {status}.", response);
    if (response.status !== 401) throw new Error(problem);
    // Another request may have got a token meanwhile.
    if (token === sessionStorage.getItem("token")) await askForToken(token ? problem : "");
  }
}
