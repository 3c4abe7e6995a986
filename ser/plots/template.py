"""The page of `ser.latents.page`, as `string.Template`s: so no `$` of the script's own."""

PROBES = """<h2>What a linear probe finds</h2>
<p>$verdict</p>
<div class="wide"><table>$scores</table></div>
<p class="quiet">Bold: above chance. Small: 95% over other utterances of these speakers.</p>
<ul class="quiet">$how</ul>
"""

TEMPLATE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
:root { color-scheme: light dark; --back: #fff; --text: #1c1e21; --quiet: #5d6369;
  --line: #d5d9dd; --panel: #f4f6f8; --warn: #8a4b00; }
@media (prefers-color-scheme: dark) { :root { --back: #15181b; --text: #e7e9eb; --quiet: #a0a7ae;
  --line: #3a4046; --panel: #1f2428; --warn: #ffb95e; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 78rem; background: var(--back);
  color: var(--text); font: 16px/1.45 system-ui, sans-serif; }
h1 { font-size: 1.2rem; margin: 0 0 .5rem; overflow-wrap: anywhere; }
h2 { font-size: 1.05rem; margin: 1.5rem 0 .3rem; }
.remark { color: var(--warn); font-weight: 600; margin: .2rem 0; }
.quiet, small { color: var(--quiet); font-size: .85rem; }
.controls { display: flex; flex-wrap: wrap; gap: .5rem 1rem; align-items: center; }
.controls label, select { max-width: 100%; }
select { font: inherit; padding: .25rem .4rem; }
[hidden] { display: none !important; }
.view { display: grid; grid-template-columns: minmax(0, 1fr) 17rem; gap: 1rem;
  margin-top: .6rem; }
#map { width: 100%; max-height: 78vh; background: var(--panel); border: 1px solid var(--line);
  border-radius: 6px; touch-action: manipulation; cursor: crosshair; display: block; }
#map:focus-visible { outline: 2px solid #3f90da; outline-offset: 2px; }
#prior * { fill: none; stroke-width: 1.6; }
#prior path { stroke-width: 4; }
.point { stroke: var(--back); stroke-width: .8; outline: none; }
.point.val, .point.test { stroke: var(--text); stroke-width: 1.3; }
.point.faded { opacity: .1; }
.point.chosen { stroke: var(--text); stroke-width: 1.6; opacity: 1; }
.point.chosen > * { transform: scale(1.9); }
#told { background: var(--panel); border: 1px solid var(--line); border-radius: 6px;
  padding: .6rem .8rem; }
#told dl { display: grid; grid-template-columns: auto 1fr; gap: .1rem .7rem; margin: 0; }
#told dt { color: var(--quiet); }
#told dd { margin: 0; overflow-wrap: anywhere; }
audio { width: 100%; margin-top: .5rem; }
#legend { display: flex; flex-wrap: wrap; gap: .1rem .3rem; margin: .6rem 0; }
#legend button { font: inherit; font-size: .9rem; color: inherit; background: none;
  border: 1px solid transparent; border-radius: 5px; padding: .25rem .45rem; cursor: pointer; }
#legend button[aria-pressed=true] { border-color: var(--quiet); background: var(--panel); }
#legend i { display: inline-block; width: .8em; height: .8em; border-radius: 50%;
  margin-right: .35em; }
.part { margin-right: .8rem; white-space: nowrap; }
.part svg { width: .9em; height: .9em; margin-right: .3em; fill: var(--quiet); overflow: visible;
  vertical-align: -.1em; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; text-align: right; border-bottom: 1px solid var(--line);
  line-height: 1.2; }
th:first-child { text-align: left; }
thead i { font-weight: 400; color: var(--quiet); }
ul { padding-left: 1.2rem; margin: .3rem 0; }
@media (max-width: 46rem) {
  body { padding: .6rem; }
  .view { grid-template-columns: minmax(0, 1fr); gap: .5rem; }
  .point > * { transform: scale(1.5); }
  .point.chosen > * { transform: scale(2.6); }
  /* In sight while the map is touched. */
  .side { position: sticky; bottom: 0; }
  #told { font-size: .9rem; padding: .4rem .6rem; }
  #told dl { grid-template-columns: auto 1fr auto 1fr; }
  #told dd.long { grid-column: 2 / -1; }
}
</style>
</head>
<body>
<h1>$title</h1>
$remarks
<div class="controls">
<label>map <select id="maps">$maps</select></label>
<label>coloured by <select id="colourings"></select></label>
<label $hidden><input type="checkbox" id="follow"> play what is pointed at</label>
</div>
<div id="legend" role="group" aria-label="categories: press one to see it alone"></div>
<div class="view">
<div>
<svg id="map" viewBox="$box" tabindex="0" role="application"
 aria-label="$keys"><g id="prior"></g>$points</svg>
<p class="quiet">$parts <span id="caption"></span><br>
<span $hidden>Hover or tap a point for its utterance; click or tap to play. By keyboard: arrows to
move, Enter to play.</span>
<span $silent>Hover or tap a point for its utterance. By keyboard: arrows to move.</span></p>
</div>
<div class="side">
<div id="told" aria-live="polite"><dl id="facts"><dt>utterance</dt><dd>none chosen</dd></dl>
<audio id="player" controls preload="none" $hidden></audio></div>
</div>
</div>
$probes<p class="quiet">$about</p>
<script type="application/json" id="data">$data</script>
<script type="application/json" id="clips">$clips</script>
<script>
"use strict";
const get = id => document.getElementById(id);
const atlases = JSON.parse(get("data").textContent);
const map = get("map"), player = get("player"), facts = get("facts");
const layers = [...map.querySelectorAll(".layer")];
const counts = [...document.querySelectorAll(".counts")];
let data = null, points = [], clips = null, places = [], chosen = -1, alone = -1;

function element(name, text, className) {
  const made = document.createElement(name);
  made.textContent = text;
  if (className) made.className = className;
  return made;
}
function drawn(name, attributes) {
  const made = document.createElementNS(map.namespaceURI, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}
// To the atlas of a map; whoever was chosen stays so, if there.
function turn(number) {
  if (data === atlases[number]) return;
  const before = chosen < 0 ? null : data.rows.utterance[chosen];
  if (chosen >= 0) points[chosen].classList.remove("chosen");
  data = atlases[number];
  points = [];
  for (const node of layers[number].children) points[Number(node.dataset.i)] = node;
  for (const shown of [layers, counts])
    shown.forEach((node, i) => node.toggleAttribute("hidden", i !== number));
  const colourings = get("colourings"), by = colourings.selectedOptions[0];
  const names = data.colourings.map(each => each.name);
  colourings.replaceChildren(...names.map((name, i) => new Option(name, i)));
  colourings.value = Math.max(0, by ? names.indexOf(by.text) : 0);
  paint();
  chosen = -1;
  facts.replaceChildren(element("dt", "utterance"), element("dd", "none chosen"));
  choose(data.rows.utterance.indexOf(before));
}
function place() {
  const [number, which] = get("maps").value.split(" ").map(Number);
  turn(number);
  const shown = data.maps[which];
  places = shown.places;
  places.forEach((p, i) => points[i].setAttribute("transform", "translate(" + p + ")"));
  get("caption").textContent = shown.caption;
  get("prior").replaceChildren(...(shown.prior ? components(shown.prior) : []));
}
// Each in the colour of its category of the first colouring.
function components(prior) {
  return prior.centres.flatMap(([x, y], i) => {
    const style = "stroke: " + data.colourings[0].colours[i];
    const circles = prior.radii.map(r => drawn("circle", { cx: x, cy: y, r, style }));
    return [...circles, drawn("path", { d: "M" + (x - 9) + " " + y + "h18m-9-9v18", style })];
  });
}
function fade(numbers) {
  points.forEach((p, i) => p.classList.toggle("faded", alone >= 0 && numbers[i] !== alone));
}
function paint() {
  const shown = data.colourings[get("colourings").value];
  points.forEach((p, i) => { p.style.fill = shown.colours[shown.of[i]] || "#b0b0b0"; });
  alone = -1;
  const legend = get("legend");
  legend.replaceChildren(...shown.names.map((name, number) => {
    const button = element("button", "");
    const swatch = element("i", "");
    swatch.style.background = shown.colours[number];
    button.append(swatch, name);
    button.type = "button";
    button.setAttribute("aria-pressed", "false");
    button.onclick = () => {
      alone = alone === number ? -1 : number;
      [...legend.children].forEach((b, i) => b.setAttribute("aria-pressed", i === alone));
      fade(shown.of);
    };
    return button;
  }));
  fade(shown.of);
}
function choose(i) {
  if (i < 0 || i === chosen) return;
  if (chosen >= 0) points[chosen].classList.remove("chosen");
  chosen = i;
  points[i].classList.add("chosen");
  const cells = [];
  const wrong = data.rows.truth[i] !== data.rows.prediction[i];
  for (const [name, values] of Object.entries(data.rows)) {
    if (!values[i]) continue;
    const told = values[i] + (name === "prediction" && wrong ? " (wrong)" : "");
    cells.push(element("dt", name), element("dd", told, name === "utterance" ? "long" : ""));
  }
  facts.replaceChildren(...cells);
  const spoken = Object.entries(data.rows).filter(([, values]) => values[i])
    .map(([name, values]) => name + " " + values[i]);
  points[i].setAttribute("aria-label", spoken.join(", "));
  if (get("follow").checked) play();
}
function play() {
  if (chosen < 0) return;
  clips = clips || JSON.parse(get("clips").textContent);
  if (!clips.length) return;
  player.src = clips[chosen];
  // A browser may want a click first, and a linked file may be gone.
  player.play().catch(() => {});
}
// The nearest point, because a finger is wider than any.
function nearest(event) {
  const place = new DOMPoint(event.clientX, event.clientY)
    .matrixTransform(map.getScreenCTM().inverse());
  const reach = 26 / map.getScreenCTM().a;
  let best = -1, least = reach * reach;
  places.forEach(([x, y], i) => {
    if (points[i].classList.contains("faded")) return;
    const distance = (x - place.x) ** 2 + (y - place.y) ** 2;
    if (distance < least) { best = i; least = distance; }
  });
  return best;
}
// The nearest point that lies more in this direction than beside it.
function beside(dx, dy) {
  let best = -1, least = Infinity;
  places.forEach(([x, y], i) => {
    if (points[i].classList.contains("faded") || i === chosen) return;
    if (chosen < 0) { if (best < 0) best = i; return; }
    const right = x - places[chosen][0], down = y - places[chosen][1];
    const ahead = right * dx + down * dy, aside = Math.abs(right * dy) + Math.abs(down * dx);
    if (ahead > 0 && aside <= ahead && ahead + aside < least) { best = i; least = ahead + aside; }
  });
  return best;
}
map.addEventListener("pointermove", event => { choose(nearest(event)); });
map.addEventListener("click", event => {
  const i = nearest(event);
  if (i < 0) return;
  choose(i);
  points[i].focus({ preventScroll: true });
  play();
});
map.addEventListener("focusin", event => {
  const point = event.target.closest(".point");
  if (point) choose(Number(point.dataset.i));
});
const ARROWS = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };
map.addEventListener("keydown", event => {
  if (ARROWS[event.key]) {
    const i = beside(...ARROWS[event.key]);
    if (i >= 0) { choose(i); points[i].focus({ preventScroll: true }); }
  } else if (event.key === "Enter" || event.key === " ") play();
  else return;
  event.preventDefault();
});
get("maps").onchange = place;
get("colourings").onchange = paint;
place();
</script>
</body>
</html>
"""
