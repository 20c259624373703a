// The keyboard: one key, one thing. Keys typed into a field belong to the field.
import { byId } from './dom.js';

export function listenToKeys(actions) {
  const filter = byId('filter');
  addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target === filter) return filterKey(event, filter, actions);
    if (byId('help').open) {
      if (event.key === '?') actions.help();
      return;
    }
    // A focused button or link keeps Space and Enter.
    const isControl = event.target.closest?.('button, a, summary, input, select') !== null && event.target.closest !== undefined;
    if (isControl && (event.key === 'Enter' || event.key === ' ')) return;
    const action = actionOf(event.key, actions, filter);
    if (!action) return;
    event.preventDefault();
    action();
  });
}

function actionOf(key, actions, filter) {
  switch (key) {
    case '/': return () => {
      filter.focus();
      filter.select();
    };
    case 'j': return () => actions.move(1);
    case 'k': return () => actions.move(-1);
    case 'Enter': return actions.open;
    case 'Escape': return actions.back;
    case '[': return () => actions.window(-1);
    case ']': return () => actions.window(1);
    case ' ': return actions.pause;
    case 'g': return actions.live;
    case 'r': return actions.sort;
    case 't': return actions.theme;
    case '?': return actions.help;
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
