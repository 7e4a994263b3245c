// Virtual DOM: elements described as data, and the minimal changes that bring the document to that state.
//
// All text becomes text nodes, so no text of a tenant can become markup.

const SVG = "http://www.w3.org/2000/svg";
const KEY = Symbol("key");
const SET = Symbol("set");

/**
 * Describes an element. `props`: attributes (null and false: absent; true: empty), `on: {event: handler}`, `key` among its
 * siblings, `style: {"--name": value}`, `own: true` to leave its children unchanged. Children: elements, texts, lists; null
 * and false are omitted.
 */
export function h(tag, props, ...children) {
  const { key = null, on = {}, style = {}, own = false, ...attributes } = props ?? {};
  return { tag, key, on, style, own, attributes, children: children.flat(Infinity).filter(there) };
}

const there = (child) => child !== null && child !== undefined && child !== false && child !== "";

/** Updates a parent's children to the described ones. Focus stays on its element while that exists. */
export function render(parent, ...described) {
  const focused = document.activeElement;
  reconcile(parent, described.flat(Infinity).filter(there), parent.namespaceURI === SVG);
  if (focused && focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
}

/** Creates the described element. */
export function create(description, inSvg = false) {
  const svg = inSvg || description.tag === "svg";
  const element = svg ? document.createElementNS(SVG, description.tag) : document.createElement(description.tag);
  element[KEY] = description.key;
  update(element, description, svg);
  return element;
}

function reconcile(parent, next, svg) {
  const before = [...parent.childNodes];
  const keyed = new Map();
  const free = [];
  for (const node of before) {
    if (node[KEY] !== null && node[KEY] !== undefined) keyed.set(node[KEY], node);
    else free.push(node);
  }
  let at = 0;
  const nodes = next.map((one) => {
    if (typeof one !== "object") return text(free, () => at++, String(one), free[at]);
    const found = one.key !== null ? keyed.get(one.key) : free[at];
    const same = found?.nodeType === Node.ELEMENT_NODE && found.localName === one.tag;
    if (one.key === null && same) at += 1;
    if (!same) return create(one, svg);
    update(found, one, svg || one.tag === "svg");
    return found;
  });
  const kept = new Set(nodes);
  for (const node of before) if (!kept.has(node)) node.remove();
  // Removing first means that no remaining node has to move.
  nodes.forEach((node, i) => {
    if (parent.childNodes[i] !== node) parent.insertBefore(node, parent.childNodes[i] ?? null);
  });
}

function text(free, take, value, candidate) {
  if (candidate?.nodeType === Node.TEXT_NODE) {
    take();
    if (candidate.data !== value) candidate.data = value;
    return candidate;
  }
  return document.createTextNode(value);
}

function update(element, { attributes, on, style, own, children }, svg) {
  const before = element[SET] ?? { attributes: {}, on: {}, style: {} };
  for (const name of Object.keys(before.attributes)) if (!(name in attributes)) element.removeAttribute(name);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === before.attributes[name]) continue;
    if (value === null || value === undefined || value === false) element.removeAttribute(name);
    else element.setAttribute(name, value === true ? "" : String(value));
    // The attribute is only the default of a field that the user has changed.
    if (name === "value" && "value" in element && element !== document.activeElement) element.value = String(value ?? "");
  }
  for (const name of Object.keys(before.on)) if (!(name in on)) element[`on${name}`] = null;
  for (const [name, handler] of Object.entries(on)) element[`on${name}`] = handler;
  for (const [name, value] of Object.entries(style)) {
    if (value !== before.style[name]) element.style.setProperty(name, String(value));
  }
  element[SET] = { attributes, on, style };
  if (!own) reconcile(element, children, svg);
}
