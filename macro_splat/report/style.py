"""How the report of a capture looks, beside the style of all pages."""

STYLE = """
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(13rem, 100%), 1fr)); gap: .6rem;
  margin: 1rem 0; }
.tiles div { border: 1px solid #ddd; border-radius: 6px; padding: .5rem .9rem; }
.tiles span, .tiles small { display: block; color: #666; font-size: .8rem; }
.tiles b { font-size: 1.35rem; line-height: 1.3; font-weight: 600; }
.problems { list-style: none; padding: 0; } .problems p { margin: 0; } .problems p + p { color: #555; }
.problems li { display: flex; gap: .8rem; border-left: 4px solid; padding: .4rem .8rem; margin: .5rem 0; }
.problems b { flex: 0 0 4.6rem; font-weight: 600; }
.problems .error { border-color: #c62828; background: #fdf1f1; } .error b { color: #c62828; }
.problems .warning { border-color: #d98200; background: #fdf6ea; } .warning b { color: #8f5600; }
.problems .hint { border-color: #4a7fb5; background: #f1f6fb; } .hint b { color: #2c5c8c; }
.fine { border-left: 4px solid #2e7d32; background: #eef6ee; padding: .4rem .8rem; }
summary { cursor: pointer; padding: .3rem 0; } details.stack > summary { font-weight: 600; }
summary small, li small { font-weight: normal; color: #666; overflow-wrap: anywhere; }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(170px, 42vw), 1fr)); gap: .8rem;
  margin: .4rem 0 1.2rem; }
.picture { position: relative; line-height: 0; } .picture img { width: 100%; height: auto; display: block; }
.picture .sharpness { position: absolute; inset: 0; height: 100%; display: none; }
body:has(#overlay:checked) .sharpness { display: block; }
.fused { display: flex; flex-wrap: wrap; gap: .8rem; margin: .4rem 0 .8rem; } .fused figure { max-width: 320px; }
.fused img { width: 100%; height: auto; display: block; }
.fused i { display: inline-block; width: 5rem; height: .7em; }
.none { line-height: 1.4; background: #f3f3f3; color: #888; padding: 2.5rem .5rem; text-align: center; }
figcaption { overflow-wrap: anywhere; padding-top: .2rem; } figcaption span { color: #888; }
figcaption b { display: inline-block; font-weight: 500; font-size: .72rem;
  border-radius: 3px; padding: 0 .3rem; background: #eee; }
figcaption b.best { background: #d9eed8; } figcaption b.blurred, figcaption b.unused { background: #fbe3c4; }
figure.unused img { opacity: .45; }
.ramp { color: #666; font-size: .85rem; margin-left: .8rem; white-space: nowrap; }
.ramp i { display: inline-block; width: 5rem; height: .7em; border: 1px solid #ddd;
  background: linear-gradient(90deg, transparent, rgb(255 40 0 / 84%)); }
.map { width: 100%; min-width: 34rem; max-width: 54rem; height: auto; display: block; }
.map text { fill: #555; font: 11px system-ui, sans-serif; }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; font-size: .85rem; color: #555; }
.legend i { display: inline-block; width: 1.1em; height: .8em; margin-right: .4em; border: 1px solid #ccc; }
.legend i.bar { height: .3em; border: 0; vertical-align: middle; }
#pose-view { height: min(70vh, 38rem); }
.tall { max-height: 32rem; overflow-y: auto; }
td.text { text-align: left; white-space: normal; overflow-wrap: anywhere; }
.stages td.bar { width: 40vw; max-width: 26rem; padding-right: 0; }
.stages i { display: block; height: .7em; background: #7ba6cf; min-width: 1px; }
pre { overflow-x: auto; background: #f6f6f6; padding: .5rem .8rem; }
@media (max-width: 30rem) {
  body { padding: 0 .6rem; margin-top: 1rem; } .stages td.bar { width: 25vw; }
  .problems li { flex-direction: column; gap: .1rem; } .problems b { flex: none; }
}
"""
