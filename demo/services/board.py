"""The page over the tasks: what a person sees of them in a browser."""

from __future__ import annotations

import html

from demo.services.caller import Caller

_STYLE = """
:root { color-scheme: light dark; --ink: #1d2733; --paper: #f6f7f9; --card: #fff; --line: #dfe4ea;
  --blue: #2463eb; --good: #157f4a; --goodbg: #e2f6ec; --bad: #b3261e; --badbg: #fdeceb; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaf0; --paper: #12161c; --card: #1b212a;
  --line: #2c3643; --blue: #79a6ff; --good: #6fdca4; --goodbg: #12382a; --bad: #ff9b93;
  --badbg: #451d1a; } }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  margin: 0; padding: 8vh 1rem; }
main { max-width: 40rem; margin: auto; }
header { display: flex; justify-content: space-between; align-items: baseline; gap: 1rem; }
h1 { font-size: 1.6rem; margin: 0; }
small { color: #7a8696; }
form { display: flex; gap: .5rem; margin: 1.5rem 0; }
input { flex: 1; font: inherit; padding: .6rem .8rem; border: 1px solid var(--line);
  border-radius: .5rem; background: var(--card); color: inherit; }
button, .button { font: inherit; padding: .6rem 1.1rem; border: 0; border-radius: .5rem;
  background: var(--blue); color: var(--card); text-decoration: none; cursor: pointer; }
ul { list-style: none; padding: 0; display: grid; gap: .6rem; }
li { background: var(--card); border: 1px solid var(--line); border-radius: .6rem;
  padding: .8rem 1rem; display: flex; flex-wrap: wrap; gap: .5rem; align-items: center; }
li b { flex: 1; font-weight: 500; }
.badge { font-size: .8rem; padding: .1rem .6rem; border-radius: 1rem; }
.good { color: var(--good); background: var(--goodbg); }
.bad { color: var(--bad); background: var(--badbg); }
"""

_FRAME = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Tasks</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>{style}</style></head><body><main>{content}</main></body></html>
"""

_WELCOME = """<header><h1>Tasks</h1></header>
<p>Write a task down. Somebody is told, and it is written into the log.</p>
<p><a class="button" id="enter" href="/board">Sign in</a></p>"""

_BOARD = """<header><h1>Tasks</h1><span id="who">{name} <small>{id}</small></span>
<a id="leave" href="/.attache/logout">Sign out</a></header>
<form id="new"><input id="title" placeholder="What is to be done?" autofocus required>
<button>Add</button></form><ul id="tasks"></ul><p id="problem" role="alert"></p>
<script>
const list = document.getElementById("tasks"), problem = document.getElementById("problem");
function badge(what, state, good) {{
  const made = document.createElement("span");
  made.className = "badge " + (good ? "good" : "bad");
  made.textContent = what + ": " + state;
  return made;
}}
function show(task) {{
  const item = document.createElement("li"), title = document.createElement("b");
  title.textContent = task.title;
  item.append(title);
  if (task.notification_status) item.append(
    badge("Notify", task.notification_status, task.notification_status === "sent"),
    badge("Audit", task.audit_status, task.audit_status === "logged"));
  list.prepend(item);
}}
async function ask(method, body) {{
  const answer = await fetch("/api/tasks", {{method, body: body && JSON.stringify(body),
    headers: {{"content-type": "application/json", accept: "application/json"}}}});
  if (answer.status === 401) location.reload();  // a page may lead to where one signs in
  if (!answer.ok) throw new Error((await answer.json()).title || answer.statusText);
  return answer.json();
}}
document.getElementById("new").addEventListener("submit", async (event) => {{
  event.preventDefault();
  const title = document.getElementById("title");
  try {{
    show(await ask("POST", {{title: title.value}}));
    title.value = problem.textContent = "";
  }} catch (why) {{ tell(why); }}
}});
const tell = (why) => {{ problem.textContent = why.message; }};
ask("GET").then((tasks) => tasks.forEach(show)).catch(tell);
</script>"""


def welcome() -> str:
    """What everybody may see."""
    return _FRAME.format(style=_STYLE, content=_WELCOME)


def board(caller: Caller) -> str:
    """The tasks of a person who is signed in."""
    name = html.escape(caller.name or "somebody")
    content = _BOARD.format(name=name, id=html.escape(caller.id[-8:]))
    return _FRAME.format(style=_STYLE, content=content)
