document.querySelectorAll(".chart").forEach((place) => {
  const {traces, layout} = JSON.parse(document.getElementById(place.dataset.figure).textContent);
  Plotly.newPlot(place, traces, layout, {displaylogo: false, responsive: true, displayModeBar: false});
});
