"use strict";
// The page shows views of the session as they come, and sends what a person does. It knows no game and no rule.

const ENOUGH = 448;  // CSS pixels up to which a small picture is enlarged, by a whole factor
const ARROWS = { ArrowUp: "up", ArrowRight: "right", ArrowDown: "down", ArrowLeft: "left" };

const find = (selector) => document.querySelector(selector);
const canvas = find("canvas");
const line = find("#line");
let view = null;
let sending = Promise.resolve();
let ended = false;

function complain(words) {
  if (ended) return;  // the reply to a last key press can come after the end, and must not hide it
  find("#trouble").textContent = words;
  find("#trouble").hidden = !words;
}

// One after another, for a turn that overtakes another one would be played first.
function send(action) {
  sending = sending.then(async () => {
    const reply = await fetch("do", { method: "POST", body: JSON.stringify(action) });
    complain(reply.ok ? "" : await reply.text());
  }).catch(() => complain("The game cannot be reached; what you did was not played."));
}

function make(name, words, parent) {
  const made = document.createElement(name);
  made.textContent = words;
  parent.append(made);
  return made;
}

function key(name, effect, parent) {
  make("kbd", name, parent);
  parent.append(effect);
  return parent;
}

function show(next) {
  view = next;
  document.title = `${view.title} · vlm-gym`;
  find("h1").textContent = view.title;
  find("#deal").textContent = view.deal;
  find("#score").textContent = view.score;
  find("#unit").textContent = view.unit;
  find("#left").textContent = view.turns_left;
  find("section").dataset.about = view.about;
  find("h2").textContent = view.heading;
  find("#text").textContent = view.text;
  find("#form").textContent = `Action: ${view.form}`;
  line.placeholder = view.invitation;
  find("#ways").replaceChildren();
  for (const [name, effect] of view.ways) key(name, effect, make("li", "", find("#ways")));
  const commands = find("#commands");
  const names = Object.keys(view.commands);
  if (commands.dataset.names !== names.join()) {  // kept where they are the same, so that one can have the focus
    commands.dataset.names = names.join();
    commands.replaceChildren();
    for (const name of names) {
      key(name, view.commands[name], make("button", "", commands)).onclick = () => send({ command: name });
    }
  }
  draw();
}

// The picture pixel for pixel; frames around cells lie above it.
function draw() {
  const drawn = view;
  const picture = new Image();
  canvas.dataset.shows = drawn.picture;
  picture.onload = () => {
    if (drawn !== view) return;
    canvas.width = canvas.height = drawn.size;
    canvas.style.width = `${drawn.size * Math.max(1, Math.floor(ENOUGH / drawn.size))}px`;
    find("#board").style.width = canvas.style.width;
    canvas.getContext("2d").drawImage(picture, 0, 0);
    canvas.dataset.painted = drawn.picture;
    find("#marks").replaceChildren();
    for (const mark of drawn.marks) {
      const frame = make("i", "", find("#marks"));
      frame.className = mark.picked ? "picked" : "hinted";
      frame.style.left = `${100 * mark.x / drawn.size}%`;
      frame.style.top = `${100 * mark.y / drawn.size}%`;
      frame.style.width = frame.style.height = `${100 * mark.side / drawn.size}%`;
    }
    document.body.dataset.ready = "yes";
  };
  picture.src = drawn.picture;
}

canvas.onclick = (event) => {
  const zoom = canvas.clientWidth / view.size;
  send({ click: [Math.floor(event.offsetY / zoom), Math.floor(event.offsetX / zoom)] });
};
canvas.oncontextmenu = (event) => {
  event.preventDefault();
  send({ turn: null });
};

document.onkeydown = (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || !view) return;
  if (event.key in ARROWS && !line.value) {
    event.preventDefault();
    if (!event.repeat) send({ press: ARROWS[event.key] });
  } else if (event.target.tagName === "BUTTON") {
    return;  // Enter and Space press it
  } else if (event.key === "Enter") {
    if (line.value) send({ enter: line.value });
    line.value = "";
  } else if (event.key.length === 1 || event.key === "Backspace") {
    line.focus();  // which takes the key
  }
};
line.oninput = (event) => {
  if (event.isComposing || !view || !Object.hasOwn(view.commands, line.value)) return;
  send({ command: line.value });
  line.value = "";
};

const events = new EventSource("events");
events.onopen = () => complain("");
events.onmessage = (event) => show(JSON.parse(event.data));
events.addEventListener("end", () => {
  events.close();
  complain("The game was ended in its terminal.");
  ended = true;
});
events.onerror = () => complain(events.readyState === EventSource.CLOSED
  ? "This game is over; its terminal prints the address of another one." : "The connection is lost; trying again.");
