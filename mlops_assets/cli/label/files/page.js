"use strict";
const KEYS = {1: "negative", 2: "neutral", 3: "positive", " ": "skip"};
let waiting = null, busy = false;

async function send(path, more) {
  if (busy) return;
  busy = true;
  document.querySelectorAll("#answers button").forEach(button => { button.disabled = true; });
  try {
    show(await ask(path, more));
    byId("message").hidden = true;
  } catch (error) {
    const lost = error instanceof TypeError ? "The page's server does not answer: start it again (make label). Your earlier labels are kept." : error.message;
    byId("message").textContent = !lost.includes("labeller's name") ? lost : "Write your name above: each label is kept with it.";
    byId("message").hidden = false;
  } finally {
    busy = false;
    document.querySelectorAll("#answers button").forEach(button => { button.disabled = button.dataset.answer && !waiting; });
  }
}

function show(state) {
  byId("preparing").hidden = !state.preparing;
  if (state.preparing) { setTimeout(() => send("state"), 2000); return; }
  waiting = state.waiting;
  byId("who").hidden = state.named;
  byId("card").hidden = !waiting;
  byId("done").hidden = Boolean(waiting);
  byId("answers").hidden = byId("standing").hidden = false;
  if (waiting) {
    byId("about").textContent = waiting.about;
    byId("review").textContent = waiting.review;
    byId("why").textContent = "Why this one: " + waiting.why + ".";
    byId("review").scrollTop = 0;
    byId("review").focus({preventScroll: true});
  }
  byId("bar").max = state.wanted;
  byId("bar").value = Math.min(state.scoring, state.wanted);
  byId("count").textContent = state.scoring + " of " + state.wanted;
  byId("progress").textContent = state.mine + " answers by " + state.by + ". " + state.progress + ".";
}

function label(answer) {
  if (waiting) send("label", {text: waiting.text, answer});
}

document.addEventListener("keydown", event => {
  const typing = event.target.tagName === "INPUT", onButton = event.target.tagName === "BUTTON" || event.target.tagName === "SUMMARY";
  if (typing || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (onButton && (event.key === " " || event.key === "Enter")) return;
  const answer = KEYS[event.key];
  if (answer && waiting) { event.preventDefault(); label(answer); }
  if (event.key.toLowerCase() === "u") { event.preventDefault(); send("undo"); }
});
document.querySelectorAll("[data-answer]").forEach(button => {
  button.addEventListener("click", () => { label(button.dataset.answer); });
});
byId("undo").addEventListener("click", () => send("undo"));
byId("who").addEventListener("submit", event => event.preventDefault());
byId("by").addEventListener("change", () => {
  localStorage.setItem("labels by", byId("by").value);
  if (byId("by").value.trim()) send("state");
});
byId("by").value = localStorage.getItem("labels by") || "";
send("state").then(() => { if (byId("answers").hidden) byId("by").focus(); });
