// The shown card in igv.js, which is unpacked when the part is opened.
"use strict";

report.browser = {
  igv: null, request: 0,

  start() {
    this.part = document.getElementById("browser");
    this.style = JSON.parse(document.getElementById("igv-style").textContent);
    this.part.addEventListener("toggle", () => this.show());
    document.addEventListener("card", () => this.show());
  },

  locus: (chrom, [start, end]) => `${chrom}:${start + 1}-${end}`,

  configure(card) {
    // igv.js parses the part of a name after a colon as a position.
    const chrom = card.chrom.replaceAll(":", "_");
    const fasta = `>${chrom}:${card.start + 1}-${card.end} @len=${card.end}\n${card.sequence}\n`;
    const scores = card.scores.map((score, i) => ({chr: chrom, start: card.start + i, end: card.start + i + 1, value: score * card.step}));
    const tracks = [
      {type: "sequence", order: 0},
      {...this.style.attribution, type: "wig", name: `attribution, ${card.contrast}`, features: scores, graphType: "dynseq", autoscale: true,
        windowFunction: "none", order: 1},
    ];
    const names = {peaks: "peaks", hits: "motif hits in peaks", variants: "variants", genes: "genes"};
    Object.entries(names).forEach(([kind, name], i) => {
      const {columns, rows} = card[kind];
      const features = rows.map((row) => ({chr: chrom, ...Object.fromEntries(columns.map((column, k) => [column, row[k]]))}));
      if (kind === "peaks") for (const peak of features) Object.assign(peak, {attribution: peak.name, name: peak.motif || peak.name});
      if (features.length) tracks.push({...this.style[kind], type: "annotation", name, features, order: i + 2});
    });
    return {
      reference: {id: "report", name: "", fastaURL: `data:text/plain;base64,${btoa(fasta)}`, indexed: false, wholeGenomeView: false},
      locus: this.locus(chrom, card.focus), loadDefaultGenomes: false, genomes: [], nucleotideColors: {...this.style.colours}, showIdeogram: false,
      showChromosomeWidget: false, showCursorTrackingGuideButton: false, showSampleNameButton: false, minimumBases: 20, search: false, tracks,
    };
  },

  async show() {
    const card = report.cards.shown;
    if (!this.part.open || !card || this.drawn === card) return;
    const current = ++this.request;
    const place = document.getElementById("igv-place");
    this.part.dataset.state = "loading";
    try {
      await report.load("igv-library");
      if (current !== this.request) return;
      if (this.igv) igv.removeBrowser(this.igv);
      this.igv = null;
      const frame = report.make("div");
      place.replaceChildren(frame);
      const made = await igv.createBrowser(frame, this.configure(card));
      if (current !== this.request) {
        igv.removeBrowser(made);
        return;
      }
      [this.igv, this.drawn] = [made, card];
      this.part.dataset.state = "ready";
    } catch (error) {
      if (current !== this.request) return;
      this.part.dataset.state = "failed";
      place.textContent = `The browser could not be shown (${error.message ?? error}). It needs a web browser of 2023 or later.`;
    }
  },
};

document.addEventListener("DOMContentLoaded", () => document.getElementById("browser") && report.browser.start());
