// The picture of a card: the attribution of each base over the window, and a part of it as letters, with peaks, hits and variants.
"use strict";

report.SVG = "http://www.w3.org/2000/svg";
report.COMPLEMENT = {A: "T", C: "G", G: "C", T: "A"};
report.COLOURS = {up: "#0072b2", down: "#d55e00", peak: "#56b4e9", gene: "#8a939c"};

// A card turned so that the gene runs from left to right: position 0 is the 5' end of what is shown.
report.orient = function (card) {
  const length = card.end - card.start;
  const reverse = card.gene.strand === "-";
  const place = reverse ? (start, end) => [card.end - end, card.end - start] : (start, end) => [start - card.start, end - card.start];
  const table = ({columns, rows}) => rows.map((row) => {
    const cells = Object.fromEntries(columns.map((column, i) => [column, row[i]]));
    const [first, last] = place(cells.start, cells.end);
    const forward = cells.strand === undefined || cells.strand === "." ? null : (cells.strand === "-") === reverse;
    return {...cells, first, last, forward};
  });
  let scores = card.scores.map((score) => score * card.step);
  let bases = [...card.sequence];
  if (reverse) {
    scores = scores.reverse();
    bases = bases.reverse().map((base) => report.COMPLEMENT[base] ?? base);
  }
  return {
    length, scores, bases, chrom: card.chrom, tss: place(card.gene.tss, card.gene.tss + 1)[0], focus: place(...card.focus),
    // Positions on the genome are counted from 1, as genome browsers do.
    genome: (i) => (reverse ? card.end - i : card.start + i + 1),
    peaks: table(card.peaks), hits: table(card.hits), variants: table(card.variants), genes: table(card.genes),
  };
};

report.niceStep = function (span, ticks) {
  const raw = span / ticks;
  const power = 10 ** Math.floor(Math.log10(raw));
  return Math.max(1, [1, 2, 5, 10].find((factor) => factor * power >= raw) * power);
};

// Place labels on the lowest rows on which they do not overlap; returns the row of each, or -1 beyond `most` rows.
report.stack = function (labels, most) {
  const ends = [];
  return labels.map(({left, width}) => {
    const row = ends.findIndex((end) => left > end + 5);
    const at = row < 0 ? ends.length : row;
    if (at >= most) return -1;
    ends[at] = left + width;
    return at;
  });
};

report.Picture = class {
  constructor(card, place) {
    this.view = report.orient(card);
    this.title = `Attribution of ${card.gene.name} for ${card.contrast}`;
    this.place = place;
    this.readout = report.make("output", {class: "small"}, "\u00a0");
    this.svg = document.createElementNS(report.SVG, "svg");
    this.svg.setAttribute("class", "picture");
    this.svg.setAttribute("role", "img");
    this.svg.setAttribute("tabindex", "0");
    [this.first, this.last] = this.around(this.view.focus);
    const zoom = (factor) => () => this.zoom(factor);
    this.figure = report.make("figure", {}, this.svg, this.readout);
    this.tools = report.make("div", {class: "bar"},
      report.button("−", zoom(2), "Zoom out"), report.button("+", zoom(0.5), "Zoom in"),
      report.button("◀", () => this.move(-0.5), "Move left"), report.button("▶", () => this.move(0.5), "Move right"),
      report.button("Strongest stretch", () => this.show(...this.around(this.view.focus))),
      report.button("Whole window", () => this.show(0, this.view.length)));
    place.replaceChildren(this.tools, this.figure);
    this.listen();
    this.draw();
    this.resizing = new ResizeObserver(() => this.place.clientWidth !== this.width && this.draw());
    this.resizing.observe(place);
    report.addDownloads(this.figure);
  }

  around([first, last]) {
    const middle = (first + last) / 2;
    const half = Math.max(last - first, 60) / 2;
    const start = Math.max(0, Math.min(Math.round(middle - half), this.view.length - 2 * half));
    return [Math.max(0, Math.floor(start)), Math.min(this.view.length, Math.ceil(start + 2 * half))];
  }

  show(first, last) {
    const size = Math.max(20, Math.min(Math.round(last - first), this.view.length));
    this.first = Math.max(0, Math.min(Math.round(first), this.view.length - size));
    this.last = this.first + size;
    this.draw();
  }

  zoom(factor, at = (this.first + this.last) / 2) {
    this.show(at - (at - this.first) * factor, at + (this.last - at) * factor);
  }

  move(share) {
    const step = Math.round((this.last - this.first) * share);
    this.show(this.first + step, this.last + step);
  }

  element(name, attributes, text = null, title = null) {
    const element = document.createElementNS(report.SVG, name);
    for (const [key, value] of Object.entries(attributes)) {
      element.setAttribute(key, typeof value === "number" ? Math.round(value * 100) / 100 : value);
    }
    if (text !== null) element.textContent = text;
    if (title !== null) {
      const note = document.createElementNS(report.SVG, "title");
      note.textContent = title;
      element.prepend(note);
    }
    this.parts.push(element);
    return element;
  }

  // The largest and the smallest score in each column of pixels, as two paths.
  bars(first, last, x0, width, zero, scale) {
    const columns = Math.min(Math.floor(width), last - first);
    const paths = {up: "", down: ""};
    for (let column = 0; column < columns; column++) {
      const from = first + Math.floor((column * (last - first)) / columns);
      const to = Math.max(from + 1, first + Math.floor(((column + 1) * (last - first)) / columns));
      let [high, low] = [0, 0];
      for (let i = from; i < to; i++) {
        if (this.view.scores[i] > high) high = this.view.scores[i];
        if (this.view.scores[i] < low) low = this.view.scores[i];
      }
      const x = (x0 + ((column + 0.5) * width) / columns).toFixed(1);
      if (high > 0) paths.up += `M${x} ${zero.toFixed(1)}V${(zero - high * scale).toFixed(1)}`;
      if (low < 0) paths.down += `M${x} ${zero.toFixed(1)}V${(zero - low * scale).toFixed(1)}`;
    }
    const stroke = Math.max(0.8, (0.85 * width) / columns);
    for (const [sign, d] of Object.entries(paths)) {
      if (d) this.element("path", {d, stroke: report.COLOURS[sign], "stroke-width": stroke, fill: "none"});
    }
  }

  draw() {
    const {view} = this;
    this.parts = [];
    this.width = this.place.clientWidth;
    const [left, right] = [48, 12];
    const width = Math.max(this.width, 300) - left - right;
    const top = view.scores.reduce((a, b) => Math.max(a, b), 0);
    const bottom = view.scores.reduce((a, b) => Math.min(a, b), 0);
    const range = top - bottom || 1;
    // The overview.
    const whole = (i) => left + (i / view.length) * width;
    const [overTop, overHeight] = [18, 54];
    const overZero = overTop + (top / range) * overHeight;
    this.element("rect", {x: whole(this.first), y: overTop - 2, width: Math.max(whole(this.last) - whole(this.first), 3),
      height: overHeight + 4, fill: "currentColor", "fill-opacity": 0.08, stroke: "currentColor", "stroke-width": 1});
    for (const peak of view.peaks) {
      this.element("rect", {x: whole(peak.first), y: overTop, width: Math.max(whole(peak.last) - whole(peak.first), 1), height: overHeight,
        fill: report.COLOURS.peak, "fill-opacity": 0.3});
    }
    this.element("line", {x1: left, x2: left + width, y1: overZero, y2: overZero, stroke: "currentColor", "stroke-width": 0.5});
    this.bars(0, view.length, left, width, overZero, overHeight / range);
    this.axis(whole, 0, view.length, overTop - 5, (i) => i - view.tss, "from the TSS", -1);
    if (view.tss >= 0 && view.tss < view.length) {
      this.element("path", {d: `M${whole(view.tss).toFixed(1)} ${overTop - 2}V${overTop + overHeight + 2}`, stroke: "currentColor",
        "stroke-width": 0.7, "stroke-dasharray": "3 2"});
    }
    // The detail: names of peaks, letters, hits, variants, genes, axis.
    const size = this.last - this.first;
    const x = (i) => left + ((i - this.first) / size) * width;
    const seen = ({first, last}) => first < this.last && last > this.first;
    const clip = (text) => (text.length > 24 ? `${text.slice(0, 23)}…` : text);
    const peaks = view.peaks.filter(seen).sort((a, b) => a.first - b.first);
    const names = peaks.map((peak) => {
      const text = clip(peak.motif || "");
      const size = 6.4 * text.length;
      return {text, width: size, left: Math.max(left, Math.min(x(Math.max(peak.first, this.first)), left + width - size))};
    });
    const rows = report.stack(names, 8);
    const labelled = Math.max(0, ...names.map(({text}, i) => (text && rows[i] >= 0 ? rows[i] + 1 : 0)));
    const [detailTop, detailHeight] = [overTop + overHeight + 18 + 13 * labelled, 130];
    const zero = detailTop + (top / range) * detailHeight;
    peaks.forEach((peak, i) => {
      const [from, to] = [x(Math.max(peak.first, this.first)), x(Math.min(peak.last, this.last))];
      const q = peak.q_value === null || peak.q_value === undefined ? "" : `, q = ${report.number(peak.q_value, 2)}`;
      const about = `peak ${peak.name}${peak.motif ? `, ${peak.motif}` : ""}${q}${peak.best_hit ? `; best hit: ${peak.best_hit}` : ""}`;
      this.element("rect", {x: from, y: detailTop - 1, width: Math.max(to - from, 1), height: detailHeight + 2, fill: report.COLOURS.peak,
        "fill-opacity": 0.14, stroke: report.COLOURS.peak}, null, about);
      if (names[i].text && rows[i] >= 0) {
        const y = detailTop - 5 - 13 * rows[i];
        if (rows[i]) this.element("line", {x1: names[i].left + 2, x2: from + 2, y1: y + 2, y2: detailTop, stroke: report.COLOURS.peak});
        this.element("text", {x: names[i].left, y, "font-weight": peak.enriched ? "bold" : "normal",
          fill: "currentColor", "fill-opacity": peak.enriched ? 1 : 0.62}, names[i].text, about);
      }
    });
    this.element("line", {x1: left, x2: left + width, y1: zero, y2: zero, stroke: "currentColor", "stroke-width": 0.6});
    for (const [value, y] of [[top, detailTop], [bottom, detailTop + detailHeight]]) {
      if (Math.abs(value) / range > 0.02) {
        this.element("text", {x: left - 5, y: y + 4, "text-anchor": "end", fill: "currentColor"}, report.number(value, 2));
      }
    }
    const column = width / size;
    if (column >= 4) this.letters(x, column, zero, detailHeight / range);
    else this.bars(this.first, this.last, left, width, zero, detailHeight / range);
    let y = detailTop + detailHeight + 8;
    y = this.row("hits", view.hits.filter(seen), x, y, (hit) => ({
      text: clip(`${hit.name}${hit.forward === null ? "" : hit.forward ? " →" : " ←"}`), colour: "#5b6570", about: `hit of ${hit.name} (${hit.motif}), p = ${report.number(hit.p_value, 2)}`}));
    y = this.row("variants", view.variants.filter(seen), x, y, (variant) => ({
      text: clip(variant.name), colour: variant.color, about: `${variant.variant}: ${variant.name} in ${variant.task}`}));
    y = this.row("genes", view.genes.filter(seen), x, y, (gene) => ({
      text: clip(`${gene.name}${gene.forward ? " →" : " ←"}`), colour: gene.color, about: gene.gene_id}));
    this.axis(x, this.first, this.last, y + 4, (i) => view.genome(i), view.chrom, 1);
    const height = y + 44;
    const title = document.createElementNS(report.SVG, "title");
    title.textContent = this.title;
    this.svg.replaceChildren(title, ...this.parts);
    this.svg.setAttribute("viewBox", `0 0 ${left + width + right} ${height}`);
    this.svg.setAttribute("width", left + width + right);
    this.svg.setAttribute("height", height);
    this.geometry = {left, width, overBottom: overTop + overHeight + 6};
  }

  letters(x, column, zero, scale) {
    for (let i = this.first; i < this.last; i++) {
      const height = this.view.scores[i] * scale;
      if (Math.abs(height) < 0.3 || !report.COMPLEMENT[this.view.bases[i]]) continue;
      const matrix = [column * 0.96, 0, 0, -height, x(i), zero].map((value) => value.toFixed(2)).join(" ");
      this.element("use", {href: `#base-${this.view.bases[i]}`, transform: `matrix(${matrix})`});
    }
  }

  // Features with names in as few rows as possible; returns the y below them.
  row(kind, features, x, y, describe) {
    if (!features.length) return y;
    const drawn = features.map((feature) => {
      const [from, to] = [x(Math.max(feature.first, this.first)), x(Math.min(feature.last, this.last))];
      const {text, colour, about} = describe(feature);
      return {from, to, text, colour, about, left: from, width: Math.max(to - from, 6.2 * text.length)};
    }).sort((a, b) => a.left - b.left);
    const rows = report.stack(drawn, 6);
    this.element("text", {x: 2, y: y + 11, fill: "currentColor", "font-size": "9"}, kind);
    drawn.forEach((feature, i) => {
      if (rows[i] < 0) return;
      const top = y + 20 * rows[i];
      this.element("rect", {x: feature.from, y: top, width: Math.max(feature.to - feature.from, 2), height: 5, fill: feature.colour}, null, feature.about);
      this.element("text", {x: feature.from, y: top + 15, fill: "currentColor"}, feature.text, feature.about);
    });
    return y + 20 * (Math.max(...rows) + 1) + 4;
  }

  axis(x, first, last, y, label, what, side) {
    const step = report.niceStep(last - first, Math.max(2, (x(last) - x(first)) / 130));
    const [a, b] = [label(first), label(last - 1)].sort((p, q) => p - q);
    const ascending = label(first) <= label(last - 1);
    for (let tick = Math.ceil(a / step) * step; tick <= b; tick += step) {
      const i = ascending ? first + (tick - a) : first + (b - tick);
      const at = x(i + 0.5);
      this.element("line", {x1: at, x2: at, y1: y, y2: y + 4 * side, stroke: "currentColor"});
      const text = side < 0 ? (tick === 0 ? "TSS" : `${tick > 0 ? "+" : "−"}${Math.abs(tick).toLocaleString("en")}`) : tick.toLocaleString("en");
      this.element("text", {x: at, y: side < 0 ? y - 5 : y + 15, "text-anchor": "middle", fill: "currentColor"}, text);
    }
    if (side > 0) this.element("text", {x: x((first + last) / 2), y: y + 30, "text-anchor": "middle", fill: "currentColor"}, what);
  }

  listen() {
    const local = (event) => {
      const box = this.svg.getBoundingClientRect();
      const scale = (this.geometry.left + this.geometry.width + 12) / box.width;
      return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
    };
    const share = (px) => (px - this.geometry.left) / this.geometry.width;
    let drag = null;
    this.svg.addEventListener("pointerdown", (event) => {
      const [px, py] = local(event);
      drag = {px, over: py < this.geometry.overBottom, first: this.first};
      this.svg.setPointerCapture(event.pointerId);
      if (drag.over) this.centre(share(px) * this.view.length);
    });
    this.svg.addEventListener("pointermove", (event) => {
      const [px, py] = local(event);
      if (drag?.over) this.centre(share(px) * this.view.length);
      else if (drag) {
        const size = this.last - this.first;
        const first = drag.first - ((px - drag.px) / this.geometry.width) * size;
        this.show(first, first + size);
      }
      this.read(py < this.geometry.overBottom ? share(px) * this.view.length : this.first + share(px) * (this.last - this.first));
    });
    for (const end of ["pointerup", "pointercancel"]) this.svg.addEventListener(end, () => { drag = null; });
    this.svg.addEventListener("dblclick", (event) => {
      const [px, py] = local(event);
      if (py >= this.geometry.overBottom) this.zoom(0.5, this.first + share(px) * (this.last - this.first));
    });
    this.svg.addEventListener("wheel", (event) => {
      // Without a key, the wheel scrolls the page.
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      this.zoom(event.deltaY > 0 ? 1.25 : 0.8, this.first + share(local(event)[0]) * (this.last - this.first));
    }, {passive: false});
    const keys = {ArrowLeft: () => this.move(-0.2), ArrowRight: () => this.move(0.2), "+": () => this.zoom(0.5), "-": () => this.zoom(2),
      Home: () => this.show(0, this.last - this.first), End: () => this.show(this.view.length - (this.last - this.first), this.view.length)};
    this.svg.addEventListener("keydown", (event) => {
      if (keys[event.key] && !event.ctrlKey && !event.metaKey) {
        event.preventDefault();
        keys[event.key]();
      }
    });
  }

  centre(i) {
    const half = (this.last - this.first) / 2;
    this.show(i - half, i + half);
  }

  read(position) {
    const i = Math.floor(position);
    if (i < 0 || i >= this.view.length) return;
    const from = i - this.view.tss;
    this.readout.textContent = `${this.view.chrom}:${this.view.genome(i).toLocaleString("en")} (${from < 0 ? "−" : "+"}${Math.abs(from)} from the TSS): `
      + `${this.view.bases[i]}, attribution ${report.number(this.view.scores[i])}`;
  }
};
