// What surrounds the views: the colour toggle, the help dialog, and the pause of the fleet's picture.
import { byId, setText } from './dom.js';
import { requestPaint } from './frame.js';
import { palette } from './palette.js';

const THEMES = ['auto', 'dark', 'light'];

export class Shell {
  constructor() {
    this.pausedMs = null;
    this.theme = document.documentElement.dataset.theme ?? 'auto';
    byId('theme-toggle').addEventListener('click', () => this.nextTheme());
    byId('help-open').addEventListener('click', () => this.toggleHelp());
    this.showTheme();
  }

  nextTheme() {
    this.theme = THEMES[(THEMES.indexOf(this.theme) + 1) % THEMES.length];
    if (this.theme === 'auto') {
      delete document.documentElement.dataset.theme;
      localStorage.removeItem('theme');
    } else {
      document.documentElement.dataset.theme = this.theme;
      localStorage.setItem('theme', this.theme);
    }
    this.showTheme();
    palette.refresh();
    requestPaint();
  }

  showTheme() {
    setText(byId('theme-toggle'), this.theme);
    byId('theme-toggle').setAttribute('aria-label', `Colours: ${this.theme === 'auto' ? 'as the system' : this.theme}`);
  }

  toggleHelp() {
    const help = byId('help');
    if (help.open) help.close();
    else help.showModal();
  }

  togglePause(nowMs) {
    if (this.pausedMs === null) this.pausedMs = nowMs;
    else this.goLive();
    requestPaint();
  }

  goLive() {
    this.pausedMs = null;
    requestPaint();
  }
}
