"use strict";
const byId = (id) => document.getElementById(id);
const percent = (share) => (share * 100).toFixed(1) + " %";

function element(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

async function ask(path, body) {
  const headers = {"Content-Type": "application/json"};
  const key = byId("key").value;
  if (key) headers.Authorization = "Bearer " + key;
  const reply = await fetch(path, body ? {method: "POST", headers, body: JSON.stringify(body)} : {headers});
  const answer = await reply.json();
  if (reply.status === 401) byId("key-row").hidden = false;
  if (!reply.ok) throw new Error((answer.field ? answer.field + ": " : "") + answer.detail);
  return answer;
}

function warn(answer) {
  byId("warning").textContent = answer.warning || "";
  byId("warning").hidden = !answer.warning;
}

function shown(text, answer) {
  const item = element("li");
  const verdict = element("div", undefined, "verdict " + answer.sentiment);
  verdict.append(element("span", answer.sentiment), element("span", percent(answer.confidence)));
  const bar = element("progress");
  bar.max = 1;
  bar.value = answer.confidence;
  bar.className = answer.sentiment;
  bar.setAttribute("aria-label", "confidence");
  const words = element("p", undefined, "text");
  for (const word of answer.words) {
    const strength = Math.abs(word.weight);
    if (strength < 0.02) {
      words.append(word.word + " ");
      continue;
    }
    const mark = element("mark", word.word, (word.weight > 0 ? "for" : "against") + (strength > 0.15 ? " strong" : ""));
    mark.title = (word.weight > 0 ? "+" : "−") + percent(strength);
    words.append(mark, " ");
  }
  if (!answer.words.length) words.append(text);
  item.append(verdict, bar, words);
  return item;
}

async function classify(event) {
  event.preventDefault();
  const texts = byId("texts").value.split("\n").map((line) => line.trim()).filter(Boolean).slice(0, 50);
  const button = event.target.querySelector("button");
  byId("message").textContent = texts.length ? "" : "write a review first";
  button.disabled = true;
  try {
    const items = [];
    for (const text of texts) {
      const answer = await ask("/explain", {text});
      warn(answer);
      items.push(shown(text, answer));
    }
    byId("results").replaceChildren(...items);
    byId("results-section").hidden = !items.length;
  } catch (error) {
    byId("message").textContent = error.message;
  } finally {
    button.disabled = false;
  }
}

async function model() {
  const rows = [];
  try {
    const info = await ask("/model/info");
    warn(info);
    rows.push(["Model", info.kind + ", version " + info.model_version]);
    const apps = info.trained_on.apps.join(", ");
    rows.push(["Data", "version " + info.dataset_version + (apps ? ", reviews of " + apps : "")]);
    if (info.release_version) rows.push(["Release", info.release_version]);
    rows.push(["Since", new Date(info.since).toLocaleString()]);
    for (const side of ["gate", "test", "people"]) {
      const scores = info.metrics[side];
      if (scores && scores.n) rows.push(["Accuracy, " + side, percent(scores.accuracy) + " of " + scores.n + " reviews"]);
    }
  } catch (error) {
    rows.push(["State", error.message]);
  }
  byId("model").replaceChildren(...rows.flatMap(([name, value]) => [element("dt", name), element("dd", value)]));
}

byId("form").addEventListener("submit", classify);
byId("key").addEventListener("change", model);
model();
