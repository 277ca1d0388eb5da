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

  // plots: the values nearest to the pointer, or to where the arrow keys went
  const tip = document.createElement("div");
  tip.id = "values";
  tip.hidden = true;
  tip.setAttribute("role", "status");
  document.body.append(tip);
  const number = (value, digits = 4) => new Intl.NumberFormat("en", {
    maximumSignificantDigits: digits, notation: Math.abs(value) >= 1e6 ? "compact" : "standard",
  }).format(value);
  const element = (inside, name, attributes) => {
    const made = document.createElementNS(inside.namespaceURI, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };
  const told = (name, style, text) => {
    const row = document.createElement("div"), key = document.createElement("b");
    key.style.setProperty("--key", `var(${style})`);
    key.textContent = name;
    row.append(key, ` ${text}`);
    return row;
  };
  for (const picture of document.querySelectorAll("svg.plot[data-hover]")) {
    // lines, with all values at an x; or points, each with a text
    const { box, limits, names, lines, points } = JSON.parse(picture.dataset.hover);
    const { width, height } = picture.viewBox.baseVal;
    const [left, top, right, bottom] = [box[0] * width, box[1] * height, box[2] * width, box[3] * height];
    const [[x0, x1], [y0, y1]] = limits;
    const across = (x) => left + ((x - x0) / (x1 - x0)) * (right - left);
    const down = (y) => bottom - ((y - y0) / (y1 - y0)) * (bottom - top);
    const marks = element(picture, "g", { "aria-hidden": "true" });
    picture.append(marks);
    const circle = (x, y, r, style) => marks.append(element(picture, "circle", { cx: across(x), cy: down(y), r, style }));
    const linesAt = ({ at: [x] }) => {
      marks.append(element(picture, "line", { class: "under", x1: across(x), x2: across(x), y1: top, y2: bottom }));
      const head = document.createElement("div");
      head.textContent = `${names[0]} ${number(x)}; ${names[1]}`;
      const rows = [head];
      for (const line of lines) {
        const [px, y, sd] = line.points.reduce((a, b) => (Math.abs(b[0] - x) < Math.abs(a[0] - x) ? b : a));
        if (Math.abs(px - x) > (x1 - x0) / 20) continue; // a line that has ended before
        rows.push(told(line.name, line.style, `${number(y)}${sd === null ? "" : ` ± ${number(sd, 2)}`}`));
        if (y >= y0 && y <= y1) circle(px, y, 4, `fill: var(${line.style})`);
      }
      return rows;
    };
    const pointAt = ({ at: [x, y], name, style, text }) => {
      circle(x, y, 8, `fill: none; stroke: var(${style}); stroke-width: 1.5`);
      return [told(name, style, text)];
    };
    const xs = points ? [] : [...new Set(lines.flatMap((line) => line.points.map((point) => point[0])))].sort((a, b) => a - b);
    const stops = points ?? xs.map((x) => ({ at: [x, (y0 + y1) / 2] }));
    let chosen = points ? -1 : stops.length - 1;
    const hide = () => { marks.replaceChildren(); tip.hidden = true; };
    const show = (place) => {
      marks.replaceChildren();
      tip.replaceChildren(...(points ? pointAt : linesAt)(stops[chosen]));
      tip.hidden = false;
      const size = tip.getBoundingClientRect();
      tip.style.left = `${Math.max(4, Math.min(place.x + 14, innerWidth - size.width - 4))}px`;
      tip.style.top = `${Math.max(4, place.y - size.height - 14)}px`;
    };
    const follow = (event) => {
      const frame = picture.getBoundingClientRect();
      const x = ((event.clientX - frame.left) / frame.width) * width, y = ((event.clientY - frame.top) / frame.height) * height;
      const far = ({ at }) => Math.hypot(across(at[0]) - x, points ? down(at[1]) - y : 0);
      chosen = stops.reduce((best, stop, index) => (far(stop) < far(stops[best]) ? index : best), 0);
      show({ x: event.clientX, y: event.clientY });
    };
    picture.addEventListener("pointermove", follow);
    picture.addEventListener("pointerdown", follow);
    picture.addEventListener("pointerleave", hide);
    picture.addEventListener("blur", hide);
    picture.addEventListener("keydown", (event) => {
      const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (event.key === "Escape") hide();
      if (!way) return;
      event.preventDefault();
      chosen = Math.max(0, Math.min(stops.length - 1, chosen + way));
      const frame = picture.getBoundingClientRect(), [x, y] = stops[chosen].at;
      show({ x: frame.left + (across(x) / width) * frame.width, y: frame.top + (down(y) / height) * frame.height });
    });
  }

  // print: all of it
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details:not([open])")];
    for (const one of closed) one.open = true;
  });
  addEventListener("afterprint", () => { for (const one of closed) one.open = false; });
})();
