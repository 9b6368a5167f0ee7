"use strict";
(() => {
  const PERIOD = 1500;
  const channel = document.body.dataset.channel;
  const scroll = document.getElementById("scroll");
  const sources = new WeakMap();
  let version = document.body.dataset.version;

  const source = (node) => sources.get(node) ?? node.outerHTML;
  const remember = (list) => { for (const node of list.children) sources.set(node, node.outerHTML); };
  const lists = ["channels", "tally", "messages"].map((id) => document.getElementById(id));
  lists.forEach(remember);

  // Keeps every row that did not change, so that focus, selection and folded threads survive.
  function renew(list, html) {
    const template = document.createElement("template");
    template.innerHTML = html;
    const had = new Map([...list.children].map((node) => [node.id, node]));
    const rows = [...template.content.children];
    rows.forEach((node, index) => {
      const old = had.get(node.id);
      const text = node.outerHTML;
      let row = node;
      if (old && node.id && source(old) === text) row = old;
      else if (!old && list.id === "messages") row.classList.add("fresh");
      sources.set(row, text);
      if (list.children[index] !== row) list.insertBefore(row, list.children[index] ?? null);
    });
    while (list.children.length > rows.length) list.lastElementChild.remove();
  }

  async function look() {
    if (document.hidden) return;
    if (!channel) { location.reload(); return; }
    const answer = await fetch(`/_control/page/${channel}?version=${version}`);
    if (answer.status === 404) { location.href = "/"; return; }
    if (answer.status !== 200) return;
    const parts = await answer.json();
    const isAtEnd = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 90;
    const focused = document.activeElement?.closest("#channels li")?.id;
    lists.forEach((list) => renew(list, parts[list.id]));
    for (const id of ["presence", "heading", "foot"]) document.getElementById(id).innerHTML = parts[id];
    if (focused) document.getElementById(focused)?.querySelector("a").focus({ preventScroll: true });
    if (isAtEnd) scroll.scrollTop = scroll.scrollHeight;
    version = parts.version;
  }

  async function watch() {
    try { await look(); } catch { /* The stand-in is stopped or restarting: look again later. */ }
    setTimeout(watch, PERIOD);
  }

  if (!location.hash) scroll.scrollTop = scroll.scrollHeight;
  setTimeout(watch, PERIOD);
})();
