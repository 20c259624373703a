// Runs before the first paint, as a classic script, so that a chosen colour scheme never flashes the other one.
// The toggle itself is in shell.js.
{
  const chosen = localStorage.getItem('theme');
  if (chosen === 'dark' || chosen === 'light') document.documentElement.dataset.theme = chosen;
}
