// The keyboard: one key, one thing. Keys typed into a field belong to the field.
import { byId } from './dom.js';

const KEY_ZOOM = 2;
const KEY_PAN_SHARE = 0.5;

export function listenToKeys(actions) {
  const filter = byId('filter');
  addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target === filter) return filterKey(event, filter, actions);
    if (byId('help').open) {
      if (event.key === '?') actions.help();
      return;
    }
    // What has the focus keeps the keys that work it: Enter, and Space unless it is a link.
    if (event.key === 'Enter' && event.target.closest?.('button, a, summary, input, select')) return;
    if (event.key === ' ' && event.target.closest?.('button, summary, input, select')) return;
    const action = actionOf(event, actions, filter);
    if (!action) return;
    event.preventDefault();
    action();
  });
}

function actionOf(event, actions, filter) {
  switch (event.key) {
    case '/': return () => {
      filter.focus();
      filter.select();
    };
    case 'j': return () => actions.move(1);
    case 'k': return () => actions.move(-1);
    case 'Enter': return actions.open;
    case 'Escape': return actions.back;
    case ' ': return actions.pause;
    case 'g': return actions.live;
    case 'r': return actions.sort;
    case 't': return actions.theme;
    case '?': return actions.help;
    default: return actions.isHost() ? timeActionOf(event, actions) : null;
  }
}

// What moves the time that a host's charts show.
function timeActionOf(event, { time, copyLink }) {
  switch (event.key) {
    case '[': return () => time.step(-1);
    case ']': return () => time.step(1);
    case '+': case '=': return () => time.zoomBy(1 / KEY_ZOOM);
    case '-': return () => time.zoomBy(KEY_ZOOM);
    case 'ArrowLeft': return () => time.panBy(-time.last.spanMs * KEY_PAN_SHARE);
    case 'ArrowRight': return () => time.panBy(time.last.spanMs * KEY_PAN_SHARE);
    case 'y': return copyLink;
    default: return null;
  }
}

function filterKey(event, filter, actions) {
  if (event.key === 'Escape') {
    filter.value = '';
    actions.filter('');
    filter.blur();
  } else if (event.key === 'Enter') {
    filter.blur();
    actions.move(1);
  }
}
