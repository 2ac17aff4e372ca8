document.querySelectorAll(".wipes").forEach((wipes) => {
  const views = [...wipes.querySelectorAll(".wipe")], tabs = [...wipes.querySelectorAll(".strip button")];
  const wanted = {left: wipes.dataset.left, right: wipes.dataset.right};
  function show(view) {
    const names = [...view.querySelectorAll(".stage img")].map((image) => image.dataset.layer);
    const left = names.includes(wanted.left) ? wanted.left : names[0];
    const right = names.includes(wanted.right) ? wanted.right : names.find((name) => name !== left) || left;
    const range = view.querySelector("input[type=range]");
    view.querySelectorAll(".stage img").forEach((image) => {
      const {layer} = image.dataset;
      image.hidden = layer !== left && layer !== right;
      image.style.zIndex = layer === right && right !== left ? 2 : 1;
      image.style.clipPath = layer === right && right !== left ? `inset(0 0 0 ${range.value}%)` : "none";
    });
    view.querySelector(".line").style.left = `${range.value}%`;
    view.querySelector(".tag.left").textContent = left;
    view.querySelector(".tag.right").textContent = right;
    range.setAttribute("aria-valuetext", `${range.value} % ${left}, the rest ${right}`);
    view.querySelectorAll(".layers input").forEach((input) => {
      input.checked = input.value === (input.dataset.side === "left" ? left : right);
    });
  }
  function open(number) {
    views.forEach((view, i) => { view.hidden = i !== number; });
    tabs.forEach((tab, i) => tab.setAttribute("aria-pressed", String(i === number)));
    show(views[number]);
  }
  views.forEach((view) => {
    view.querySelectorAll(".layers figure").forEach((figure) => {
      const layer = figure.dataset.layer;
      figure.querySelector("img").src = view.querySelector(`.stage img[data-layer="${layer}"]`).src;
    });
    view.querySelector("input[type=range]").addEventListener("input", () => show(view));
    view.querySelectorAll(".layers input").forEach((input) => input.addEventListener("change", () => {
      wanted[input.dataset.side] = input.value;
      show(view);
    }));
  });
  tabs.forEach((tab, i) => tab.addEventListener("click", () => open(i)));
  open(0);
});
