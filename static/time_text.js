// Times and stretches of time in words: beside the charts, below them, and in the address. Times are those of the
// viewer's zone.
import { clockText } from './format.js';
import { WINDOWS_MS } from './time_range.js';

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const DAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'];
const UNITS_MS = [['d', 86_400_000], ['h', 3_600_000], ['min', 60_000], ['s', 1_000]];
const ADDRESS_UNITS_MS = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const HOURS_UP_TO_MS = 48 * 3_600_000;
const DAY_SPLIT_MS = 86_400_000;

// `22 Nov`, with the year where it is not this one.
export function dayText(unixMs) {
  const date = new Date(unixMs);
  const year = date.getFullYear() === new Date().getFullYear() ? '' : ` ${date.getFullYear()}`;
  return `${date.getDate()} ${MONTHS[date.getMonth()]}${year}`;
}

export function isSameDay(oneMs, otherMs) {
  return new Date(oneMs).toDateString() === new Date(otherMs).toDateString();
}

// A moment, with its day where that is not today. Buckets of whole minutes need no seconds.
export function momentText(unixMs, widthMs) {
  const day = isSameDay(unixMs, Date.now()) ? '' : `${dayText(unixMs)} `;
  const clock = clockText(unixMs);
  return day + (widthMs < 60_000 ? clock : clock.slice(0, 5));
}

// `Sat 22 Nov 13:00:00 – 13:05:00`
export function rangeText(fromMs, toMs) {
  const clock = (unixMs) => (toMs - fromMs < 3_600_000 ? clockText(unixMs) : clockText(unixMs).slice(0, 5));
  const day = (unixMs) => `${DAYS[new Date(unixMs).getDay()]} ${dayText(unixMs)}`;
  const end = isSameDay(fromMs, toMs) ? clock(toMs) : `${day(toMs)} ${clock(toMs)}`;
  return `${day(fromMs)} ${clock(fromMs)} – ${end}`;
}

// `10 s`, `24 h`, `2 d 6 h`: the two largest units that say something.
export function spanText(spanMs) {
  let restMs = Math.round(spanMs / 1000) * 1000;
  const parts = [];
  for (const [unit, sizeMs] of UNITS_MS) {
    if (unit === 'd' && spanMs < HOURS_UP_TO_MS) continue;
    const count = Math.floor(restMs / sizeMs);
    restMs -= count * sizeMs;
    if (count > 0) parts.push(`${count} ${unit}`);
    else if (parts.length > 0) break;
  }
  return parts.slice(0, 2).join(' ') || `${Math.round(spanMs)} ms`;
}

// Windows in the address: whole minutes as bare numbers, longer ones as `6h` or `30d`, any other as `95s`.
export function addressOfSpan(spanMs) {
  if (!WINDOWS_MS.includes(spanMs)) return `${Math.round(spanMs / 1000)}s`;
  if (spanMs < 3_600_000) return String(spanMs / 60_000);
  return spanMs <= 86_400_000 ? `${spanMs / 3_600_000}h` : `${spanMs / 86_400_000}d`;
}

// null where nothing sensible stands.
export function spanOfAddress(text) {
  const match = /^(\d{1,9})([smhd]?)$/.exec(text ?? '');
  const spanMs = match ? Number(match[1]) * ADDRESS_UNITS_MS[match[2] || 'm'] : 0;
  return spanMs > 0 ? spanMs : null;
}

// Unix milliseconds, or RFC 3339 as people write it.
export function timeOfAddress(text) {
  if (text === null || text === '') return null;
  const unixMs = /^\d+$/.test(text) ? Number(text) : Date.parse(text);
  return Number.isFinite(unixMs) ? unixMs : null;
}

// The texts below a time axis: as fine as its steps, the date where it changes, and, where there is room, at the first of
// them when all of it was on another day than today. What would not fit before the right edge (`lastMs`) is left out rather
// than cut.
export function axisTimeTexts(splitsMs, lastMs, hasRoom) {
  const key = `${splitsMs[0]} ${splitsMs.at(-1)} ${splitsMs.length} ${splitsMs.filter((timeMs) => timeMs > lastMs).length} ${hasRoom}`;
  if (key !== lastAxis.key) lastAxis = { key, texts: makeAxisTexts(splitsMs, lastMs, hasRoom) };
  return lastAxis.texts;
}

// All charts of a page have the same axis.
let lastAxis = { key: '', texts: [] };

function makeAxisTexts(splitsMs, lastMs, hasRoom) {
  const stepMs = splitsMs.length > 1 ? splitsMs[1] - splitsMs[0] : 60_000;
  const midnights = splitsMs.filter((timeMs) => isMidnight(timeMs));
  const isElsewhen = hasRoom && midnights.length === 0 && splitsMs.length > 0 && !isSameDay(splitsMs[0], Date.now());
  return splitsMs.map((timeMs, i) => {
    if (timeMs > lastMs) return '';
    const unixMs = Math.round(timeMs);
    if (stepMs >= DAY_SPLIT_MS || isMidnight(unixMs)) return dayText(unixMs);
    const text = stepMs < 60_000 ? clockText(unixMs) : clockText(unixMs).slice(0, 5);
    return isElsewhen && i === 0 ? `${dayText(unixMs)} ${text}` : text;
  });
}

function isMidnight(unixMs) {
  const date = new Date(unixMs);
  return date.getHours() === 0 && date.getMinutes() === 0 && date.getSeconds() === 0;
}
