"use strict";
// Draws the facts. Rows from above: time, faults, a lane for each member, a row for each client.
const $ = (id) => document.getElementById(id);
const canvas = $("picture"), pen = canvas.getContext("2d");
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name);

const LEFT = 56, AXIS = 22, FAULT = 16, LANE = 74, BAND = 20, CLIENT = 15;
const MESSAGES_MAX = 6000;
const member = (n) => "n" + (n + 1);
const clock = (ms) => (ms / 1000).toFixed(3);

// The story's lines, and of them the faults, each until something ends it.
const story = facts.story.map((line) => {
  const at = line.indexOf(" ");
  return { ms: Number(line.slice(0, at)) * 1000, words: line.slice(at + 1) };
});
const ENDED_BY = {
  cut: /^-- (heal|quiet)/, mute: /^-- (heal|quiet)/, hold: /^-- (heal|release|quiet)/,
  hide: /^-- quiet/, slow: /^-- quiet/,
};
const faults = story.flatMap((line, n) => {
  const verb = line.words.match(/^-- (\S+)/);
  if (!verb) return [];
  const ends = ENDED_BY[verb[1]];
  const end = ends && story.slice(n + 1).find((later) => ends.test(later.words));
  return [{ from: line.ms, to: end ? end.ms : line.ms, words: line.words.slice(3), row: 0 }];
});
// Faults that overlap stand below each other.
const rowEnds = [];
for (const fault of faults) {
  const shown = Math.max(fault.to, fault.from + facts.lasted / 12);
  let row = rowEnds.findIndex((end) => end <= fault.from);
  if (row < 0) row = rowEnds.length;
  rowEnds[row] = shown;
  fault.row = row;
}
const stands = facts.stands.map(([from, who, role, term, commit, leader]) =>
  ({ from, to: facts.lasted, who, role, term, commit, leader }));
const standsOf = [];
for (let who = 0; who < facts.members; who++) {
  const mine = stands.filter((stand) => stand.who === who);
  mine.forEach((stand, n) => { if (mine[n + 1]) stand.to = mine[n + 1].from; });
  standsOf.push(mine);
}
// The same without commits: what a lane shows.
const runsOf = standsOf.map((mine) => {
  const runs = [];
  for (const stand of mine) {
    const last = runs.at(-1);
    if (last && last.role === stand.role && last.term === stand.term) last.to = stand.to;
    else runs.push({ ...stand });
  }
  return runs;
});
const parcels = facts.parcels.map(([from, to, sender, receiver, kind, fate, words]) =>
  ({ from, to: to ?? from, sender, receiver, kind, fate, words }));
const operations = facts.operations.map(([from, to, client, asked, told, fine, reached]) =>
  ({ from, to, client: client ?? facts.clients, asked, told, fine, reached }));

const faultTop = AXIS, laneTop = AXIS + FAULT * Math.max(1, rowEnds.length) + 10;
const laneMid = (who) => laneTop + LANE * who + BAND / 2;
const clientTop = laneTop + LANE * (facts.members - 1) + BAND + 22;
const rows = facts.clients + (operations.some((one) => one.client === facts.clients) ? 1 : 0);
const height = clientTop + CLIENT * rows + 8;

let from = 0, to = facts.lasted, cursor = 0, picked = null;
const shows = facts.kinds.map((kind) => kind !== "heartbeat");
let losses = true;
const x = (ms) => LEFT + (ms - from) / (to - from) * (canvas.clientWidth - LEFT);
const ms = (px) => from + (px - LEFT) / (canvas.clientWidth - LEFT) * (to - from);
const visible = (one) => one.to >= from && one.from <= to;

function draw() {
  const ratio = devicePixelRatio || 1, width = canvas.clientWidth;
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  canvas.style.height = height + "px";
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  pen.font = "11px system-ui, sans-serif";
  pen.textBaseline = "middle";
  pen.save();
  pen.beginPath();
  pen.rect(LEFT, 0, width - LEFT, height);
  pen.clip();
  drawAxis();
  drawFaults();
  runsOf.flat().filter(visible).forEach(drawRun);
  drawParcels();
  for (const one of operations.filter((one) => visible({ from: one.from, to: one.to ?? to }))) {
    drawOperation(one);
  }
  drawMoment(cursor, css("soft"));
  if (facts.broken !== null) drawMoment(facts.lasted, css("refused"));
  pen.restore();
  drawNames();
}

function drawAxis() {
  const rough = (to - from) / (canvas.clientWidth / 110);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough);
  const digits = Math.max(0, Math.min(6, 3 - Math.floor(Math.log10(step))));
  for (let at = Math.ceil(from / step) * step; at <= to; at += step) {
    pen.fillStyle = css("line");
    pen.fillRect(x(at), 14, 1, height);
    pen.fillStyle = css("soft");
    pen.fillText((at / 1000).toFixed(digits) + " s", x(at) + 3, 9);
  }
}

function drawFaults() {
  for (const fault of faults) {
    const left = x(fault.from), top = faultTop + FAULT * fault.row;
    pen.fillStyle = css("fault");
    pen.globalAlpha = 0.25;
    pen.fillRect(left, top, Math.max(2, x(fault.to) - left), FAULT - 2);
    pen.globalAlpha = 1;
    pen.fillRect(left, top, 2, FAULT - 2);
    pen.fillText(fault.words, Math.max(left, fault.to > from ? LEFT : left) + 5, top + FAULT / 2 - 1);
  }
}

function drawRun(run) {
  const left = x(run.from), right = x(run.to), mid = laneMid(run.who);
  pen.fillStyle = css(run.role);
  pen.fillRect(left, mid - BAND / 2, Math.max(1, right - left), BAND);
  const start = Math.max(left, LEFT), room = right - start;
  if (room < 26 || run.role === "down") return;
  pen.fillStyle = run.role === "leads" ? "#ffffff" : css("ink");
  const words = run.role === "leads" && room > 64 ? `leads t${run.term}` : `t${run.term}`;
  pen.fillText(words, start + 4, mid);
}

function wanted(one) {
  return visible(one) && (shows[one.kind] || losses && one.fate !== "arrives" && one.kind !== 1);
}

function ends(one) {
  const down = one.receiver > one.sender ? 1 : -1;
  const y = laneMid(one.sender) + down * BAND / 2;
  const there = laneMid(one.receiver) - down * BAND / 2;
  if (one.fate === "arrives") return [x(one.from), y, x(one.to), there];
  return [x(one.from), y, x(one.from) + 6, y + down * Math.min(18, Math.abs(there - y) / 2)];
}

function drawParcels() {
  const shown = parcels.filter(wanted);
  const many = shown.length > MESSAGES_MAX;
  $("hint").textContent = `${shown.length} messages in view` + (many ? ": zoom in to see them" : "");
  if (many) return;
  pen.globalAlpha = shown.length > 600 ? 0.4 : 0.9;
  for (const one of shown) drawParcel(one, one === picked ? 3 : 1);
  pen.globalAlpha = 1;
}

function drawParcel(one, width) {
  const [left, top, right, bottom] = ends(one);
  pen.strokeStyle = css(facts.kinds[one.kind]);
  pen.lineWidth = width;
  pen.beginPath();
  pen.moveTo(left, top);
  pen.lineTo(right, bottom);
  pen.stroke();
  pen.beginPath();
  if (one.fate === "arrives") {
    pen.fillStyle = pen.strokeStyle;
    pen.arc(right, bottom, 2, 0, 7);
    pen.fill();
  } else if (one.fate === "held") {
    pen.strokeStyle = css("soft");
    pen.arc(right, bottom, 3, 0, 7);
    pen.stroke();
  } else {
    pen.strokeStyle = css("refused");
    pen.moveTo(right - 3, bottom - 3);
    pen.lineTo(right + 3, bottom + 3);
    pen.moveTo(right - 3, bottom + 3);
    pen.lineTo(right + 3, bottom - 3);
    pen.stroke();
  }
  pen.lineWidth = 1;
}

function drawOperation(one) {
  const left = x(one.from), top = clientTop + CLIENT * one.client;
  const right = x(one.to ?? Math.min(facts.lasted, one.from + 1000));
  pen.fillStyle = css(one.fine);
  pen.globalAlpha = one.to === null ? 0.5 : 1;
  pen.fillRect(left, top, Math.max(2, right - left - 1), CLIENT - 3);
  pen.globalAlpha = 1;
  if (one === picked) {
    pen.strokeStyle = css("ink");
    pen.strokeRect(left, top, Math.max(2, right - left - 1), CLIENT - 3);
  }
  if (right - left > 70) {
    pen.save();
    pen.beginPath();
    pen.rect(left, top, right - left - 3, CLIENT);
    pen.clip();
    pen.fillStyle = "#10161c";
    pen.fillText(one.asked, Math.max(left, LEFT) + 3, top + CLIENT / 2 - 1);
    pen.restore();
  }
}

function drawMoment(at, ink) {
  pen.fillStyle = ink;
  pen.fillRect(x(at), AXIS, 1, height);
}

function drawNames() {
  pen.fillStyle = css("soft");
  pen.fillText("faults", 6, faultTop + FAULT / 2 - 1);
  for (let client = 0; client < rows; client++) {
    const name = client < facts.clients ? "client " + client : "plan";
    pen.fillText(name, 6, clientTop + CLIENT * client + CLIENT / 2 - 1);
  }
  pen.fillStyle = css("ink");
  pen.font = "bold 13px system-ui, sans-serif";
  for (let who = 0; who < facts.members; who++) pen.fillText(member(who), 6, laneMid(who));
}

// What lies under a point: an operation, a fault, a message, or how a member stands.
function under(px, py) {
  const at = ms(px);
  const near = (one) => at >= one.from - slack && at <= (one.to ?? one.from + 1000) + slack;
  const slack = (to - from) / canvas.clientWidth * 3;
  if (py >= clientTop) {
    const client = Math.floor((py - clientTop) / CLIENT);
    return operations.find((one) => one.client === client && near(one));
  }
  if (py < laneTop - 6) {
    const row = Math.floor((py - faultTop) / FAULT);
    return faults.findLast((one) => one.row === row && one.from <= at + slack);
  }
  const who = Math.round((py - laneTop - BAND / 2) / LANE);
  if (Math.abs(py - laneMid(who)) <= BAND / 2) return standAt(who, at);
  let best = null, closest = 7;
  for (const one of parcels.filter(wanted)) {
    const far = distance(px, py, ends(one));
    if (far < closest) [best, closest] = [one, far];
  }
  return best;
}

function distance(px, py, [ax, ay, bx, by]) {
  const along = ((px - ax) * (bx - ax) + (py - ay) * (by - ay)) / ((bx - ax) ** 2 + (by - ay) ** 2);
  const t = Math.max(0, Math.min(1, along || 0));
  return Math.hypot(px - ax - t * (bx - ax), py - ay - t * (by - ay));
}

function standAt(who, at) {
  return standsOf[who]?.findLast((stand) => stand.from <= at);
}

const ROLES = { leads: "leads", seeks: "knows no leader", still: "stands still", down: "does not run" };

function describe(one) {
  if (!one) return "";
  if (one.role) {
    const role = one.role === "follows" ? "follows n" + one.leader : ROLES[one.role];
    return `${member(one.who)} ${role}, term ${one.term}, commit ${one.commit}`;
  }
  if (one.asked) {
    const where = one.reached === null ? "reached nobody" : "at " + member(one.reached);
    const end = one.to === null ? "never answered" : `${one.told}, after ${clock(one.to - one.from)} s`;
    return `${clock(one.from)} ${one.asked} (${where}): ${end}`;
  }
  if (one.fate) {
    const way = `${clock(one.from)} ${member(one.sender)} → ${member(one.receiver)}: ${one.words}`;
    return `${way}, ${one.fate}` + (one.fate === "arrives" ? " " + clock(one.to) : "");
  }
  const until = one.to > one.from ? ` until ${clock(one.to)}` : "";
  return `${clock(one.from)} ${one.words}${until}`;
}

function tellMoment() {
  $("moment").textContent = `At ${clock(cursor)} s`;
  $("stands").replaceChildren(...standsOf.map((_, who) => {
    const row = document.createElement("tr"), cell = document.createElement("td");
    cell.textContent = describe(standAt(who, cursor) ?? null) || member(who) + " has not begun";
    row.append(cell);
    return row;
  }));
  $("picked").textContent = describe(picked);
  const lines = [...$("story").children];
  const near = story.findLastIndex((line) => line.ms <= cursor);
  lines.forEach((line, n) => line.classList.toggle("near", n === near));
}

function show(left, right) {
  const span = Math.min(Math.max(right - left, 0.05), facts.lasted || 1);
  from = Math.max(0, Math.min(left, facts.lasted - span));
  to = from + span;
  draw();
}

function zoom(factor, at) {
  show(at - (at - from) * factor, at + (to - at) * factor);
}

function jump(at) {
  cursor = at;
  const span = Math.min(to - from, 4000);
  show(at - span / 2, at + span / 2);
  tellMoment();
}

function place(event) {
  const box = canvas.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
}

let drag = null;
canvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  zoom(event.deltaY > 0 ? 1.25 : 0.8, ms(place(event)[0]));
}, { passive: false });
canvas.addEventListener("pointerdown", (event) => {
  drag = { px: place(event)[0], from, to, moved: false };
  canvas.setPointerCapture(event.pointerId);
});
canvas.addEventListener("pointermove", (event) => {
  const [px, py] = place(event);
  if (drag) {
    drag.moved ||= Math.abs(px - drag.px) > 3;
    const by = (drag.px - px) / (canvas.clientWidth - LEFT) * (drag.to - drag.from);
    if (drag.moved) show(drag.from + by, drag.to + by);
    return;
  }
  const words = px > LEFT ? describe(under(px, py)) : "";
  $("tip").hidden = !words;
  $("tip").textContent = words;
  $("tip").style.left = Math.min(px + 14, canvas.clientWidth - 430) + "px";
  $("tip").style.top = py + 16 + "px";
});
canvas.addEventListener("pointerup", (event) => {
  if (drag && !drag.moved) {
    const [px, py] = place(event);
    cursor = Math.max(0, Math.min(facts.lasted, ms(px)));
    picked = under(px, py) ?? null;
    draw();
    tellMoment();
  }
  drag = null;
});
canvas.addEventListener("pointerleave", () => { $("tip").hidden = true; });
addEventListener("keydown", (event) => {
  const span = to - from, mid = (from + to) / 2;
  const keys = {
    "+": () => zoom(0.8, mid), "=": () => zoom(0.8, mid), "-": () => zoom(1.25, mid),
    "0": () => show(0, facts.lasted),
    ArrowLeft: () => show(from - span / 8, to - span / 8),
    ArrowRight: () => show(from + span / 8, to + span / 8),
  };
  keys[event.key]?.();
});
$("in").onclick = () => zoom(0.6, (from + to) / 2);
$("out").onclick = () => zoom(1.6, (from + to) / 2);
$("all").onclick = () => show(0, facts.lasted);

function box(words, color, checked, set) {
  const label = document.createElement("label"), input = document.createElement("input");
  input.type = "checkbox";
  input.checked = checked;
  input.onchange = () => { set(input.checked); draw(); };
  const swatch = document.createElement("b");
  swatch.style.background = `var(--${color})`;
  label.append(input, swatch, words);
  return label;
}

$("kinds").append(...facts.kinds.map((kind, n) =>
  box(kind, kind, shows[n], (on) => { shows[n] = on; })));
$("kinds").append(box("all that is lost", "refused", losses, (on) => { losses = on; }));
$("verdict").textContent = facts.broken === null
  ? `ok: no oracle objects, in ${clock(facts.lasted)} simulated seconds`
  : `broken after ${clock(facts.lasted)} simulated seconds: ${facts.broken}`;
$("verdict").classList.toggle("broken", facts.broken !== null);
document.title = (facts.broken === null ? "ok" : "broken") + " - keel-sim trace";
$("why").textContent = facts.why;
$("plan").textContent = facts.plan;
$("story").append(...story.map((line) => {
  const item = document.createElement("li"), time = document.createElement("time");
  time.textContent = clock(line.ms);
  item.classList.toggle("fault", line.words.startsWith("--"));
  item.classList.toggle("broken", line.words.startsWith("broken "));
  item.append(time, line.words);
  item.onclick = () => jump(line.ms);
  return item;
}));
// A part of the run has an address: page.html#2.5-3.75
const part = location.hash.match(/^#([\d.]+)-([\d.]+)$/);
if (part) [from, to] = [Number(part[1]) * 1000, Number(part[2]) * 1000];
addEventListener("resize", draw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
draw();
tellMoment();
