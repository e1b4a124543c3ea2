"""The style sheet of the HTML report: one column, light and dark, colors that color-blind readers can tell apart."""

CSS = """
:root{--ink:#1d2430;--dim:#5c6675;--line:#dfe3e9;--bg:#f6f7f9;--card:#fff;--soft:#eef1f5;
--c0:#0072b2;--c1:#e69f00;--c2:#009e73;--c3:#cc79a7;--c4:#7f8a99;--c5:#56b4e9;--good:#0b6394;--bad:#b0410e;
--warn:#6b5b00}
@media screen and (prefers-color-scheme:dark){:root{--ink:#e6e9ee;--dim:#9aa4b2;--line:#323a46;--bg:#14181e;--card:#1c222b;
--soft:#262d38;
--c0:#4aa3df;--good:#6fc3ff;--bad:#ff9b63;--warn:#e6cf5c}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
main{max-width:1040px;margin:0 auto;padding:28px 20px 60px}
h1{font-size:28px;margin:0 0 4px;letter-spacing:-.01em} h2{font-size:19px;margin:0 0 10px} h3{font-size:15px;
margin:18px 0 6px}
p{margin:6px 0 10px} .dim,figcaption{color:var(--dim)} .small{font-size:13px}
section{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:18px 20px;margin:16px 0}
nav{font-size:13px;margin:12px 0;display:flex;flex-wrap:wrap;gap:4px 14px} a{color:var(--c0);text-decoration:none}
a:hover{text-decoration:underline}
.badge{display:inline-block;border-radius:99px;padding:1px 10px;font-size:13px;margin:2px 6px 2px 0;
border:1px solid var(--line);
background:var(--soft)}
.good{color:var(--good);font-weight:600} .bad{color:var(--bad);font-weight:600} .warn{color:var(--warn);
font-weight:600}
.questions{display:grid;grid-template-columns:repeat(6,1fr);gap:12px;margin:16px 0}
.questions article{grid-column:span 2} .questions article:nth-child(n+4){grid-column:span 3}
@media(max-width:860px){.questions article,.questions article:nth-child(n+4){grid-column:1/-1}}
.questions article{background:var(--card);border:1px solid var(--line);border-top:4px solid var(--c4);border-radius:10px;
padding:12px 16px} .questions article.is-good{border-top-color:var(--good)}
.questions article.is-bad{border-top-color:var(--bad)}
.questions h2{font-size:13.5px;margin:0;color:var(--dim);font-weight:600} .questions h2 a{color:inherit}
.questions .num{font-size:27px;font-weight:650;letter-spacing:-.01em;line-height:1.25;margin:2px 0 4px}
.questions p{margin:0;font-size:14px} .questions .basis{vertical-align:middle;font-weight:400;letter-spacing:0}
.basis{display:inline-block;font-size:11px;border:1px solid var(--line);border-radius:4px;padding:0 5px;
color:var(--dim);
background:var(--soft);white-space:nowrap} .basis.assumed{color:var(--warn);border-color:var(--warn)}
pre{white-space:pre-wrap;overflow-wrap:anywhere;font-size:12.5px;margin:0}
.wrap{overflow-x:auto} table{border-collapse:collapse;width:100%;font-size:13.5px}
th{text-align:left;color:var(--dim);font-weight:600;font-size:12.5px;border-bottom:1px solid var(--line);
padding:5px 8px;vertical-align:bottom}
td{border-bottom:1px solid var(--line);padding:5px 8px;vertical-align:top} tr:last-child td{border-bottom:0}
tr.sum td{font-weight:650;border-top:2px solid var(--line)} .n{text-align:right;font-variant-numeric:tabular-nums;
white-space:nowrap}
code{font:12.5px/1.4 ui-monospace,"DejaVu Sans Mono",monospace;overflow-wrap:anywhere}
svg{width:100%;height:auto;display:block} svg text{font-size:12.5px;fill:var(--ink)} .lab{text-anchor:end}
svg .val{fill:var(--dim)} .bg{fill:var(--soft)} .whisker{stroke:var(--ink);stroke-width:1.4;fill:none}
.c0{fill:var(--c0)}.c1{fill:var(--c1)}.c2{fill:var(--c2)}.c3{fill:var(--c3)}.c4{fill:var(--c4)}.c5{fill:var(--c5)}
.legend span{margin-right:16px;font-size:13px} .legend i{display:inline-block;width:11px;height:11px;
border-radius:2px;margin-right:6px}
.k0{background:var(--c0)}.k1{background:var(--c1)}.k2{background:var(--c2)}.k3{background:var(--c3)}
.k4{background:var(--c4)}
.k5{background:var(--c5)} svg .axis{fill:var(--dim);font-size:11px;text-anchor:middle} figure{margin:10px 0}
.maps{display:flex;flex-wrap:wrap;gap:18px} .maps figure{flex:1 1 220px;max-width:300px} .maps .heat{width:100%}
.meter{position:relative;min-width:96px;background:var(--soft);border-radius:3px;padding:0 6px;overflow:hidden}
.meter i{position:absolute;inset:0 auto 0 0;background:var(--c0);opacity:.28} .meter.full i{background:var(--bad)}
.meter b{position:relative;
font-weight:400;font-variant-numeric:tabular-nums}
.note{border-left:3px solid var(--c1);background:var(--soft);padding:8px 12px;border-radius:0 6px 6px 0;margin:12px 0;
font-size:13.5px}
dl{display:grid;grid-template-columns:210px 1fr;gap:4px 14px;margin:0;font-size:13.5px} dt{font-weight:600}
dd{margin:0}
details summary{cursor:pointer;color:var(--dim);font-size:13.5px;margin:8px 0}
ul{margin:6px 0 10px;padding-left:20px}
.bar,.strip{display:grid;grid-template-columns:150px 1fr 215px;gap:10px;align-items:center;font-size:12.5px;margin:3px 0}
.strip{grid-template-columns:150px 1fr} .bar svg,.strip svg{height:16px} .columns svg{height:90px}
.bar .lab,.strip .lab{text-align:right;overflow-wrap:anywhere} .bar .val{color:var(--dim)}
.ticks{position:relative;height:16px;font-size:11px;color:var(--dim)}
.ticks span{position:absolute;transform:translateX(-50%)} td{overflow-wrap:break-word} th.n{white-space:normal}
:target{outline:2px solid var(--c1);outline-offset:3px}
@media(max-width:640px){dl{grid-template-columns:1fr} main{padding:16px 10px 40px} section{padding:14px 12px}
.bar{grid-template-columns:1fr auto;margin:8px 0} .bar svg{grid-column:1/-1;grid-row:2} .bar .lab,.strip .lab{text-align:left}
.strip{grid-template-columns:1fr;gap:2px} thead{display:none} tr{display:block;border-bottom:1px solid var(--line);
padding:6px 0}
td,td.n,tr.sum td{display:flow-root;border:0;padding:2px 0 2px 40%;text-align:left;white-space:normal;
overflow-wrap:anywhere} td::before{content:attr(data-h);float:left;width:61%;margin-left:-66.6%;color:var(--dim);
font-size:12.5px;font-weight:400} .wrap{overflow-x:visible}}
@media print{section{break-inside:avoid}body{background:#fff}}
"""
PRINT = """
@media print{@page{margin:14mm} nav{display:none} body{font-size:10.5pt} main{max-width:none;padding:0}
section,.questions article{break-inside:auto;border-color:#bbb} h2,h3,summary,.legend{break-after:avoid} tr,svg,
.questions article{break-inside:avoid}
details::details-content{content-visibility:visible;display:block;height:auto} summary{list-style:none}
.wrap{overflow:visible} table{font-size:8.5pt} td,th{padding:2px 5px} .n{white-space:normal} a{color:inherit}
.questions article:nth-child(n){grid-column:span 3} *{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
"""
"""On paper: every fold open, tables in full width, no navigation."""
