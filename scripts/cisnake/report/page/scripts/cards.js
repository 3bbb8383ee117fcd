// Genes: the table of all genes with attributions, and the card of the chosen one, which has an address of its own.
"use strict";

report.cards = {
  data: null, units: null, tables: new Map(), api: null, shown: null, files: new Map(), waiting: new Map(), request: 0,

  async start() {
    this.data = JSON.parse(document.getElementById("card-data").textContent);
    this.place = document.getElementById("card");
    const [units] = await Promise.all([report.unpack(this.data.units).then(JSON.parse), report.tablesReady]);
    this.units = units;
    this.rowOf = new Map(units.rows.map((row, i) => [row[0], i]));
    document.addEventListener("contrast", () => this.showTable().then(() => this.follow(false)));
    window.addEventListener("hashchange", () => this.follow(true));
    const {contrast} = this.address();
    const wanted = this.data.contrasts.findIndex(({name}) => name === contrast);
    await (wanted > 0 ? report.showContrast(wanted) : this.showTable().then(() => this.follow(location.hash.includes("gene="))));
  },

  address() {
    const parts = new URLSearchParams(location.hash.slice(1));
    return {gene: parts.get("gene") ?? parts.get("region"), contrast: parts.get("contrast")};
  },

  link(gene, contrast) {
    return `#gene=${encodeURIComponent(gene)}&contrast=${encodeURIComponent(this.data.contrasts[contrast].name)}`;
  },

  // The rows of a contrast: one object per gene.
  async rows(contrast) {
    if (!this.tables.has(contrast)) {
      this.tables.set(contrast, report.unpack(this.data.contrasts[contrast].table).then((text) => {
        const {columns, rows} = JSON.parse(text);
        return rows.map((row, i) => {
          const cells = Object.fromEntries(columns.map((column, k) => [column, row[k]]));
          const [id, name, chrom, start, end, strand, split] = this.units.rows[cells.unit];
          return {...cells, row: i, id, name, split, strand, place: `${chrom}:${(start + 1).toLocaleString("en")}–${end.toLocaleString("en")}`,
            stored: i in this.data.contrasts[contrast].cards};
        });
      }));
    }
    return this.tables.get(contrast);
  },

  async showTable() {
    const contrast = report.contrast;
    const rows = await this.rows(contrast);
    if (contrast !== report.contrast) return;
    const table = document.getElementById("gene-table");
    if (this.api) {
      this.api.clear().rows.add(rows).order([[8, "asc"]]).draw();
      return;
    }
    const number = (digits) => (value, type) => (type === "display" ? report.number(value, digits) : value ?? "");
    const link = (value, type, row) => {
      if (type !== "display") return `${row.name} ${row.id}`;
      return report.make("a", {href: this.link(row.id, report.contrast)}, row.name);
    };
    const plain = (value, type) => (type === "display" ? document.createTextNode(value) : value);
    this.api = new DataTable(table, {
      data: rows, deferRender: true, autoWidth: false, pageLength: 10, order: [[8, "asc"]],
      layout: {topStart: null, topEnd: null, bottomStart: "info", bottomEnd: "paging"},
      language: {zeroRecords: "No gene matches.", info: "_START_ to _END_ of _TOTAL_", infoEmpty: "none", infoFiltered: "(of _MAX_ in all)"},
      columns: [
        {data: "name", render: link}, {data: "id", render: plain}, {data: "place", render: plain}, {data: "split"},
        {data: "predicted", className: "n", render: number(3)}, {data: "measured", className: "n", render: number(3)},
        {data: "judged", render: (value) => ["correctly", "poorly", "not measured"][value]}, {data: "peaks", className: "n"},
        {data: "rank", className: "n"},
      ],
      createdRow: (element) => [...element.cells].forEach((cell, i) => { cell.dataset.label = table.tHead.rows[0].cells[i]?.textContent.trim(); }),
    });
    this.api.on("draw", () => this.mark());
    const headings = ["gene", "id", "chrom_start_end", "strand", "split", "predicted", "measured", "predicted_how", "peaks"];
    const judged = ["correctly", "poorly", "not measured"];
    const listed = () => [headings, ...this.api.rows({search: "applied", order: "applied"}).data().toArray().map((row) => (
      [row.name, row.id, row.place, row.strand, row.split, row.predicted, row.measured, judged[row.judged], row.peaks]))];
    const bar = report.tableBar(this.api, "Genes", listed);
    bar.querySelector("input[type=search]").placeholder = "Search genes by name, id or place";
    bar.querySelector("input[type=search]").id = "gene-search";
    table.closest(".dt-container").before(bar);
  },

  // Show the card that the address names, or the best one.
  async follow(scroll) {
    const {gene, contrast} = this.address();
    const wanted = this.data.contrasts.findIndex(({name}) => name === contrast);
    if (gene !== null && wanted >= 0 && wanted !== report.contrast && scroll) return report.showContrast(wanted);
    const rows = await this.rows(report.contrast);
    const row = gene === null ? rows.find(({rank}) => rank === 1) : rows.find(({id}) => id === gene) ?? rows.find(({name}) => name === gene);
    if (row) await this.show(row, scroll || location.hash.includes("gene=") && this.shown === null);
    else if (gene !== null) this.tell(`There is no attribution of ${gene} for this contrast.`);
  },

  tell(text) {
    this.shown = null;
    this.place.replaceChildren(report.make("p", {class: "alert"}, text));
    this.place.dataset.state = "failed";
  },

  async show(row, scroll) {
    const request = ++this.request;
    const contrast = report.contrast;
    this.place.dataset.state = "loading";
    const packed = this.data.contrasts[contrast].cards[row.row] ?? await this.fetchCard(contrast, row.row);
    if (request !== this.request) return;
    if (!packed) {
      this.tell(this.data.files ? `The card of ${row.name} could not be loaded from ${this.data.files}/. The folder must lie beside this page.`
        : `The card of ${row.name} for this contrast is not in this page. With report.all_genes: true, the cards of all genes are written beside it.`);
      return;
    }
    const card = JSON.parse(await report.unpack(packed));
    if (request !== this.request) return;
    this.shown = card;
    this.draw(card, row);
    this.place.dataset.state = "ready";
    this.place.dataset.gene = row.id;
    this.mark();
    document.dispatchEvent(new CustomEvent("card"));
    if (scroll) this.place.scrollIntoView();
  },

  // Mark the row of the shown gene.
  mark() {
    for (const element of document.querySelectorAll("#gene-table tbody tr")) {
      element.classList.toggle("chosen", this.api.row(element).data()?.id === this.place.dataset.gene);
    }
  },

  // Cards that are not in the page lie in blocks of rows in files beside it, which call report.cards.receive.
  fetchCard(contrast, row) {
    if (!this.data.files) return null;
    const {name} = this.data.contrasts[contrast];
    const first = Math.floor(row / this.data.block) * this.data.block;
    const file = `${encodeURIComponent(this.data.files)}/${encodeURIComponent(name)}/${first}.js`;
    if (!this.files.has(file)) {
      this.files.set(file, new Promise((ready) => {
        const script = report.make("script", {src: file});
        this.waiting.set(`${name} ${first}`, ready);
        script.addEventListener("error", () => ready(null));
        document.head.append(script);
      }));
    }
    return this.files.get(file).then((cards) => cards?.[row - first] ?? null);
  },

  receive(contrast, first, cards) {
    this.waiting.get(`${contrast} ${first}`)?.(cards);
  },

  draw(card, row) {
    const {gene} = card;
    const measured = this.data.measured;
    const badge = (text, warn) => report.make("span", {class: warn ? "badge warn" : "badge"}, text);
    const heading = report.make("h3", {}, gene.name,
      ...(gene.name === gene.id ? [] : [" ", report.make("span", {class: "small"}, gene.id)]),
      ...(!measured ? [] : [" ", gene.unseen ? badge(`held out (${gene.split})`) : badge(`${gene.split}: the model has seen this ${this.data.unit}`, true)]),
      ...(gene.prediction === "poor" ? [" ", badge("predicted poorly", true)] : gene.prediction === "not_measured" ? [" ", badge("not measured", true)] : []));
    const strand = gene.strand === "-" ? "−" : "+";
    const about = report.make("p", {class: "small"},
      `${card.contrast}: predicted ${report.number(gene.predicted)}, measured ${report.number(gene.measured)}; window ${card.chrom}:`
      + `${(gene.window[0] + 1).toLocaleString("en")}–${gene.window[1].toLocaleString("en")}, ${strand} strand; ${row.peaks} peaks. `,
      report.make("a", {href: this.link(gene.id, report.contrast)}, "Link to this card"));
    const picture = report.make("div", {class: "place"});
    const parts = [this.peakTable(card), this.variantTable(card)].filter((part) => part !== null);
    const tasks = this.taskFigure(card);
    this.place.replaceChildren(heading, about, picture, ...(tasks ? [report.make("div", {class: "row"}, tasks, report.make("div", {}, ...parts))] : parts));
    this.picture?.resizing.disconnect();
    this.picture = new report.Picture(card, picture);
  },

  table(caption, headings, rows, numeric) {
    const cell = (tag, text, i) => report.make(tag, {class: numeric.has(i) ? "n" : null, scope: tag === "th" ? "col" : null}, text);
    return report.make("details", {open: rows.length <= 12}, report.make("summary", {}, caption),
      report.make("div", {class: "scroll"}, report.make("table", {}, report.make("caption", {class: "hidden"}, caption),
        report.make("thead", {}, report.make("tr", {}, ...headings.map((text, i) => cell("th", text, i)))),
        report.make("tbody", {}, ...rows.map((row) => report.make("tr", {}, ...row.map((text, i) => cell("td", text, i))))))));
  },

  peakTable(card) {
    const {peaks, genome, tss} = report.orient(card);
    if (!peaks.length) return report.make("p", {}, "No peaks were called in this window.");
    peaks.sort((a, b) => a.first - b.first);
    const rows = peaks.map((peak) => {
      const from = Math.round((peak.first + peak.last - 1) / 2) - tss;
      const [a, b] = [genome(peak.first), genome(peak.last - 1)].sort((p, q) => p - q);
      return [`${a.toLocaleString("en")}–${b.toLocaleString("en")}`, `${from < 0 ? "−" : "+"}${Math.abs(from)}`, peak.name, report.number(peak.q_value, 2), peak.motif || "–", peak.best_hit || "–"];
    });
    return this.table(`${peaks.length} peaks`, ["position", "from the TSS", "attribution", "q", "motif", "best hit"], rows, new Set([1, 2, 3]));
  },

  variantTable(card) {
    const {variants} = report.orient(card);
    if (!variants.length) return null;
    const rows = variants.map((variant) => [variant.variant, (variant.start + 1).toLocaleString("en"), variant.name, variant.task]);
    return this.table(`${variants.length} variants, each in the task of its largest effect`, ["variant", "position", "change and effect", "task"], rows, new Set([1]));
  },

  // Measured against predicted in every task.
  taskFigure(card) {
    const {columns, rows} = card.tasks;
    const tasks = rows.map((row) => Object.fromEntries(columns.map((column, i) => [column, row[i]]))).filter(({predicted}) => predicted !== null);
    const points = tasks.filter(({measured}) => measured !== null);
    if (!points.length) return null;
    const [size, edge] = [250, 40];
    const values = points.flatMap(({measured, predicted}) => [measured, predicted]);
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const pad = (high - low || 1) * 0.06;
    const at = (value) => ((value - low + pad) / (high - low + 2 * pad || 1)) * (size - edge - 8);
    const svg = document.createElementNS(report.SVG, "svg");
    const add = (name, attributes, text = "", title = null) => {
      const element = document.createElementNS(report.SVG, name);
      for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
      element.textContent = text;
      if (title) {
        const note = document.createElementNS(report.SVG, "title");
        note.textContent = title;
        element.append(note);
      }
      svg.append(element);
    };
    for (const [name, value] of Object.entries({viewBox: `0 0 ${size} ${size}`, width: size, height: size, role: "img", class: "picture"})) svg.setAttribute(name, value);
    add("title", {}, `Measured against predicted values of ${card.gene.name} in ${points.length} tasks`);
    const [bottom, right] = [size - edge, size - 8];
    add("path", {d: `M${edge} 8V${bottom}H${right}`, stroke: "currentColor", fill: "none"});
    add("path", {d: `M${edge + at(low)} ${bottom - at(low)}L${edge + at(high)} ${bottom - at(high)}`, stroke: "#999", "stroke-dasharray": "4 3", fill: "none"});
    for (const value of [low, high]) {
      add("text", {x: edge + at(value), y: bottom + 14, "text-anchor": "middle", fill: "currentColor"}, report.number(value, 2));
      add("text", {x: edge - 4, y: bottom - at(value) + 4, "text-anchor": "end", fill: "currentColor"}, report.number(value, 2));
    }
    add("text", {x: (edge + right) / 2, y: size - 8, "text-anchor": "middle", fill: "currentColor"}, "measured");
    add("text", {transform: `translate(11 ${bottom / 2}) rotate(-90)`, "text-anchor": "middle", fill: "currentColor"}, "predicted");
    const colours = {1: report.COLOURS.up, 0: "#8a939c", "-1": report.COLOURS.down};
    for (const {task, measured, predicted, on} of points.sort((a, b) => Math.abs(a.on) - Math.abs(b.on))) {
      add("circle", {cx: edge + at(measured), cy: bottom - at(predicted), r: 3.5, fill: colours[on], "fill-opacity": 0.75}, "",
        `${task}: measured ${report.number(measured)}, predicted ${report.number(predicted)}`);
    }
    const off = tasks.some(({on}) => on < 0);
    const figure = report.make("figure", {}, svg, report.make("figcaption", {},
      `This ${this.data.unit} in each task. Blue: tasks of the contrast${off ? "; orange: those it is set against" : ""}. Point at a dot for its name.`));
    report.addDownloads(figure);
    return figure;
  },
};

document.addEventListener("DOMContentLoaded", () => document.getElementById("card-data") && report.cards.start());
