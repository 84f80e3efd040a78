// Elements, made and kept. Whatever comes from a span is set as text: markup in a name stays a name.

const SVG = "http://www.w3.org/2000/svg";

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== ""));
  return element;
}

export function h(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

export function draw(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

// Make the children of `parent` be `items`, and leave those that were there where they are: an
// element that is taken out and put back has lost the focus.
export function keyed(parent, items, key, make, update) {
  const wanted = new Set(items.map(key));
  const there = new Map();
  for (const element of [...parent.children]) {
    if (wanted.has(element.dataset.key)) there.set(element.dataset.key, element);
    else element.remove();
  }
  let place = parent.firstElementChild;
  for (const item of items) {
    let element = there.get(key(item));
    if (element && element === place) {
      place = place.nextElementSibling;
    } else {
      element ??= make(item);
      element.dataset.key = key(item);
      parent.insertBefore(element, place);
    }
    update(element, item);
  }
}

// Set what is different only: a reader's selection, and a screen reader's place, survive the rest.
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function say(text) {
  setText(document.getElementById("said"), text);
}

// One stop of the Tab key for a list; arrows, Home and End move in it.
export function arrows(list, selector) {
  const all = () => [...list.querySelectorAll(selector)];
  const hold = (chosen) => {
    for (const element of all()) element.tabIndex = element === chosen ? 0 : -1;
  };
  list.addEventListener("focusin", (event) => {
    const chosen = event.target.closest(selector);
    if (chosen) hold(chosen);
  });
  list.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const elements = all();
    const now = elements.indexOf(document.activeElement);
    const next = { ArrowDown: now + 1, ArrowUp: now - 1, Home: 0, End: elements.length - 1 }[event.key];
    if (now < 0 || next === undefined) return;
    event.preventDefault();
    elements[Math.max(0, Math.min(next, elements.length - 1))].focus();
  });
  return () => {
    const elements = all();
    if (elements.length && !elements.some((element) => element.tabIndex === 0)) hold(elements[0]);
    else hold(elements.find((element) => element.tabIndex === 0));
  };
}
