"use strict";
const byId = id => document.getElementById(id);

// The server's answer to a question asked in a person's name; an Error in words for that person.
async function ask(path, more) {
  const answer = await fetch(path, {
    method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify({by: byId("by").value, ...more}),
  });
  const kind = answer.headers.get("Content-Type") || "";
  const content = kind.startsWith("application/json") ? await answer.json() : {error: await answer.text()};
  if (!answer.ok) throw new Error(content.error);
  return content;
}
