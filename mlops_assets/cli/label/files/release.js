"use strict";
const byId = id => document.getElementById(id);
let release = null;

async function send(path, more) {
  const buttons = document.querySelectorAll("#decision button");
  buttons.forEach(button => { button.disabled = true; });
  try {
    const answer = await fetch(path, {
      method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify({by: byId("by").value, ...more}),
    });
    const kind = answer.headers.get("Content-Type") || "";
    const content = kind.startsWith("application/json") ? await answer.json() : {error: await answer.text()};
    if (!answer.ok) throw new Error(content.error);
    byId("message").hidden = true;
    show(content);
  } catch (error) {
    byId("message").textContent = error instanceof TypeError ? "The page's server does not answer." : error.message;
    byId("message").hidden = false;
  } finally {
    buttons.forEach(button => { button.disabled = false; });
  }
}

function fill(table, heads, rows) {
  table.replaceChildren();
  if (!rows.length) return;
  for (const cells of [heads, ...rows]) {
    if (!cells.length) continue;
    const line = table.insertRow();
    for (const cell of cells) {
      const made = document.createElement(cells === heads ? "th" : "td");
      made.textContent = cell;
      line.append(made);
    }
  }
}

function show(state) {
  byId("who").hidden = state.named;
  byId("said").textContent = (state.done || state.said) + ".";
  byId("release").hidden = !state.waiting;
  release = state.waiting && state.waiting.release;
  if (!state.waiting) return;
  fill(byId("about"), [], state.waiting.about);
  const found = state.waiting.comparison;
  byId("compared").textContent = found ? found.said + "." : "No other model served before, or the model is the same.";
  fill(byId("changes"), ["Before", "After", "Reviews"], found ? found.changes.map(row => [row.from, row.to, row.n]) : []);
  fill(byId("examples"), ["Before", "After", "Text"], found ? found.examples.map(row => [row.from, row.to, row.text]) : []);
}

byId("decision").addEventListener("submit", event => {
  event.preventDefault();
  if (release) send("release/decide", {release, decision: event.submitter.value, comment: byId("comment").value});
});
byId("who").addEventListener("submit", event => event.preventDefault());
send("release/state");
