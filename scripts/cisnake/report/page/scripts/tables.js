// Tables: sort by a click on a heading, filter, choose columns, download as TSV. By DataTables.
"use strict";

// The number that a cell shows first, for sorting: "1,137", "12.5%", "−3e−05", "< 1e−300"; empty for a dash.
report.cellNumber = function (cell) {
  const text = (cell.firstChild?.textContent ?? "").trim().replaceAll("−", "-").replaceAll(",", "").replace(/%$/, "").replace(/^[<≤]\s*/, "");
  if (text === "∞") return Infinity;
  return text === "" || text === "–" ? "" : Number(text);
};

report.tsv = function (rows) {
  const clean = (text) => String(text ?? "").replace(/\s+/g, " ").trim();
  return rows.map((row) => row.map(clean).join("\t")).join("\n") + "\n";
};

// The bar above a table: filter, columns, download. `rows` returns the cells to download, headings first.
report.tableBar = function (api, label, rows) {
  const filter = report.make("input", {type: "search", placeholder: "Filter rows", "aria-label": `Filter rows: ${label}`});
  filter.addEventListener("input", () => api.search(filter.value).draw());
  const headings = api.columns().header().toArray();
  const columns = report.make("details", {class: "columns"}, report.make("summary", {}, "Columns"),
    report.make("div", {}, ...headings.map((heading, i) => {
      const box = report.make("input", {type: "checkbox", checked: api.column(i).visible()});
      box.addEventListener("change", () => api.column(i).visible(box.checked));
      return report.make("label", {}, box, " ", heading.textContent.trim() || `column ${i + 1}`);
    })));
  const save = report.button("TSV", () => report.download(`${report.slug(label)}.tsv`, report.tsv(rows()), "text/tab-separated-values"),
    "Download the rows that are shown as TSV");
  return report.make("div", {class: "bar"}, filter, columns, save);
};

report.enhance = function (table) {
  const label = (table.caption ?? table.closest("details")?.querySelector("summary"))?.textContent ?? report.headingOf(table);
  const headings = [...table.tHead.rows[0].cells].map((cell) => cell.textContent.trim());
  for (const row of table.tBodies[0].rows) {
    [...row.cells].forEach((cell, i) => {
      cell.dataset.label = headings[i];
      if (cell.classList.contains("n")) cell.dataset.order = report.cellNumber(cell);
    });
  }
  const api = new DataTable(table, {
    paging: false, info: false, autoWidth: false, order: [],
    layout: {topStart: null, topEnd: null, bottomStart: null, bottomEnd: null},
    language: {zeroRecords: "No row matches."},
  });
  const visible = () => headings.map((_, i) => i).filter((i) => api.column(i).visible());
  const text = (cell) => [...cell.childNodes].map((node) => node.textContent).join(" ");
  const rows = () => [visible().map((i) => headings[i]),
    ...api.rows({search: "applied"}).nodes().toArray().map((row) => [...row.cells].map(text))];
  (table.closest(".scroll, .long") ?? table).before(report.tableBar(api, label, rows));
};

report.tablesReady = new Promise((ready) => document.addEventListener("DOMContentLoaded", async () => {
  await report.load("datatables");
  for (const table of document.querySelectorAll("table.data")) report.enhance(table);
  report.fit();
  document.body.dataset.tables = "ready";
  ready();
}));
