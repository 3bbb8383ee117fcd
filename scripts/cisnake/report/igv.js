// The genome browser of the report. igv.js and the data of each view are stored compressed in the page and unpacked on demand.
(function () {
  "use strict";
  const section = document.getElementById("browser");
  const choice = document.getElementById("igv-choice");
  const place = document.getElementById("igv-place");
  const closer = document.getElementById("igv-closer");
  const wider = document.getElementById("igv-wider");
  const views = JSON.parse(document.getElementById("igv-views").textContent);
  const style = JSON.parse(document.getElementById("igv-style").textContent);
  let library = null;
  let browser = null;
  let shown = null;
  // Counts requests for views, so that a view that is ready too late is discarded.
  let request = 0;

  async function unpack(text) {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).text();
  }

  function loadLibrary() {
    library ??= unpack(document.getElementById("igv-library").textContent.trim()).then((code) => {
      const script = document.createElement("script");
      script.textContent = code;
      document.head.append(script);
    });
    return library;
  }

  function features(view, rows, columns) {
    return rows.map((row) => ({chr: view.chrom, ...Object.fromEntries(columns.map((column, i) => [column, row[i]]))}));
  }

  function locus(chrom, [start, end]) {
    return `${chrom}:${start + 1}-${end}`;
  }

  function configure(view) {
    const fasta = `>${view.chrom}:${view.start + 1}-${view.end} @len=${view.end}\n${view.sequence}\n`;
    const scores = view.scores.map((score, i) => (
      {chr: view.chrom, start: view.start + i, end: view.start + i + 1, value: score * view.step}
    ));
    const tracks = [
      {type: "sequence", order: 0},
      {
        ...style.attribution, type: "wig", name: `attribution, ${view.contrast}`, features: scores, graphType: "dynseq",
        autoscale: true, windowFunction: "none", order: 1,
      },
    ];
    view.tracks.forEach((track, i) => {
      const rows = features(view, track.rows, track.columns);
      if (rows.length > 0) {
        tracks.push({...style[track.kind], type: "annotation", name: track.name, features: rows, order: i + 2});
      }
    });
    return {
      reference: {
        id: "report", name: "", fastaURL: `data:text/plain;base64,${btoa(fasta)}`, indexed: false, wholeGenomeView: false,
      },
      locus: locus(view.chrom, view.focus),
      loadDefaultGenomes: false,
      genomes: [],
      nucleotideColors: {...style.colours},
      showIdeogram: false,
      showChromosomeWidget: false,
      showCursorTrackingGuideButton: false,
      showSampleNameButton: false,
      minimumBases: 20,
      tracks,
    };
  }

  async function show(index) {
    const current = ++request;
    choice.value = index;
    section.dataset.state = "loading";
    try {
      const [view] = await Promise.all([unpack(views[index]).then(JSON.parse), loadLibrary()]);
      if (current !== request) return;
      if (browser) igv.removeBrowser(browser);
      browser = shown = null;
      const frame = document.createElement("div");
      place.replaceChildren(frame);
      const made = await igv.createBrowser(frame, configure(view));
      if (current !== request) {
        igv.removeBrowser(made);
        return;
      }
      browser = made;
      shown = view;
      section.dataset.state = "ready";
    } catch (error) {
      if (current !== request) return;
      section.dataset.state = "failed";
      place.textContent = `The browser could not be shown (${error.message ?? error}). It needs a web browser of 2023 or later.`;
    }
  }

  closer.addEventListener("click", () => shown && browser.search(locus(shown.chrom, shown.focus)));
  wider.addEventListener("click", () => shown && browser.search(locus(shown.chrom, [shown.start, shown.end])));
  choice.addEventListener("change", () => show(Number(choice.value)));
  const watch = new IntersectionObserver((entries) => {
    if (entries.some((entry) => entry.isIntersecting)) {
      watch.disconnect();
      if (request === 0) show(Number(choice.value));
    }
  });
  watch.observe(section);
})();
