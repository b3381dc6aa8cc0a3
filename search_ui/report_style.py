"""How a report looks: light and dark, on paper too."""

STYLE = """
:root { color-scheme: light dark; --ink: #1f2933; --faint: #52606d; --paper: #ffffff;
  --line: #d9e2ec; --card: #f5f7fa; --accent: #0b6e99; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e7eb; --faint: #9aa5b1; --paper: #14181d;
  --line: #323f4b; --card: #1f262d; --accent: #6cc4ec; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif; }
main { max-width: 1280px; margin: 0 auto; padding: 2rem 1.5rem; }
h1 { font-size: 1.6rem; margin: 0 0 .25rem; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 2rem 0 .75rem; }
header p, .note, figcaption { color: var(--faint); }
header p { margin: .25rem 0; }
a { color: var(--accent); }
.chips { list-style: none; padding: 0; margin: .75rem 0; display: flex; flex-wrap: wrap;
  gap: .4rem; }
.chips li { border: 1px solid var(--line); background: var(--card); border-radius: 1rem;
  padding: .1rem .7rem; overflow-wrap: anywhere; }
.query { max-width: 700px; }
.query figure { max-width: 320px; }
.query .cards { grid-template-columns: repeat(auto-fill, minmax(260px, 1fr)); }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(190px, 1fr)); gap: 1rem; }
figure { margin: 0; border: 1px solid var(--line); border-radius: .5rem; overflow: hidden;
  background: var(--card); break-inside: avoid; }
.picture { position: relative; background: #000; }
.picture img { display: block; width: 100%; height: auto; }
.missing { padding: 3rem 1rem; text-align: center; color: var(--faint); background: var(--card); }
.bar { position: absolute; left: 8px; bottom: 11px; color: #fff;
  font-size: .75rem; line-height: 1.35; }
.bar::before { content: ""; position: absolute; inset: -3px -5px -8px -5px; min-width: 4rem;
  background: rgb(0 0 0 / .7); border-radius: 2px; }
.bar::after { content: ""; position: absolute; left: 0; right: 0; bottom: -4px; height: 3px;
  background: #fff; }
.bar span { position: relative; white-space: nowrap; }
figcaption { padding: .5rem .7rem; font-size: .85rem; overflow-wrap: anywhere; }
figcaption strong { color: var(--ink); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .85rem; }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid var(--line);
  white-space: nowrap; }
td.long { white-space: normal; overflow-wrap: anywhere; min-width: 10rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1rem; }
dt { color: var(--faint); }
dd { margin: 0; overflow-wrap: anywhere; }
@media print { main { padding: 0; } .cards { grid-template-columns: repeat(5, 1fr); } }
"""
