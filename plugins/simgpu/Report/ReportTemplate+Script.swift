extension ReportTemplate {
  /// Draws the page out of `DATA`; no library, no network.
  static let script = #"""
    const COLOURS = { attention: "#4878a8", gemm: "#5a9e52", experts: "#e8912d", dispatch: "#d65252",
      combine: "#a873a5", collective: "#8c6d5a", other: "#9aa3ad", barrier: "#e59aa5",
      "dispatch kernels": "#c2847a", "combine kernels": "#c7a3c4", launch: "#c9c2a5" };
    const STACK = ["#7d8794", "#4878a8", "#e8912d", "#5a9e52", "#a873a5", "#d65252", "#8c6d5a"];
    const $ = (id) => document.getElementById(id);
    const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    const fixed = (value, digits) => value.toLocaleString("en-US",
      { minimumFractionDigits: digits, maximumFractionDigits: digits });
    const percent = (share) => fixed(share * 100, 1) + " %";
    const gib = (bytes) => fixed(bytes / 2 ** 30, 2) + " GiB";
    const micro = (ns) => ns >= 1e6 ? fixed(ns / 1e6, 3) + " ms" : fixed(ns / 1e3, 1) + " us";
    const element = (tag, parent, attributes, text) => {
      const node = document.createElement(tag);
      for (const [name, value] of Object.entries(attributes || {})) node.setAttribute(name, value);
      if (text !== undefined) node.textContent = text;
      parent.appendChild(node);
      return node;
    };
    const section = (parent, title, note) => {
      const node = element("section", parent);
      element("h2", node, {}, title);
      element("p", node, { class: "note" }, note);
      return node;
    };
    // A canvas of so many CSS pixels that draws itself again when its width changes.
    const canvas = (parent, height, draw, hover) => {
      const node = element("canvas", parent, { style: "height:" + height + "px" });
      const paint = () => {
        const width = node.clientWidth, scale = window.devicePixelRatio || 1;
        if (!width) return;
        node.width = width * scale;
        node.height = height * scale;
        const context = node.getContext("2d");
        context.scale(scale, scale);
        context.font = "11px system-ui, sans-serif";
        draw(context, width, height);
      };
      new ResizeObserver(paint).observe(node);
      if (hover) {
        node.addEventListener("mousemove", (event) => {
          const box = node.getBoundingClientRect();
          const text = hover(event.clientX - box.left, event.clientY - box.top, box.width);
          const tip = $("tip");
          tip.style.display = text ? "block" : "none";
          if (!text) return;
          tip.textContent = text;
          tip.style.left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8) + "px";
          tip.style.top = Math.min(event.clientY + 14, innerHeight - tip.offsetHeight - 8) + "px";
        });
        node.addEventListener("mouseleave", () => { $("tip").style.display = "none"; });
      }
      return { node, paint };
    };
    // Blue below, grey at, red above the mean, in full colour `range` octaves away from it.
    const heat = (ratio, range) => {
      const level = Math.max(-1, Math.min(1, Math.log2(Math.max(ratio, 1e-3)) / range));
      const mix = (a, b) => a.map((value, index) => Math.round(value + (b[index] - value) *
        Math.abs(level)));
      const [r, g, b] = mix([236, 238, 241], level < 0 ? [38, 92, 160] : [196, 46, 32]);
      return "rgb(" + r + "," + g + "," + b + ")";
    };
    const step = (span, most) => {
      const raw = span / most, power = 10 ** Math.floor(Math.log10(raw));
      return [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= raw);
    };
    const grid = (context, left, top, right, bottom, low, high, unit) => {
      context.strokeStyle = css("--line");
      context.fillStyle = css("--soft");
      context.textAlign = "right";
      context.textBaseline = "middle";
      const size = step(high - low, 5);
      for (let value = Math.ceil(low / size) * size; value <= high * 1.0001; value += size) {
        const y = bottom - (value - low) / (high - low) * (bottom - top);
        context.beginPath();
        context.moveTo(left, y);
        context.lineTo(right, y);
        context.stroke();
        context.fillText(unit(value), left - 6, y);
      }
    };

    function timeline(parent, pool) {
      const line = pool.timeline;
      if (!line.spans.length) return;
      const node = section(parent, "Timeline",
        "The last simulated step of some ranks; upper lane of a rank: compute stream, lower lane: " +
        "communication, waiting for peers included. Drag to move, scroll to zoom." +
        (line.omitted ? " " + line.omitted + " later jobs are left out." : ""));
      const end = line.spans.reduce((most, span) => Math.max(most, span[6] + span[7]), 0);
      const layers = line.spans.filter((span) => span[4] >= 0);
      const middle = layers.length ? layers[Math.floor(layers.length / 2)] : line.spans[0];
      const own = layers.filter((span) => span[4] === middle[4] && span[5] === middle[5]);
      let low = 0, high = end;
      const showLayer = () => {
        low = Math.min(...own.map((span) => span[6]));
        high = Math.max(...own.map((span) => span[6] + span[7]));
        const margin = (high - low) * 0.05;
        low -= margin;
        high += margin;
      };
      if (own.length) showLayer();
      const bar = element("div", node, { class: "bar" });
      const present = line.parts.filter((_, index) => line.spans.some((span) => span[2] === index));
      for (const part of present) {
        const key = element("span", bar, { class: "key" });
        element("i", key, { style: "background:" + COLOURS[part] });
        element("span", key, {}, part);
      }
      element("span", bar, { class: "grow" });
      const one = element("button", bar, {}, "layer " + middle[4]);
      const all = element("button", bar, {}, "whole step");
      const left = 64, lane = 15, gap = 8, top = 18;
      const height = top + line.ranks.length * (2 * lane + gap) + 4;
      const at = (ns, width) => left + (ns - low) / (high - low) * (width - left);
      const picture = canvas(node, height, (context, width) => {
        context.fillStyle = css("--soft");
        context.textBaseline = "middle";
        line.ranks.forEach((rank, index) => {
          const y = top + index * (2 * lane + gap);
          context.textAlign = "right";
          context.fillStyle = css("--soft");
          context.fillText("rank " + (pool.firstRank + rank), left - 8, y + lane);
          context.fillStyle = css("--page");
          context.fillRect(left, y, width - left, 2 * lane);
        });
        const size = step(high - low, Math.max(2, width / 110));
        context.textAlign = "center";
        for (let time = Math.ceil(low / size) * size; time < high; time += size) {
          const x = at(time, width);
          if (x < left) continue;
          context.fillStyle = css("--soft");
          context.fillText(micro(time), x, 7);
          context.fillStyle = css("--line");
          context.fillRect(x, 14, 1, height);
        }
        context.save();
        context.beginPath();
        context.rect(left, top, width - left, height);
        context.clip();
        context.textAlign = "left";
        for (const span of line.spans) {
          const x = at(span[6], width), w = span[7] / (high - low) * (width - left);
          if (x > width || x + w < left) continue;
          const y = top + span[0] * (2 * lane + gap) + span[1] * lane;
          context.fillStyle = COLOURS[line.parts[span[2]]];
          context.fillRect(x, y + 0.5, Math.max(w - (w > 3 ? 0.6 : 0), 0.4), lane - 1);
          const name = line.names[span[3]].split(".").pop();
          if (w > 34) {
            context.save();
            context.beginPath();
            context.rect(x, y, w - 3, lane);
            context.clip();
            context.fillStyle = "#fff";
            context.fillText(name, Math.max(x, left) + 4, y + lane / 2 + 0.5);
            context.restore();
          }
        }
        context.restore();
      }, (x, y, width) => {
        const index = Math.floor((y - top) / (2 * lane + gap));
        const stream = Math.floor((y - top - index * (2 * lane + gap)) / lane);
        const time = low + (x - left) / (width - left) * (high - low);
        const span = line.spans.find((span) => span[0] === index && span[1] === stream &&
          span[6] <= time && time <= span[6] + span[7]);
        if (!span || x < left) return "";
        return line.names[span[3]] + "\n" + line.parts[span[2]] + ", rank " +
          (pool.firstRank + line.ranks[span[0]]) + (span[4] >= 0 ? ", layer " + span[4] : "") +
          "\n" + micro(span[7]) + " from " + micro(span[6]);
      });
      one.onclick = () => { if (own.length) showLayer(); picture.paint(); };
      all.onclick = () => { low = 0; high = end; picture.paint(); };
      picture.node.style.cursor = "grab";
      picture.node.addEventListener("wheel", (event) => {
        event.preventDefault();
        const box = picture.node.getBoundingClientRect();
        const share = (event.clientX - box.left - left) / (box.width - left);
        const time = low + share * (high - low);
        const span = Math.max(200, Math.min(end * 1.1, (high - low) * 1.0015 ** event.deltaY));
        low = time - share * span;
        high = low + span;
        picture.paint();
      }, { passive: false });
      let from = null;
      picture.node.addEventListener("mousedown", (event) => { from = [event.clientX, low, high]; });
      addEventListener("mouseup", () => { from = null; });
      addEventListener("mousemove", (event) => {
        if (!from) return;
        const moved = (event.clientX - from[0]) / (picture.node.clientWidth - left) *
          (from[2] - from[1]);
        low = from[1] - moved;
        high = from[2] - moved;
        picture.paint();
      });
    }

    function matrix(parent, rows, columns, height, value, tip, labels) {
      const left = 46, bottom = 22;
      let most = 1;
      for (let row = 0; row < rows; row++) {
        for (let column = 0; column < columns; column++) most = Math.max(most, value(row, column));
      }
      const range = Math.max(0.25, Math.min(2, Math.log2(most)));
      const bar = element("div", parent, { class: "bar" });
      for (const part of [-1, -0.5, 0, 0.5, 1]) {
        const ratio = 2 ** (part * range), key = element("span", bar, { class: "key" });
        element("i", key, { style: "background:" + heat(ratio, range) });
        element("span", key, {}, part === 0 ? "mean" : fixed(ratio, 2) + " x" +
          (part === 1 ? " and more" : part === -1 ? " and less" : ""));
      }
      canvas(parent, height, (context, width) => {
        const w = (width - left) / columns, h = (height - bottom) / rows;
        for (let row = 0; row < rows; row++) {
          for (let column = 0; column < columns; column++) {
            context.fillStyle = heat(value(row, column), range);
            context.fillRect(left + column * w, row * h, Math.ceil(w + 0.3), Math.ceil(h + 0.3));
          }
        }
        context.fillStyle = css("--soft");
        context.textBaseline = "middle";
        context.textAlign = "right";
        const every = Math.max(1, Math.ceil(rows / ((height - bottom) / 14)));
        for (let row = 0; row < rows; row += every) {
          context.fillText(labels.row(row), left - 5, (row + 0.5) * h);
        }
        context.textAlign = "center";
        const across = Math.max(1, step(columns, Math.max(2, (width - left) / 60)));
        for (let column = 0; column < columns; column += across) {
          context.fillText(labels.column(column), left + (column + 0.5) * w, height - 9);
        }
      }, (x, y, width) => {
        const column = Math.floor((x - left) / ((width - left) / columns));
        const row = Math.floor(y / ((height - bottom) / rows));
        return column < 0 || column >= columns || row < 0 || row >= rows ? "" : tip(row, column);
      });
    }

    function experts(parent, pool) {
      if (!pool.layers.length) return;
      const node = section(parent, "Expert heat map",
        "Tokens that chose each logical expert (across) of each layer (down), over the layer's mean.");
      const count = Math.max(...pool.layers.map((layer) => layer.experts.length));
      const mean = pool.layers.map((layer) =>
        layer.experts.reduce((sum, rows) => sum + rows, 0) / Math.max(layer.experts.length, 1) || 1);
      matrix(node, pool.layers.length, count, Math.max(90, Math.min(420, pool.layers.length * 9 + 22)),
        (row, column) => (pool.layers[row].experts[column] || 0) / mean[row],
        (row, column) => "layer " + pool.layers[row].layer + ", expert " + column + "\n" +
          fixed(pool.layers[row].experts[column] || 0, 0) + " tokens, " +
          fixed((pool.layers[row].experts[column] || 0) / mean[row], 2) + " x the mean",
        { row: (row) => pool.layers[row].layer, column: (column) => column });
    }

    function loads(parent, pool) {
      if (!pool.layers.length) return;
      const node = section(parent, "Rank loads",
        "Rows that each rank's experts take in a layer, and what the plan has room for.");
      const bar = element("div", node, { class: "bar" });
      element("span", bar, {}, "layer");
      const worst = pool.layers.indexOf(pool.layers.reduce((a, b) =>
        b.balancedness < a.balancedness ? b : a));
      let chosen = worst;
      const label = element("b", bar);
      const input = element("input", bar,
        { type: "range", min: 0, max: pool.layers.length - 1, value: worst, class: "grow" });
      const left = 52, height = 190;
      const picture = canvas(node, height, (context, width) => {
        const layer = pool.layers[chosen], rows = layer.ranks;
        label.textContent = layer.layer + " (balancedness " + fixed(layer.balancedness, 3) + ")";
        const mean = rows.reduce((sum, count) => sum + count, 0) / rows.length;
        const top = Math.max(...rows) * 1.12 || 1, bottom = height - 18;
        grid(context, left, 6, width, bottom, 0, top, (value) => fixed(value, 0));
        const w = (width - left) / rows.length;
        rows.forEach((count, rank) => {
          const h = count / top * (bottom - 6);
          context.fillStyle = layer.capacity && count > layer.capacity ? css("--warn") :
            css("--accent");
          context.fillRect(left + rank * w, bottom - h, Math.max(w - (w > 4 ? 1 : 0), 0.5), h);
        });
        for (const [value, name, colour] of [[mean, "mean", css("--ink")],
          [layer.capacity, "room", css("--warn")]]) {
          if (!value || value > top) continue;
          const y = bottom - value / top * (bottom - 6);
          context.fillStyle = colour;
          context.fillRect(left, y, width - left, 1);
          context.textAlign = "right";
          // Legible in front of bars.
          context.strokeStyle = css("--card");
          context.lineWidth = 4;
          context.strokeText(name, width - 4, y - 7);
          context.fillText(name, width - 4, y - 7);
        }
        context.fillStyle = css("--soft");
        context.textAlign = "left";
        context.fillText("rank " + pool.firstRank, left, height - 7);
        context.textAlign = "right";
        context.fillText("rank " + (pool.firstRank + rows.length - 1), width, height - 7);
      }, (x, y, width) => {
        const rows = pool.layers[chosen].ranks;
        const rank = Math.floor((x - left) / ((width - left) / rows.length));
        return rows[rank] === undefined ? "" : "rank " + (pool.firstRank + rank) + "\n" +
          fixed(rows[rank], 0) + " rows";
      });
      input.oninput = () => { chosen = +input.value; picture.paint(); };
    }

    function balance(parent, pool) {
      if (!pool.layers.length) return;
      const node = section(parent, "Balancedness by layer",
        "Mean over maximum of the ranks' rows: 1 when all ranks take the same.");
      const left = 40, height = 226;
      canvas(node, height, (context, width) => {
        const bottom = height - 18;
        grid(context, left, 6, width, bottom, 0, 1, (value) => fixed(value, 1));
        const w = (width - left) / pool.layers.length;
        pool.layers.forEach((layer, index) => {
          const h = layer.balancedness * (bottom - 6);
          context.fillStyle = css("--accent");
          context.fillRect(left + index * w, bottom - h, Math.max(w - 1, 0.5), h);
        });
        context.fillStyle = css("--soft");
        context.textAlign = "left";
        context.fillText("layer " + pool.layers[0].layer, left, height - 7);
        context.textAlign = "right";
        context.fillText("layer " + pool.layers[pool.layers.length - 1].layer, width, height - 7);
      }, (x, y, width) => {
        const layer = pool.layers[Math.floor((x - left) / ((width - left) / pool.layers.length))];
        return layer ? "layer " + layer.layer + "\n" + fixed(layer.balancedness, 3) + ", most " +
          fixed(layer.most, 0) + " rows" : "";
      });
    }

    function traffic(parent, pool) {
      if (!pool.traffic.length) return;
      const node = section(parent, "Traffic matrix",
        "Rows dispatched from rank (down) to rank (across) in one step, over the mean.");
      const size = pool.traffic.length;
      const sum = pool.traffic.reduce((all, row) => all + row.reduce((a, b) => a + b, 0), 0);
      const mean = sum / size / size || 1;
      matrix(node, size, size, 400, (row, column) => pool.traffic[row][column] / mean,
        (row, column) => "rank " + row + " to rank " + column + "\n" +
          fixed(pool.traffic[row][column], 0) + " rows, " +
          fixed(pool.traffic[row][column] / mean, 2) + " x the mean",
        { row: (row) => row, column: (column) => column });
    }

    function memory(parent, pool) {
      const node = section(parent, "Memory",
        "What each device holds; the line is its capacity, " + gib(pool.capacity) + ".");
      const names = Object.keys(pool.memory[0] || {});
      const bar = element("div", node, { class: "bar" });
      names.forEach((name, index) => {
        const key = element("span", bar, { class: "key" });
        element("i", key, { style: "background:" + STACK[index % STACK.length] });
        element("span", key, {}, name + " " + gib(pool.memory[0][name]));
      });
      const left = 60, height = 340;
      canvas(node, height, (context, width) => {
        const top = pool.capacity * 1.05, bottom = height - 18;
        grid(context, left, 6, width, bottom, 0, top / 2 ** 30, (value) => fixed(value, 0) + " GiB");
        const w = (width - left) / pool.memory.length;
        pool.memory.forEach((device, rank) => {
          let y = bottom;
          names.forEach((name, index) => {
            const h = (device[name] || 0) / top * (bottom - 6);
            context.fillStyle = STACK[index % STACK.length];
            context.fillRect(left + rank * w, y - h, Math.max(w - (w > 4 ? 1 : 0), 0.5), h);
            y -= h;
          });
        });
        context.fillStyle = css("--warn");
        context.fillRect(left, bottom - pool.capacity / top * (bottom - 6), width - left, 1.5);
        context.fillStyle = css("--soft");
        context.textAlign = "left";
        context.fillText("rank " + pool.firstRank, left, height - 7);
        context.textAlign = "right";
        context.fillText("rank " + (pool.firstRank + pool.memory.length - 1), width, height - 7);
      }, (x, y, width) => {
        const rank = Math.floor((x - left) / ((width - left) / pool.memory.length));
        const device = pool.memory[rank];
        if (!device) return "";
        const all = Object.values(device).reduce((a, b) => a + b, 0);
        return "rank " + (pool.firstRank + rank) + ": " + gib(all) + "\n" +
          names.map((name) => name + " " + gib(device[name] || 0)).join("\n");
      });
    }

    function streams(parent, pool) {
      const node = section(parent, "Streams and collectives",
        "Share of the time that streams are in use, and what collectives take from the last " +
        "member's start.");
      const rows = [["stream", "least", "median", "most"]];
      for (const name of ["compute", "communication"]) {
        const sorted = pool[name].slice().sort((a, b) => a - b);
        if (!sorted.length) continue;
        rows.push([name, percent(sorted[0]), percent(sorted[sorted.length >> 1]),
          percent(sorted[sorted.length - 1])]);
      }
      const write = (rows) => {
        const table = element("table", node, { style: "margin-bottom:12px" });
        rows.forEach((cells, index) => {
          const row = element("tr", table);
          for (const cell of cells) element(index ? "td" : "th", row, {}, cell);
        });
      };
      write(rows);
      if (pool.collectives.length) {
        write([["collective", "count", "mean", "longest wait for a peer"]].concat(
          pool.collectives.map((kind) => [kind.name,
            fixed(kind.counts.reduce((a, b) => a + b, 0), 0), fixed(kind.mean, 1) + " us",
            fixed(kind.wait, 1) + " us"])));
      }
      if (pool.steps.length > 1) {
        element("p", node, { class: "note" }, "Milliseconds of each step");
        const left = 52, height = 130;
        canvas(node, height, (context, width) => {
          const low = Math.min(...pool.steps), high = Math.max(...pool.steps);
          const margin = Math.max((high - low) * 0.15, high * 1e-3);
          const [from, to, bottom] = [low - margin, high + margin, height - 6];
          grid(context, left, 6, width, bottom, from, to,
            (value) => fixed(value, Math.max(0, 2 - Math.floor(Math.log10(to - from)))));
          context.strokeStyle = css("--accent");
          context.lineWidth = 1.5;
          context.beginPath();
          pool.steps.forEach((time, index) => {
            const x = left + (index + 0.5) / pool.steps.length * (width - left);
            context.lineTo(x, bottom - (time - from) / (to - from) * (bottom - 6));
          });
          context.stroke();
        });
      }
    }

    function show(number) {
      const pool = DATA.pools[number], content = $("content");
      content.replaceChildren();
      [...$("pools").children].forEach((node, index) =>
        node.classList.toggle("on", index === number));
      $("subtitle").textContent = pool.role + " pool, " + pool.mesh + ", " + pool.ranks +
        " ranks; " + pool.steps.length + " simulated steps, seed " + DATA.seed;
      for (const text of pool.warnings) element("section", content, { class: "warning" }, text);
      const cards = element("div", content, { class: "cards" });
      const off = pool.deviation;
      for (const [value, name] of [
        [fixed(pool.step, 2) + " ms", "a step, on average"],
        [fixed(pool.p99, 2) + " ms", "99th percentile of steps"],
        [fixed(pool.rate, 0), "tokens/s and device"],
        [fixed(pool.predicted, 2) + " ms", "predicted by " + pool.predictedBy + " (" + (off < 0 ? "" : "+") +
          percent(off) + " simulated)"],
        [percent(pool.exposed), "exposed communication"],
        [fixed(pool.balancedness, 3), "balancedness of experts"]]) {
        const card = element("div", cards, { class: "card" });
        element("b", card, {}, value);
        element("span", card, {}, name);
      }
      timeline(content, pool);
      experts(content, pool);
      const loadRow = element("div", content, { class: "two" });
      loads(loadRow, pool);
      balance(loadRow, pool);
      const last = element("div", content, { class: "two" });
      traffic(last, pool);
      memory(last, pool);
      streams(content, pool);
    }

    $("title").textContent = DATA.title;
    DATA.pools.forEach((pool, index) => {
      const button = element("button", $("pools"), {}, pool.role);
      button.onclick = () => show(index);
    });
    $("pools").hidden = DATA.pools.length < 2;
    show(0);

    """#
}
