// The console: reads the operator's API of the node that serves it, and shows what it says. Nothing is built and nothing
// comes from elsewhere. Text of strangers is only ever set as text.
"use strict";

const EVERY_MS = 2000;
const view = document.getElementById("view");
const state = document.getElementById("state");
let turn = 0;

// ---- the API -------------------------------------------------------------------------------------------------------

class Refused extends Error {
  constructor(status, told) {
    super(told.error || `HTTP ${status}`);
    this.status = status;
    this.hint = told.hint || "";
  }
}

async function ask(path, query = {}) {
  const url = `api/v1/${path}?${new URLSearchParams({ scope: "site", ...query })}`;
  const token = sessionStorage.getItem("token");
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const answer = await fetch(url, { headers, cache: "no-store" });
  const told = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Refused(answer.status, told);
  return told;
}

function askForToken() {
  const dialog = document.getElementById("token-dialog");
  if (dialog.open) return;
  dialog.showModal();
  document.getElementById("token-form").onsubmit = () => {
    sessionStorage.setItem("token", document.getElementById("token").value.trim());
    go();
  };
}

// ---- elements ------------------------------------------------------------------------------------------------------

function el(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false) element.setAttribute(key, value);
  }
  element.append(...children.filter((it) => it !== undefined && it !== null));
  return element;
}

function svg(name, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

function whyLink(who, text = who) {
  return el("a", { href: `#/why/${encodeURIComponent(who)}` }, text);
}

function table(columns, rows, empty) {
  if (rows.length === 0) return el("p", { class: "dim" }, empty);
  const head = el("tr", {}, ...columns.map((it) => el("th", { class: it.number ? "n" : undefined }, it.title)));
  const line = (row) => el("tr", {}, ...columns.map((it) => el("td", { class: it.number ? "n" : undefined }, it.cell(row) ?? "")));
  return el("table", {}, el("thead", {}, head), el("tbody", {}, ...rows.map(line)));
}

function duration(secs) {
  if (secs === undefined || secs === null) return "";
  if (secs < 120) return `${secs} s`;
  if (secs < 7200) return `${Math.floor(secs / 60)} min`;
  return `${Math.floor(secs / 3600)} h ${Math.floor((secs % 3600) / 60)} min`;
}

function leftOff(report) {
  const missing = (report.unanswered || []).map((it) => el("p", { class: "bad" }, `${it.endpoint} did not answer: ${it.error}`));
  const more = report.left_off ? [el("p", { class: "dim" }, `${report.left_off} more are not shown: ask for one above.`)] : [];
  return [...missing, ...more];
}

function sentence(row, withLink) {
  const at = new Date(row.at / 1000).toISOString().replace("T", " ").slice(0, 19);
  return el("div", { class: "sentence" }, row.sentence,
    el("small", {}, `${at} UTC · ${row.detector} · `, withLink ? whyLink(row.subscriber) : row.subscriber));
}

// ---- views ---------------------------------------------------------------------------------------------------------

async function overview() {
  const [nodes, findings, peers, users, sessions] = await Promise.all([
    ask("node"), ask("findings", { limit: 20 }), ask("peers"), ask("users", { limit: 1 }), ask("sessions", { limit: 1 })]);
  const card = (node) => {
    const own = (peers.peers || []).filter((it) => it.node === node.node && it.protocol === "diameter");
    const down = own.filter((it) => !isPeerUp(it));
    return el("section", { class: "card", "data-node": node.node },
      el("b", {}, name(node.node)), " ",
      el("span", { class: node.status === "serving" ? "ok" : "warn" }, node.status),
      el("p", {}, `version ${node.version}, up ${duration(node.uptime_secs)}, ${node.shards === 1 ? "1 thread" : `${node.shards} threads`}`),
      el("p", {}, (node.sip || []).join(", ")),
      own.length ? el("p", { class: down.length ? "bad" : "ok" }, down.length ? `${down.length} of ${own.length} Diameter peers down` : "all Diameter peers up") : undefined);
  };
  const count = (list, rows) => (rows || []).length + (list.left_off || 0);
  return [
    el("div", { class: "cards" }, ...(nodes.nodes || []).map(card),
      el("section", { class: "card" }, el("b", {}, String(count(users, users.users))), el("p", {}, "registered users")),
      el("section", { class: "card" }, el("b", {}, String(count(sessions, sessions.sessions))), el("p", {}, "dialogs, each at every node on its path"))),
    ...leftOff(nodes),
    el("h2", {}, "What went wrong lately"),
    ...(findings.findings.length ? findings.findings.map((it) => sentence(it, true)) : [el("p", { class: "dim" }, "Nothing that needs an explanation.")]),
  ];
}

async function users() {
  const report = await ask("users");
  const identities = (row) => el("div", {}, ...row.impus.map((it) => el("div", { class: it.barred ? "dim" : undefined }, it.impu, it.barred ? " (barred)" : "")));
  return [el("h2", {}, "Registrations"), table([
    { title: "Subscriber", cell: (row) => el("div", {}, ...row.impis.map((it) => el("div", {}, whyLink(it.split("@")[0])))) },
    { title: "Public identities", cell: identities },
    { title: "Contacts", cell: (row) => el("div", {}, ...row.contacts.map((it) => el("div", {}, it.contact))) },
    { title: "Application servers", cell: (row) => row.application_servers.join(", ") },
    { title: "Expires in", number: true, cell: (row) => duration(row.expires_in_secs) },
  ], report.users || [], "Nobody is registered."), ...leftOff(report)];
}

async function sessions() {
  const report = await ask("sessions");
  return [el("h2", {}, "Calls and subscriptions"), table([
    { title: "Caller", cell: (row) => whyLink(row.caller) },
    { title: "Called", cell: (row) => whyLink(row.called) },
    { title: "State", cell: (row) => row.state },
    { title: "At", cell: (row) => `${name(row.node)}, ${row.side}` },
    { title: "Since", number: true, cell: (row) => duration(row.since_secs) },
    { title: "Call-ID", cell: (row) => whyLink(row.call_id) },
  ], report.sessions || [], "There is no call."), ...leftOff(report)];
}

const isPeerUp = (row) => /^(okay|open|up|i-open|r-open|initial)$/i.test(row.state.replaceAll("_", "-"));

async function peers() {
  const report = await ask("peers");
  return [el("h2", {}, "Peers"), table([
    { title: "Node", cell: (row) => name(row.node) },
    { title: "Protocol", cell: (row) => row.protocol },
    { title: "Address", cell: (row) => row.address },
    { title: "Host", cell: (row) => row.host },
    { title: "State", cell: (row) => el("span", { class: isPeerUp(row) ? "ok" : "bad" }, row.state) },
    { title: "Since", number: true, cell: (row) => duration(row.since_secs) },
    { title: "Last error", cell: (row) => row.last_error },
    { title: "Pending", number: true, cell: (row) => String(row.pending) },
  ], report.peers || [], "No node has a peer."), ...leftOff(report)];
}

async function limits() {
  const report = await ask("limits", { limit: 1000 });
  const bar = (row) => {
    if (row.used === undefined || !row.value) return "";
    const part = Math.min(1, row.used / row.value);
    const inner = el("i", { class: part > 0.9 ? "bad" : part > 0.7 ? "warn" : undefined });
    inner.style.width = `${Math.ceil(part * 100)}%`;
    return el("div", { class: "bar", title: `${Math.round(part * 100)} %` }, inner);
  };
  return [el("h2", {}, "Limits"), table([
    { title: "Node", cell: (row) => name(row.node) },
    { title: "Key", cell: (row) => row.limit },
    { title: "Used", number: true, cell: (row) => row.used === undefined ? "" : String(row.used) },
    { title: "Limit", number: true, cell: (row) => String(row.value) },
    { title: "", cell: bar },
    { title: "Refused", number: true, cell: (row) => el("span", { class: row.refused ? "bad" : "dim" }, String(row.refused)) },
  ], report.limits || [], "No node tells its limits."), ...leftOff(report)];
}

async function bans() {
  const report = await ask("bans");
  return [el("h2", {}, "Bans"), table([
    { title: "Source", cell: (row) => row.source },
    { title: "Node", cell: (row) => name(row.node) },
    { title: "Cause", cell: (row) => row.cause },
    { title: "Since", number: true, cell: (row) => duration(row.since_secs) },
    { title: "Ends in", number: true, cell: (row) => duration(row.ends_in_secs) },
    { title: "Dropped", number: true, cell: (row) => String(row.dropped) },
  ], report.bans || [], "Nobody is banned."), ...leftOff(report)];
}

async function why(who) {
  const told = await ask("why", { who });
  const findings = told.findings || [];
  const top = findings.map((it) => sentence(it, false));
  if (told.entries.length === 0) {
    top.push(el("div", { class: "sentence" }, `No node has seen ${who}: never registered here, or forgotten since.`,
      el("small", {}, "Is the phone in the IMS APN, and is the P-CSCF's address in the PCO? See the guide.")));
  } else if (findings.length === 0) {
    top.push(el("div", { class: "sentence well" }, "Nothing here needs an explanation."));
  }
  return [el("h2", {}, who, " ", el("span", { class: "dim" }, [...told.names].filter((it) => it !== who).join(", "))),
    ...top, ...leftOff(told), told.entries.length ? ladder(told) : undefined];
}

// ---- the ladder ----------------------------------------------------------------------------------------------------

const NAMES = { pcscf: "P-CSCF", icscf: "I-CSCF", scscf: "S-CSCF" };
const name = (node) => NAMES[node] || node;
const ORDER = ["UE", "P-CSCF", "I-CSCF", "S-CSCF", "HSS", "AS"];

// What one entry is in the ladder: between whom, and what it says. Nothing for what another node tells too.
function step(entry, told) {
  const node = name(entry.node);
  if (entry.what === "sip") {
    const peer = told.places[entry.peer];
    const isHeard = entry.way === "heard";
    if (isHeard && peer && told.nodes.includes(peer)) return null;
    const isUe = entry.side !== "mw";
    const other = peer ? name(peer) : isUe ? `UE ${host(entry.peer)}` : `AS ${host(entry.peer)}`;
    const again = entry.again ? ` ×${entry.again + 1}` : "";
    const what = entry.status ? `${entry.status} (${entry.method})` : entry.method;
    const protection = entry.side === "gm-protected" ? " ESP" : "";
    return { from: isHeard ? other : node, to: isHeard ? node : other, text: `${what}${again}${protection}`, no: entry.status >= 400 && entry.status !== 401 && entry.status !== 407 };
  }
  if (entry.what === "diameter") {
    const isHeard = entry.way === "heard";
    const result = entry.result ? ` ${entry.result}` : "";
    return { from: isHeard ? "HSS" : node, to: isHeard ? node : "HSS", text: `${entry.command}${result}`, no: entry.result >= 3000 };
  }
  if (entry.what === "note") {
    const facts = Object.entries(entry.facts || {}).map(([key, value]) => `${key} ${value}`).join(", ");
    return { from: node, to: node, text: `${entry.kind}${facts ? `: ${facts}` : ""}`, note: true };
  }
  return { from: node, to: node, text: entry.counter ? `${entry.counter} +${entry.grown}` : entry.what, note: true };
}

const host = (address) => address.replace(/:\d+$/, "");

function rank(party) {
  const index = ORDER.indexOf(party.split(" ")[0]);
  return index < 0 ? ORDER.length : index;
}

function ladder(told) {
  const steps = told.entries.map((entry) => ({ entry, ...(step(entry, told) || { skip: true }) })).filter((it) => !it.skip);
  const parties = [...new Set(steps.flatMap((it) => [it.from, it.to]))].sort((a, b) => rank(a) - rank(b) || a.localeCompare(b));
  const [left, gap, row, top] = [90, 170, 22, 34];
  const x = (party) => left + gap / 2 + parties.indexOf(party) * gap;
  const [width, height] = [left + gap * parties.length + 40, top + row * steps.length + 12];
  const drawing = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": "Ladder" });
  for (const party of parties) {
    drawing.append(svg("line", { class: "life", x1: x(party), x2: x(party), y1: top - 10, y2: height }), svg("text", { class: "party", x: x(party), y: 14 }, party));
  }
  const begin = steps.length ? steps[0].entry.at : 0;
  let call = null;
  steps.forEach((it, index) => drawing.append(...arrow(it, index, begin)));
  return el("div", { class: "ladder" }, drawing);

  function arrow(it, index, begin) {
    const y = top + row * index + row / 2;
    const [from, to] = [x(it.from), x(it.to)];
    const group = svg("g", { class: `step${it.no ? " no" : ""}${it.note ? " note" : ""}` }, svg("rect", { x: 0, y: y - row / 2, width, height: row }));
    const facts = Object.entries(it.entry.facts || {}).map(([key, value]) => `${key}: ${value}`);
    group.append(svg("title", {}, [`Call-ID: ${it.entry.call_id}`, ...facts].join("\n")));
    group.append(svg("text", { class: "at", x: 4, y: y + 4 }, ((it.entry.at - begin) / 1e6).toFixed(3)));
    const extra = [];
    if (it.entry.call_id !== call) {
      if (call !== null) extra.push(svg("line", { class: "life", x1: 0, x2: width, y1: y - row / 2, y2: y - row / 2, "stroke-dasharray": "2 4" }));
      call = it.entry.call_id;
    }
    if (from === to) {
      group.append(svg("circle", { class: "head", cx: from, cy: y, r: 3 }), svg("text", { x: from + 8, y: y + 4 }, it.text.slice(0, 90)));
    } else {
      const way = to > from ? 1 : -1;
      group.append(svg("line", { class: "arrow", x1: from, x2: to - way * 6, y1: y + 4, y2: y + 4 }),
        svg("path", { class: "head", d: `M${to} ${y + 4} l${-way * 8} -4 v8 z` }),
        svg("text", { class: "what", x: (from + to) / 2, y: y }, it.text));
    }
    return [...extra, group];
  }
}

// ---- which view ----------------------------------------------------------------------------------------------------

const VIEWS = { "": overview, users, sessions, peers, limits, bans };

async function show(mine) {
  const [, page, rest] = location.hash.match(/^#\/(\w*)\/?(.*)$/) || [null, "", ""];
  document.querySelectorAll("nav a").forEach((link) => link.toggleAttribute("aria-current", link.getAttribute("href") === `#/${page}`));
  try {
    const content = page === "why" ? await why(decodeURIComponent(rest)) : await (VIEWS[page] || overview)();
    if (mine !== turn) return;
    view.replaceChildren(...content.filter((it) => it));
    state.textContent = "";
    document.body.dataset.shown = page || "overview";
  } catch (error) {
    if (mine !== turn) return;
    if (error.status === 401) {
      // Asked again with a wrong token, the node would make this address wait.
      sessionStorage.removeItem("token");
      turn += 1;
      askForToken();
    }
    state.className = "bad";
    state.textContent = error instanceof Refused ? [error.message, error.hint].filter(Boolean).join("; ") : "The node does not answer.";
  }
  if (mine === turn) setTimeout(() => mine === turn && show(mine), EVERY_MS);
}

function go() {
  turn += 1;
  show(turn);
}

document.getElementById("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  const who = document.getElementById("who").value.trim();
  if (who) location.hash = `#/why/${encodeURIComponent(who)}`;
});
window.addEventListener("hashchange", () => { view.replaceChildren(); go(); view.focus(); });
go();
