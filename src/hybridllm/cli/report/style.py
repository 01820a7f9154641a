"""The look of a month's page, beside what pages share."""

STYLE = """
:root { --c0: #2a78d6; --c1: #eb6834; --c2: #1baf7a; --c3: #d99a00;
  --c4: #8b5cc7; --c5: #d6478a; --c6: #7a8699; --idle: #b9c0cb; }
@media (prefers-color-scheme: dark) { :root { --c0: #5b9ef0; --c1: #f08a60; --c2: #3fcf9b;
  --c3: #f2c14e; --c4: #b08be0; --c5: #ec7bb0; --c6: #99a5b8; --idle: #4a515c; } }
* { box-sizing: border-box; }
body { font-size: 14px; line-height: 1.45; max-width: 78rem; }
header { display: flex; flex-wrap: wrap; align-items: baseline; gap: .2rem 1rem; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: .95rem; margin: 0 0 .5rem; }
.warn { color: var(--warn); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.6rem, 1fr)); gap: .6rem;
  margin: 1rem 0; padding: 0; list-style: none; }
.tiles li { background: var(--shade); border-radius: .5rem; padding: .6rem .75rem; }
.tiles b { display: block; font-size: 1.25rem; font-weight: 600; font-variant-numeric: tabular-nums; }
.tiles small { color: var(--soft); display: block; }
main { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 34rem), 1fr)); gap: 1rem; }
section { border: 1px solid var(--line); border-radius: .5rem; padding: .8rem .9rem; min-width: 0; }
section.wide { grid-column: 1 / -1; } .scroll { overflow-x: auto; }
svg { width: 100%; height: auto; display: block; }
.axis { fill: var(--soft); font-size: 10.5px; } .grid { stroke: var(--line); stroke-width: 1; }
polyline { fill: none !important; stroke-width: 1.8; stroke-linejoin: round; }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: .15rem 1rem; margin: .4rem 0 0; padding: 0;
  color: var(--soft); font-size: .82rem; overflow-wrap: anywhere; }
.key { display: inline-block; width: .7rem; height: .7rem; border-radius: .15rem; margin-right: .35rem; }
.c0 { fill: var(--c0); stroke: none; background: var(--c0); } polyline.c0 { stroke: var(--c0); }
.c1 { fill: var(--c1); background: var(--c1); } polyline.c1 { stroke: var(--c1); }
.c2 { fill: var(--c2); background: var(--c2); } .c3 { fill: var(--c3); background: var(--c3); }
.c4 { fill: var(--c4); background: var(--c4); } .c5 { fill: var(--c5); background: var(--c5); }
.c6 { fill: var(--c6); background: var(--c6); } .idle { fill: var(--idle); background: var(--idle); }
table { font-size: .86rem; font-variant-numeric: tabular-nums; }
th { text-align: left; color: var(--soft); font-weight: 500; white-space: nowrap; }
th, td { border-bottom: 1px solid var(--line); padding: .26rem .45rem; vertical-align: top; }
td.name { overflow-wrap: anywhere; min-width: 6rem; } .n { text-align: right; white-space: nowrap; }
tr.all td { font-weight: 600; border-bottom: 0; }
.bar { display: block; height: .28rem; border-radius: .14rem; background: var(--bar); margin-top: .18rem; }
.range { position: relative; height: .8rem; background: var(--shade); border-radius: .2rem;
  margin: .25rem 0 .2rem; }
.range i { position: absolute; top: 0; bottom: 0; left: 0; border-radius: .2rem; background: var(--c0); }
.range i.high { background: var(--c0); opacity: .35; } .range i.paid { background: var(--c2); }
footer { color: var(--soft); font-size: .82rem; margin: 1rem 0 0; } footer p { margin: .25rem 0; }
@media print { body { font-size: 10px; }
  section, .tiles li { break-inside: avoid; } }
"""
