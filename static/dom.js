// Small helpers for the page's elements. Text is changed only where it differs, and nothing is built twice.

export function byId(id) {
  return document.getElementById(id);
}

export function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function setData(element, name, value) {
  if (value === null || value === undefined || value === false) {
    if (element.hasAttribute(`data-${name}`)) element.removeAttribute(`data-${name}`);
  } else if (element.getAttribute(`data-${name}`) !== String(value)) {
    element.setAttribute(`data-${name}`, String(value));
  }
}

const SVG = 'http://www.w3.org/2000/svg';

export function makeIcon(name) {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('class', 'icon');
  svg.setAttribute('aria-hidden', 'true');
  svg.append(document.createElementNS(SVG, 'use'));
  setIcon(svg, name);
  return svg;
}

export function setIcon(svg, name) {
  const use = svg.tagName === 'use' ? svg : svg.firstElementChild;
  if (use.getAttribute('href') !== `#icon-${name}`) use.setAttribute('href', `#icon-${name}`);
}

// A canvas whose bitmap matches its size on the screen; true when it was resized (and thereby cleared).
export function fitCanvas(canvas, widthCss, heightCss) {
  const ratio = devicePixelRatio || 1;
  const width = Math.round(widthCss * ratio);
  const height = Math.round(heightCss * ratio);
  if (canvas.width === width && canvas.height === height) return false;
  canvas.width = width;
  canvas.height = height;
  canvas.getContext('2d').setTransform(ratio, 0, 0, ratio, 0, 0);
  return true;
}
