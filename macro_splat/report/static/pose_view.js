const data = JSON.parse(document.getElementById("pose-data").textContent);
const plot = document.getElementById("pose-view");
let colouring = 0, within = data.box ? 1 : 0;
function draw() {
  const {title, values} = data.colourings[colouring];
  const [lines, centres] = data.traces;
  lines.line.color = data.owners.map((pose) => values[pose]);
  centres.marker.color = values;
  centres.marker.colorbar.title.text = title;
  ["xaxis", "yaxis", "zaxis"].forEach((name, i) => {
    const axis = data.layout.scene[name];
    axis.autorange = !within;
    if (within) axis.range = [...data.box[i]];
  });
  Plotly.react(plot, data.traces, data.layout, {displaylogo: false, responsive: true});
}
document.querySelectorAll("input[name=colouring]").forEach((input) => {
  input.addEventListener("change", () => { colouring = Number(input.value); draw(); });
});
document.querySelectorAll("input[name=within]").forEach((input) => {
  input.addEventListener("change", () => { within = Number(input.value); draw(); });
});
draw();
