"use strict";
// Draws the plots of a study's page, again whenever another choice is made or the reader's screen turns dark or light.
const data = JSON.parse(document.getElementById("data").textContent);
const dashes = ["solid", "dash", "dashdot", "dot"];
const markers = ["circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "x"];
const hidden = new Set(); // cells that the reader has clicked away in a legend, in all plots
const variable = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
const color = (k) => variable(data.colors[k % data.colors.length]);
const words = (key) => key.replaceAll("_", " ");
const positive = (values) => values.filter((value) => value !== null && value > 0);

function decades(values) {
  const known = positive(values);
  return known.length ? Math.log10(Math.max(...known) / Math.min(...known)) : 0;
}

function layout(width, x, y, xlog, ylog) {
  const longest = Math.max(...data.cells.map((cell) => cell.name.length));
  const legend = 24 * Math.ceil(data.cells.length / Math.max(1, Math.floor(width / (7 * longest + 50)))) + 30;
  const axis = (title, log) => ({
    title: { text: words(title) }, type: log ? "log" : "linear", exponentformat: log ? "power" : "SI",
    automargin: true,
    gridcolor: variable("line"), linecolor: variable("line"), zerolinecolor: variable("line"),
  });
  return {
    xaxis: axis(x, xlog), yaxis: axis(y, ylog), hovermode: "closest", margin: { l: 8, r: 8, t: 8, b: 8 },
    font: { family: variable("font"), color: variable("ink"), size: 12 }, showlegend: true,
    legend: { orientation: "h", y: -60 / 340, yanchor: "top", x: 0 }, hoverlabel: { namelength: -1 },
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", height: 340 + legend,
    modebar: { bgcolor: "rgba(0,0,0,0)", color: variable("muted"), activecolor: variable("ink") },
  };
}

function transparent(hex) {
  const part = (at) => parseInt(hex.slice(at, at + 2), 16);
  return hex.startsWith("#") ? `rgba(${part(1)},${part(3)},${part(5)},0.15)` : hex;
}

function curves(x, y, bands) {
  return data.cells.flatMap((cell, k) => {
    const found = (cell.curves[y] || {})[x];
    if (!found || !found.x.length) return [];
    const group = { legendgroup: cell.name, name: cell.name, visible: hidden.has(cell.name) ? "legendonly" : true };
    const edge = { ...group, x: found.x, mode: "lines", line: { width: 0 }, hoverinfo: "skip", showlegend: false };
    const band = !bands || found.low[0] === null ? [] : [
      { ...edge, y: found.low }, { ...edge, y: found.high, fill: "tonexty", fillcolor: transparent(color(k)) },
    ];
    return [...band, {
      ...group, x: found.x, y: found.mean, mode: found.x.length > 40 ? "lines" : "lines+markers",
      line: { color: color(k), dash: dashes[k % dashes.length], width: 2 },
      marker: { symbol: markers[k % markers.length], size: 5 },
    }];
  });
}

function points(x, y) {
  return data.cells.map((cell, k) => ({
    x: [cell.ends[x]], y: [cell.ends[y]], name: cell.name, legendgroup: cell.name, mode: "markers",
    visible: hidden.has(cell.name) ? "legendonly" : true,
    error_y: { array: [cell.intervals[y] || 0], thickness: 1 },
    marker: { color: color(k), symbol: markers[k % markers.length], size: cell.front && x.startsWith("bytes") ? 14 : 9,
      line: { width: cell.front && x.startsWith("bytes") ? 2 : 0, color: variable("ink") } },
  })).filter((trace) => trace.x[0] != null && trace.y[0] != null);
}

function draw(card) {
  const choice = (name) => card.querySelector(`[name=${name}]`);
  const [x, y] = [choice("x").value, choice("y").value];
  const scattered = card.dataset.kind === "points";
  const traces = scattered ? points(x, y) : curves(x, y, choice("bands").checked);
  const target = card.querySelector(".plot");
  const shape = layout(target.clientWidth, x, y, choice("xlog").checked, choice("ylog").checked);
  Plotly.react(target, traces, shape, { responsive: true, displaylogo: false });
  if (!target.listening) {
    target.listening = true;
    target.on("plotly_legendclick", (event) => {
      const name = event.data[event.curveNumber].name;
      if (!hidden.delete(name)) hidden.add(name);
      drawAll();
      return false;
    });
    target.on("plotly_legenddoubleclick", (event) => {
      const name = event.data[event.curveNumber].name;
      const others = data.cells.map((cell) => cell.name).filter((each) => each !== name);
      const alone = others.every((each) => hidden.has(each));
      hidden.clear();
      if (!alone) others.forEach((each) => hidden.add(each));
      drawAll();
      return false;
    });
  }
}

function suggestLog(card) {
  const y = card.querySelector("[name=y]").value;
  const x = card.querySelector("[name=x]").value;
  const scattered = card.dataset.kind === "points";
  const values = (key, part) => data.cells.flatMap((cell) =>
    scattered ? [cell.ends[key]] : ((cell.curves[y] || {})[x] || { x: [], mean: [] })[part]);
  card.querySelector("[name=ylog]").checked = !y.endsWith("accuracy") && decades(values(y, "mean")) >= 1.5;
  card.querySelector("[name=xlog]").checked = scattered && decades(values(x, "x")) >= 1.5;
}

const cards = [...document.querySelectorAll(".plotted")];
const drawAll = () => cards.forEach(draw);

if (typeof Plotly !== "undefined") {
  for (const card of cards) {
    suggestLog(card);
    for (const name of ["x", "y"]) {
      card.querySelector(`[name=${name}]`).addEventListener("change", () => { suggestLog(card); draw(card); });
    }
    for (const box of card.querySelectorAll("[type=checkbox]")) box.addEventListener("change", () => draw(card));
  }
  drawAll();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
}

for (const head of document.querySelectorAll("table.sortable th")) {
  head.tabIndex = 0;
  const sort = () => {
    const body = head.closest("table").tBodies[0];
    const up = head.ariaSort !== "ascending";
    for (const other of head.parentNode.children) other.ariaSort = null;
    head.ariaSort = up ? "ascending" : "descending";
    const key = (row) => row.cells[head.cellIndex].dataset.value;
    const ordered = [...body.rows].sort((one, other) => {
      const [a, b] = [key(one), key(other)];
      if (a === "" || b === "") return (a === "") - (b === "");
      const by = isNaN(a) || isNaN(b) ? a.localeCompare(b) : a - b;
      return up ? by : -by;
    });
    body.append(...ordered);
  };
  head.addEventListener("click", sort);
  head.addEventListener("keydown", (event) => { if (event.key === "Enter") sort(); });
}
