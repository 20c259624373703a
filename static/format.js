// How numbers are written: three significant digits, the unit apart and steady, one way to write zero, a dash for what
// is missing. Every function returns text for a text node; nothing here touches the page.

export const MISSING = '–';

const SCALES = {
  percent: { step: 1000, units: ['%'] },
  count: { step: 1000, units: ['', 'k', 'M', 'G'] },
  whole: { step: 1000, units: [''] },
  per_second: { step: 1000, units: ['/s', 'k/s', 'M/s', 'G/s'] },
  bits_per_second: { step: 1000, units: ['bit/s', 'kbit/s', 'Mbit/s', 'Gbit/s', 'Tbit/s'] },
  bytes: { step: 1024, units: ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] },
  bytes_per_second: { step: 1024, units: ['B/s', 'KiB/s', 'MiB/s', 'GiB/s', 'TiB/s'] },
};

// A unit that was chosen stays until the value has clearly left it, so that a value near a border does not flicker
// between `999 KiB` and `0.98 MiB`. One object per place on the page remembers the choice.
export class Quantity {
  constructor(unit) {
    this.scale = SCALES[unit] ?? SCALES.count;
    this.power = 0;
    this.number = MISSING;
    this.unit = '';
  }

  // True when the text differs from the last one.
  set(value) {
    const before = this.number;
    const unitBefore = this.unit;
    if (value === undefined || value === null || Number.isNaN(value)) {
      this.number = MISSING;
      this.unit = '';
    } else {
      this.power = choosePower(Math.abs(value), this.power, this.scale);
      const scaled = value / this.scale.step ** this.power;
      this.number = this.scale === SCALES.whole ? wholeText(scaled) : significant3(scaled);
      this.unit = this.scale.units[this.power];
    }
    return before !== this.number || unitBefore !== this.unit;
  }

  text() {
    return this.unit === '' ? this.number : `${this.number} ${this.unit}`;
  }
}

// Up as soon as the number would need four digits, down only when it has fallen a tenth below the border.
function choosePower(size, power, scale) {
  if (size === 0) return 0;
  while (power < scale.units.length - 1 && size >= 999.5 * scale.step ** power) power += 1;
  while (power > 0 && size < 0.9 * scale.step ** power) power -= 1;
  return power;
}

export function significant3(value) {
  const size = Math.abs(value);
  if (size < 0.005) return '0';
  if (size >= 99.95) return value.toFixed(0);
  if (size >= 9.995) return value.toFixed(1);
  return value.toFixed(2);
}

export function quantityText(value, unit) {
  const quantity = new Quantity(unit);
  quantity.set(value);
  return quantity.text();
}

export function wholeText(value) {
  return value === undefined || value === null ? MISSING : Math.round(value).toLocaleString('en-US');
}

// The numbers beside an axis, all in the unit of its end; only the end says which unit.
export function axisTexts(splits, unit) {
  const quantity = new Quantity(unit);
  const end = splits[splits.length - 1];
  quantity.set(end);
  const size = quantity.scale.step ** quantity.power;
  return splits.map((value, i) => {
    if (i % 2 === 1) return '';
    const number = String(+(value / size).toPrecision(3));
    return value === end ? `${number} ${quantity.unit}`.trim() : number;
  });
}

// A latency: milliseconds below a second, then seconds.
export function latencyText(latencyMs) {
  if (latencyMs === undefined || latencyMs === null) return MISSING;
  return latencyMs < 999.5 ? `${significant3(latencyMs)} ms` : `${significant3(latencyMs / 1000)} s`;
}

// An age or a duration: `0.4 s`, `12 s`, `3 m 05 s`, `2 h 10 m`, `12 d 4 h`.
export function durationText(durationMs) {
  if (durationMs === undefined || durationMs === null || Number.isNaN(durationMs)) return MISSING;
  const seconds = Math.max(0, durationMs / 1000);
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} m ${String(Math.floor(seconds % 60)).padStart(2, '0')} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${String(minutes % 60).padStart(2, '0')} m`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

// The time of day of a Unix time, in the viewer's zone.
export function clockText(unixMs) {
  const date = new Date(unixMs);
  return [date.getHours(), date.getMinutes(), date.getSeconds()].map((n) => String(n).padStart(2, '0')).join(':');
}

export function plural(count, one, many) {
  return `${wholeText(count)} ${count === 1 ? one : many}`;
}
