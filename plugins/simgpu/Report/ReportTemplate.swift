/// What every report page has: style and markup; `ReportTemplate+Script.swift` draws.
enum ReportTemplate {
  static let head = """
    <!DOCTYPE html>
    <html lang="en">
    <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">

    """

  /// Text for an element's content.
  static func escaped(_ text: String) -> String {
    text.replacing("&", with: "&amp;").replacing("<", with: "&lt;").replacing(">", with: "&gt;")
  }

  static let style = """
    <style>
    :root { --ink: #1c2430; --soft: #5d6877; --line: #dfe4ea; --card: #ffffff; --page: #f3f5f8;
      --accent: #2f6fb4; --warn: #b5462f; }
    @media (prefers-color-scheme: dark) { :root { --ink: #e6eaf0; --soft: #98a3b3; --line: #333c49;
      --card: #1b222c; --page: #12171e; --accent: #6fa8e3; --warn: #f08a70; } }
    * { box-sizing: border-box; }
    body { margin: 0; background: var(--page); color: var(--ink);
      font: 14px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
    main { max-width: 1240px; margin: 0 auto; padding: 24px 20px 60px; }
    h1 { font-size: 24px; margin: 0 0 2px; }
    h2 { font-size: 16px; margin: 0 0 2px; }
    p.note { margin: 0 0 10px; color: var(--soft); }
    nav { margin: 12px 0 16px; display: flex; gap: 8px; }
    nav[hidden] { display: none; }
    button { font: inherit; color: var(--ink); background: var(--card); border: 1px solid var(--line);
      border-radius: 6px; padding: 3px 10px; cursor: pointer; }
    button.on { border-color: var(--accent); color: var(--accent); font-weight: 600; }
    .cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(165px, 1fr)); gap: 12px;
      margin-bottom: 16px; }
    .card, section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
    .card { padding: 10px 14px; }
    .card b { display: block; font-size: 21px; font-variant-numeric: tabular-nums; }
    .card span { color: var(--soft); }
    section { padding: 14px 16px; margin-bottom: 16px; overflow: hidden; }
    .two { display: grid; grid-template-columns: 1fr 1fr; gap: 16px; }
    .two section { margin-bottom: 0; }
    @media (max-width: 900px) { .two { grid-template-columns: 1fr; } }
    .two { margin-bottom: 16px; }
    canvas { display: block; width: 100%; }
    .bar { display: flex; flex-wrap: wrap; gap: 6px 14px; align-items: center; margin: 0 0 8px;
      color: var(--soft); }
    .key { display: inline-flex; align-items: center; gap: 5px; }
    .key i { width: 12px; height: 12px; border-radius: 3px; display: inline-block; }
    .grow { flex: 1; }
    #tip { position: fixed; pointer-events: none; background: var(--ink); color: var(--page);
      padding: 5px 9px; border-radius: 6px; font-size: 12px; white-space: pre; display: none;
      z-index: 9; }
    .warning { border-color: var(--warn); color: var(--warn); padding: 10px 14px;
      margin-bottom: 16px; }
    table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
    td, th { text-align: right; padding: 3px 8px; border-bottom: 1px solid var(--line); }
    td:first-child, th:first-child { text-align: left; }
    th { color: var(--soft); font-weight: 500; }
    </style>
    </head>

    """

  static let body = """
    <body>
    <main>
    <h1 id="title"></h1>
    <p class="note" id="subtitle"></p>
    <nav id="pools"></nav>
    <div id="content"></div>
    </main>
    <div id="tip"></div>

    """
}
