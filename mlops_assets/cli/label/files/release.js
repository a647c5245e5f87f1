"use strict";
let release = null;
const sentence = said => said.charAt(0).toUpperCase() + said.slice(1) + ".";

async function send(path, more) {
  const buttons = document.querySelectorAll("#decision button");
  buttons.forEach(button => { button.disabled = true; });
  try {
    show(await ask(path, more));
    byId("message").hidden = true;
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
  byId("said").textContent = sentence(state.done || state.said);
  byId("release").hidden = !state.waiting;
  release = state.waiting && state.waiting.release;
  if (!state.waiting) return;
  fill(byId("about"), [], state.waiting.about);
  const found = state.waiting.comparison;
  byId("compared").textContent = found ? sentence(found.said) : "No other model served before, or the model is the same.";
  fill(byId("changes"), ["Before", "After", "Reviews"], found ? found.changes.map(row => [row.from, row.to, row.n]) : []);
  fill(byId("examples"), ["Before", "After", "Text"], found ? found.examples.map(row => [row.from, row.to, row.text]) : []);
}

byId("decision").addEventListener("submit", event => {
  event.preventDefault();
  if (release) send("release/decide", {release, decision: event.submitter.value, comment: byId("comment").value});
});
byId("who").addEventListener("submit", event => event.preventDefault());
send("release/state");
