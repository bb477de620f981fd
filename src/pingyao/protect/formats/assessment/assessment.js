"use strict";
// Data from outside is only ever set as textContent: a hostile name stays a name.
const D = JSON.parse(document.getElementById("data").textContent);
const $ = id => document.getElementById(id);
const make = (tag, cls, text) => { const e = document.createElement(tag); if (cls) e.className = cls; if (text !== undefined) e.textContent = text; return e; };
const MARKS = D.marks.map(m => m[0]), COLOURS = ["#3f8f5f", "#e0b04a", "#c2452f", "#aab6c2", "#e4e9ef"];
const percent = x => x === null || x === undefined ? "—" : Math.round(x * 100) + "%";
// A row: [id, chapter, text, strength, cited, verified, mark, before, by, found, said, contradicted, stale]
let filter = {};
function matches(r) {
  const f = filter;
  if (f.chapter && r[1] !== f.chapter) return false;
  if (f.mark && r[6] !== f.mark) return false;
  if (f.by && r[8] !== f.by) return false;
  if (f.changed && !r[7]) return false;
  if (f.contradicted && !r[11]) return false;
  return !f.text || JSON.stringify(r).toLowerCase().includes(f.text);
}
function line(r) {
  const tr = make("tr"), mark = make("td"), why = make("td");
  mark.append(make("span", "m m" + MARKS.indexOf(r[6]), r[6]));
  if (r[7]) mark.append(make("span", "was", "上次 " + r[7]));
  if (r[9]) { why.append(make("div", "", "证据：" + r[9][0])); if (r[9][1].length) { const ul = make("ul"); ul.append(...r[9][1].map(l => make("li", "", l))); why.append(ul); } }
  if (r[10]) why.append(make("div", "", `${r[10][3]}（${r[10][4]}）答“${r[10][0]}”：${r[10][1]}${r[10][2] ? "；佐证：" + r[10][2] : ""}`));
  if (r[11]) why.append(make("div", "warn", "与证据不符，以证据为准"));
  if (r[12]) why.append(make("div", "warn", "答复已过期，须重新确认"));
  tr.append(make("td", "", r[1]), make("td", "", r[2]), make("td", "", r[3]), mark, make("td", "", r[8]), why, make("td", "note", r[4]));
  return tr;
}
function table() {
  const shown = D.rows.filter(matches);
  $("rows").replaceChildren(...shown.map(line));
  $("count").textContent = `${shown.length} 项`;
  $("chapter").value = filter.chapter || ""; $("mark").value = filter.mark || "";
  const names = { by: filter.by === "人" ? "由人作答" : "由证据作答", changed: "有变化", contradicted: "与证据不符" };
  $("chips").replaceChildren(...Object.keys(names).filter(k => filter[k]).map(k => { const b = make("button", "chip", names[k] + " ×"); b.type = "button"; b.onclick = () => { delete filter[k]; table(); }; return b; }));
}
function apply(change) { filter = change; table(); document.querySelector(".bar").scrollIntoView({ behavior: "smooth" }); }
function card(n, words, change) { const b = make("button", "card"); b.type = "button"; b.append(make("b", "", n), make("span", "", words)); b.onclick = () => apply(change); return b; }
const of = D.stages.reduce((n, s) => n + s[4], 0), told = D.stages.reduce((n, s) => n + s[3], 0);
const all = [card(percent(D.total), D.before === null ? "得分（只计已答）" : `得分，上次 ${percent(D.before)}`, {}), card(`${told} / ${of}`, "已答 / 适用", {})];
for (const [m, n] of D.marks) all.push(card(n.toLocaleString(), m, { mark: m }));
all.push(card(D.by.evidence, "由证据作答", { by: "证据" }), card(D.by.person, "由人作答", { by: "人" }));
if (D.contradicted) all.push(card(D.contradicted, "与证据不符", { contradicted: 1 }));
if (D.changed) all.push(card(D.changed, "较上次有变化", { changed: 1 }));
$("cards").replaceChildren(...all);
const base = { animation: false, textStyle: { fontFamily: "inherit" }, tooltip: {}, legend: { top: 0 } }, names = D.stages.map(s => s[0]);
const grid = { left: 8, right: 48, top: 34, bottom: 8, containLabel: true }, axis = { type: "category", inverse: true, data: names };
const charts = [];
function chart(id, option, click) { const c = echarts.init($(id), null, { renderer: "svg" }); c.setOption(option); c.on("click", click); charts.push(c); }
const series = [{ name: "本次", type: "bar", itemStyle: { color: "#2f6fb3" }, label: { show: true, position: "right", formatter: p => percent(p.value) + ` · ${D.stages[p.dataIndex][3]}/${D.stages[p.dataIndex][4]}` }, data: D.stages.map(s => ({ value: s[1], itemStyle: { opacity: s[3] * 2 < s[4] ? 0.35 : 1 } })) }];
if (D.before !== null) series.unshift({ name: "上次", type: "bar", itemStyle: { color: "#c4d2e1" }, data: D.stages.map(s => s[2]) });
chart("score", { ...base, grid: { ...grid, right: 80 }, xAxis: { type: "value", min: 0, max: 1, axisLabel: { formatter: percent } }, yAxis: axis, series }, e => apply({ chapter: e.name }));
chart("marks", { ...base, grid, xAxis: { type: "value", minInterval: 1 }, yAxis: axis, series: MARKS.map((m, i) => ({ name: m, type: "bar", stack: "x", itemStyle: { color: COLOURS[i] }, data: D.stages.map(s => s[5][i]) })) }, e => apply({ chapter: e.name, mark: e.seriesName }));
function options(id, title, list) { const first = make("option", "", `${title}：全部`); first.value = ""; $(id).replaceChildren(first, ...list.map(t => { const o = make("option", "", t); o.value = t; return o; })); }
options("chapter", "环节", names); options("mark", "答复", MARKS);
$("about").textContent = D.about; $("packs").textContent = D.packs;
$("search").oninput = e => { filter.text = e.target.value.trim().toLowerCase(); table(); };
$("chapter").onchange = e => { filter.chapter = e.target.value; table(); };
$("mark").onchange = e => { filter.mark = e.target.value; table(); };
addEventListener("resize", () => charts.forEach(c => c.resize()));
table();
document.body.dataset.ready = D.rows.length;
