// Beside the pages that are complete without it: commands can be copied, curves can be zoomed.
"use strict";

const SPOKEN = document.createElement("p");
SPOKEN.className = "unseen";
SPOKEN.setAttribute("role", "status");

function addCopy(code) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copier";
  button.textContent = "copy";
  button.setAttribute("aria-label", "copy " + code.textContent);
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(code.textContent);
      SPOKEN.textContent = "copied";
      button.textContent = "copied";
    } catch {
      getSelection().selectAllChildren(code);
      SPOKEN.textContent = "selected: copy it with the keyboard";
    }
  });
  code.after(" ", button);
}

// The table behind a curve is the truth: what is drawn is read from it, oldest first.
function readSeries(figure) {
  const rows = [...figure.querySelectorAll("tbody tr")].reverse();
  const at = rows.map((row) => Date.parse(row.querySelector("time").dateTime) / 1000);
  const values = rows.map((row) => Number(row.querySelector("[data-value]").dataset.value));
  return [at, values];
}

function tell(seconds) {
  return new Date(seconds * 1000).toISOString().replace("T", " ");
}

// The hour, and at midnight the day.
function nameTick(seconds) {
  const text = tell(seconds);
  return text.slice(11, 19) === "00:00:00" ? text.slice(5, 10) : text.slice(11, seconds % 60 ? 19 : 16);
}

function drawZoomable(figure, place) {
  const ink = getComputedStyle(document.body);
  const unit = figure.dataset.unit === "seconds" ? " s" : "";
  const show = (value) => (value === null || value === undefined ? "–" : Number(value.toPrecision(4)) + unit);
  const axis = { stroke: ink.getPropertyValue("--soft"), grid: { stroke: ink.getPropertyValue("--line") } };
  const options = {
    width: figure.clientWidth, height: 240, 
    axes: [
      { ...axis, values: (_, splits) => splits.map(nameTick) },
      { ...axis, size: 80, values: (_, splits) => splits.map(show) },
    ],
    series: [
      { label: "UTC", value: (_, at) => (at ? tell(at).slice(0, 19) : "–") },
      { label: figure.dataset.name, stroke: ink.getPropertyValue("--link"), width: 2, value: (_, value) => show(value) },
    ],
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
  };
  const plot = new uPlot(options, readSeries(figure), place);
  addEventListener("resize", () => plot.setSize({ width: figure.clientWidth, height: 240 }));
}

function addZoom(figure) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "zoom: drag over a part of it, double click shows all";
  button.addEventListener("click", () => {
    const place = document.createElement("div");
    button.replaceWith(place);
    drawZoomable(figure, place);
  });
  figure.querySelector("details").before(button);
}

document.body.append(SPOKEN);
document.querySelectorAll("code.copy").forEach(addCopy);
if (window.uPlot) document.querySelectorAll("figure.trend").forEach(addZoom);
