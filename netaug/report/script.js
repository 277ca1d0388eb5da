(() => {
  "use strict";
  const root = document.documentElement;

  // theme: automatic, light or dark; remembered where the browser lets a file remember
  const button = document.getElementById("theme");
  const themes = ["auto", "light", "dark"];
  let theme = "auto";
  const remember = (value) => { try { localStorage.setItem("netaug-theme", value); } catch { /* not allowed */ } };
  const recall = () => { try { return localStorage.getItem("netaug-theme"); } catch { return null; } };
  const show = (value) => {
    theme = themes.includes(value) ? value : "auto";
    if (theme === "auto") root.removeAttribute("data-theme"); else root.dataset.theme = theme;
    button.textContent = { auto: "Theme: automatic", light: "Theme: light", dark: "Theme: dark" }[theme];
  };
  button.addEventListener("click", () => { show(themes[(themes.indexOf(theme) + 1) % 3]); remember(theme); });
  show(recall());
  button.hidden = false;

  // tables: a click on a heading sorts, another one turns the order; rows without a value stay last
  const compare = (a, b) => {
    const x = a === "" ? NaN : Number(a), y = b === "" ? NaN : Number(b);
    return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b, "en", { numeric: true }) : x - y;
  };
  const sort = (table, column, heading) => {
    const up = heading.getAttribute("aria-sort") !== "ascending";
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => ({ row, value: row.cells[column].dataset.sort ?? "" }));
    rows.sort((a, b) => {
      if (a.value === "" || b.value === "") return (a.value === "") - (b.value === "");
      return up ? compare(a.value, b.value) : compare(b.value, a.value);
    });
    for (const other of heading.parentElement.cells) other.removeAttribute("aria-sort");
    table.classList.add("sorted");
    heading.setAttribute("aria-sort", up ? "ascending" : "descending");
    body.append(...rows.map((one) => one.row));
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    [...table.tHead.rows[0].cells].forEach((heading, column) => {
      const inside = document.createElement("button");
      inside.type = "button";
      inside.append(...heading.childNodes);
      inside.addEventListener("click", () => sort(table, column, heading));
      heading.append(inside);
    });
  }

  // commands: copied whole
  for (const block of document.querySelectorAll("div.command")) {
    const copy = document.createElement("button");
    copy.type = "button";
    copy.textContent = "Copy";
    copy.addEventListener("click", async () => {
      const code = block.querySelector("code");
      try {
        await navigator.clipboard.writeText(code.textContent);
        copy.textContent = "Copied";
      } catch { // not allowed here: select it, so that the keyboard copies it
        getSelection().selectAllChildren(code);
        copy.textContent = "Selected";
      }
      setTimeout(() => { copy.textContent = "Copy"; }, 1500);
    });
    block.append(copy);
  }

  // print: all of it
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details:not([open])")];
    for (const one of closed) one.open = true;
  });
  addEventListener("afterprint", () => { for (const one of closed) one.open = false; });
})();
