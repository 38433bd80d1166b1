// What the viewer shows of a turn. A part of the script that page.js begins.

/* ---- a panel: one turn of one episode ---- */

function node(tag, text = "", name = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  made.className = name;
  return made;
}

function fillPanel(panel, play, turn) {
  const now = play.turns[turn];
  $("h3", panel).textContent = play.who;
  paint($("canvas", panel), play, turn);
  $(".caption", panel).textContent = `As a model sees it, pixel for pixel: ${play.size} × ${play.size}`;
  const verdict = $(".verdict", panel);
  verdict.className = `verdict ${now.kind}`;
  $("b", verdict).textContent = now.kind;
  $("span", verdict).textContent = says(play, now);
  const event = $(".event", panel);
  event.textContent = now.error || now.event;
  event.classList.toggle("error", Boolean(now.error));
  $("dl", panel).replaceChildren(...facts(play, now));
  $(".reply", panel).replaceChildren(...reply(now.reply, now.false));
  fillTruth(panel, play, now);
  $(".prompt", panel).textContent = data.prompts[play.prompt];
}

function says(play, turn) {
  const wrong = Object.keys(turn.wrong).length, things = turn.beside.length ? "cells, objects and notes" : "cells";
  const count = play.rows * play.cols + turn.beside.length;
  const perception = turn.perception === null ? "" : wrong ? `; ${wrong} of ${count} ${things} misread` : "; every cell read rightly";
  const untrue = turn.false.length;
  const thought = turn.thought === null ? "" : untrue ? `; ${untrue} false in the thought` : "; every sentence true";
  return SAYS[turn.kind] + perception + thought;
}

function facts(play, turn) {
  const solver = !turn.best ? "none for this game" : turn.best === turn.action ? "the same" : turn.best;
  const rows = [
    ["Action", turn.action ?? "none: the turn is lost"],
    ["Solver", solver],
    ["Value lost", turn.best ? number(turn.lost) : "unknown"],
    ["Score", `${number(turn.score)} ${play.unit}`],
    ...Object.entries(turn.usage).map(([name, value]) => [name, number(value)]),
  ];
  const made = rows.flatMap(([name, value]) => [node("dt", name), node("dd", value)]);
  if (turn.why && solver !== "the same") made[3].append(node("small", turn.why));
  made.push(node("dt", "Rewards"));
  const terms = node("dd", "", "terms");
  for (const [name, value] of Object.entries(turn.rewards)) {
    const term = node("span", name, "term"), bar = node("i");
    bar.style.setProperty("--from", `${50 + 50 * Math.min(value, 0)}%`);
    bar.style.setProperty("--long", `${50 * Math.min(1, Math.abs(value))}%`);
    bar.className = value < 0 ? "cost" : "gain";
    term.append(bar, node("b", signed(value)));
    terms.append(term);
  }
  return [...made, terms];
}

// The words of a thought, split where sentences end; those that are false are marked.
function sentences(text, wrong) {
  const fold = (words) => words.trim().split(/\s+/).join(" ");
  return text.split(/(\n|\.\s+|\.$)/).map((part) =>
    wrong.includes(fold(part)) ? node("mark", part, "think") : node("span", part, "think"));
}

function reply(text, wrong) {
  const made = [];
  let section = "";
  for (const part of text.split(/(<\/?(?:perception|think|answer)>)/)) {
    const tag = /^<(\/?)(perception|think|answer)>$/.exec(part);
    if (tag && !tag[1]) section = tag[2];
    if (part && !tag && section === "think") made.push(...sentences(part, wrong));
    else if (part) made.push(node("span", part, tag ? `tag ${tag[2]}` : section || "outside"));
    if (tag && tag[1]) section = "";
  }
  return made.length ? made : [node("span", "(nothing)", "outside")];
}

function fillTruth(panel, play, turn) {
  const ring = $(".frame i", panel), table = $("table", panel);
  const share = (pixels) => `${(100 * pixels) / play.size}%`;
  table.replaceChildren();
  table.className = play.cols > 8 ? "dense" : "";
  for (let row = 0; row < play.rows; row++) {
    const line = table.insertRow();
    for (let col = 0; col < play.cols; col++) {
      const index = row * play.cols + col, cell = line.insertCell();
      const words = data.words[turn.cells[index]];
      cell.append(node("span", words === "-" ? "" : words));
      if (index in turn.wrong) {
        cell.className = "wrong";
        cell.append(node("s", turn.wrong[index] || "nothing"));
        cell.title = `There is ${words}; the reply says ${turn.wrong[index] || "nothing"}`;
      }
      cell.onmouseenter = () => {
        ring.hidden = false;
        ring.style.cssText = `left:${share(play.origin[0] + col * play.side)};top:${share(play.origin[1] + row * play.side)};` +
          `width:${share(play.side)};height:${share(play.side)}`;
      };
      cell.onmouseleave = () => (ring.hidden = true);
    }
  }
  turn.beside.forEach((words, number) => {
    const index = play.rows * play.cols + number, cell = table.insertRow().insertCell();
    cell.colSpan = play.cols;
    cell.append(node("span", words));
    if (index in turn.wrong) {
      cell.className = "wrong";
      cell.append(node("s", turn.wrong[index] || "nothing"));
    }
  });
}
