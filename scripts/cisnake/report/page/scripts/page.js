// What all scripts of the report share: unpacking, elements, downloads, and the contrast that is shown.
"use strict";
const report = {};

// Unpack text that cisnake.report.cards.packing packed.
report.unpack = async function (text) {
  const bytes = Uint8Array.from(atob(text.trim()), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
};

// Run a library that is stored packed in the page; once, however often it is asked for.
report.libraries = {};
report.load = function (id) {
  report.libraries[id] ??= report.unpack(document.getElementById(id).textContent).then((code) => {
    const script = document.createElement("script");
    script.textContent = code;
    document.head.append(script);
  });
  return report.libraries[id];
};

// Make an element. Children are elements or text, so no name from the run is ever read as HTML.
report.make = function (tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "onclick") element.addEventListener("click", value);
    else if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
};

report.button = (label, onclick, title = null) => report.make("button", {type: "button", title, onclick}, label);

report.number = function (value, digits = 3) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  const size = Math.abs(value);
  const text = size !== 0 && (size < 1e-3 || size >= 1e6) ? value.toExponential(digits - 1)
    : size >= 10 ** digits ? String(Math.round(value)) : value.toPrecision(digits);
  return text.replaceAll("-", "−");
};

report.slug = (text) => text.trim().toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-+|-+$/g, "").slice(0, 60) || "cisnake";

report.download = function (name, content, type) {
  const link = report.make("a", {href: URL.createObjectURL(new Blob([content], {type})), download: name});
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
};

// The nearest heading before an element, for names of files and labels.
report.headingOf = function (element) {
  const headings = [...document.querySelectorAll("h1, h2, h3, h4")];
  const before = headings.filter((h) => h.compareDocumentPosition(element) & Node.DOCUMENT_POSITION_FOLLOWING && !h.closest("[hidden]"));
  return before.length ? before[before.length - 1].textContent.trim().replace(/\s+/g, " ") : document.title;
};

// A copy of a drawing that needs nothing of the page: with the outlines of the letters, its font and a white background.
report.standalone = function (svg) {
  const box = svg.viewBox.baseVal;
  const [width, height] = box && box.width ? [box.width, box.height] : [svg.clientWidth, svg.clientHeight];
  const copy = svg.cloneNode(true);
  copy.removeAttribute("tabindex");
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  copy.setAttribute("width", width);
  copy.setAttribute("height", height);
  copy.setAttribute("style", `color:#1b1f24;font:${getComputedStyle(svg).font}`);
  const ground = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  const [x, y] = box ? [box.x, box.y] : [0, 0];
  for (const [name, value] of Object.entries({x, y, width, height, fill: "#fff"})) ground.setAttribute(name, value);
  copy.prepend(ground);
  const symbols = document.getElementById("base-A")?.closest("defs");
  if (symbols && copy.querySelector("use")) {
    const outlines = symbols.cloneNode(true);
    for (const matrix of document.querySelectorAll("defs [id^='matrix-']")) {
      if (copy.querySelector(`use[href='#${CSS.escape(matrix.id)}']`)) outlines.append(matrix.cloneNode(true));
    }
    copy.prepend(outlines);
  }
  return {text: new XMLSerializer().serializeToString(copy), width, height};
};

report.saveSvg = (svg, name) => report.download(`${name}.svg`, report.standalone(svg).text, "image/svg+xml");

report.savePng = async function (svg, name) {
  const {text, width, height} = report.standalone(svg);
  const image = new Image();
  const url = URL.createObjectURL(new Blob([text], {type: "image/svg+xml"}));
  try {
    image.src = url;
    await image.decode();
    const canvas = report.make("canvas", {width: Math.ceil(2 * width), height: Math.ceil(2 * height)});
    const pen = canvas.getContext("2d");
    pen.scale(2, 2);
    pen.drawImage(image, 0, 0, width, height);
    canvas.toBlob((blob) => report.download(`${name}.png`, blob, "image/png"), "image/png");
  } finally {
    URL.revokeObjectURL(url);
  }
};

report.addDownloads = function (figure) {
  const svg = figure.querySelector("svg");
  if (!svg || figure.querySelector(".downloads")) return;
  const name = report.slug(svg.querySelector("title")?.textContent ?? report.headingOf(figure));
  figure.append(
    report.make("div", {class: "downloads"}, report.button("SVG", () => report.saveSvg(svg, name), "Download as SVG"),
      report.button("PNG", () => report.savePng(svg, name), "Download as PNG")),
  );
};

// Parts of the page that belong to a contrast have its number in data-contrast; only those of the chosen one are shown.
report.contrast = 0;
report.showContrast = function (index) {
  report.contrast = index;
  for (const choice of document.querySelectorAll("select.contrast")) choice.value = String(index);
  for (const part of document.querySelectorAll("[data-contrast]")) part.hidden = Number(part.dataset.contrast) !== index;
  document.dispatchEvent(new CustomEvent("contrast"));
};

// Tables that are wider than their frame show one block per row; what still scrolls can be reached with the keyboard.
report.fit = function () {
  for (const table of document.querySelectorAll("table")) {
    table.classList.remove("stacked");
    const frame = table.closest(".scroll, .long, .wide, main");
    if (table.offsetParent && table.offsetWidth > frame.clientWidth + 1) table.classList.add("stacked");
  }
  for (const part of document.querySelectorAll(".scroll, .long, pre")) {
    const scrolls = part.scrollWidth > part.clientWidth + 1 || part.scrollHeight > part.clientHeight + 1;
    if (scrolls) {
      part.tabIndex = 0;
      part.setAttribute("role", "region");
      part.setAttribute("aria-label", part.querySelector("caption")?.textContent ?? report.headingOf(part));
    } else if (part.getAttribute("role") === "region") {
      for (const name of ["tabindex", "role", "aria-label"]) part.removeAttribute(name);
    }
  }
};

document.addEventListener("DOMContentLoaded", () => {
  document.documentElement.classList.add("scripted");
  // Beside the text on wide screens, the contents would cover it on narrow ones.
  document.querySelector("nav.contents details").open = matchMedia("(min-width: 75rem)").matches;
  for (const figure of document.querySelectorAll("figure")) report.addDownloads(figure);
  for (const choice of document.querySelectorAll("select.contrast")) {
    choice.addEventListener("change", () => report.showContrast(Number(choice.value)));
  }
  for (const link of document.querySelectorAll("a[data-show]")) {
    link.addEventListener("click", () => report.showContrast(Number(link.dataset.show)));
  }
  report.showContrast(0);
  const links = new Map([...document.querySelectorAll("nav a[href^='#']")].map((link) => [link.getAttribute("href").slice(1), link]));
  const watch = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (entry.isIntersecting) {
        for (const link of links.values()) link.removeAttribute("aria-current");
        links.get(entry.target.id)?.setAttribute("aria-current", "location");
      }
    }
  }, {rootMargin: "-10% 0px -80% 0px"});
  for (const section of document.querySelectorAll("main > section[id]")) watch.observe(section);
  report.fit();
  window.addEventListener("resize", report.fit);
  document.addEventListener("toggle", report.fit, true);
  document.addEventListener("contrast", report.fit);
});
