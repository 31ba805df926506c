// The page's own parts: head, viewer, references, trials. Every text goes in as text, never as HTML.
(() => {
  "use strict";

  const percent = (share) => (share < 0.0005 ? "<0.1" : (100 * share).toFixed(share < 0.1 ? 1 : 0)) + " %";

  // make("div", {class: "a", text: "b", onclick: f}, child, ...)
  function make(tag, given = {}, ...children) {
    const node = document.createElement(tag);
    for (const [key, value] of Object.entries(given)) {
      if (value === null || value === undefined || value === false) continue;
      if (key === "text") node.textContent = value;
      else if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
      else if (key === "style") for (const [name, one] of Object.entries(value)) node.style.setProperty(name, one);
      else node.setAttribute(key, value === true ? "" : value);
    }
    node.append(...children.filter((child) => child !== null && child !== undefined));
    return node;
  }

  const swatch = (colour) => make("span", {class: "rim-swatch", style: {background: colour}});

  // Calls render with the component's value now and whenever it changes.
  function follow({element, props, watch}, render) {
    const draw = () => {
      const root = element.querySelector(".rim-root");
      if (root && props.value) render(root, props.value);
    };
    watch("value", draw);
    draw();
  }

  function head(part) {
    follow(part, (root, value) => {
      const facts = `version ${value.version} · ${value.categories} categories · ${value.references} references · ${value.preset}`;
      root.replaceChildren(
        make("div", {class: "rim-title"},
          make("strong", {text: "rim"}),
          make("span", {class: "rim-bank", text: value.bank, title: value.path}),
          make("span", {class: "rim-facts", id: "rim-facts", text: facts})),
        make("div", {class: `rim-notice rim-is-${value.kind}`, id: "rim-notice", role: "status", text: value.notice}));
    });
  }

  function viewer(part) {
    const {trigger, upload} = part;
    const keep = {opacity: 0.5, names: true};
    let shown = {};
    let light = null; // the state of the canvas over the photo
    let request = 0;

    async function take(root, file) {
      if (!file) return;
      const own = ++request;
      root.classList.add("rim-busy");
      try {
        const sent = await upload(file);
        if (own === request) trigger("photo", {path: sent.path, name: file.name});
      } catch (error) {
        root.classList.remove("rim-busy");
        trigger("refused", {name: file.name, error: String(error && error.message || error)});
      }
    }

    function dropping(root, node) {
      let depth = 0;
      const over = (event) => { event.preventDefault(); };
      node.addEventListener("dragover", over);
      node.addEventListener("dragenter", (event) => { event.preventDefault(); depth += 1; node.classList.add("rim-over"); });
      node.addEventListener("dragleave", () => { depth -= 1; if (depth <= 0) node.classList.remove("rim-over"); });
      node.addEventListener("drop", (event) => {
        event.preventDefault();
        depth = 0;
        node.classList.remove("rim-over");
        take(root, event.dataTransfer.files[0]);
      });
    }

    function chooser(root) {
      return make("input", {type: "file", accept: "image/*", class: "rim-file", id: "rim-file", "aria-label": "Choose a photo",
        onchange: (event) => { take(root, event.target.files[0]); event.target.value = ""; }});
    }

    function empty(root) {
      const file = chooser(root);
      const zone = make("button", {class: "rim-drop", type: "button", onclick: () => file.click()},
        make("span", {class: "rim-drop-sign", text: "▦", "aria-hidden": "true"}),
        make("strong", {text: "Drop a photo here"}),
        make("span", {text: "or click to choose one: PNG, JPEG, WebP, TIFF, ..."}));
      dropping(root, zone);
      root.replaceChildren(zone, file);
    }

    // Which spot every pixel belongs to, read from the colours of a PNG.
    async function readSpots(value) {
      const image = new Image();
      image.src = value.spot_map;
      await image.decode();
      const canvas = make("canvas", {width: value.width, height: value.height});
      const context = canvas.getContext("2d", {willReadFrequently: true});
      context.drawImage(image, 0, 0);
      const pixels = context.getImageData(0, 0, value.width, value.height).data;
      const spots = new Uint16Array(value.width * value.height);
      for (let i = 0; i < spots.length; i += 1) spots[i] = pixels[4 * i] + 256 * pixels[4 * i + 1];
      return spots;
    }

    // Lights up the pixels of some spots: what is not of them is dimmed, and their edge is drawn.
    function paint() {
      if (!light || !light.spots) return;
      const {canvas, spots, value} = light;
      const {width, height} = value;
      const context = canvas.getContext("2d");
      context.clearRect(0, 0, width, height);
      const wanted = light.hovered || (light.selected === null ? null : new Set([light.selected]));
      if (!wanted || wanted.size === 0) return;
      const data = context.createImageData(width, height);
      const thick = Math.max(1, Math.round(Math.max(width, height) / 640));
      const inside = (x, y) => x >= 0 && y >= 0 && x < width && y < height && wanted.has(spots[y * width + x]);
      for (let y = 0; y < height; y += 1) {
        for (let x = 0; x < width; x += 1) {
          const at = 4 * (y * width + x);
          if (!wanted.has(spots[y * width + x])) { data.data[at + 3] = 90; continue; }
          if (!inside(x - thick, y) || !inside(x + thick, y) || !inside(x, y - thick) || !inside(x, y + thick)) {
            data.data[at] = data.data[at + 1] = data.data[at + 2] = 255;
            data.data[at + 3] = 255;
          }
        }
      }
      context.putImageData(data, 0, 0);
    }

    function pick(spot) {
      if (spot === undefined || spot === null || light.value.spots[spot - 1] === undefined) return;
      const region = light.value.spots[spot - 1].region;
      light.selected = region === null ? null : spot;
      paint();
      trigger("pick", {region, serial: light.value.serial});
    }

    function stage(root, value) {
      const tint = make("img", {class: "rim-tint", alt: "", draggable: "false", style: {opacity: keep.opacity}});
      tint.src = value.tint;
      const photo = make("img", {class: "rim-photo", alt: value.photo, draggable: "false"});
      photo.src = value.picture;
      const canvas = make("canvas", {class: "rim-light", width: value.width, height: value.height});
      const plates = make("div", {class: "rim-plates", hidden: !keep.names},
        ...value.plates.map((plate) => make("span", {text: plate.category, style: {
          left: `${100 * plate.x}%`, top: `${100 * plate.y}%`, "border-color": plate.colour}})));
      const tip = make("div", {class: "rim-tip", id: "rim-tip", hidden: true});
      const node = make("div", {class: "rim-stage", id: "rim-stage", style: {
        "aspect-ratio": `${value.width} / ${value.height}`, "--rim-ratio": value.width / value.height}},
      photo, tint, canvas, plates, tip);
      const own = {canvas, value, spots: null, hovered: null, selected: null};
      const at = (event) => {
        const box = canvas.getBoundingClientRect();
        const x = Math.floor((event.clientX - box.left) / box.width * value.width);
        const y = Math.floor((event.clientY - box.top) / box.height * value.height);
        if (!own.spots || x < 0 || y < 0 || x >= value.width || y >= value.height) return 0;
        return own.spots[y * value.width + x];
      };
      let last = -1;
      node.addEventListener("pointermove", (event) => {
        const spot = at(event);
        const box = node.getBoundingClientRect();
        const right = event.clientX - box.left > box.width * 0.7;
        tip.style.setProperty("left", `${event.clientX - box.left}px`);
        tip.style.setProperty("top", `${event.clientY - box.top}px`);
        tip.classList.toggle("rim-tip-left", right);
        if (spot === last) return;
        last = spot;
        const one = value.spots[spot - 1];
        tip.hidden = false;
        if (one === undefined) tip.replaceChildren(make("em", {text: own.spots ? "unlabelled" : "..."}));
        else if (one.region === null) tip.replaceChildren(swatch(one.colour), make("strong", {text: one.category}), make("span", {text: "by its patches"}));
        else tip.replaceChildren(swatch(one.colour), make("strong", {text: one.category}), make("span", {text: one.score.toFixed(2)}));
        own.hovered = one === undefined ? null : new Set([spot]);
        paint();
      });
      node.addEventListener("pointerleave", () => { last = -1; tip.hidden = true; own.hovered = null; paint(); });
      node.addEventListener("click", (event) => pick(at(event)));
      dropping(root, node);
      readSpots(value).then((spots) => {
        own.spots = spots;
        own.selected = value.selected === null ? null : value.selected + 1;
        node.setAttribute("data-ready", String(value.serial));
        if (light === own) paint();
      });
      light = own;
      return {node, tint, plates};
    }

    function legend(value) {
      const chips = value.shares.map((one) => {
        const spots = new Set();
        value.spots.forEach((spot, place) => { if (spot.category === one.category) spots.add(place + 1); });
        const glow = () => { light.hovered = spots; paint(); };
        const dim = () => { light.hovered = null; paint(); };
        // Regions come by falling score: the first one of the category is its surest.
        return make("button", {type: "button", class: "rim-chip", title: "Show its surest region", onpointerenter: glow,
          onpointerleave: dim, onfocus: glow, onblur: dim, onclick: () => pick([...spots][0])},
        swatch(one.colour), make("span", {text: one.category}), make("small", {text: percent(one.share)}));
      });
      if (value.unlabelled > 0) chips.push(make("span", {class: "rim-chip rim-plain"}, make("span", {text: "unlabelled"}), make("small", {text: percent(value.unlabelled)})));
      return make("div", {class: "rim-legend"}, ...chips);
    }

    function full(root, value) {
      const file = chooser(root);
      const {node, tint, plates} = stage(root, value);
      const slider = make("input", {type: "range", min: 0, max: 1, step: 0.05, "aria-label": "Strength of the labels",
        oninput: (event) => { keep.opacity = Number(event.target.value); tint.style.setProperty("opacity", keep.opacity); }});
      slider.value = keep.opacity;
      const names = make("input", {type: "checkbox", onchange: (event) => { keep.names = event.target.checked; plates.hidden = !keep.names; }});
      names.checked = keep.names;
      const bar = make("div", {class: "rim-bar"},
        make("label", {}, make("span", {text: "Labels"}), slider),
        make("label", {}, names, make("span", {text: "Names"})),
        make("span", {class: "rim-space"}),
        make("button", {type: "button", class: "rim-button", text: "Another photo", onclick: () => file.click()}),
        make("a", {class: "rim-button rim-main", id: "rim-download", href: "results.zip", download: "", text: "Download results"}));
      root.replaceChildren(node, bar, legend(value), file);
    }

    follow(part, (root, value) => {
      root.classList.remove("rim-busy");
      if (value.photo === null) { empty(root); return; }
      if (shown.serial !== value.serial || !root.querySelector(".rim-stage")) full(root, value);
      shown = value;
    });
  }

  function why({trigger, ...part}) {
    const act = (event, name, detail) => {
      event.currentTarget.disabled = true;
      trigger(name, detail);
    };

    function card(one, button) {
      return make("figure", {class: "rim-card", "data-image": one.image_id},
        one.picture ? make("img", {src: one.picture, alt: `reference ${one.number} of ${one.category}`}) : make("div", {class: "rim-no-picture", text: "no picture"}),
        one.similarity === null ? null : make("span", {class: "rim-cosine-badge", title: "cosine to the region", text: one.similarity.toFixed(3)}),
        make("figcaption", {},
          make("div", {class: "rim-line", title: one.category}, swatch(one.colour), make("strong", {text: one.category})),
          make("div", {class: "rim-small"}, make("code", {text: one.image_id, title: "image_id"}), make("span", {text: one.on_trial ? "on trial" : one.reason || one.status})),
          button));
    }

    follow(part, (root, value) => {
      const parts = [];
      const chosen = value.selection;
      if (chosen === null) {
        parts.push(make("div", {class: "rim-why-hint"}, make("strong", {text: "Why?"}),
          make("p", {text: value.photo === null ? "When a photo is labelled, click a region to see the references that decided it." : "Click a region to see the references that decided it."})));
      } else {
        const counts = new Map();
        for (const one of chosen.references) counts.set(one.category, (counts.get(one.category) || 0) + 1);
        const votes = [...counts].map(([name, count]) => `${count} ${name}`).join(", ");
        parts.push(
          make("div", {class: "rim-chosen"}, swatch(chosen.colour), make("h3", {id: "rim-chosen", text: chosen.category}), make("span", {class: "rim-number", text: `score ${chosen.score.toFixed(2)}`})),
          make("div", {class: "rim-meter"}, make("span", {style: {width: `${100 * chosen.score}%`, background: chosen.colour}})),
          chosen.was ? make("p", {class: "rim-was", id: "rim-was", text: `was ${chosen.was.category}, score ${chosen.was.score.toFixed(2)}`}) : null,
          make("p", {class: "rim-small", text: `${percent(chosen.area)} of the photo; cosine ${chosen.similarity.toFixed(3)} to its nearest reference. The most similar references: ${votes || "none"}.`}),
          make("div", {class: "rim-cards", id: "rim-references"}, ...chosen.references.map((one) =>
            card(one, make("button", {type: "button", class: "rim-button rim-bad", text: "Reject", title: "It names nothing any more, in the bank too",
              onclick: (event) => act(event, "reject", {image_id: one.image_id})})))));
      }
      if (value.rejected.length > 0) {
        parts.push(make("h4", {text: "Rejected here"}),
          make("div", {id: "rim-rejected"}, ...value.rejected.map((one) => make("div", {class: "rim-gone", "data-image": one.image_id},
            one.picture ? make("img", {src: one.picture, alt: `reference ${one.number} of ${one.category}`}) : null,
            make("strong", {text: one.category}), make("code", {text: one.image_id, title: "image_id"}),
            make("span", {class: "rim-small", text: one.reason || one.status}), make("span", {class: "rim-space"}),
            make("button", {type: "button", class: "rim-button", text: "Undo", onclick: (event) => act(event, "undo", {image_id: one.image_id})})))));
      }
      root.replaceChildren(...parts.filter((one) => one !== null));
    });
  }

  function trials({trigger, ...part}) {
    follow(part, (root, value) => {
      root.replaceChildren(...value.names.map((name) => make("div", {class: "rim-trial"},
        make("div", {class: "rim-trial-name"}, make("strong", {text: name}), make("span", {class: "rim-small", text: "on trial"})),
        make("button", {type: "button", class: "rim-button rim-main", text: `Keep (${value.images} images)`, onclick: (event) => { event.currentTarget.disabled = true; trigger("keep", {name}); }}),
        make("button", {type: "button", class: "rim-button", text: "Drop", onclick: () => trigger("drop", {name})}))));
    });
  }

  window.rimApp = {head, viewer, why, trials};
})();
