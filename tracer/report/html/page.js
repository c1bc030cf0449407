"use strict";
(() => {
  const table = document.getElementById("paths");
  const box = document.getElementById("q");

  // A name's numbers as holes: `layers.{0..31}.q_proj` and `layers.3.q_proj` have one template.
  const HOLE = /\{[^}]*\}|(?<![^.])\d+(?![^.])/g;
  const apart = (name) => ({ template: name.replace(HOLE, "{}"), holes: name.match(HOLE) || [] });

  // Whether `0..39 except 7, 19` has a number.
  const among = (text, number) => text.split(", ").some((run) => {
    const [first, last] = run.split("..").map(Number);
    return last === undefined ? first === number : first <= number && number <= last;
  });
  const holds = (hole, number) => {
    const [all, but] = hole.replace(/[{}]/g, "").split(" except ");
    return among(all, number) && !(but && among(but, number));
  };

  // Whether `layers.3.q_proj`, or what begins or ends so, is among the names that a folded one stands for; of a word
  // that is folded itself, whether its first is.
  const stands = (folded, { template, holes }) => {
    for (let at = folded.template.indexOf(template); at >= 0; at = folded.template.indexOf(template, at + 1)) {
      const first = folded.template.slice(0, at).split("{}").length - 1;
      if (holes.every((hole, i) => holds(folded.holes[first + i], parseInt(hole.replace("{", ""), 10)))) {
        return true;
      }
    }
    return false;
  };

  const entry = (element, heading) => {
    const text = `${heading} ${element.textContent}`.toLowerCase();
    const names = [...element.querySelectorAll("code.name")].map((code) => code.textContent);
    const folded = [heading, ...names].flatMap((name) => name.toLowerCase().split(/, (?![^{]*\})/)).map(apart);
    return { element, text, folded };
  };
  const params = table && box ? [...table.querySelectorAll(".param")].map((element) => {
    const heading = element.querySelector("summary .name").textContent;
    const own = [...element.querySelectorAll(".line, .fill")];
    return { element, entries: own.map((line) => entry(line, heading)) };
  }) : [];

  const fits = ({ text, folded }, words) => words.every((word) => {
    if (text.includes(word)) {
      return true;
    }
    const name = apart(word);
    return name.holes.length > 0 && name.template !== "{}" && folded.some((each) => stands(each, name));
  });

  const FEW = 6;  // lines that are unfolded because they were searched for
  let unfolded = [];
  const filter = () => {
    const words = box.value.toLowerCase().split(/\s+(?![^{]*\})/).filter(Boolean);
    const found = [];
    let all = 0;
    for (const { element, entries } of params) {
      let own = 0;
      for (const each of entries) {
        const fit = fits(each, words);
        each.element.hidden = !fit;
        if (fit) {
          own += 1;
          found.push(each.element);
        }
      }
      all += entries.length;
      element.hidden = words.length > 0 && own === 0;
      element.open = element.open || (words.length > 0 && own > 0);
    }
    unfolded.forEach((line) => { line.open = false; });
    unfolded = words.length > 0 && found.length <= FEW ? found.filter((line) => line.open === false) : [];
    unfolded.forEach((line) => { line.open = true; });
    document.getElementById("told").textContent = words.length > 0 ? `${found.length} of ${all} lines have: ${words.join(" ")}` : "";
  };

  const fromAddress = () => {
    const asked = location.hash.startsWith("#q=") ? location.hash.slice(3) : null;
    if (asked === null && location.hash) {
      return;  // a place on the page; what is searched for stays
    }
    try {
      box.value = asked === null ? "" : decodeURIComponent(asked);
    } catch {
      box.value = asked;
    }
    filter();
    if (asked !== null) {
      table.scrollIntoView();
    }
  };
  const toAddress = () => {
    const place = location.pathname + location.search;
    const hash = box.value.trim() ? `#q=${encodeURIComponent(box.value.trim())}` : "";
    try {
      history.replaceState(null, "", hash || place);
    } catch {
      // a page inside of another has no address of its own
    }
  };

  const foldAll = (open) => table.querySelectorAll("details:not([hidden])").forEach((each) => { each.open = open; });

  if (box) {
    table.querySelector(".controls").hidden = false;
    table.querySelector(".controls").addEventListener("submit", (event) => event.preventDefault());
    box.addEventListener("input", () => { filter(); toAddress(); });
    window.addEventListener("hashchange", fromAddress);
    document.getElementById("unfold").addEventListener("click", () => foldAll(true));
    document.getElementById("fold").addEventListener("click", () => foldAll(false));
    document.getElementById("columns").addEventListener("change", ({ target }) => {
      table.classList.toggle("columns", target.checked);
      if (target.checked) {
        foldAll(true);
      }
    });
    fromAddress();
  }

  const copy = async (button, text) => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(button.parentElement.querySelector("pre"));
      button.textContent = "Selected: press Ctrl+C";
    }
  };
  for (const button of document.querySelectorAll(".copy")) {
    button.hidden = false;
    button.addEventListener("click", () => copy(button, button.parentElement.querySelector("pre").textContent));
  }

  let closed = [];
  window.addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details:not([open])")];
    closed.forEach((each) => { each.open = true; });
  });
  window.addEventListener("afterprint", () => closed.forEach((each) => { each.open = false; }));
})();
