// The colours of the style sheet, for what is drawn on canvas. Read again when the colour scheme changes.

const HEAT_STEPS = 32;

class Palette {
  constructor() {
    this.listeners = [];
    this.read();
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.refresh());
  }

  read() {
    const style = getComputedStyle(document.documentElement);
    const color = (name) => style.getPropertyValue(`--${name}`).trim();
    for (const name of ['text', 'muted', 'faint', 'line', 'surface', 'critical', 'warning', 'hatch', 'gap']) {
      this[name] = color(name);
    }
    this.criticalInk = color('critical-ink');
    this.lineStrong = color('line-strong');
    this.chartGrid = color('chart-grid');
    this.series = [1, 2, 3, 4, 5, 6].map((n) => color(`series-${n}`));
    this.fills = [1, 2, 3, 4, 5, 6].map((n) => color(`fill-${n}`));
    this.heat = heatSteps(color('heat-0'), color('heat-1'));
    this.font = `11px ${getComputedStyle(document.body).fontFamily}`;
  }

  refresh() {
    this.read();
    for (const listener of this.listeners) listener();
  }

  onChange(listener) {
    this.listeners.push(listener);
  }

  heatOf(percent) {
    return this.heat[Math.max(0, Math.min(HEAT_STEPS - 1, Math.floor((percent / 100) * HEAT_STEPS)))];
  }
}

function heatSteps(from, to) {
  const low = rgbOf(from);
  const high = rgbOf(to);
  return Array.from({ length: HEAT_STEPS }, (_, step) => {
    const share = step / (HEAT_STEPS - 1);
    return `rgb(${low.map((channel, i) => Math.round(channel + (high[i] - channel) * share)).join(' ')})`;
  });
}

function rgbOf(hex) {
  return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
}

export const palette = new Palette();
