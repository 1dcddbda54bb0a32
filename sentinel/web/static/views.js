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

function drawZoomable(figure, place) {
  const ink = getComputedStyle(document.body);
  const axis = { stroke: ink.getPropertyValue("--soft"), grid: { stroke: ink.getPropertyValue("--line") } };
  const options = {
    width: figure.clientWidth, height: 240, axes: [axis, { ...axis, size: 70 }],
    series: [{ label: "UTC" }, { label: figure.dataset.name, stroke: ink.getPropertyValue("--link"), width: 2 }],
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
