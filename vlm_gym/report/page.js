"use strict";
// The viewer. One state says what is shown: `show` draws it, `tell` writes it into the address, `route` reads it back.
// The functions of panel.js follow in the same script.

const $ = (selector, from = document) => from.querySelector(selector);
const ROW = 46; // pixels of an entry of the list, as in the style sheet
const PACE = 650; // milliseconds a turn, when playing
const REST = 250; // milliseconds without a change before the address is brought up to date: browsers refuse more
const FILTERS = ["game", "level", "who", "kind"];
const SAYS = {
  fine: "as good as the solver’s move",
  misformatted: "no single answer could be read",
  illegal: "the answer is no legal action",
  misread: "a bad move after a wrong look",
  misthought: "a bad move after a false sentence",
  misplanned: "a bad move",
};

let data; // what `viewer.py` gathered
let entries = []; // of the list: {play, turn}; turn is null where an entry is a whole episode
const at = { play: 0, turn: 0, rival: null, page: "turns", filter: { game: "", level: "", who: "", kind: "" } };
let clock = null; // the interval, while playing
let address = null; // the time-out of a change that is not yet in the address

/* ---- data ---- */

async function inflate(id, format) {
  const bytes = Uint8Array.from(atob($(`#${id}`).textContent), (letter) => letter.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream(format)));
}

const grains = {};
const grain = (name) =>
  (grains[name] ??= inflate(`grain-${name}`, "deflate").then(async (r) => new Uint8Array(await r.arrayBuffer())));

const level = (play) => `perception ${play.perception} · reasoning ${play.reasoning}`;
const deal = (play) => [play.game, play.perception, play.reasoning, play.split, play.index].join(" ");
const kindOf = (play, turn) => play.turns[turn].kind;
const number = (value) => (Number.isInteger(value) ? value : Number(value.toFixed(3))).toLocaleString("en");
const signed = (value) => (value > 0 ? "+" : value < 0 ? "−" : "") + number(Math.abs(value));
const clamp = (value, most) => Math.max(0, Math.min(value, most));

/* ---- pictures: tiles copied from their sheets, then the noise, exactly as the renderer does it ---- */

async function paint(canvas, play, turn) {
  const { cells, start, notes } = play.turns[turn];
  const drawn = cells.concat(notes.flat());
  const sheets = [...new Set(drawn.map((tile) => data.places[tile][0]))].map((sheet) => $(`#sheet-${sheet}`));
  const wanted = (canvas.dataset.shows = `${data.plays.indexOf(play)}/${turn}`);
  const [noise] = await Promise.all([play.grain && grain(`${play.grain}-${play.size}`), ...sheets.map((s) => s.decode())]);
  if (canvas.dataset.shows !== wanted) return; // another turn has been asked for since
  canvas.width = canvas.height = play.size;
  const pen = canvas.getContext("2d", { alpha: false, willReadFrequently: Boolean(noise) });
  pen.fillStyle = play.board;
  pen.fillRect(0, 0, play.size, play.size);
  const put = (tile, x, y) => {
    const [sheet, slot] = data.places[tile], { across, side } = data.sheets[sheet];
    pen.drawImage(
      $(`#sheet-${sheet}`), (slot % across) * side, Math.floor(slot / across) * side, side, side, x, y, side, side,
    );
  };
  const [left, top] = play.origin, side = play.side;
  cells.forEach((tile, cell) => put(tile, left + (cell % play.cols) * side, top + Math.floor(cell / play.cols) * side));
  notes.forEach((tiles, note) => {
    const [x, y] = play.lines[note];
    tiles.forEach((tile, place) => put(tile, x + place * play.line, y));
  });
  if (noise) {
    const image = pen.getImageData(0, 0, play.size, play.size), pixels = image.data;
    for (let to = 0, from = start; to < pixels.length; to += 4, from += 3) {
      pixels[to] += noise[from];
      pixels[to + 1] += noise[from + 1];
      pixels[to + 2] += noise[from + 2];
    }
    pen.putImageData(image, 0, 0);
  }
  canvas.dataset.painted = wanted;
}

/* ---- the list: only what is in sight is in the document ---- */

function wanted(play) {
  const { game, level: hard, who } = at.filter;
  return (!game || play.game === game) && (!hard || level(play) === hard) && (!who || play.who === who);
}

function findEntries() {
  const { kind } = at.filter;
  entries = [];
  data.plays.forEach((play, index) => {
    if (!wanted(play)) return;
    if (!kind) entries.push({ play: index, turn: null });
    else play.turns.forEach((turn, number) => turn.kind === kind && entries.push({ play: index, turn: number }));
  });
  const what = kind ? `${kind} turn` : "episode";
  const left = data.hidden ? `; ${number(data.hidden)} more turns are counted in the overview only` : "";
  $("#count").textContent = `${number(entries.length)} ${what}${entries.length === 1 ? "" : "s"}${left}`;
  $("#list").firstElementChild.style.height = `${entries.length * ROW}px`;
  $("#list").scrollTop = 0;
}

const chosen = () => entries.findIndex((e) => e.play === at.play && (e.turn === null || e.turn === at.turn));

function drawList() {
  const list = $("#list"), here = chosen();
  const first = Math.max(0, Math.floor(list.scrollTop / ROW) - 4);
  const last = Math.min(entries.length, Math.ceil((list.scrollTop + list.clientHeight) / ROW) + 4);
  const rows = [];
  for (let index = first; index < last; index++) rows.push(entryRow(entries[index], index, index === here));
  list.firstElementChild.replaceChildren(...rows);
}

function entryRow(entry, index, isHere) {
  const play = data.plays[entry.play], row = node("div", "", "entry");
  const last = play.turns[entry.turn ?? play.turns.length - 1];
  row.style.top = `${index * ROW}px`;
  row.setAttribute("role", "option");
  row.setAttribute("aria-selected", isHere);
  const top = node("p"), below = node("p", `${play.split} ${play.index} · ${level(play).replaceAll(/(perception|reasoning) /g, (w) => w[0])}`);
  top.append(node("b", play.title), node("span", play.who));
  below.append(node("em", entry.turn === null ? number(last.score) + (play.success ? " ✓" : "") : `turn ${entry.turn + 1}`));
  const strip = node("i");
  if (entry.turn === null) strip.style.background = stripes(play);
  else strip.style.background = `var(--${last.kind})`;
  row.append(top, below, strip);
  row.onclick = () => show({ play: entry.play, turn: entry.turn ?? 0, rival: null });
  return row;
}

function stripes(play) {
  const share = 100 / play.turns.length, stops = [];
  play.turns.forEach((turn, index) => stops.push(`var(--${turn.kind}) ${index * share}% ${(index + 1) * share}%`));
  return `linear-gradient(to right, ${stops.join(",")})`;
}

function reveal() {
  const list = $("#list"), top = chosen() * ROW;
  if (top < 0) return;
  if (top < list.scrollTop || top + ROW > list.scrollTop + list.clientHeight) list.scrollTop = top - list.clientHeight / 3;
}

/* ---- everything ---- */

function shown() {
  return [at.play, ...(at.rival === null ? [] : [at.rival])].map((index) => data.plays[index]);
}

function show(change = {}) {
  const before = at.play;
  Object.assign(at, change);
  if (at.page === "overview" && !$("#overview section")) at.page = "turns";
  document.body.dataset.page = at.page;
  if (at.page === "overview" || !data.plays.length) return;
  const plays = shown(), turns = Math.max(...plays.map((play) => play.turns.length));
  at.turn = clamp(at.turn, turns - 1);
  fillHead(plays[0], at.play !== before || "rival" in change);
  const slider = $("#slider");
  slider.max = turns - 1;
  slider.value = at.turn;
  slider.style.setProperty("--thumb", `${100 / turns}%`);
  $("#strips").replaceChildren(...plays.map((play) => {
    const strip = node("i");
    strip.style.cssText = `width:${(100 * play.turns.length) / turns}%;background:${stripes(play)}`;
    return strip;
  }));
  $("#where").textContent = `${at.turn + 1} of ${turns}`;
  $("#back").disabled = at.turn === 0;
  $("#next").disabled = at.turn === turns - 1;
  const panels = $("#panels");
  while (panels.children.length > plays.length) panels.lastElementChild.remove();
  while (panels.children.length < plays.length) panels.append($("#panel").content.cloneNode(true));
  panels.classList.toggle("two", plays.length > 1);
  plays.forEach((play, index) => {
    const panel = panels.children[index], over = at.turn >= play.turns.length;
    fillPanel(panel, play, Math.min(at.turn, play.turns.length - 1));
    panel.classList.toggle("over", over);
    if (over) $("h3", panel).textContent += `: ended after turn ${play.turns.length}`;
  });
  reveal();
  drawList();
  clearTimeout(address);
  address = setTimeout(tell, REST);
}

function tell() {
  const filters = new URLSearchParams(Object.entries(at.filter).filter(([, value]) => value)).toString();
  const path = [at.play, at.turn + 1, ...(at.rival === null ? [] : [at.rival])].join("/");
  history.replaceState(null, "", `#${path}${filters && `?${filters}`}`);
}

function fillHead(play, isNew) {
  if (!isNew && $("#head h2").textContent) return;
  const end = play.ended ? (play.success ? "goal reached" : "goal not reached") : "not played to its end";
  $("#head h2").textContent = play.title;
  $("#head h2").append(node("small", [level(play), `${play.split} ${play.index}`, end,
    ...(play.undone ? [`${play.undone} turns taken back`] : [])].join(" · ")));
  const rivals = data.plays.map((other, index) => [other, index]).filter(([other]) => other !== play && deal(other) === deal(play));
  const choice = $("#rival");
  choice.replaceChildren(new Option(rivals.length ? "nobody" : "nobody else played it", ""),
    ...rivals.map(([other, index]) => new Option(other.who, index)));
  choice.value = at.rival ?? "";
  choice.disabled = !rivals.length;
}

function fillFilters() {
  const tally = (value) => data.plays.reduce((map, play) => map.set(value(play), (map.get(value(play)) ?? 0) + 1), new Map());
  for (const [name, choices] of Object.entries({ game: tally((p) => p.game), level: tally(level), who: tally((p) => p.who) })) {
    const options = [...choices].map(([value, count]) => new Option(`${value}  (${number(count)})`, value));
    $("#filter").elements[name].replaceChildren(new Option("all", ""), ...options);
  }
  const turns = data.plays.flatMap((play) => play.turns);
  for (const kind of ["", ...data.kinds]) {
    const label = node("label", "", kind || "any"), choice = document.createElement("input");
    Object.assign(choice, { type: "radio", name: "kind", value: kind });
    const count = turns.filter((turn) => !kind || turn.kind === kind).length;
    label.append(choice, node("span", kind || "anything"), node("small", number(count)));
    $("#kinds").append(label);
  }
}

function filter(wish) {
  for (const name of FILTERS) {
    const choice = $("#filter").elements[name];
    choice.value = "";
    choice.value = wish[name] ?? "";
    at.filter[name] = choice.value ||= "";
  }
  findEntries();
}

function step(by) {
  show({ turn: clamp(at.turn + by, Math.max(...shown().map((play) => play.turns.length)) - 1) });
}

function stepEntry(by) {
  if (!entries.length) return;
  const entry = entries[clamp(chosen() + by, entries.length - 1)];
  show({ play: entry.play, turn: entry.turn ?? 0, rival: null });
}

function toggle(on = clock === null) {
  clearInterval(clock);
  clock = on ? setInterval(() => ($("#next").disabled ? toggle(false) : step(1)), PACE) : null;
  $("#play").textContent = on ? "❚❚" : "▶";
  $("#play").setAttribute("aria-label", on ? "Pause" : "Play");
}

/* The address: #EPISODE/TURN, #EPISODE/TURN/RIVAL, #overview, each with ?game=...&kind=... behind it. */
function route() {
  clearTimeout(address);
  const [path, query = ""] = location.hash.slice(1).split("?");
  if (!path && !query && $("#overview section")) return show({ page: "overview" });
  if (path === "overview") return show({ page: "overview" });
  filter(Object.fromEntries(new URLSearchParams(query)));
  const [play, turn, rival] = path.split("/").map(Number);
  const known = (index) => Number.isInteger(index) && index < data.plays.length;
  if (path.includes("/") && known(play))
    return show({ page: "turns", play, turn: (turn || 1) - 1, rival: known(rival) ? rival : null });
  const entry = entries[0] ?? { play: 0, turn: 0 };
  show({ page: "turns", play: entry.play, turn: entry.turn ?? 0, rival: null });
}

const KEYS = {
  ArrowLeft: () => step(-1),
  ArrowRight: () => step(1),
  ArrowUp: () => stepEntry(-1),
  ArrowDown: () => stepEntry(1),
  Home: () => step(-Infinity),
  End: () => step(Infinity),
  " ": () => toggle(),
};

async function start() {
  data = await (await inflate("data", "gzip")).json();
  $("#browse").open = matchMedia("(min-width: 760px)").matches;
  fillFilters();
  $("#filter").onchange = () => {
    filter(Object.fromEntries(new FormData($("#filter"))));
    if (chosen() < 0 && entries.length) show({ play: entries[0].play, turn: entries[0].turn ?? 0, rival: null });
    else show();
  };
  $("#rival").onchange = () => show({ rival: $("#rival").value === "" ? null : Number($("#rival").value) });
  $("#slider").oninput = () => show({ turn: Number($("#slider").value) });
  $("#back").onclick = () => step(-1);
  $("#next").onclick = () => step(1);
  $("#play").onclick = () => toggle();
  $("#list").onscroll = drawList;
  $("#browse").ontoggle = drawList;
  addEventListener("resize", drawList);
  addEventListener("hashchange", route);
  addEventListener("keydown", (event) => {
    if (at.page !== "turns" || event.ctrlKey || event.metaKey || event.altKey) return;
    if (!(event.key in KEYS) || event.target.matches("select, summary")) return;
    event.preventDefault();
    KEYS[event.key]();
  });
  document.body.classList.toggle("bare", !$("#overview section"));
  route();
  document.body.dataset.ready = "yes";
}

start();
