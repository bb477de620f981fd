"use strict";
// Data from outside is only ever set as textContent: a hostile name stays a name.
const D = JSON.parse(document.getElementById("data").textContent);
const $ = id => document.getElementById(id);
const make = (tag, cls, text) => { const e = document.createElement(tag); if (cls) e.className = cls; if (text !== undefined) e.textContent = text; return e; };
const WORDS = {
  zh: { title: "数据分类分级报告", byGroup: "各系统（目录）的级别分布", byLeaf: "分类目录（JR/T 0197）", c3: "C3 与 C2 在哪些表", sure: "置信度与待复核", columns: "字段明细", unread: "未能读取", search: "搜索表名、字段、说明、类型", all: "全部", level: "级", count: n => `${n.toLocaleString()} 列`, page: (p, n) => `第 ${p} / ${n} 页`, tables: "张表", cols: "列", rows: "行已读取", review: "待复核", personal: "个人金融信息", candidates: "重要数据候选", hidden: "处隐藏发现", unreadN: "处未读取", levels: "级别", personals: "类别", states: "状态", asserted: "已判定", evidence: "判定依据", guesses: "候选类型", findings: "取值中的发现", rulings: "规则与条款", ofRows: (a, b) => `${a.toLocaleString()} 行（共 ${b.toLocaleString()} 行非空）`, valid: (a, b) => `，${b.toLocaleString()} 个中 ${a.toLocaleString()} 个通过校验`, other: "English", close: "关闭", heads: ["表", "字段", "说明", "数据类型", "主体", "分类目录", "级别", "类别", "置信度"], footer: "级别为参考级别。标“待核对”的规则尚未与标准原文逐条核对；5 级与重要数据只作候选，由人判定。本报告不含任何取值，可离线打开。", hiddenOnly: "含隐藏发现", drifted: "取值漂移", drift: "取值的变化", candidateOnly: "重要数据候选", book: "（记账性字段）" },
  en: { title: "Data classification report", byGroup: "Levels by system", byLeaf: "Category tree (JR/T 0197)", c3: "Where C3 and C2 live", sure: "Confidence and review", columns: "Columns", unread: "Not read", search: "Search table, column, comment, type", all: "All", level: "", count: n => `${n.toLocaleString()} columns`, page: (p, n) => `page ${p} of ${n}`, tables: "tables", cols: "columns", rows: "rows read", review: "for review", personal: "personal financial", candidates: "important data?", hidden: "hidden findings", unreadN: "not read", levels: "Level", personals: "Class", states: "State", asserted: "asserted", evidence: "Evidence", guesses: "Guesses", findings: "Found in the values", rulings: "Rules and clauses", ofRows: (a, b) => `${a.toLocaleString()} rows of ${b.toLocaleString()} non-empty`, valid: (a, b) => `, ${a.toLocaleString()} of ${b.toLocaleString()} pass the check`, other: "中文", close: "Close", heads: ["Table", "Column", "Comment", "Data type", "Subject", "Category", "Level", "Class", "Confidence"], footer: "Levels are reference levels. Rules marked 待核对 have not been checked against the official text; level 5 and important data are only proposed, a person decides. This report holds no data values and works offline.", hiddenOnly: "hidden findings", drifted: "drifted", drift: "Changes in the values", candidateOnly: "important data?", book: "(bookkeeping)" }
};
const COLOURS = { 1: "#8fbf9f", 2: "#b9cf8a", 3: "#e8b84a", 4: "#d8643f", 5: "#7b3f8c" };
let lang = "zh", W = WORDS.zh, filter = {}, order = [6, -1], page = 0, shown = [];
const PAGE = 50;
// A row: [group, table, column, comment, type, subject, leaf, level, class, confidence, abstained, candidate, detail]
const R = D.rows;
const typeName = t => (D.types[t] || [t, t])[lang === "zh" ? 0 : 1];
const cell = (r, i) => [r[1], r[2], r[3], typeName(r[4]), D.subjects[r[5]] || r[5], r[6] || W.book, r[7], r[8] ? "C" + r[8] : "", r[9]][i];

function matches(r) {
  const f = filter;
  if (f.level && r[7] !== f.level) return false;
  if (f.personal && r[8] !== f.personal) return false;
  if (f.anyPersonal && !r[8]) return false;
  if (f.state === "review" && !r[10]) return false;
  if (f.state === "asserted" && r[10]) return false;
  if (f.state === "hidden" && !r[12].hidden) return false;
  if (f.state === "drifted" && !r[12].drift.length) return false;
  if (f.state === "candidate" && !r[11]) return false;
  if (f.group !== undefined && r[0] !== f.group) return false;
  if (f.table !== undefined && r[1] !== f.table) return false;
  if (f.leaf !== undefined && !(r[6] === f.leaf || r[6].startsWith(f.leaf + "/"))) return false;
  if (f.band !== undefined && Math.min(9, Math.floor(r[9] * 10)) !== f.band) return false;
  if (f.text) { const t = (r[1] + "\n" + r[2] + "\n" + r[3] + "\n" + typeName(r[4]) + "\n" + r[6]).toLowerCase(); if (!t.includes(f.text)) return false; }
  return true;
}
function table() {
  shown = R.filter(matches);
  const [at, way] = order;
  shown.sort((a, b) => { const x = cell(a, at), y = cell(b, at); return (x < y ? -1 : x > y ? 1 : 0) * way; });
  const pages = Math.max(1, Math.ceil(shown.length / PAGE));
  page = Math.min(page, pages - 1);
  $("rows").replaceChildren(...shown.slice(page * PAGE, page * PAGE + PAGE).map(line));
  $("count").textContent = W.count(shown.length);
  $("page").textContent = W.page(page + 1, pages);
  $("before").disabled = page === 0; $("after").disabled = page >= pages - 1;
  const chips = ["group", "table", "leaf", "band", "anyPersonal"].filter(k => filter[k] !== undefined).map(k => {
    const chip = make("button", "chip", (k === "band" ? `${filter[k] * 10}–${filter[k] * 10 + 10}%` : k === "anyPersonal" ? W.personal : filter[k]) + " ×");
    chip.type = "button"; chip.onclick = () => { delete filter[k]; page = 0; table(); }; return chip;
  });
  $("chips").replaceChildren(...chips);
  $("level").value = filter.level || ""; $("personal").value = filter.personal || ""; $("state").value = filter.state || "";
}
function line(r) {
  const tr = make("tr"); tr.tabIndex = 0;
  for (let i = 0; i < 9; i++) {
    const td = make("td");
    if (i === 6) td.append(make("span", "lv lv" + r[7], r[7]));
    else if (i === 8) td.append(r[10] ? make("span", "tag warn", W.review) : document.createTextNode(Math.round(r[9] * 100) + "%"));
    else td.textContent = cell(r, i);
    tr.append(td);
  }
  tr.onclick = () => detail(r);
  tr.onkeydown = e => { if (e.key === "Enter") detail(r); };
  return tr;
}
function detail(r) {
  const x = r[12], box = $("detail"), head = make("header"), close = make("button", "", W.close);
  head.append(make("h2", "", r[1] + " · " + r[2])); close.type = "button"; close.onclick = () => box.close(); head.append(close);
  const part = (title, items) => { if (!items.length) return ""; const s = make("section"); s.append(make("h3", "", title)); const ul = make("ul"); ul.append(...items); s.append(ul); return s; };
  const item = text => make("li", "", text);
  const first = make("section");
  first.append(make("span", "lv lv" + r[7], r[7] + W.level), document.createTextNode(" "), make("span", "tag", typeName(r[4])));
  if (r[8]) first.append(make("span", "tag", "C" + r[8]));
  if (r[10]) first.append(make("span", "tag warn", W.review));
  if (r[11]) first.append(make("span", "tag warn", W.candidateOnly));
  if (x.drift.length) first.append(make("span", "tag warn", W.drifted));
  first.append(make("div", "", r[6] || W.book), make("div", "", r[3]));
  const guesses = x.guesses.map(g => { const li = make("li"), m = make("span", "meter"); m.style.width = Math.round(g[1] * 160) + "px"; li.append(m, document.createTextNode(`${typeName(g[0])} ${Math.round(g[1] * 100)}%`)); return li; });
  const rulings = x.rulings.map(g => { const q = D.rules[g], li = make("li", "", q[0] + " "); li.append(make("span", q[2] ? "tag" : "tag warn", q[1])); return li; });
  box.replaceChildren(head, first, part(W.drift, x.drift.map(d => item(d[lang === "zh" ? 0 : 1]))), part(W.evidence, x.why.map(n => D.reasons[n]).map(w => item(typeName(w[0]) + (lang === "zh" ? "：" + w[1] : ": " + w[2])))), part(W.guesses, guesses),
    part(W.findings, x.findings.map(f => item(`${typeName(f[0])} ${W.ofRows(f[1], f[2])}${f[4] === null ? "" : W.valid(f[4], f[3])}`))), part(W.rulings, rulings));
  box.showModal();
}
function apply(change) { filter = change; page = 0; table(); document.querySelector(".bar").scrollIntoView({ behavior: "smooth" }); }
function cards() {
  const S = D.summary, all = [];
  const card = (n, words, cls, change) => { const b = make("button", "card " + (cls || "")); b.type = "button"; b.append(make("b", "", n.toLocaleString()), make("span", "", words)); if (change) b.onclick = () => apply(change); all.push(b); };
  card(S.tables, W.tables, "", {}); card(S.columns, W.cols, "", {}); card(S.rows, W.rows);
  for (const [l, n] of S.levels) card(n, lang === "zh" ? `${l} 级` : `level ${l}`, "l" + l, { level: l });
  for (const [c, n] of S.classes) card(n, "C" + c, "", { personal: c });
  card(S.personal, W.personal, "", { anyPersonal: true }); card(S.review, W.review, "", { state: "review" });
  card(S.candidates, W.candidates, "", { state: "candidate" }); card(S.hidden, W.hidden, "", { state: "hidden" });
  if (S.drifted) card(S.drifted, W.drifted, "", { state: "drifted" });
  if (S.unread) { card(S.unread, W.unreadN); all.at(-1).onclick = () => $("unreadPanel").scrollIntoView({ behavior: "smooth" }); }
  $("cards").replaceChildren(...all);
}
const charts = {};
function chart(id, option, click) {
  charts[id] ||= echarts.init($(id), null, { renderer: "svg" });
  charts[id].setOption(option, true); charts[id].off("click"); charts[id].on("click", click);
}
function draw() {
  const groups = [...new Set(R.map(r => r[0]))].slice(0, 24), base = { animation: false, textStyle: { fontFamily: "inherit" } };
  chart("group", { ...base, tooltip: {}, legend: { top: 0 }, grid: { left: 8, right: 16, top: 34, bottom: 8, containLabel: true }, xAxis: { type: "value" }, yAxis: { type: "category", inverse: true, data: groups, axisLabel: { width: 130, overflow: "truncate" } },
    series: [1, 2, 3, 4, 5].filter(l => R.some(r => r[7] === l)).map(l => ({ name: lang === "zh" ? l + " 级" : "L" + l, type: "bar", stack: "x", itemStyle: { color: COLOURS[l] }, data: groups.map(g => R.filter(r => r[0] === g && r[7] === l).length), level: l })) },
    e => apply({ group: e.name, level: +e.seriesName.replace(/\D/g, "") }));
  const tree = [];
  for (const r of R) { if (!r[6]) continue; let at = tree; const steps = r[6].split("/"); steps.forEach((s, i) => { let n = at.find(x => x.name === s); if (!n) at.push(n = { name: s, path: steps.slice(0, i + 1).join("/"), children: [], count: 0, level: 0 }); n.count++; n.level = Math.max(n.level, r[7]); at = n.children; }); }
  const shape = n => n.children.length ? { name: n.name, path: n.path, children: n.children.map(shape) } : { name: n.name, path: n.path, value: n.count, itemStyle: { color: COLOURS[n.level] } };
  chart("leaf", { ...base, tooltip: { formatter: p => echarts.format.encodeHTML((p.data.path || p.name) + " " + p.value) }, series: [{ type: "treemap", data: tree.map(shape), roam: false, nodeClick: false, breadcrumb: { show: false }, top: 0, left: 0, right: 0, bottom: 0, label: { color: "#22303f", overflow: "truncate" }, upperLabel: { show: true, height: 18, color: "#52606d" }, levels: [{ upperLabel: { show: false } }, { itemStyle: { borderColor: "#cfd8e3", borderWidth: 2, gapWidth: 2 } }, { itemStyle: { borderColor: "#dfe5ec", borderWidth: 1, gapWidth: 1 } }] }] },
    e => e.data && e.data.path && apply({ leaf: e.data.path }));
  const secret = new Map();
  for (const r of R) if (r[8] >= 2) { const k = r[1]; const v = secret.get(k) || [0, 0]; v[3 - r[8]]++; secret.set(k, v); }
  const top = [...secret].sort((a, b) => b[1][0] - a[1][0] || b[1][1] - a[1][1]).slice(0, 14);
  chart("secret", { ...base, tooltip: {}, legend: { top: 0 }, grid: { left: 8, right: 16, top: 34, bottom: 8, containLabel: true }, xAxis: { type: "value", minInterval: 1 }, yAxis: { type: "category", inverse: true, data: top.map(t => t[0]), axisLabel: { width: 150, overflow: "truncate" } },
    series: [{ name: "C3", type: "bar", stack: "x", itemStyle: { color: "#b23a48" }, data: top.map(t => t[1][0]) }, { name: "C2", type: "bar", stack: "x", itemStyle: { color: "#e0a458" }, data: top.map(t => t[1][1]) }] },
    e => apply({ table: e.name, personal: e.seriesName === "C3" ? 3 : 2 }));
  const bands = Array.from({ length: 10 }, () => [0, 0]);
  for (const r of R) bands[Math.min(9, Math.floor(r[9] * 10))][r[10] ? 1 : 0]++;
  chart("sure", { ...base, tooltip: {}, legend: { top: 0 }, grid: { left: 8, right: 16, top: 34, bottom: 8, containLabel: true }, xAxis: { type: "category", data: bands.map((_, i) => `${i * 10}–${i * 10 + 10}%`), axisLabel: { interval: 0, fontSize: 10, rotate: 30 } }, yAxis: { type: "value" },
    series: [{ name: W.asserted, type: "bar", stack: "x", itemStyle: { color: "#5b8fc7" }, data: bands.map(b => b[0]) }, { name: W.review, type: "bar", stack: "x", itemStyle: { color: "#e8b84a" }, data: bands.map(b => b[1]) }] },
    e => apply({ band: e.dataIndex, state: e.seriesIndex ? "review" : "asserted" }));
}
function options(id, title, list) {
  const first = make("option", "", `${title}：${W.all}`); first.value = "";
  $(id).replaceChildren(first, ...list.map(([v, t]) => { const o = make("option", "", t); o.value = v; return o; }));
}
function show() {
  W = WORDS[lang]; document.documentElement.lang = lang === "zh" ? "zh-CN" : "en"; document.title = W.title;
  for (const e of document.querySelectorAll("[data-t]")) e.textContent = W[e.dataset.t];
  $("about").textContent = D.about[lang]; $("language").textContent = W.other; $("packs").textContent = D.about.packs; $("search").placeholder = W.search;
  $("heads").replaceChildren(...W.heads.map((h, i) => { const th = make("th", "", h); th.onclick = () => { order = [i, order[0] === i ? -order[1] : 1]; table(); }; return th; }));
  options("level", W.levels, D.summary.levels.map(([l]) => [l, lang === "zh" ? l + " 级" : "L" + l]));
  options("personal", W.personals, [3, 2, 1].map(c => [c, "C" + c]));
  options("state", W.states, [["asserted", W.asserted], ["review", W.review], ["hidden", W.hiddenOnly], ["candidate", W.candidateOnly], ["drifted", W.drifted]]);
  $("unread").replaceChildren(...D.unread.map(u => { const tr = make("tr"); u.forEach(t => tr.append(make("td", "", t))); return tr; }));
  $("unreadPanel").hidden = !D.unread.length;
  cards(); draw(); table();
}
$("search").oninput = e => { filter.text = e.target.value.trim().toLowerCase(); page = 0; table(); };
$("level").onchange = e => { filter.level = +e.target.value || undefined; page = 0; table(); };
$("personal").onchange = e => { filter.personal = +e.target.value || undefined; page = 0; table(); };
$("state").onchange = e => { filter.state = e.target.value || undefined; page = 0; table(); };
$("before").onclick = () => { page--; table(); }; $("after").onclick = () => { page++; table(); };
$("language").onclick = () => { lang = lang === "zh" ? "en" : "zh"; show(); };
addEventListener("resize", () => Object.values(charts).forEach(c => c.resize()));
show();
document.body.dataset.ready = R.length;
