"use strict";
// Draws the operations of /openapi.json, each with a form that tries it. Texts go in as text, never as HTML.

const EXAMPLES = {
  "/predict": { text: "aplikasi bagus, sangat membantu" },
  "/predict/batch": { texts: ["aplikasi bagus", "jelek, sering error"] },
  "/explain": { text: "aplikasi bagus, tapi lambat" },
  "/feedback": { request_id: "", label: "positive" },
};

function element(name, text, parent) {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  if (parent) parent.append(made);
  return made;
}

async function attempt(method, path, body, shown) {
  const headers = {};
  const key = document.getElementById("key").value;
  if (key) headers.Authorization = `Bearer ${key}`;
  if (body !== null) headers["Content-Type"] = "application/json";
  shown.hidden = false;
  try {
    const answer = await fetch(path, { method, headers, body });
    const content = await answer.text();
    let readable = content;
    try { readable = JSON.stringify(JSON.parse(content), null, 1); } catch { /* metrics are plain text */ }
    shown.textContent = `${answer.status} ${answer.statusText}\n${readable}`;
  } catch (error) {
    shown.textContent = `The service does not answer: ${error.message}`;
  }
}

function draw(path, method, operation, parent) {
  const card = element("details", "", parent);
  const summary = element("summary", "", card);
  element("code", `${method.toUpperCase()} ${path}`, summary);
  element("p", operation.description || operation.summary, card);
  const statuses = element("dl", "", card);
  for (const [status, response] of Object.entries(operation.responses)) {
    element("dt", status, statuses);
    element("dd", response.description, statuses);
  }
  const form = element("form", "", card);
  let body = null;
  if (operation.requestBody) {
    body = element("textarea", JSON.stringify(EXAMPLES[path] || {}, null, 1), form);
    body.rows = 5;
    body.setAttribute("aria-label", `Body of ${path}`);
  }
  element("button", "Try it", form).type = "submit";
  const shown = element("pre", "", card);
  shown.hidden = true;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    attempt(method.toUpperCase(), path, body ? body.value : null, shown);
  });
}

async function main() {
  const place = document.getElementById("operations");
  const described = await (await fetch("/openapi.json")).json();
  place.replaceChildren();
  document.getElementById("about").prepend(`${described.info.description} `);
  for (const [path, methods] of Object.entries(described.paths)) {
    for (const [method, operation] of Object.entries(methods)) draw(path, method, operation, place);
  }
}

main();
